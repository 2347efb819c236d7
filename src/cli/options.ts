// The options that every command which boots an image has, and what they amount to.

import { InputError } from '../bits/errors.ts';
import { MIB } from '../boot/layout.ts';
import type { BootRun, RunConfig } from '../boot/run.ts';
import { STAGES } from '../boot/stages.ts';
import { type KernelImage, parseImage } from '../image/image.ts';
import { CPU_MODELS, DEFAULT_MODEL } from '../x86/models.ts';
import { readInput } from './files.ts';
import { type Given, type OptionRow, UsageError } from './usage.ts';
import { addressValue, choiceValue, countValue, seedValue, sizeValue } from './values.ts';

const DEFAULT_MEMORY = 512 * MIB;
const DEFAULT_MAX_INSTRUCTIONS = 20_000_000_000n;
/** No kernel image comes near it. */
const LARGEST_IMAGE = 1024 * MIB;

export const BOOT_OPTIONS: readonly OptionRow[] = [
  {
    name: 'entry',
    value: '32|64',
    help: ["The boot protocol's entry point to use. Default: 64 where the image has it."],
  },
  {
    name: 'load-at',
    value: 'ADDR',
    help: [
      'Guest-physical address to load the image at, as in 0x1000000, 16M or 4G.',
      'Default: the one the image prefers (pref_address), else 1 MiB.',
    ],
  },
  {
    name: 'paging',
    value: '4|5',
    help: ['Levels of the page tables at the 64-bit entry; 5 sets CR4.LA57. Default: 4.'],
  },
  {
    name: 'cpu',
    value: 'NAME',
    help: [...CPU_MODELS.map(({ name, summary }) => `${name}: ${summary}`), `Default: ${DEFAULT_MODEL}.`],
  },
  {
    name: 'memory',
    value: 'SIZE',
    help: ['RAM, as in 512M or 6G; what exceeds 3 GiB lies above 4 GiB. Default: 512M.'],
  },
  { name: 'append', value: 'TEXT', help: ["The kernel's command line. Default: empty."] },
  { name: 'initrd', value: 'FILE', help: ['A file to load as initial RAM disk.'] },
  {
    name: 'until',
    value: 'STAGE',
    help: [
      'Where to stop. entry: before the first instruction; decompress: the stub',
      'begins to unpack the kernel; handoff: the first instruction of the',
      'unpacked kernel; banner: "Linux version" on the console. Default: banner.',
    ],
  },
  {
    name: 'max-instructions',
    value: 'N',
    help: ['Stop after so many guest instructions, as in 5e9, 2G or 1_000_000.', 'Default: 20G (2e10).'],
  },
  {
    name: 'seed',
    value: 'N',
    help: ['What RDRAND, RDSEED and RDTSC start from. The same seed, the same run.', 'Default: 0.'],
  },
  { name: 'json', help: ['Print one JSON object on stdout, and nothing else (docs/json.md).'] },
  { name: 'quiet', help: ['Say nothing but the outcome, in one line, and what the guest prints.'] },
];

/** The image given: parsed, and in a configuration that differs from what BootRun takes in nothing. */
export type BootInput = { readonly config: RunConfig; readonly image: KernelImage };

/** Reads the options and the files they name. Throws UsageError and InputError. */
export function readBootInput(given: Given, imagePath: string): BootInput {
  const options = runOptions(given);
  const bytes = readInput(imagePath, LARGEST_IMAGE, 'any kernel image has');
  const image = parseNamed(imagePath, bytes);
  const initrdPath = given.values.get('initrd');
  const initrd = initrdPath === undefined ? undefined : readInput(initrdPath, options.memoryBytes, 'the guest has RAM');
  return { config: { ...options, image: bytes, initrd }, image };
}

function runOptions({ values }: Given): Omit<RunConfig, 'image' | 'initrd'> {
  const convert = <T>(name: string, value: (option: string, text: string) => T): T | undefined => {
    const text = values.get(name);
    return text === undefined ? undefined : value(name, text);
  };
  const choice = <T extends string | number>(name: string, choices: readonly T[]): T | undefined =>
    convert(name, (option, text) => choiceValue(option, text, choices));
  return {
    entry: choice('entry', [32, 64]),
    loadAt: convert('load-at', addressValue),
    paging: choice('paging', [4, 5]),
    cpu: values.get('cpu') ?? DEFAULT_MODEL,
    memoryBytes: convert('memory', sizeValue) ?? DEFAULT_MEMORY,
    cmdline: values.get('append') ?? '',
    until: choice('until', STAGES) ?? 'banner',
    maxInstructions: convert('max-instructions', countValue) ?? DEFAULT_MAX_INSTRUCTIONS,
    seed: convert('seed', seedValue) ?? 0,
  };
}

/** Says which file it is that cannot be used. */
function parseNamed(path: string, bytes: Uint8Array): KernelImage {
  try {
    return parseImage(bytes);
  } catch (error) {
    if (error instanceof InputError) throw new InputError(`cannot boot '${path}': ${error.message}`);
    throw error;
  }
}

/** The one operand there may be. */
export function imageOperand({ operands }: Given): string | undefined {
  const [path, extra] = operands;
  if (extra !== undefined) throw new UsageError(`one image at a time; '${extra}' is one too many`);
  return path;
}

/** What can be told only once it is known which entry the image is entered by. */
export function checkAgainstEntry(run: BootRun): void {
  if (run.boot.entry === 32 && run.config.paging !== undefined) {
    throw new UsageError('--paging is about the 64-bit entry; at the 32-bit entry paging is off');
  }
}
