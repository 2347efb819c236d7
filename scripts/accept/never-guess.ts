// Makes one-instruction faults in boot stubs that are good, and has each diagnosed and audited. None of them is an address
// that was fixed at link time, so whatever is said of a position-dependent reference, as a cause, a suspicion or a
// finding of the audit, is false by construction. A table by image and kind, then every false word, to be repeated.
//
//   npm run never-guess [-- --count N] [--minutes M] [--seed S] [--image NAME|FILE]... [--entry 32|64]
//                       [--until STAGE] [--late PERCENT] [--seconds T] [--jobs J] [--verbose]
//   npm run never-guess -- --image NAME --only OFFSET=BYTES...
//
//   --count    faults an image (40)
//   --minutes  no new fault is begun after so long
//   --seed     of what is chosen (1)
//   --image    good, debian-6.1, debian-6.12, debian-6.12-cloud, or a bzImage; default: good, debian-6.1, debian-6.12-cloud
//   --entry    how they are entered (64)
//   --until    the stage at which a boot has lived (handoff; of good, which has no kernel, banner)
//   --late     how many of a hundred faults are made in code that unpacks the kernel, where each boot takes long (10;
//              of an image without a kernel all count as early)
//   --seconds  a diagnosis that takes more processor time is given up, and counted as undecided (300)
//   --only     this fault alone: bytes to put at an offset of the file, such as 0x1a2c3=9090909090
//   --verbose  a line for each fault
//
// Exit status: 0 nothing false was said, 1 something was, 2 usage, 3 no image is here.
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { hex } from '../../src/bits/hex.ts';
import { type Stage, STAGES } from '../../src/run/stages.ts';
import { setV8Flags } from '../../src/cli/v8Flags.ts';
import { kernel } from '../../test/support/kernels.ts';
import { random } from '../../test/support/random.ts';
import {
  bootConfig,
  FAULT_KINDS,
  type Fault,
  givenFault,
  makeFault,
  type Sites,
  sitesOf,
} from '../../test/support/faults.ts';
import { type FaultRow, type FaultTask } from './never-guess-worker.ts';
import { jobsOption, type Reply, shareOut } from './pool.ts';

const GOOD = fileURLToPath(new URL('../../samples/built/good.bzImage', import.meta.url));
/** The way out of a loop that maps memory: five bytes that once led to a false cause. */
const FIRST = { image: 'good', at: 0x1a2c3, bytes: '9090909090' };
const DEFAULT_IMAGES = ['good', 'debian-6.1', 'debian-6.12-cloud'];

const options = readOptions();

function readOptions() {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: {
      ...{ count: text, minutes: text, seed: text, entry: text, until: text, late: text, seconds: text, jobs: text },
      ...{ image: { ...text, multiple: true }, only: { ...text, multiple: true }, verbose: { type: 'boolean' } },
    },
  });
  const number = (name: 'count' | 'minutes' | 'seed' | 'late' | 'seconds', otherwise: number): number => {
    const value = Number(values[name] ?? otherwise);
    if (!Number.isFinite(value) || value < 0) throw new Error(`--${name} takes a number, not '${values[name]}'`);
    return value;
  };
  const entry = ([32, 64] as const).find((bits) => `${bits}` === (values.entry ?? '64'));
  if (entry === undefined) throw new Error('--entry takes 32 or 64');
  const until = STAGES.find((stage) => stage === values.until);
  if (until === undefined && values.until !== undefined) throw new Error(`--until takes a stage: ${STAGES.join(', ')}`);
  return {
    ...{
      count: number('count', 40),
      seconds: number('seconds', 300),
      late: number('late', 10),
      entry,
      until,
    },
    ...{ minutes: number('minutes', 24 * 60), seed: number('seed', 1), jobs: jobsOption(values.jobs) },
    ...{ images: values.image ?? DEFAULT_IMAGES, only: values.only?.map(readOnly), verbose: values.verbose ?? false },
  };
}

function readOnly(text: string): { at: number; bytes: string } {
  const [at, bytes] = text.split('=');
  if (!Number.isSafeInteger(Number(at)) || bytes === undefined)
    throw new Error(`--only takes OFFSET=BYTES, not '${text}'`);
  return { at: Number(at), bytes };
}

const untilOf = (name: string): Stage => options.until ?? (name === FIRST.image ? 'banner' : 'handoff');

function pathOf(name: string): string | undefined {
  if (name === 'good') return GOOD;
  return kernel(name)?.path ?? (existsSync(name) ? name : undefined);
}

type Named = { readonly name: string; readonly path: string };

/** Everything that is to be tried: a fault of one image after one of another, so that a run cut short has seen all. */
function* tasks(images: readonly Named[]): Generator<FaultTask> {
  const deadline = Date.now() + options.minutes * 60_000;
  const makers = images.map((image) => faults(image));
  while (makers.length > 0 && Date.now() < deadline) {
    const maker = makers.shift() as Generator<FaultTask>;
    const { value, done } = maker.next();
    if (done === true) continue;
    makers.push(maker);
    yield value;
  }
}

function* faults({ name, path }: Named): Generator<FaultTask> {
  const sites = sitesOf(bootConfig(new Uint8Array(readFileSync(path)), options.entry, untilOf(name)));
  const { early, late } = sites;
  console.log(`${name}: ${early.length} instructions of the stub run before it unpacks, ${late.length} later`);
  const taskOf = (fault: Fault): FaultTask => ({
    ...{ image: path, name, entry: options.entry, until: untilOf(name), fault, seconds: options.seconds },
  });
  if (options.only !== undefined) {
    for (const { at, bytes } of options.only) yield taskOf(givenFault(sites, at, bytes));
    return;
  }
  if (name === FIRST.image) yield taskOf(givenFault(sites, FIRST.at, FIRST.bytes));
  for (const fault of chosen(sites)) yield taskOf(fault);
}

/** No fault comes twice. */
function* chosen(sites: Sites): Generator<Fault> {
  const source = random(BigInt(options.seed) * 0x9e3779b97f4a7c15n + 1n);
  const seen = new Set<string>();
  const hasKernel = sites.late.length > sites.early.length / 100;
  for (let tries = 0; seen.size < options.count && tries < 20 * options.count; tries++) {
    const kind = source.pick(FAULT_KINDS);
    const fault = makeFault(sites, kind, hasKernel && source.below(100) < options.late, source);
    const key = fault === undefined ? '' : `${fault.fileOffset}=${fault.after}`;
    if (fault === undefined || seen.has(key)) continue;
    seen.add(key);
    yield fault;
  }
}

interface Tally {
  tried: number;
  lived: number;
  died: number;
  undecided: number;
  causes: number;
  suspicions: number;
  findings: number;
  unexplained: number;
  seconds: number;
}

const tallies = new Map<string, Tally>();
const falseWords: string[] = [];

function tallyOf(name: string, kind: string): Tally {
  const key = `${name.split('/').at(-1)?.padEnd(20)} ${kind}`;
  const none = { tried: 0, lived: 0, died: 0, undecided: 0, causes: 0, suspicions: 0, findings: 0 };
  const tally = tallies.get(key) ?? { ...none, unexplained: 0, seconds: 0 };
  tallies.set(key, tally);
  return tally;
}

function take({ name, fault }: FaultTask, reply: Reply<FaultRow>): void {
  if ('error' in reply) {
    falseWords.push(`${repeat(name, fault)}\n    FAILED: ${reply.error}`);
    return;
  }
  const row = reply.result;
  add(tallyOf(name, fault.kind), row);
  add(tallyOf(name, 'all'), row);
  const said = [...row.falseCauses, ...row.falseSuspicions, ...row.falseFindings];
  if (said.length > 0) falseWords.push(`${repeat(name, fault)}\n    ${[row.outcome, ...said].join('\n    ')}`);
  if (options.verbose || said.length > 0)
    console.log(`${row.end} (${row.seconds.toFixed(1)} s): ${repeat(name, fault)}: ${row.outcome}`);
}

function add(tally: Tally, { end, falseCauses, falseSuspicions, falseFindings, seconds }: FaultRow): void {
  tally.tried++;
  tally[end]++;
  tally.causes += falseCauses.length;
  tally.suspicions += falseSuspicions.length;
  tally.findings += falseFindings.length;
  if (end === 'died' && falseCauses.length + falseSuspicions.length === 0) tally.unexplained++;
  tally.seconds += seconds;
}

const repeat = (name: string, { kind, fileOffset, before, after, text }: Fault): string =>
  `--image ${name} --entry ${options.entry} --until ${untilOf(name)} --only ${hex(fileOffset)}=${after.replaceAll(' ', '')}` +
  ` (seed ${options.seed}, ${kind}; before ${before}: ${text})`;

const COLUMNS = [
  ['tried', (t) => t.tried],
  ['lived', (t) => t.lived],
  ['died', (t) => t.died],
  ['undecided', (t) => t.undecided],
  ['false causes', (t) => t.causes],
  ['false suspicions', (t) => t.suspicions],
  ['false audit', (t) => t.findings],
  ['unexplained', (t) => t.unexplained],
  ['s', (t) => Math.round(t.seconds)],
] as const satisfies readonly (readonly [string, (tally: Tally) => number])[];

function report(): void {
  const width = 36;
  console.log([''.padEnd(width), ...COLUMNS.map(([title]) => title)].join('  '));
  for (const [key, tally] of [...tallies].sort(([a], [b]) => (a < b ? -1 : 1)))
    console.log(
      [key.padEnd(width), ...COLUMNS.map(([title, value]) => `${value(tally)}`.padStart(title.length))].join('  '),
    );
  for (const words of falseWords) console.log(`FALSE ${words}`);
  const { length } = falseWords;
  console.log(length === 0 ? 'nothing false was said' : `of ${length} faults something false was said`);
}

async function main(): Promise<number> {
  const images = options.images.flatMap((name): Named[] => {
    const path = pathOf(name);
    if (path === undefined) console.error(`never-guess: ${name} is not here`);
    return path === undefined ? [] : [{ name, path }];
  });
  if (images.length === 0) return 3;
  setV8Flags();
  await shareOut(new URL('never-guess-worker.ts', import.meta.url), tasks(images), options.jobs, take);
  report();
  return falseWords.length === 0 ? 0 : 1;
}

main().then(
  (status) => {
    process.exitCode = status;
  },
  (error: Error) => {
    console.error(`never-guess: ${error.message}`);
    process.exitCode = 2;
  },
);
