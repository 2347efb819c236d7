// Diagnoses the mutants of real kernels that die, as test/data/mutants.json lists them with QEMU as the judge: each has to
// end in one cause, the mutated instruction, with its proof, and boot when that is repaired. A row each, then the sum.
//
//   npm run why-mutants -- [--kernel NAME] [--way N] [--only FILEOFFSET]... [--jobs N] [--withhold]
//
// --kernel   debian-6.1 or debian-6.12-cloud; default: both
// --way      how they are entered, an index into the list's ways; default: all three
// --only     the mutants of the instructions at these file offsets
// --jobs     so many processes at once; default 1
// --withhold proves at one load address only: then each has to be a suspicion, and nothing a cause
//
// Exit status: 0 all as it should be, 1 not, 2 usage, 3 the kernels that were judged are not here.
import { parseArgs } from 'node:util';
import { kernel } from '../../test/support/kernels.ts';
import { type JudgedEnding, type JudgedMutant, judgedMutants } from '../../test/support/mutants.ts';
import { jobsOption, type Reply, shareOut } from './pool.ts';
import type { MutantRow, MutantTask } from './why-mutants-worker.ts';

interface Task extends MutantTask {
  readonly mutant: JudgedMutant;
  readonly judged: JudgedEnding;
}

const list = judgedMutants();
const COLUMNS = [18, 11, 4, 14, 24, 14, 10, 22, 7, 7] as const;
const TITLES = [
  'kernel',
  'offset',
  'way',
  'QEMU',
  'Firstlight',
  'instructions',
  'cause',
  'repaired',
  'cause s',
  'all s',
];

const line = (cells: readonly string[]): string =>
  COLUMNS.map((width, i) => (cells[i] ?? '').padEnd(width))
    .join(' ')
    .trimEnd();

function readOptions() {
  const text = { type: 'string' } as const;
  const { values } = parseArgs({
    options: { kernel: text, way: text, only: { ...text, multiple: true }, jobs: text, withhold: { type: 'boolean' } },
  });
  return {
    kernel: values.kernel,
    ways: values.way === undefined ? [...list.ways.keys()] : [Number(values.way)],
    only: values.only?.map(Number),
    jobs: jobsOption(values.jobs),
    withhold: values.withhold ?? false,
  };
}

/** Everything that died under the judge. */
function tasksOf({ kernel: name, ways, only, withhold }: ReturnType<typeof readOptions>): Task[] {
  const chosen = list.mutants.filter(
    (mutant) => (name ?? mutant.kernel) === mutant.kernel && (only?.includes(mutant.fileOffset) ?? true),
  );
  return ways.flatMap((way) =>
    chosen.flatMap((mutant): Task[] => {
      const image = judgedImage(mutant.kernel);
      const judged = mutant.endings[way];
      if (image === undefined || judged === undefined || judged.verdict === 'banner') return [];
      return [{ image, fileOffset: mutant.fileOffset, way, mutant, judged, ...(withhold ? { addresses: 1 } : {}) }];
    }),
  );
}

/** The kernel, if it is the very one that was judged. */
function judgedImage(name: string): string | undefined {
  const file = kernel(name);
  const judged = list.kernels.find((one) => one.name === name);
  return file && file.sha256 === judged?.sha256 ? file.path : undefined;
}

const isGood = (row: MutantRow): boolean => row.causes.join() === 'right' && row.last === 'stage-reached@banner';

const isSuspected = ({ causes, suspected }: MutantRow): boolean => causes.length === 0 && suspected;

function printRow({ mutant, way, judged }: Task, reply: Reply<MutantRow>): void {
  const what = [mutant.kernel, `0x${mutant.fileOffset.toString(16)}`, `${way}`, judged.verdict];
  if ('error' in reply) return console.log(`${line(what)} ${reply.error}`);
  const { end, instructions, causes, suspicions, last, secondsToCause, seconds } = reply.result;
  const cause = causes.join('+') || 'none';
  const times = [secondsToCause.toFixed(1), seconds.toFixed(1)];
  console.log(line([...what, end, instructions.toLocaleString('en'), cause, last, ...times]));
  for (const text of suspicions) console.log(`  suspicion: ${text}`);
}

async function main(): Promise<number> {
  const options = readOptions();
  const tasks = tasksOf(options);
  if (tasks.length === 0) {
    console.error('why-mutants: nothing to do: no such mutant, or the kernels that were judged are not here');
    return 3;
  }
  let good = 0;
  let booted = 0;
  console.log(line(TITLES));
  const worker = new URL('why-mutants-worker.ts', import.meta.url);
  await shareOut(worker, tasks, options.jobs, (task: Task, reply: Reply<MutantRow>) => {
    printRow(task, reply);
    if ('error' in reply) return;
    if (options.withhold ? isSuspected(reply.result) : isGood(reply.result)) good++;
    if (reply.result.end === 'stage-reached@banner') booted++;
  });
  const others = booted > 0 ? `; ${booted} did not die here` : '';
  const told = options.withhold ? 'suspected, and no cause' : 'explained by the mutated instruction, and proved';
  console.log(`${good} of ${tasks.length} ${told}${others}`);
  return good === tasks.length ? 0 : 1;
}

main().then(
  (status) => {
    process.exitCode = status;
  },
  (error: Error) => {
    console.error(`why-mutants: ${error.message}`);
    process.exitCode = 2;
  },
);
