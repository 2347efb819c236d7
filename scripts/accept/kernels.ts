// Takes many real kernels through audit, info and boot, and says which are not as they should be: none may have a finding,
// none may be refused, and each has to hand over to the kernel inside.
//
//   npm run kernels [-- --architecture amd64|i386] [--only PATTERN] [--limit N]
//       every kernel that apt offers: all flavours, unsigned twins and debugging packages left out; fetched one at a time
//       and deleted again. --only takes packages whose name fits a regular expression
//   npm run kernels -- --list
//       their names only
//   npm run kernels -- --build [--only PATTERN] [--into FOLDER] [--source FOLDER] [--jobs N] [--check-only]
//       kernels built here from Debian's linux-source-6.1, by gcc and by clang with lld, small and of many configurations:
//       bzImage, stub and kernel audited, booted, and asked why with no option; and stubs made sick on purpose, which have
//       to be seen. Sources and builds are kept in --into (default .cache/self-built; some 150 MB a kernel). Programs that
//       are missing are installed with apt, where one is root
//
// Exit status: 0 all as it should be, 1 not, 2 usage, 3 no kernel can be had.
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Unavailable } from '../build/apt.mjs';
import { type ArchiveKernel, ARCHITECTURES, type FetchedKernel, listArchive, withKernel } from './kernels-archive.ts';
import { buildAndCheck } from './kernels-build.ts';
import { type Check, checkAudit, checkBoot, checkInfo, printChecks } from './kernels-check.ts';
import { jobsOption } from './pool.ts';

const root = resolve(fileURLToPath(import.meta.url), '../../..');
const cache = resolve(process.env.FIRSTLIGHT_CACHE || join(root, '.cache/kernels'));

function readOptions() {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const { values } = parseArgs({
    options: {
      ...{ architecture: text, only: text, limit: text, into: text, source: text, jobs: text },
      ...{ list: flag, build: flag, 'check-only': flag },
    },
  });
  const limit = Number(values.limit ?? Number.POSITIVE_INFINITY);
  if (!(limit > 0)) throw new Error(`--limit takes a number, not '${values.limit}'`);
  const architectures = ARCHITECTURES.filter((one) => one === (values.architecture ?? one));
  if (architectures.length === 0) throw new Error(`--architecture takes ${ARCHITECTURES.join(' or ')}`);
  return {
    ...{ architectures, limit, only: new RegExp(values.only ?? ''), list: values.list, build: values.build },
    into: resolve(values.into ?? join(root, '.cache/self-built')),
    ...{ source: values.source, jobs: jobsOption(values.jobs ?? '2'), checkOnly: values['check-only'] },
  };
}

function checksOf({ image, config }: FetchedKernel): Check[] {
  const built = config === undefined ? [] : ['--config', config];
  return [checkInfo(image), checkAudit('audit', [image], ['--payload', ...built]), checkBoot(image, 'handoff')];
}

function archive({ architectures, only, limit, list }: ReturnType<typeof readOptions>): number {
  const offered = listArchive(cache, architectures);
  const count = (one: string) => offered.kernels.filter(({ architecture }) => architecture === one).length;
  const counts = architectures.map((one) => `${count(one)} for ${one}`).join(', ');
  console.log(`apt offers ${counts}; ${offered.leftOut} unsigned twins and debugging packages are left out`);
  const chosen = offered.kernels.filter((kernel) => only.test(kernel.package)).slice(0, limit);
  if (list) for (const kernel of chosen) console.log(`${kernel.package} ${kernel.architecture}`);
  if (list) return 0;
  const tally = { good: 0, bad: 0, absent: 0 };
  for (const kernel of chosen) tally[tryOne(offered, kernel)]++;
  console.log(`${tally.good} as they should be, ${tally.bad} not, ${tally.absent} could not be fetched`);
  return tally.bad > 0 ? 1 : tally.good > 0 ? 0 : 3;
}

function tryOne(offered: ReturnType<typeof listArchive>, kernel: ArchiveKernel): 'good' | 'bad' | 'absent' {
  try {
    const checks = withKernel(offered, kernel, cache, checksOf);
    printChecks(`${kernel.package} ${kernel.architecture}`, checks);
    return checks.every(({ good }) => good) ? 'good' : 'bad';
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    console.log(`${kernel.package} ${kernel.architecture}: ${error.message}`);
    return 'absent';
  }
}

function main(): number {
  const options = readOptions();
  try {
    return options.build ? buildAndCheck(options) : archive(options);
  } catch (error) {
    if (!(error instanceof Unavailable)) throw error;
    console.error(`kernels: ${error.message}`);
    return 3;
  }
}

try {
  process.exitCode = main();
} catch (error) {
  console.error(`kernels: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}
