// Boots real kernels in every combination that has to work: 32- and 64-bit entry, CPU with la57 and without, 4- and
// 5-level paging, loaded at 1 MiB, 16 MiB and above 4 GiB, KASLR on and off. A row each; the last line is the sum.
//
//   npm run matrix -- [--kernel NAME]... [--quick] [--jobs N] [--json FILE]
//
// --kernel   debian-6.1, debian-6.12-cloud, debian-6.12; default: all there are
// --quick    of each kernel only as many as show every value of every column
// --jobs     so many processes at once; default 1
// --json     appends the results to FILE, an array of objects
//
// Exit status: 0 all reached the banner, 1 not all did, 2 usage, 3 there is no kernel.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { MIB } from '../../src/bits/sizes.ts';
import { kernels } from '../../test/support/kernels.ts';
import type { Combination, MatrixRow, MatrixTask } from './matrix-worker.ts';
import { jobsOption, type Reply, shareOut } from './pool.ts';

const FIVE_GIB = 5 * 1024 * MIB;

const PLACES = [
  { loadAt: MIB, memoryMiB: 512 },
  { loadAt: 16 * MIB, memoryMiB: 512 },
  { loadAt: FIVE_GIB, memoryMiB: 6 * 1024 },
];
/** Where a 32-bit entry can be. */
const LOW_PLACES = PLACES.filter(({ loadAt }) => loadAt < 2 ** 32);
const MODES_32 = [
  { cpu: 'max', paging: undefined },
  { cpu: 'x86-64-v1', paging: undefined },
] as const;
const MODES_64 = [
  { cpu: 'max', paging: 4 },
  { cpu: 'max', paging: 5 },
  { cpu: 'x86-64-v1', paging: 4 },
] as const;

function combinations(kernel: string): Combination[] {
  const entries = [
    { entry: 32, modes: MODES_32, places: LOW_PLACES },
    { entry: 64, modes: MODES_64, places: PLACES },
  ] as const;
  return entries.flatMap(({ entry, modes, places }) =>
    modes.flatMap((mode) =>
      places.flatMap((place) => [false, true].map((kaslr) => ({ kernel, entry, ...mode, ...place, kaslr }))),
    ),
  );
}

/** Every mode of both entries, and places and KASLR taking turns: each value is seen with each entry. */
function quick(kernel: string): Combination[] {
  const all = combinations(kernel);
  const wanted = [
    { entry: 32, cpu: 'max', paging: undefined, loadAt: MIB, kaslr: true },
    { entry: 32, cpu: 'x86-64-v1', paging: undefined, loadAt: 16 * MIB, kaslr: false },
    { entry: 64, cpu: 'max', paging: 4, loadAt: 16 * MIB, kaslr: true },
    { entry: 64, cpu: 'max', paging: 5, loadAt: FIVE_GIB, kaslr: false },
    { entry: 64, cpu: 'x86-64-v1', paging: 4, loadAt: MIB, kaslr: true },
  ];
  return all.filter((one) =>
    wanted.some((row) => Object.entries(row).every(([key, value]) => one[key as keyof Combination] === value)),
  );
}

const COLUMNS = [
  ['kernel', 18],
  ['entry', 6],
  ['cpu', 10],
  ['paging', 7],
  ['load at', 12],
  ['KASLR', 6],
  ['outcome', 14],
  ['stage', 11],
  ['instructions', 14],
  ['state hash', 17],
  ['seconds', 7],
] as const;

const line = (cells: readonly string[]): string =>
  COLUMNS.map(([, width], i) => (cells[i] ?? '').padEnd(width))
    .join(' ')
    .trimEnd();

function printRow({ kernel, entry, cpu, paging, loadAt, kaslr }: Combination, row: MatrixRow): void {
  const how = [kernel, `${entry}`, cpu, `${paging ?? '-'}`, `0x${loadAt.toString(16)}`, kaslr ? 'on' : 'off'];
  const end = [row.outcome, row.stage, row.instructions.toLocaleString('en'), row.stateHash, row.seconds.toFixed(1)];
  console.log(line([...how, ...end]));
  if (!reached(row)) console.log(`  ${row.text}${row.console ? `\n${indent(row.console)}` : ''}`);
  for (const what of row.unimplemented) console.log(`  not implemented: ${what}`);
}

const indent = (text: string): string => text.replace(/^/gm, '  | ').trimEnd();

const reached = (row: MatrixRow): boolean => row.outcome === 'stage-reached' && row.stage === 'banner';

const failedRow = (error: string): MatrixRow => ({
  outcome: 'refused',
  text: error,
  stage: '',
  instructions: 0,
  stateHash: '',
  unimplemented: [],
  console: '',
  seconds: 0,
});

function append(file: string, result: object): void {
  const before = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as object[]) : [];
  writeFileSync(file, `${JSON.stringify([...before, result], null, 1)}\n`);
}

function readOptions() {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: { kernel: { ...text, multiple: true }, quick: { type: 'boolean' }, jobs: text, json: text },
  });
  return { ...values, jobs: jobsOption(values.jobs) };
}

function tasksOf(options: ReturnType<typeof readOptions>): MatrixTask[] {
  const { files } = kernels();
  const names = options.kernel ?? files.map((file) => file.name);
  return names.flatMap((name) => {
    const file = files.find((one) => one.name === name);
    if (!file) throw new Error(`there is no kernel '${name}'; there are ${files.map((one) => one.name).join(', ')}`);
    const chosen = options.quick ? quick(name) : combinations(name);
    return chosen.map((combination) => ({ image: file.path, combination }));
  });
}

async function main(): Promise<number> {
  const options = readOptions();
  const { files, reason } = kernels();
  if (files.length === 0) {
    console.error(`matrix: there is no kernel to boot: ${reason}`);
    return 3;
  }
  const tasks = tasksOf(options);
  let good = 0;
  console.log(line(COLUMNS.map(([name]) => name)));
  const worker = new URL('matrix-worker.ts', import.meta.url);
  await shareOut(worker, tasks, options.jobs, ({ combination }: MatrixTask, reply: Reply<MatrixRow>) => {
    const row = 'result' in reply ? reply.result : failedRow(reply.error);
    printRow(combination, row);
    if (reached(row)) good++;
    if (options.json) append(options.json, { ...combination, ...row });
  });
  console.log(`${good} of ${tasks.length} reached the banner`);
  return good === tasks.length ? 0 : 1;
}

main().then(
  (status) => {
    process.exitCode = status;
  },
  (error: Error) => {
    console.error(`matrix: ${error.message}`);
    process.exitCode = 2;
  },
);
