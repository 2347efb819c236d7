// What a timeline costs, and how fast the past is gone to: Debian's 6.12 cloud kernel to its banner, plain and with its past
// kept, in turns in one process; then random moments. Times are the process's processor time (user), because the machine may
// have other work; of a moment also what passed on the clock.
//
//   npm run bench:timeline -- [--pairs N] [--moments N] [--kernel NAME]
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { setV8Flags } from '../src/cli/v8Flags.ts';
import { DEFAULT_MAX_INSTRUCTIONS } from '../src/options/defaults.ts';
import { drive, finish } from '../src/run/drive.ts';
import { BootRun, type RunConfig } from '../src/run/run.ts';
import { Timeline } from '../src/run/timeline.ts';
import { kernels } from '../test/support/kernels.ts';
import { random } from '../test/support/random.ts';
import { CMDLINE, MEMORY_MIB } from './kernels.ts';

const { values } = parseArgs({
  options: {
    pairs: { type: 'string', default: '5' },
    moments: { type: 'string', default: '100' },
    kernel: { type: 'string', default: 'debian-6.12-cloud' },
  },
});

const userMs = (): number => process.cpuUsage().user / 1000;

function timed<T>(work: () => T): { readonly ms: number; readonly result: T } {
  const start = userMs();
  const result = work();
  return { ms: userMs() - start, result };
}

function at(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
const ascending = (items: readonly number[]): number[] => [...items].sort((a, b) => a - b);
const median = (items: readonly number[]): number => at(ascending(items), 0.5);
const ms = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} ms`;

function configOf(): RunConfig {
  const { files, reason } = kernels();
  const kernel = files.find(({ name }) => name === values.kernel);
  if (!kernel) throw new Error(`no kernel ${values.kernel}: ${reason}`);
  return {
    image: new Uint8Array(readFileSync(kernel.path)),
    cpu: 'max',
    memoryBytes: MEMORY_MIB * 2 ** 20,
    cmdline: CMDLINE,
    seed: 0,
    until: 'banner',
    maxInstructions: DEFAULT_MAX_INSTRUCTIONS,
  };
}

function plain(config: RunConfig): BootRun {
  const run = new BootRun(config);
  finish(drive(run));
  return run;
}

function kept(config: RunConfig): Timeline {
  const timeline = new Timeline(new BootRun(config));
  finish(timeline.record(DEFAULT_MAX_INSTRUCTIONS));
  return timeline;
}

function cost(config: RunConfig): Timeline {
  plain(config);
  const ratios: number[] = [];
  let timeline = kept(config);
  for (let pair = 0; pair < Number(values.pairs); pair++) {
    const before = timed(() => plain(config));
    const after = timed(() => kept(config));
    timeline = after.result;
    ratios.push(after.ms / before.ms);
    console.log(`  plain ${ms(before.ms)}, kept ${ms(after.ms)}, ratio ${(after.ms / before.ms).toFixed(2)}`);
  }
  console.log(
    `kept to the banner: ${median(ratios).toFixed(2)} times the plain run (median of ${ratios.length} pairs)`,
  );
  console.log(`${timeline.marks.length} checkpoints, ${(timeline.bytes / 2 ** 20).toFixed(0)} MiB`);
  return timeline;
}

/** Also whether the last of them is what the run was: by the state hash of a run stopped there. */
function seeks(timeline: Timeline, config: RunConfig): void {
  const end = Number(timeline.run.machine.engine.retired);
  const from = random(1n);
  const used: number[] = [];
  const passed: number[] = [];
  let last = 0n;
  for (let i = 0; i < Number(values.moments); i++) {
    last = BigInt(from.below(end));
    const clock = performance.now();
    used.push(timed(() => finish(timeline.seek({ instructions: last }))).ms);
    passed.push(performance.now() - clock);
  }
  for (const [what, times] of [
    ['processor time', used],
    ['on the clock', passed],
  ] as const) {
    const sorted = ascending(times);
    console.log(`${sorted.length} random moments, ${what}: median ${ms(median(sorted))}, worst ${ms(at(sorted, 1))}`);
  }
  const stopped = new BootRun(config);
  stopped.advance(last);
  const same = stopped.machine.stateHash() === timeline.run.machine.stateHash();
  console.log(`the last of them ${same ? 'is' : 'IS NOT'} what a run that was stopped there is`);
  if (!same) process.exitCode = 1;
}

setV8Flags();
const config = configOf();
seeks(cost(config), config);
console.log(`peak memory of the process: ${(process.resourceUsage().maxRSS / 1024).toFixed(0)} MiB`);
