// One boot in the interpreter, measured from outside it by the wall clock. Run as a process of its own, so that every
// run starts cold, as the command line does:
//
//   tsx bench/interpreter.ts IMAGE   prints one JSON object (InterpreterRun)
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DEFAULT_MAX_INSTRUCTIONS } from '../src/options/defaults.ts';
import { drive, finish } from '../src/run/drive.ts';
import { BootRun } from '../src/run/run.ts';
import type { Stage } from '../src/run/stages.ts';
import { setV8Flags } from '../src/cli/v8Flags.ts';
import { CMDLINE, MEMORY_MIB } from './kernels.ts';

/** Seconds are wall-clock. */
export type InterpreterRun = {
  readonly format: string;
  /** Building the machine and the engine, and loading the image. */
  readonly startSeconds: number;
  /** From decompress to handoff: guest instructions in millions, and time. */
  readonly unpackMillions: number;
  readonly unpackSeconds: number;
  /** The main thread's processor time in it, which other jobs on the machine do not lengthen; where Linux tells. */
  readonly unpackCpuSeconds: number | undefined;
  /** From decompress to banner, as QEMU's unpacking is measured. */
  readonly unpackToBannerSeconds: number;
  /** From the start, machine and engine included. */
  readonly bannerSeconds: number;
  readonly bannerMillions: number;
  readonly stateHash: string;
  /** Largest resident set of the process. */
  readonly peakMiB: number;
};

/** Small enough that a stage's time is right to a hundredth of a second. */
const SLICE = 2_000_000n;

type Moment = { readonly at: number; readonly cpu: number | undefined; readonly instructions: number };

/** Processor time of this thread. */
function cpuSeconds(): number | undefined {
  try {
    return Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0]) / 1e9;
  } catch {
    return undefined;
  }
}

function measure(image: Uint8Array): InterpreterRun {
  const start = performance.now();
  const config = { image, cpu: 'max', memoryBytes: MEMORY_MIB * 2 ** 20, cmdline: CMDLINE, seed: 0 };
  const run = new BootRun({ ...config, until: 'banner', maxInstructions: DEFAULT_MAX_INSTRUCTIONS });
  const built = performance.now();
  const times = new Map<Stage, Moment>();
  finish(drive(run, { piece: () => SLICE }), note);
  note();
  function note(): void {
    for (const { name, instructions } of run.stages.reached) {
      if (!times.has(name))
        times.set(name, { at: performance.now(), cpu: cpuSeconds(), instructions: Number(instructions) });
    }
  }
  const at = (stage: Stage): Moment => {
    const found = times.get(stage);
    if (!found) throw new Error(`the kernel never reached ${stage}: ${run.outcome?.kind}`);
    return found;
  };
  const [unpack, handoff, banner] = [at('decompress'), at('handoff'), at('banner')];
  return {
    format: run.image.kind === 'bzImage' ? (run.image.payload?.format ?? 'none') : 'none',
    startSeconds: (built - start) / 1000,
    unpackMillions: (handoff.instructions - unpack.instructions) / 1e6,
    unpackSeconds: (handoff.at - unpack.at) / 1000,
    unpackCpuSeconds: handoff.cpu === undefined || unpack.cpu === undefined ? undefined : handoff.cpu - unpack.cpu,
    unpackToBannerSeconds: (banner.at - unpack.at) / 1000,
    bannerSeconds: (banner.at - start) / 1000,
    bannerMillions: banner.instructions / 1e6,
    stateHash: run.result().stateHash,
    peakMiB: process.resourceUsage().maxRSS / 1024,
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  setV8Flags();
  console.log(JSON.stringify(measure(new Uint8Array(readFileSync(process.argv[2] ?? '')))));
}
