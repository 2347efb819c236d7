// `firstlight info IMAGE`: what an image is and what kernel it holds, without a verdict.

import { type ImageInfo, imageInfo } from '../../audit/info.ts';
import { InputError } from '../../bits/errors.ts';
import { MIB } from '../../bits/sizes.ts';
import { symbolLines } from '../../image/nm.ts';
import { LOOK_OPTIONS } from '../../options/looks.ts';
import { type Given, optionsOf } from '../../options/row.ts';
import { UsageError } from '../../options/usageError.ts';
import { infoLines } from '../../report/info.ts';
import { infoJson } from '../../report/infoJson.ts';
import { countText } from '../../report/numbers.ts';
import type { Command } from '../command.ts';
import { EXIT, stoppedBy } from '../exit.ts';
import { readInput } from '../files.ts';
import type { Io } from '../io.ts';
import { imageOperand } from '../options.ts';
import { Screen } from '../screen.ts';
import type { CommandUsage } from '../usage.ts';
import { writeFile } from '../writeFile.ts';

/** A vmlinux with debug information has some 400 MiB. */
const LARGEST_FILE = 1024 * MIB;

export const infoUsage: CommandUsage = {
  name: 'info',
  operand: 'IMAGE',
  summary: 'show what an image is and what kernel it holds',
  intro: [
    'Shows the setup header, the layout and the PE header of a bzImage; and of the kernel inside, or of a',
    "kernel's, boot stub's, Multiboot or PVH ELF file: segments, banner, build id, configuration, symbols.",
    'Compressed files are unpacked, unified kernel images opened. Nothing is run, and nothing judged; that',
    'is what `firstlight audit` is for.',
  ],
  options: optionsOf('info', LOOK_OPTIONS),
  outro: [
    'Exit codes: 0 shown, 2 bad usage, or an image that cannot be read, or only in part: what can',
    'be read is shown all the same.',
    '',
    'Example:',
    '  firstlight info /boot/vmlinuz --symbols-to System.map',
  ],
};

export const info: Command = {
  usage: infoUsage,
  async run(given, io) {
    const path = imageOperand(given);
    if (path === undefined) throw new UsageError('no image given');
    const headerOnly = checkedHeaderOnly(given);
    const screen = new Screen(io);
    const found = readInfo(path, headerOnly, screen);
    const files = filesToWrite(given, found, path);
    print(given, path, found, headerOnly, io, screen);
    for (const { to, text, what } of files) {
      const written = await writeFile(to, new TextEncoder().encode(text), io, path);
      if (written === 'interrupted') return sayInterrupted(to, io, screen);
      screen.say(`wrote '${to}': ${what}`);
    }
    for (const problem of found.problems) screen.say(`cannot read all of '${path}': ${problem}`, 'bad');
    return found.problems.length > 0 ? EXIT.usage : EXIT.clean;
  },
};

function sayInterrupted(to: string, io: Io, screen: Screen): number {
  const { text, code } = stoppedBy(io.signal());
  screen.say(`${text}; '${to}' was not written`, 'limit');
  return code;
}

function checkedHeaderOnly({ values, switches }: Given): boolean {
  const headerOnly = switches.has('header-only');
  const other = ['symbols-to', 'config-to'].find((name) => values.has(name));
  if (headerOnly && other !== undefined) throw new UsageError(`--header-only and --${other} exclude each other`);
  return headerOnly;
}

function readInfo(path: string, headerOnly: boolean, screen: Screen): ImageInfo {
  const bytes = readInput(path, LARGEST_FILE, 'any kernel has');
  if (!headerOnly) screen.progress('unpacking and reading the kernel ...');
  try {
    return imageInfo(bytes, { headerOnly });
  } catch (error) {
    if (error instanceof InputError) throw new InputError(`cannot read '${path}': ${error.message}`);
    throw error;
  } finally {
    screen.clearProgress();
  }
}

type FileToWrite = { readonly to: string; readonly text: string; readonly what: string };

/** Throws an InputError where the image does not have what is to be written. */
function filesToWrite({ values }: Given, found: ImageInfo, path: string): FileToWrite[] {
  const [symbolsTo, configTo] = [values.get('symbols-to'), values.get('config-to')];
  const kernel = found.kernel ?? found.elf;
  const files: FileToWrite[] = [];
  if (symbolsTo !== undefined) {
    const list = kernel?.symbols[0]?.list;
    if (list === undefined) throw missing(path, 'no symbols', found);
    const what = `${countText(list.length)} symbols`;
    files.push({ to: symbolsTo, text: `${symbolLines(list).join('\n')}\n`, what });
  }
  if (configTo !== undefined) {
    const config = kernel?.config;
    if (config === undefined) throw missing(path, 'no configuration', found);
    const { y, m, n, other } = config.options;
    files.push({ to: configTo, text: config.text, what: `${countText(y + m + n + other)} options` });
  }
  return files;
}

const missing = (path: string, what: string, { problems }: ImageInfo): InputError =>
  new InputError(`'${path}' holds ${what} that could be written${problems.length > 0 ? `: ${problems[0]}` : ''}`);

function print({ switches }: Given, path: string, found: ImageInfo, headerOnly: boolean, io: Io, screen: Screen): void {
  if (switches.has('json')) io.stdout.write(`${JSON.stringify(infoJson(path, found), null, 2)}\n`);
  else screen.report(infoLines(path, found, headerOnly));
}
