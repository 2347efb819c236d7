// Diagnoses of the samples, and of samples made sick in other ways.
import { readFileSync } from 'node:fs';
import { DEFAULT_MEMORY } from '../../src/options/defaults.ts';
import type { RunConfig } from '../../src/run/run.ts';
import type { Diagnosis, ProofBoot } from '../../src/diagnose/types.ts';
import { diagnose, type WhyOptions } from '../../src/diagnose/why.ts';
import { parseSymbols, type SymbolTable } from '../../src/image/symbols.ts';

const built = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../samples/built/${name}`, import.meta.url)));

export const sample = (name: string): Uint8Array => built(`${name}.bzImage`);
export const symbolsOf = (name: string): SymbolTable => parseSymbols(built(`${name}.elf`));

/** File offset of the instruction at a link address of the samples' stub. */
export const fileOffsetOf = (link: number): number => link + SETUP_SIZE;
const SETUP_SIZE = 0x2000;

/** A copy of `image` with other bytes at a link address of its stub. */
export function withBytes(image: Uint8Array, link: number, bytes: readonly number[]): Uint8Array {
  const copy = new Uint8Array(image);
  copy.set(bytes, fileOffsetOf(link));
  return copy;
}

export const configOf = (image: Uint8Array, more: Partial<RunConfig> = {}): RunConfig => ({
  image,
  cpu: 'max',
  memoryBytes: DEFAULT_MEMORY,
  cmdline: '',
  until: 'banner',
  maxInstructions: 2_000_000_000n,
  seed: 0,
  ...more,
});

export function diagnosed(image: Uint8Array, more: Partial<RunConfig> = {}, options: WhyOptions = {}): Diagnosis {
  const work = diagnose(configOf(image, more), options);
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
}

/** Where and how a boot of a proof was made, as one line. */
export const placeOf = ({ loadAddress, cpu, entry, paging }: ProofBoot): string =>
  `0x${loadAddress.toString(16)} ${cpu} ${entry === 64 ? `paging ${paging}` : '32-bit entry'}`;
