// Makes test/data/mutants.json: which mutants of Debian's kernels die, and how, with QEMU as the judge. Every
// RIP-relative lea of each stub is turned, alone, into the mov that ld makes of it without -pie, and booted by the first
// of WAYS; what dies there is booted by the others as well, where other bytes lie at the wrong address.
// A lea that a healthy boot does not run is not tried.
//
//   npx tsx scripts/generate/make-mutants.ts [NAME...]       default: debian-6.12-cloud debian-6.1
//
// Takes some seconds a boot, one QEMU at a time. What was judged is kept in .cache/mutants.jsonl: a run that was broken
// off goes on where it stopped, and the data file is rewritten now and then on the way.
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { PAGE_SIZE } from '../../src/bits/address.ts';
import { hexBytes } from '../../src/bits/hex.ts';
import { LEA_LENGTH, listRipRelativeLeas, mutateLea, type RipRelativeLea } from '../../src/code/mutant.ts';
import { LINUX_WORDS } from '../../src/options/defaults.ts';
import { type KernelFile, kernel } from '../../test/support/kernels.ts';
import { type Judgement, judge } from '../oracles/judge.ts';
import { judgeEntry64 } from '../oracles/judge-entry64.ts';

/** How a mutant is entered. The first goes through the real-mode setup part. */
const WAYS = [
  { entry: 32, loadAt: 0x100000, paging: undefined, memory: '512M' },
  { entry: 64, loadAt: 0x1000000, paging: 4, memory: '512M' },
  { entry: 64, loadAt: 0x140000000, paging: 5, memory: '6G' },
] as const;
type Way = (typeof WAYS)[number];

/** One boot of one mutant, a line of the journal. */
interface Row {
  readonly kernel: string;
  readonly sha256: string;
  readonly lea: RipRelativeLea;
  readonly way: number;
  readonly ending: Ending;
}

interface Ending {
  readonly verdict: Judgement['verdict'];
  /** What the stub said before it stopped by itself; '' where it did not. */
  readonly lastWords: string;
  /** First exception of the chain to the triple fault, as QEMU saw it. */
  readonly exception?: Judgement['exception'];
  /** Where a halted or hanging guest was. */
  readonly rip?: string;
  /** The end of what stood on the serial console; '' where the banner was reached. */
  readonly console: string;
}

const root = resolve(fileURLToPath(import.meta.url), '../../..');
const journal = join(root, '.cache/mutants.jsonl');
const data = join(root, 'test/data/mutants.json');

const MACHINE = { cpu: 'max', append: `${LINUX_WORDS} nokaslr` };
const SECONDS = 20;
const CONSOLE_KEPT = 400;

async function bootMutant(image: string, way: Way): Promise<Ending> {
  const result = await bootFor(SECONDS, image, way);
  // A healthy boot on a busy machine must not pass for a hang.
  return endingOf(result.verdict === 'hang' ? await bootFor(2 * SECONDS, image, way) : result);
}

function bootFor(seconds: number, image: string, way: Way): Promise<Judgement> {
  const options = { ...MACHINE, memory: way.memory, seconds };
  return way.entry === 32 ? judge(image, options) : judgeEntry64(image, { ...options, ...way });
}

function endingOf({ verdict, exception, registers, console: text }: Judgement): Ending {
  const [, lastWords = ''] = /([^\n]+)\n+ -- System halted/.exec(text) ?? [];
  return {
    verdict,
    lastWords,
    ...(exception && { exception }),
    ...(registers && { rip: registers.rip }),
    console: verdict === 'banner' ? '' : text.slice(-CONSOLE_KEPT),
  };
}

function journalled(): Row[] {
  if (!existsSync(journal)) return [];
  const lines = readFileSync(journal, 'utf8').split('\n');
  return lines.filter((line) => line.endsWith('}')).map((line) => JSON.parse(line) as Row);
}

/** The leas that a healthy boot runs, by QEMU's log of what it translated: same bytes, at a page-aligned load address. */
async function leasRun(file: KernelFile, bytes: Uint8Array, folder: string): Promise<RipRelativeLea[]> {
  const log = join(folder, 'in_asm');
  const { verdict } = await judge(file.path, { ...MACHINE, seconds: 120, more: ['-d', 'in_asm', '-D', log] });
  if (verdict !== 'banner') throw new Error(`${file.name} itself ends in ${verdict}`);
  const run = new Set<string>();
  for await (const line of createInterface({ input: createReadStream(log) })) {
    const [, address, text] = /^0x([0-9a-f]+): +((?:[0-9a-f]{2} ){7}) +lea/.exec(line) ?? [];
    if (address !== undefined && text !== undefined)
      run.add(`${Number.parseInt(address, 16) % PAGE_SIZE} ${text.trim()}`);
  }
  rmSync(log);
  return listRipRelativeLeas(bytes).filter(({ fileOffset, linkAddress }) => {
    const instruction = bytes.subarray(fileOffset, fileOffset + LEA_LENGTH);
    return run.has(`${linkAddress % PAGE_SIZE} ${hexBytes(instruction)}`);
  });
}

async function judgeKernel(file: KernelFile, folder: string, save: () => void): Promise<void> {
  const bytes = new Uint8Array(readFileSync(file.path));
  const image = join(folder, 'bzImage');
  const leas = await leasRun(file, bytes, folder);
  console.log(`${file.name}: a boot runs ${leas.length} of the stub's leas`);
  for (const way of WAYS.keys()) {
    const mine = journalled().filter((row) => row.sha256 === file.sha256);
    const inWay = (number: number) => mine.filter((row) => row.way === number);
    const done = new Set(inWay(way).map((row) => row.lea.fileOffset));
    const dying = new Set(inWay(0).flatMap((row) => (row.ending.verdict === 'banner' ? [] : [row.lea.fileOffset])));
    const open = leas.filter((lea) => !done.has(lea.fileOffset) && (way === 0 || dying.has(lea.fileOffset)));
    for (const [index, lea] of open.entries()) {
      writeFileSync(image, mutateLea(bytes, lea.fileOffset));
      const ending = await bootMutant(image, WAYS[way] ?? WAYS[0]);
      const row: Row = { kernel: file.name, sha256: file.sha256, lea, way, ending };
      appendFileSync(journal, `${JSON.stringify(row)}\n`);
      console.log(
        `${file.name} way ${way} ${index + 1}/${open.length} 0x${lea.linkAddress.toString(16)} ${ending.verdict}`,
      );
      if (index % 10 === 9) save();
    }
  }
  save();
}

/** One mutant a line: readable, and small in a diff. */
function writeData(files: readonly KernelFile[]): void {
  const rows = journalled();
  const [qemu] = spawnSync('qemu-system-x86_64', ['--version'], { encoding: 'utf8' }).stdout.split('\n');
  const how =
    'Made by scripts/generate/make-mutants.ts: each RIP-relative lea of the stub that a healthy boot runs, alone turned into mov $imm32 and booted by ' +
    "ways[0]; those that died there also by the others. A mutant's endings are in the order of ways. Numbers are " +
    'decimal; rip and cr2 are hexadecimal.';
  const kernels = files.map((file) => summary(rows, file));
  const head = JSON.stringify({ how, judge: { qemu, ...MACHINE }, ways: WAYS, kernels });
  const lines = files.flatMap((file) => mutantLines(rows, file)).map((line) => `    ${line}`);
  writeFileSync(data, `${head.slice(0, -1)},"mutants":[\n${lines.join(',\n')}\n]}\n`);
}

function summary(rows: readonly Row[], { name, version, sha256 }: KernelFile): object {
  const judged = rows.filter((row) => row.sha256 === sha256 && row.way === 0);
  const survivors = judged.filter((row) => row.ending.verdict === 'banner').map((row) => row.lea.fileOffset);
  return { name, version, sha256, judged: judged.length, survivors };
}

function mutantLines(rows: readonly Row[], { sha256 }: KernelFile): string[] {
  const mine = rows.filter((row) => row.sha256 === sha256);
  const dying = mine.filter((row) => row.way === 0 && row.ending.verdict !== 'banner');
  return dying.map(({ kernel: name, lea }) => {
    const boots = mine.filter((row) => row.lea.fileOffset === lea.fileOffset).sort((a, b) => a.way - b.way);
    return JSON.stringify({ kernel: name, ...lea, endings: boots.map((row) => row.ending) });
  });
}

async function main(names: readonly string[]): Promise<void> {
  const files = names.map((name) => {
    const file = kernel(name);
    if (!file) throw new Error(`no kernel ${name}: node scripts/build/fetch-kernels.mjs`);
    return file;
  });
  mkdirSync(join(root, 'test/data'), { recursive: true });
  const folder = mkdtempSync(join(tmpdir(), 'firstlight-mutants-'));
  try {
    for (const file of files) await judgeKernel(file, folder, () => writeData(files));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const names = process.argv.slice(2);
await main(names.length > 0 ? names : ['debian-6.12-cloud', 'debian-6.1']);
