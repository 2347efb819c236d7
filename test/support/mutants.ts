// The list of judged mutants, test/data/mutants.json (made by scripts/generate/make-mutants.ts), and how to boot one.
import { readFileSync } from 'node:fs';
import { MIB } from '../../src/bits/sizes.ts';
import { DEFAULT_MAX_INSTRUCTIONS } from '../../src/options/defaults.ts';
import type { RunConfig } from '../../src/run/run.ts';
import { mutateLea } from '../../src/code/mutant.ts';

const MEMORY = { '512M': 512 * MIB, '6G': 6 * 1024 * MIB } as const;

export interface Way {
  readonly entry: 32 | 64;
  readonly loadAt: number;
  readonly paging?: 4 | 5;
  readonly memory: keyof typeof MEMORY;
}

export interface JudgedEnding {
  readonly verdict: 'banner' | 'triple-fault' | 'reset' | 'halt' | 'hang';
  /** What the stub said before it stopped by itself. */
  readonly lastWords: string;
}

export interface JudgedMutant {
  readonly kernel: string;
  readonly fileOffset: number;
  readonly linkAddress: number;
  /** One a way. */
  readonly endings: readonly JudgedEnding[];
}

export interface JudgedMutants {
  readonly judge: { readonly cpu: string; readonly append: string };
  readonly ways: readonly Way[];
  readonly kernels: readonly { readonly name: string; readonly version: string; readonly sha256: string }[];
  readonly mutants: readonly JudgedMutant[];
}

export const judgedMutants = (): JudgedMutants =>
  JSON.parse(readFileSync(new URL('../data/mutants.json', import.meta.url), 'utf8')) as JudgedMutants;

/** The mutant, to be booted as the judge booted it. @param image the kernel as it is */
export function mutantConfig(
  { judge }: JudgedMutants,
  image: Uint8Array,
  fileOffset: number | undefined,
  { entry, loadAt, paging, memory }: Way,
): RunConfig {
  return {
    image: fileOffset === undefined ? image : mutateLea(image, fileOffset),
    ...{ entry, loadAt, paging },
    memoryBytes: MEMORY[memory],
    cpu: judge.cpu,
    cmdline: judge.append,
    until: 'banner',
    maxInstructions: DEFAULT_MAX_INSTRUCTIONS,
    seed: 0,
  };
}
