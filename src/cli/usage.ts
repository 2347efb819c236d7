// Arguments of a command: a table of its options, read with Node's own parser, and its help made of the same table.

import { type ParseArgsConfig, parseArgs } from 'node:util';
import type { Given, NamedRow } from '../options/row.ts';
import { UsageError } from '../options/usageError.ts';
import { meant } from './nearest.ts';

export type CommandUsage = {
  readonly name: string;
  /** As in 'IMAGE' or '[IMAGE]'. */
  readonly operand: string;
  readonly summary: string;
  /** Shown above and below the options. */
  readonly intro: readonly string[];
  readonly outro: readonly string[];
  readonly options: readonly NamedRow[];
};

const HELP: NamedRow = { name: 'help', help: ['Show this help.'] };

/** Reads the arguments after the command's name. Throws UsageError. */
export function readArguments(usage: CommandUsage, args: readonly string[]): Given {
  const rows = new Map([...usage.options, HELP].map((row) => [row.name, row]));
  const all = new Map<string, string[]>();
  const switches = new Set<string>();
  const operands: string[] = [];
  for (const token of tokensOf(rows, args)) {
    if (token.kind === 'positional') operands.push(token.value);
    if (token.kind !== 'option') continue;
    const row = rows.get(token.name);
    if (row === undefined) {
      const known = [...rows.keys()].map((name) => `--${name}`);
      // "-append" is one option to whoever writes it, and six to the parser.
      const [written = token.rawName] = (args[token.index] ?? token.rawName).split('=');
      throw new UsageError(`unknown option '${written}'${meant(written, known)}`);
    }
    if (row.value === undefined) switches.add(checkedSwitch(row, token.value));
    else all.set(row.name, [...(all.get(row.name) ?? []), checkedValue(row, row.value, token)]);
  }
  const values = new Map([...all].map(([name, given]) => [name, given.at(-1) as string]));
  return { values, all, switches, operands };
}

// Not strict: the messages of the strict mode are long, and differ from one version of Node to the next.
function tokensOf(rows: ReadonlyMap<string, NamedRow>, args: readonly string[]) {
  const options: NonNullable<ParseArgsConfig['options']> = {};
  for (const row of rows.values()) options[row.name] = { type: row.value === undefined ? 'boolean' : 'string' };
  options['help'] = { type: 'boolean', short: 'h' };
  return parseArgs({ args: [...args], options, strict: false, tokens: true, allowPositionals: true }).tokens;
}

function checkedSwitch(row: NamedRow, value: string | undefined): string {
  if (value !== undefined) throw new UsageError(`--${row.name} takes no value`);
  return row.name;
}

type ValueToken = { readonly value?: string | undefined; readonly inlineValue?: boolean | undefined };

function checkedValue(row: NamedRow, placeholder: string, { value, inlineValue }: ValueToken): string {
  const looksLikeOption = value?.startsWith('--') && !inlineValue;
  if (value !== undefined && !looksLikeOption) return value;
  const hint = looksLikeOption ? ` (if '${value}' is meant: --${row.name}=${value})` : '';
  throw new UsageError(`--${row.name} needs a value, ${placeholder}${hint}`);
}

/** The text of `firstlight COMMAND --help`. */
export function helpText(usage: CommandUsage): string {
  const lines = [
    `Usage: firstlight ${usage.name} ${usage.operand} [options]`,
    '',
    ...usage.intro,
    '',
    'Options:',
    ...[...usage.options, HELP].flatMap(optionLines),
    '',
    ...usage.outro,
  ];
  return `${lines.join('\n')}\n`;
}

const optionLines = ({ name, value, help }: NamedRow): string[] => [
  `  --${name}${value === undefined ? '' : ` ${value}`}`,
  ...help.map((line) => `      ${line}`),
];
