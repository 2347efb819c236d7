// `firstlight why [IMAGE]`: its arguments, and the files they name.

import { fileURLToPath } from 'node:url';
import { MIB } from '../../boot/layout.ts';
import { parseSymbols } from '../../image/symbols.ts';
import { readInput } from '../files.ts';
import { BOOT_OPTIONS, type BootInput, imageOperand, readBootInput } from '../options.ts';
import type { CommandUsage, Given } from '../usage.ts';

/** A vmlinux with debug information has some 400 MiB. */
const LARGEST_SYMBOLS = 1024 * MIB;

/** The failure of samples/README.md, bundled so that there is something to show without a kernel. */
const SAMPLE = new URL('../../../samples/built/bad.bzImage', import.meta.url);

export const whyUsage: CommandUsage = {
  name: 'why',
  operand: '[IMAGE]',
  summary: 'boot it and, where it dies silently, say why and prove it',
  intro: [
    'Boots an image as `firstlight boot` does. Where it dies, says how, walks back from there to',
    'the instruction that is to blame, and proves it by booting again with that one repaired.',
    'Without IMAGE: a bundled sample that dies before it prints a word.',
  ],
  options: [
    ...BOOT_OPTIONS,
    {
      name: 'symbols',
      value: 'FILE',
      help: ["The stub's ELF file (arch/x86/boot/compressed/vmlinux) or a System.map, to name", 'what is found.'],
    },
  ],
  outro: ['Example:', '  firstlight why vmlinuz --symbols arch/x86/boot/compressed/vmlinux'],
};

export type WhyInput = BootInput & {
  readonly symbols: ReturnType<typeof parseSymbols> | undefined;
  /** No image was given: this is a demonstration, and went well if the cause was found and proved. */
  readonly isSample: boolean;
};

/** Throws UsageError and InputError. */
export function readWhyInput(given: Given): WhyInput {
  const path = imageOperand(given);
  const input = readBootInput(given, path ?? fileURLToPath(SAMPLE));
  const symbolsPath = given.values.get('symbols');
  const symbols =
    symbolsPath === undefined ? undefined : parseSymbols(readInput(symbolsPath, LARGEST_SYMBOLS, 'symbols need'));
  return { ...input, symbols, isSample: path === undefined };
}
