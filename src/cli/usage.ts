// Arguments of a command: a table of its options, read with Node's own parser, and its help made of the same table.

import { type ParseArgsConfig, parseArgs } from 'node:util';
import { meant } from './nearest.ts';

/** The command line makes no sense; the message is one plain line. Ends in exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export type OptionRow = {
  /** Without the dashes. */
  readonly name: string;
  /** What stands for its value in the help; an option without is a switch. */
  readonly value?: string;
  /** Lines of at most 72 characters. */
  readonly help: readonly string[];
};

export type CommandUsage = {
  readonly name: string;
  /** As in 'IMAGE' or '[IMAGE]'. */
  readonly operand: string;
  readonly summary: string;
  /** Shown above and below the options. */
  readonly intro: readonly string[];
  readonly outro: readonly string[];
  readonly options: readonly OptionRow[];
};

export type Given = {
  /** Of an option given twice the last. */
  readonly values: ReadonlyMap<string, string>;
  /** Every value of an option that was given, in order, for those that may be given more than once. */
  readonly all: ReadonlyMap<string, readonly string[]>;
  readonly switches: ReadonlySet<string>;
  readonly operands: readonly string[];
};

const HELP: OptionRow = { name: 'help', help: ['Show this help.'] };

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
function tokensOf(rows: ReadonlyMap<string, OptionRow>, args: readonly string[]) {
  const options: NonNullable<ParseArgsConfig['options']> = {};
  for (const row of rows.values()) options[row.name] = { type: row.value === undefined ? 'boolean' : 'string' };
  options['help'] = { type: 'boolean', short: 'h' };
  return parseArgs({ args: [...args], options, strict: false, tokens: true, allowPositionals: true }).tokens;
}

function checkedSwitch(row: OptionRow, value: string | undefined): string {
  if (value !== undefined) throw new UsageError(`--${row.name} takes no value`);
  return row.name;
}

type ValueToken = { readonly value?: string | undefined; readonly inlineValue?: boolean | undefined };

function checkedValue(row: OptionRow, placeholder: string, { value, inlineValue }: ValueToken): string {
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

const optionLines = ({ name, value, help }: OptionRow): string[] => [
  `  --${name}${value === undefined ? '' : ` ${value}`}`,
  ...help.map((line) => `      ${line}`),
];
