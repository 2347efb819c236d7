// `firstlight extract IMAGE --to FILE`: the kernel out of an image, byte for byte as it was packed.

import { payloadOf, unpackPayload } from '../../audit/payload.ts';
import { InputError } from '../../bits/errors.ts';
import { MIB } from '../../bits/sizes.ts';
import type { Payload } from '../../image/bzimage.ts';
import type { FileKind } from '../../image/classify.ts';
import { isElf } from '../../image/elf.ts';
import { type OpenedFile, openFile, originText } from '../../image/open.ts';
import { LOOK_OPTIONS } from '../../options/looks.ts';
import { optionsOf } from '../../options/row.ts';
import { UsageError } from '../../options/usageError.ts';
import { countText } from '../../report/numbers.ts';
import type { Command } from '../command.ts';
import { EXIT, stoppedBy } from '../exit.ts';
import { readInput } from '../files.ts';
import type { Io } from '../io.ts';
import { imageOperand } from '../options.ts';
import { Screen } from '../screen.ts';
import type { CommandUsage } from '../usage.ts';
import { writeFile } from '../writeFile.ts';

const LARGEST_FILE = 1024 * MIB;

export const extractUsage: CommandUsage = {
  name: 'extract',
  operand: 'IMAGE --to FILE',
  summary: 'write the kernel that is packed in an image',
  intro: [
    "Unpacks the kernel in a bzImage, a unified kernel image or the boot stub's ELF file, and writes it just",
    'as it was packed: an ELF file, as a rule with a table of relocations behind it. gzip, bzip2, lzma, xz,',
    'lzo, lz4 and zstd are known, around the image too.',
  ],
  options: optionsOf('extract', LOOK_OPTIONS),
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
    const unpacked = unpackFile(path, screen);
    const { kernel } = unpacked;
    if (to === '-') io.stdout.write(kernel);
    else if ((await writeFile(to, kernel, io, path)) === 'interrupted') return sayInterrupted(to, io, screen);
    if (io.outputClosed()) return EXIT.outputClosed;
    screen.say(writtenText(to, unpacked), 'good');
    return EXIT.clean;
  },
};

type Unpacked = {
  readonly kernel: Uint8Array;
  /** How it came out: "unpacked from 8,192 bytes of xz". */
  readonly how: string;
};

/** Throws an InputError that says which file it is that cannot be used. */
function unpackFile(path: string, screen: Screen): Unpacked {
  const bytes = readInput(path, LARGEST_FILE, 'any kernel image has');
  screen.progress('unpacking the kernel ...');
  try {
    return kernelOf(openFile(bytes));
  } catch (error) {
    if (error instanceof InputError) throw new InputError(`cannot extract from '${path}': ${error.message}`);
    throw error;
  } finally {
    screen.clearProgress();
  }
}

/** What is packed in the image; of an image that is none but was itself compressed, the image. */
function kernelOf({ bytes, identity, layers }: OpenedFile): Unpacked {
  const origin = originText(layers);
  const behind = origin === undefined ? '' : `, ${origin}`;
  const { kind, what } = identity;
  if (kind === 'bzImage' || kind === 'stub') {
    const payload = payloadOf(bytes);
    if (payload === undefined) throw new InputError(NO_PAYLOAD[kind]);
    return { kernel: unpackPayload(bytes, payload), how: `${packedText(payload)}${behind}` };
  }
  if (UNPACKED.has(kind) && origin !== undefined) return { kernel: bytes, how: origin };
  if (kind === 'linux-program') throw new InputError(`this is ${what}: ${NO_PAYLOAD.bzImage}`);
  if (kind === 'vmlinux') throw new InputError('this is a kernel already, not packed');
  throw new InputError(`this is ${what}: it holds no packed kernel`);
}

const NO_PAYLOAD = {
  bzImage: 'its header names no payload (payload_offset and payload_length are 0)',
  stub: 'this ELF file holds no packed kernel',
} as const;

/** What is itself the kernel that the compressed file holds. */
const UNPACKED: ReadonlySet<FileKind> = new Set(['vmlinux', 'multiboot', 'multiboot2', 'pvh', 'elf']);

const packedText = ({ format, length }: Payload): string =>
  format === 'elf' ? 'not packed' : `unpacked from ${countText(length)} bytes of ${format}`;

function writtenText(to: string, { kernel, how }: Unpacked): string {
  const what = isElf(kernel) ? 'an ELF file' : 'which is no ELF file';
  return `wrote ${to === '-' ? 'the kernel' : `'${to}'`}: ${countText(kernel.length)} bytes, ${what}, ${how}`;
}

function sayInterrupted(to: string, io: Io, screen: Screen): number {
  const { text, code } = stoppedBy(io.signal());
  screen.say(`${text}; '${to}' was not written`, 'limit');
  return code;
}
