// Boots one combination of scripts/accept/matrix.ts at a time, in a process of its own.
import { readFileSync } from 'node:fs';
import { InputError } from '../../src/bits/errors.ts';
import { MIB } from '../../src/bits/sizes.ts';
import { DEFAULT_MAX_INSTRUCTIONS, LINUX_WORDS } from '../../src/options/defaults.ts';
import { runToEnd } from '../../src/run/drive.ts';
import { BootRun, type Outcome } from '../../src/run/run.ts';
import { setV8Flags } from '../../src/cli/v8Flags.ts';
import { outcomeText } from '../../src/report/outcome.ts';
import { answer } from './pool.ts';

export interface Combination {
  readonly kernel: string;
  readonly entry: 32 | 64;
  readonly cpu: 'max' | 'x86-64-v1';
  /** Undefined at the 32-bit entry, where paging is off. */
  readonly paging: 4 | 5 | undefined;
  readonly loadAt: number;
  readonly memoryMiB: number;
  readonly kaslr: boolean;
}

export interface MatrixTask {
  readonly image: string;
  readonly combination: Combination;
}

export interface MatrixRow {
  readonly outcome: Outcome['kind'] | 'refused';
  /** The outcome in words. */
  readonly text: string;
  readonly stage: string;
  readonly instructions: number;
  readonly stateHash: string;
  readonly unimplemented: readonly string[];
  /** Where the boot stopped being healthy; '' at the banner. */
  readonly console: string;
  readonly seconds: number;
}

function boot({ image, combination }: MatrixTask): MatrixRow {
  const started = performance.now();
  const { entry, cpu, paging, loadAt, memoryMiB, kaslr } = combination;
  const run = new BootRun({
    image: new Uint8Array(readFileSync(image)),
    ...{ entry, cpu, paging, loadAt },
    memoryBytes: memoryMiB * MIB,
    cmdline: kaslr ? LINUX_WORDS : `${LINUX_WORDS} nokaslr`,
    until: 'banner',
    maxInstructions: DEFAULT_MAX_INSTRUCTIONS,
    seed: 0,
  });
  const { outcome, stateHash, unimplemented, console } = runToEnd(run);
  return {
    outcome: outcome.kind,
    text: outcomeText(outcome),
    stage: outcome.stage,
    instructions: Number(outcome.instructions),
    stateHash,
    unimplemented: unimplemented.map(({ what }) => what),
    console: outcome.kind === 'stage-reached' ? '' : console.slice(-400),
    seconds: (performance.now() - started) / 1000,
  };
}

function refused(error: InputError): MatrixRow {
  const nothing = { stage: '', instructions: 0, stateHash: '', unimplemented: [], console: '', seconds: 0 };
  return { outcome: 'refused', text: error.message, ...nothing };
}

setV8Flags();
answer((task: MatrixTask): MatrixRow => {
  try {
    return boot(task);
  } catch (error) {
    if (error instanceof InputError) return refused(error);
    throw error;
  }
});
