// Runs the product of two checkouts on the same images and says where their answers differ: for a change that must not
// change what a user sees. Texts, exit statuses and JSON (with the state hash at each stage) are held against each other.
//
//   npm run same-answers -- --before DIR [--quick] [FILE]...
//
// --before  the other checkout, set up; this one is the one that the script lies in
// FILE      more images, for `why` and `audit`
// --quick   samples, and Debian's 6.12 cloud to the first read of its payload; else 6.1 and 6.12 cloud at every stage
//           to init, `why` of both, and `why` of mutants that die before and after decompression
//
// Exit status: 0 all answers are the same, 1 some differ, 2 usage.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { mutateLea } from '../../src/code/mutant.ts';
import { LINUX_WORDS } from '../../src/options/defaults.ts';
import { kernel } from '../../test/support/kernels.ts';
import { judgedMutants } from '../../test/support/mutants.ts';

const after = resolve(fileURLToPath(import.meta.url), '../../..');
const MOST_BYTES = 2 ** 28;
const STAGES = ['entry', 'decompress', 'handoff', 'banner', 'init'];
const APPEND = ['--append', `${LINUX_WORDS} nokaslr`];
/** Of 6.12 cloud: one that dies at once and one that dies once the kernel is unpacked. */
const MUTANTS_TRIED = 2;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { before: { type: 'string' }, quick: { type: 'boolean', default: false }, help: { type: 'boolean' } },
});
if (values.help === true || values.before === undefined || !existsSync(join(values.before, 'firstlight'))) {
  console.error('Usage: npm run same-answers -- --before CHECKOUT [--quick] [FILE]...');
  process.exit(values.help === true ? 0 : 2);
}
const before = resolve(values.before);

/** Answers of the other checkout are kept beside it, by its commit, the question and the image, since it does not change. */
function keptAnswerOf(tree: string, args: readonly string[]): string {
  const image = resolve(after, args[1] ?? '');
  const told = createHash('sha256').update(`${commitOf(tree)} ${args.join(' ')}`);
  if (args.length > 1 && existsSync(image)) told.update(readFileSync(image));
  const folder = join(tree, '.cache/same-answers');
  const kept = join(folder, told.digest('hex'));
  if (existsSync(kept)) return readFileSync(kept, 'utf8');
  const answer = answerOf(tree, args);
  mkdirSync(folder, { recursive: true });
  writeFileSync(kept, answer);
  return answer;
}

const commitOf = (tree: string): string =>
  spawnSync('git', ['-C', tree, 'rev-parse', 'HEAD'], { encoding: 'utf8' }).stdout.trim();

function answerOf(tree: string, args: readonly string[]): string {
  const run = spawnSync(join(tree, 'firstlight'), [...args], { encoding: 'utf8', maxBuffer: MOST_BYTES, cwd: after });
  return `exit status ${run.status}\n${run.stdout}\n--- stderr ---\n${withoutProgress(run.stderr)}`;
}

/** What a terminal is told while it waits is no answer. */
const withoutProgress = (text: string): string =>
  text.replaceAll(/\r[^\n]*/g, '').replaceAll(/^firstlight: .*\binstructions, \d+ M\/s.*\n/gm, '');

function sampleQuestions(): string[][] {
  const samples = readdirSync(join(after, 'samples/built')).map((name) => `samples/built/${name}`);
  const commands = ['boot', 'why', 'audit', 'info'];
  return samples.flatMap((image) =>
    commands.flatMap((command) => [
      [command, image],
      [command, image, '--json'],
    ]),
  );
}

function caseQuestions(given: readonly string[]): string[][] {
  const files = readdirSync(join(after, 'test/cases'), { recursive: true, encoding: 'utf8' });
  const images = files.filter((name) => /\.(?:elf|bzImage)$/.test(name)).sort();
  const all = [...images.map((name) => `test/cases/${name}`), ...given.map((name) => resolve(name))];
  return all.flatMap((name) => [
    ['why', name],
    ['why', name, '--json'],
    ['audit', name, '--json'],
  ]);
}

function kernelQuestions(quick: boolean): string[][] {
  const names = quick ? ['debian-6.12-cloud'] : ['debian-6.12-cloud', 'debian-6.1'];
  return names.flatMap((name) => {
    const path = kernel(name)?.path;
    if (path === undefined) return [];
    const stages = quick ? STAGES.slice(0, 2) : STAGES;
    const boots = stages.map((stage) => ['boot', path, '--json', '--until', stage]);
    return quick ? [...boots, ['audit', path, '--json']] : [...boots, ['why', path], ['why', path, '--json']];
  });
}

/** Mutants of 6.12 cloud written to `folder`: the first judged one, and the last, which dies late. */
function mutantQuestions(folder: string): string[][] {
  const image = kernel('debian-6.12-cloud');
  if (image === undefined) return [];
  const own = judgedMutants().mutants.filter((one) => one.kernel === image.name);
  const dying = own.filter((one) => one.endings[0]?.verdict !== 'banner');
  const tried = [...dying.slice(0, 1), ...dying.slice(1 - MUTANTS_TRIED)];
  return tried.flatMap(({ fileOffset }) => {
    const path = join(folder, `mutant-${fileOffset}.bzImage`);
    writeFileSync(path, mutateLea(new Uint8Array(readFileSync(image.path)), fileOffset));
    return [
      ['why', path, ...APPEND],
      ['why', path, ...APPEND, '--json'],
    ];
  });
}

function firstDifference(one: string, other: string): string {
  const [left, right] = [one.split('\n'), other.split('\n')];
  const at = left.findIndex((line, i) => line !== right[i]);
  const place = at < 0 ? left.length : at;
  return `line ${place + 1}\n    before: ${left[place] ?? '(none)'}\n    after:  ${right[place] ?? '(none)'}`;
}

const folder = mkdtempSync(join(tmpdir(), 'same-answers-'));
const questions = [
  ...sampleQuestions(),
  ...caseQuestions(positionals),
  ...kernelQuestions(values.quick),
  ...(values.quick ? [] : mutantQuestions(folder)),
];
for (const tree of [before, after]) answerOf(tree, ['--version']); // which builds it
let differing = 0;
for (const args of questions) {
  const [one, other] = [keptAnswerOf(before, args), answerOf(after, args)];
  if (one === other) continue;
  differing++;
  console.log(`firstlight ${args.join(' ')}: ${firstDifference(one, other)}`);
}
rmSync(folder, { recursive: true });
console.log(`${questions.length - differing} answers are the same, ${differing} differ`);
process.exitCode = differing > 0 ? 1 : 0;
