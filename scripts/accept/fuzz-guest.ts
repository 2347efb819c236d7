// Runs made-up guest code of all kinds in all modes on whole machines: the host must never throw, never hang, and stay
// within its memory; and how a run is cut into pieces must change nothing. Every case follows from its seed.
//
//   npm run fuzz-guest [-- --instructions N] [--seed S] [--jobs J] [--seconds T] [--lives L] [--life N]
//
//   --instructions  instructions to run in all (10 million); 1 runs the one case of --seed
//   --seed          seed of the first case (1); the next ones count up
//   --jobs          processes (1)
//   --seconds       a case that is silent for longer than this hangs (60)
//   --lives         lives of a case (12)
//   --life          instructions that a life may last (9000)
import { type ChildProcess, fork } from 'node:child_process';
import { parseArgs } from 'node:util';
import type { CaseResult } from '../../test/support/fuzz/case.ts';
import type { CaseReply, CaseTask } from './fuzz-guest-worker.ts';

const { values } = parseArgs({
  options: {
    instructions: { type: 'string', default: '10000000' },
    seed: { type: 'string', default: '1' },
    jobs: { type: 'string', default: '1' },
    seconds: { type: 'string', default: '60' },
    lives: { type: 'string', default: '12' },
    life: { type: 'string', default: '9000' },
  },
});
const number = (name: keyof typeof values): number => {
  const value = Number(values[name]);
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name} takes a whole number above 0`);
  return value;
};
const only = number('instructions') === 1;
const goal = { instructions: number('instructions') };
const seconds = number('seconds');

type Sum = { cases: number; instructions: number; exceptions: number };
const sums = new Map<string, Sum>();
const endings = new Map<string, number>();
const total = { cases: 0, lives: 0, instructions: 0, exceptions: 0, failed: 0, rss: 0, unimplemented: 0, console: 0 };
let slowest = { ms: 0, seed: 0 };
let longest = { ms: 0, seed: 0 };
let nextSeed = number('seed');

function add(key: string, instructions: number, exceptions: number): void {
  const sum = sums.get(key) ?? { cases: 0, instructions: 0, exceptions: 0 };
  sums.set(key, {
    cases: sum.cases + 1,
    instructions: sum.instructions + instructions,
    exceptions: sum.exceptions + exceptions,
  });
}

function count(result: CaseResult): void {
  for (const life of result.lives) {
    add(`mode       ${life.mode}`, life.instructions, life.exceptions);
    add(`generator  ${life.generator}`, life.instructions, life.exceptions);
    endings.set(life.ending, (endings.get(life.ending) ?? 0) + 1);
    total.lives++;
    total.instructions += life.instructions;
    total.exceptions += life.exceptions;
  }
  total.unimplemented = Math.max(total.unimplemented, result.unimplemented.length);
  total.console = Math.max(total.console, result.consoleBytes);
  if (result.longestCall > longest.ms) longest = { ms: result.longestCall, seed: result.seed };
}

function fail(seed: number, what: string): void {
  total.failed++;
  console.log(`FAILED --seed ${seed} --instructions 1: ${what}`);
}

function took(seed: number, reply: Exclude<CaseReply, { kind: 'life' }>): void {
  total.cases++;
  if (reply.kind === 'threw') return fail(seed, reply.error);
  if (reply.compared.differs) fail(seed, reply.compared.differs);
  count(reply.compared.result);
  total.rss = Math.max(total.rss, reply.rss);
  if (reply.ms > slowest.ms) slowest = { ms: reply.ms, seed };
}

/** Sends a case to a process and waits for its end; one that says nothing for too long is killed. */
function runOne(child: ChildProcess, task: CaseTask): Promise<boolean> {
  return new Promise((done) => {
    let life = 'before its first life';
    const hung = (): void => {
      fail(task.seed, `silent for ${seconds} s in ${life}`);
      end(false);
      child.kill('SIGKILL');
    };
    let timer = setTimeout(hung, seconds * 1000);
    const onExit = (code: number | null, signal: string | null): void => {
      fail(task.seed, `the process ended with ${signal ?? code} in ${life}`);
      end(false);
    };
    const onMessage = (reply: CaseReply): void => {
      clearTimeout(timer);
      timer = setTimeout(hung, seconds * 1000);
      if (reply.kind === 'life') life = reply.text;
      else {
        took(task.seed, reply);
        end(true);
      }
    };
    const end = (alive: boolean): void => {
      clearTimeout(timer);
      child.off('message', onMessage);
      child.off('exit', onExit);
      done(alive);
    };
    child.on('message', onMessage);
    child.on('exit', onExit);
    child.send(task);
  });
}

const start = Date.now();
let told = start;

function progress(): void {
  if (Date.now() - told < 10_000) return;
  told = Date.now();
  const minutes = ((told - start) / 60_000).toFixed(1);
  console.log(
    `${minutes} min: ${total.cases} cases, ${total.instructions} of ${goal.instructions} instructions, ${total.failed} failed, ` +
      `${Math.round(total.rss / 2 ** 20)} MiB`,
  );
}

// Ctrl-C ends after the cases under way, with the figures so far.
process.on('SIGINT', () => {
  goal.instructions = 0;
});

async function job(): Promise<void> {
  let child: ChildProcess | undefined;
  while (total.instructions < goal.instructions) {
    const seed = nextSeed++;
    child ??= fork(new URL('./fuzz-guest-worker.ts', import.meta.url));
    const task = { seed, lives: number('lives'), instructions: number('life') };
    if (!(await runOne(child, task))) child = undefined;
    progress();
    if (only) break;
  }
  child?.disconnect();
}

await Promise.all(Array.from({ length: only ? 1 : number('jobs') }, job));

const { cases, lives, instructions, exceptions, failed } = total;
console.log(`${cases} cases from seed ${values.seed}, ${lives} lives, ${instructions} instructions, each run twice`);
console.log(`${exceptions} exceptions and ${failed} failed`);
for (const [key, sum] of [...sums].sort(([a], [b]) => (a < b ? -1 : 1))) {
  console.log(`  ${key.padEnd(40)} ${sum.cases} lives, ${sum.instructions} instructions, ${sum.exceptions} exceptions`);
}
for (const [ending, times] of [...endings].sort(([, a], [, b]) => b - a)) console.log(`  ended: ${ending} ${times}`);
console.log(`slowest case ${(slowest.ms / 1000).toFixed(2)} s (seed ${slowest.seed})`);
console.log(`longest call of run ${longest.ms.toFixed(0)} ms (seed ${longest.seed}, at most 3000 instructions)`);
console.log(`most things unimplemented ${total.unimplemented}, console ${total.console} bytes in a case`);
console.log(
  `peak memory ${Math.round(total.rss / 2 ** 20)} MiB a process, ${((Date.now() - start) / 1000).toFixed(0)} s`,
);
process.exitCode = failed === 0 ? 0 : 1;
