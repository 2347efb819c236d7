// The whole of `npm test`: formatter, linter, types, build, then every vitest file. Each step is a line and counts as one
// test; a failed step shows its output. The last line is the sum: "N passed, N failed", with ", N skipped" if any were.
//
//   npm test                  everything
//   npm test -- test/cpu      everything, with vitest limited to what matches
//   npm run check             the static steps and the tests about the project itself (import borders)
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(fileURLToPath(import.meta.url), '../../..');
const inModules = (path) => join(root, 'node_modules', path);
const TSC = inModules('typescript/bin/tsc');

const STATIC_STEPS = [
  { name: 'format (biome)', args: [inModules('@biomejs/biome/bin/biome'), 'format', '.'] },
  { name: 'lint (oxlint)', args: [inModules('oxlint/bin/oxlint'), '--deny-warnings'] },
  { name: 'types of the core, no Node, no DOM (tsc)', args: [TSC, '-p', 'tsconfig.core.json'] },
  { name: 'types of front ends, tests and scripts (tsc)', args: [TSC, '-p', 'tsconfig.json'] },
  { name: 'build', args: ['scripts/build/build.mjs'] },
];

/** Runs Node on `args` in the root; resolves to its exit status and, unless `shown` live, its output. */
function run(args, { shown = false, env = {} } = {}) {
  return new Promise((done) => {
    const child = spawn(process.execPath, args, {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', shown ? 'inherit' : 'pipe', shown ? 'inherit' : 'pipe'],
    });
    let output = '';
    child.stdout?.on('data', (chunk) => (output += chunk));
    child.stderr?.on('data', (chunk) => (output += chunk));
    child.on('error', (error) => done({ status: 1, output: `${error.message}\n` }));
    child.on('close', (status, signal) => done({ status: status ?? signal, output }));
  });
}

async function staticStep({ name, args }) {
  const { status, output } = await run(args);
  const passed = status === 0;
  console.log(`${passed ? 'ok    ' : 'FAILED'} ${name}`);
  if (!passed) console.log(output);
  return { passed: passed ? 1 : 0, failed: passed ? 0 : 1, skipped: [] };
}

async function vitest(filters) {
  const folder = mkdtempSync(join(tmpdir(), 'firstlight-test-'));
  const file = join(folder, 'tally.json');
  const reporters = ['--reporter=default', '--reporter=./scripts/build/tally-reporter.mjs'];
  try {
    const args = [inModules('vitest/vitest.mjs'), 'run', ...reporters, ...filters];
    const { status } = await run(args, { shown: true, env: { FIRSTLIGHT_TALLY: file } });
    return believable(readTally(file), status);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function readTally(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    return { passed: 0, failed: 0, skipped: [] };
  }
}

// A crash of vitest itself, or a run of no test at all, must not look like success.
function believable(tally, status) {
  if (tally.failed > 0 || (status === 0 && tally.passed > 0)) return tally;
  console.log(`FAILED vitest ended with ${status} after ${tally.passed} passed tests`);
  return { ...tally, failed: 1 };
}

const add = (a, b) => ({
  passed: a.passed + b.passed,
  failed: a.failed + b.failed,
  skipped: [...a.skipped, ...b.skipped],
});

async function main(args) {
  const onlyStatic = args[0] === '--static';
  let sum = { passed: 0, failed: 0, skipped: [] };
  for (const step of STATIC_STEPS) sum = add(sum, await staticStep(step));
  sum = add(sum, await vitest(onlyStatic ? ['test/project'] : args));
  for (const name of sum.skipped) console.log(`skipped: ${name}`);
  const skipped = sum.skipped.length > 0 ? `, ${sum.skipped.length} skipped` : '';
  console.log(`${sum.passed} passed, ${sum.failed} failed${skipped}`);
  process.exitCode = sum.failed > 0 ? 1 : 0;
}

await main(process.argv.slice(2));
