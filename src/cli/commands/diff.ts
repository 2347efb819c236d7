// `firstlight diff GOOD BAD`: which functions of two builds differ in meaning, told from the files alone.

import { MIB } from '../../bits/sizes.ts';
import { diffImages } from '../../audit/diff/diff.ts';
import type { DiffReport } from '../../audit/diff/types.ts';
import { parseSymbols, type SymbolTable } from '../../image/symbols.ts';
import { CONTEXT, LOOK_OPTIONS } from '../../options/looks.ts';
import { type Given, optionsOf, valueOf } from '../../options/row.ts';
import { UsageError } from '../../options/usageError.ts';
import { type DiffNames, diffLines, isEqual, quietDiffLines } from '../../report/diff.ts';
import { diffJson } from '../../report/diffJson.ts';
import { REPORT_WIDTH } from '../../bits/lines.ts';
import type { Command } from '../command.ts';
import { EXIT } from '../exit.ts';
import { readInput } from '../files.ts';
import type { Io } from '../io.ts';
import { Screen } from '../screen.ts';
import type { CommandUsage } from '../usage.ts';

/** A vmlinux with debug information has some 400 MiB. */
const LARGEST_FILE = 1024 * MIB;

export const diffUsage: CommandUsage = {
  name: 'diff',
  operand: 'GOOD BAD',
  summary: 'say which functions of two builds differ in meaning',
  intro: [
    'Compares two builds of a boot stub (bzImage, or arch/x86/boot/compressed/vmlinux), or of a kernel',
    '(vmlinux), instruction by instruction, after mapping the addresses of one to those of the other.',
    'What only moved is equal; what comes to the same address in another way stands out.',
  ],
  options: optionsOf('diff', LOOK_OPTIONS),
  outro: [
    'Between the columns: ! the same address in another way, | something else, < only in GOOD,',
    '> only in BAD, ~ a number that follows from the layout.',
    '',
    'Exit codes: 0 no difference in meaning, 1 differences, 2 bad usage or unreadable input.',
    '',
    'Example:',
    '  firstlight diff good/bzImage bad/bzImage --symbols-bad bad/arch/x86/boot/compressed/vmlinux',
  ],
};

export const diff: Command = {
  usage: diffUsage,
  async run(given, io) {
    const names = namesOf(given);
    const report = compareFiles(given, names);
    print(given, report, names, io);
    return isEqual(report) ? EXIT.clean : EXIT.findings;
  },
};

function namesOf({ operands }: Given): DiffNames {
  const [good, bad, ...more] = operands;
  if (good === undefined || bad === undefined) throw new UsageError('two files are needed, GOOD and BAD');
  if (more.length > 0) throw new UsageError(`two files at a time; '${more[0]}' is one too many`);
  return { good, bad };
}

/** Throws UsageError and InputError. */
function compareFiles(given: Given, names: DiffNames): DiffReport {
  const { values, switches } = given;
  const [goodSymbols, badSymbols] = [symbolsOf(values.get('symbols-good')), symbolsOf(values.get('symbols-bad'))];
  const read = (path: string): Uint8Array => readInput(path, LARGEST_FILE, 'any kernel has');
  return diffImages(read(names.good), read(names.bad), {
    context: valueOf<number>(given, CONTEXT),
    all: switches.has('all'),
    ...(goodSymbols === undefined ? {} : { goodSymbols }),
    ...(badSymbols === undefined ? {} : { badSymbols }),
  });
}

const symbolsOf = (path: string | undefined): SymbolTable | undefined =>
  path === undefined ? undefined : parseSymbols(readInput(path, LARGEST_FILE, 'symbols need'));

function print({ switches }: Given, report: DiffReport, names: DiffNames, io: Io): void {
  if (switches.has('json')) io.stdout.write(`${JSON.stringify(diffJson(report, names), null, 2)}\n`);
  else if (switches.has('quiet')) io.stdout.write(`${quietDiffLines(report).join('\n')}\n`);
  else new Screen(io).report(diffLines(report, names, columnsOf(io)));
}

/** Two listings want more columns than a text does. */
const NARROWEST = 80;
const WIDEST = 160;

function columnsOf({ stdout }: Io): number {
  if (!stdout.isTTY || !stdout.columns) return REPORT_WIDTH;
  return Math.max(NARROWEST, Math.min(WIDEST, stdout.columns));
}
