// `firstlight extract IMAGE --to FILE`: the kernel out of an image, byte for byte as it was packed.

import { payloadOf, unpackPayload } from '../../audit/payload.ts';
import { isKernel } from '../../audit/stub/elf.ts';
import { InputError } from '../../bits/errors.ts';
import { MIB } from '../../boot/layout.ts';
import type { Payload } from '../../image/bzimage.ts';
import { isElf } from '../../image/elf.ts';
import { countText } from '../../report/numbers.ts';
import type { Command } from '../command.ts';
import { EXIT, stoppedBy } from '../exit.ts';
import { readInput } from '../files.ts';
import type { Io } from '../io.ts';
import { imageOperand } from '../options.ts';
import { Screen } from '../screen.ts';
import { type CommandUsage, UsageError } from '../usage.ts';
import { writeFile } from '../writeFile.ts';

const LARGEST_FILE = 1024 * MIB;

export const extractUsage: CommandUsage = {
  name: 'extract',
  operand: 'IMAGE --to FILE',
  summary: 'write the kernel that is packed in an image',
  intro: [
    "Unpacks the kernel in a bzImage, or in the boot stub's ELF file, and writes it just as it was packed:",
    'an ELF file, as a rule with a table of relocations behind it. gzip, bzip2, lzma, xz, lzo, lz4 and zstd',
    'are known.',
  ],
  options: [
    {
      name: 'to',
      value: 'FILE',
      help: ['Where to write it (needed); an older file is overwritten. - is stdout.'],
    },
  ],
  outro: [
    'Exit codes: 0 written, 2 bad usage, or an image that cannot be used, or a file that cannot be',
    'written; then no part of it is left behind.',
    '',
    'Example:',
    '  firstlight extract /boot/vmlinuz --to vmlinux',
  ],
};

export const extract: Command = {
  usage: extractUsage,
  async run(given, io) {
    const path = imageOperand(given);
    if (path === undefined) throw new UsageError('no image given');
    const to = given.values.get('to');
    if (to === undefined) throw new UsageError('--to FILE is missing: where the kernel is to be written');
    if (to === '-' && io.stdout.isTTY) throw new UsageError('a kernel is not written to a terminal; name a file');
    const screen = new Screen(io);
    const { payload, kernel } = unpackFile(path, screen);
    if (to === '-') io.stdout.write(kernel);
    else if ((await writeFile(to, kernel, io, path)) === 'interrupted') return sayInterrupted(to, io, screen);
    if (io.outputClosed()) return EXIT.outputClosed;
    screen.say(writtenText(to, payload, kernel), 'good');
    return EXIT.clean;
  },
};

type Unpacked = { readonly payload: Payload; readonly kernel: Uint8Array };

/** Throws an InputError that says which file it is that cannot be used. */
function unpackFile(path: string, screen: Screen): Unpacked {
  const bytes = readInput(path, LARGEST_FILE, 'any kernel image has');
  screen.progress('unpacking the kernel ...');
  try {
    const payload = payloadOf(bytes);
    if (payload === undefined) throw new InputError(whyNothing(bytes));
    return { payload, kernel: unpackPayload(bytes, payload) };
  } catch (error) {
    if (error instanceof InputError) throw new InputError(`cannot extract from '${path}': ${error.message}`);
    throw error;
  } finally {
    screen.clearProgress();
  }
}

function whyNothing(bytes: Uint8Array): string {
  if (!isElf(bytes)) return 'its header names no payload (payload_offset and payload_length are 0)';
  return isKernel(bytes) ? 'this is a kernel already, not packed' : 'this ELF file holds no packed kernel';
}

function writtenText(to: string, { format, length }: Payload, kernel: Uint8Array): string {
  const packed = format === 'elf' ? 'not packed' : `unpacked from ${countText(length)} bytes of ${format}`;
  const what = isElf(kernel) ? 'an ELF file' : 'which is no ELF file';
  return `wrote ${to === '-' ? 'the kernel' : `'${to}'`}: ${countText(kernel.length)} bytes, ${what}, ${packed}`;
}

function sayInterrupted(to: string, io: Io, screen: Screen): number {
  const { text, code } = stoppedBy(io.signal());
  screen.say(`${text}; '${to}' was not written`, 'limit');
  return code;
}
