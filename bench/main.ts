// How fast the interpreter is, on real input and beside a peer in the same run: Debian's kernels unpack themselves (xz and
// zstd) and boot to their banner, here and under qemu-system-x86_64 (TCG). Runs alternate; what is shown are medians.
//
//   npm run bench -- [--quick] [--runs N] [--json]
//
// --quick is one run of each. Needs no QEMU; without it the comparison is left out.
import { spawnSync } from 'node:child_process';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { KernelFile } from '../test/support/kernels.ts';
import type { InterpreterRun } from './interpreter.ts';
import { benchKernels } from './kernels.ts';
import { type QemuRun, qemuVersion, runQemu } from './qemu.ts';

const RUNS = 3;

type Result = {
  readonly kernel: string;
  readonly version: string;
  readonly format: string;
  /** Millions of guest instructions from decompress to handoff, and how many of them a second. */
  readonly unpackMillions: number;
  readonly speed: number;
  /** The same by the main thread's processor time. */
  readonly cpuSpeed: number | undefined;
  readonly firstlight: Times & { readonly startSeconds: number };
  /** Largest resident set of our process. */
  readonly peakMiB: number;
  readonly qemu: Times | undefined;
  /** How often our time QEMU's is: 1 is as fast, 0.5 takes twice as long. */
  readonly ratio: { readonly unpack: number; readonly banner: number } | undefined;
};

/** Medians, in seconds; unpackToBanner is from the start of unpacking. */
type Times = { readonly unpackToBannerSeconds: number; readonly bannerSeconds: number };

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2;
}

const medianOf = <T>(runs: readonly T[], of: (run: T) => number): number => median(runs.map(of));

const times = (runs: readonly Times[]): Times => ({
  unpackToBannerSeconds: medianOf(runs, (run) => run.unpackToBannerSeconds),
  bannerSeconds: medianOf(runs, (run) => run.bannerSeconds),
});

/** A process of its own each time, with the loader this one was started with. */
function runInterpreter(image: string): InterpreterRun {
  const script = fileURLToPath(new URL('interpreter.ts', import.meta.url));
  const { status, stdout, stderr } = spawnSync(process.execPath, [...process.execArgv, script, image], {
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(`the boot failed:\n${stderr}`);
  return JSON.parse(stdout) as InterpreterRun;
}

async function measure(kernel: KernelFile, runs: number, withQemu: boolean): Promise<Result> {
  const ours: InterpreterRun[] = [];
  const theirs: QemuRun[] = [];
  for (let i = 0; i < runs; i++) {
    process.stderr.write(`${kernel.name}, run ${i + 1} of ${runs}\n`);
    ours.push(runInterpreter(kernel.path));
    if (withQemu) theirs.push(await runQemu(kernel.path));
  }
  const [first] = ours;
  if (!first) throw new Error('there was no run');
  if (ours.some((run) => run.stateHash !== first.stateHash))
    throw new Error(`${kernel.name}: two runs ended differently`);
  const firstlight = { ...times(ours), startSeconds: medianOf(ours, (run) => run.startSeconds) };
  const qemu = withQemu ? times(theirs) : undefined;
  return {
    kernel: kernel.name,
    version: kernel.version,
    format: first.format,
    unpackMillions: first.unpackMillions,
    speed: medianOf(ours, (run) => run.unpackMillions / run.unpackSeconds),
    cpuSpeed: cpuSpeed(ours),
    firstlight,
    peakMiB: medianOf(ours, (run) => run.peakMiB),
    qemu,
    ratio: qemu && {
      unpack: qemu.unpackToBannerSeconds / firstlight.unpackToBannerSeconds,
      banner: qemu.bannerSeconds / firstlight.bannerSeconds,
    },
  };
}

function cpuSpeed(runs: readonly InterpreterRun[]): number | undefined {
  const speeds = runs.flatMap((run) => (run.unpackCpuSeconds ? [run.unpackMillions / run.unpackCpuSeconds] : []));
  return speeds.length ? median(speeds) : undefined;
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const line = (row: readonly string[]): string =>
    row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  ');
  return rows.map((row) => line(row).trimEnd()).join('\n');
}

const HEADINGS = [
  'kernel',
  'payload',
  'M instr',
  'M/s',
  'by CPU time',
  'unpack s',
  'banner s',
  'peak MiB',
  'QEMU unpack',
  'banner',
  'ratio',
  'ratio',
];

function show(results: readonly Result[]): string {
  const fixed = (value: number | undefined, digits: number): string => value?.toFixed(digits) ?? '-';
  const rows = results.map(({ kernel, format, unpackMillions, speed, cpuSpeed, firstlight, peakMiB, qemu, ratio }) => [
    kernel,
    format,
    fixed(unpackMillions, 0),
    fixed(speed, 0),
    fixed(cpuSpeed, 0),
    fixed(firstlight.unpackToBannerSeconds, 2),
    fixed(firstlight.bannerSeconds, 2),
    fixed(peakMiB, 0),
    fixed(qemu?.unpackToBannerSeconds, 2),
    fixed(qemu?.bannerSeconds, 2),
    fixed(ratio?.unpack, 2),
    fixed(ratio?.banner, 2),
  ]);
  return table([HEADINGS, ...rows]);
}

const NOTES = `M instr, M/s: guest instructions, in millions, from decompress to handoff, and how many a second,
by the clock and by the processor time used: they differ where other jobs run.
unpack s: from the first look at the payload to the banner; banner s: from the start, all set-up included.
peak MiB: the largest resident set of our process, with a guest of 512 MiB.
ratio: QEMU's time by ours, for unpack and banner: 1 is as fast as QEMU, 0.5 takes twice as long.`;

async function main(): Promise<void> {
  const flag = { type: 'boolean', default: false } as const;
  const { values } = parseArgs({ options: { quick: flag, json: flag, runs: { type: 'string' } } });
  const runs = Number(values.runs ?? (values.quick ? 1 : RUNS));
  if (!Number.isInteger(runs) || runs < 1) throw new Error('--runs is a number from 1');
  const qemu = qemuVersion();
  const host = { cpu: cpus()[0]?.model ?? 'unknown', node: process.version, v8: process.versions.v8, qemu };
  const results: Result[] = [];
  for (const kernel of benchKernels()) results.push(await measure(kernel, runs, qemu !== undefined));
  if (values.json) {
    console.log(JSON.stringify({ host, runs, results }, null, 2));
    return;
  }
  console.log(`${host.cpu}, Node ${host.node}; ${qemu ?? 'no qemu-system-x86_64 here: no comparison'}`);
  console.log(`medians of ${runs}\n\n${show(results)}\n\n${NOTES}`);
}

main().catch((error: Error) => {
  process.stderr.write(`bench: ${error.message}\n`);
  process.exitCode = 2;
});
