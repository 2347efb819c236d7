// How long an audit takes and how much memory, beside `objdump -d` of the same file in the same run: the kernel that is
// unpacked from Debian's 6.1 image (vmlinux with its relocation table), and the image itself with its payload left packed.
// objdump is no audit; it is what one reads to do by hand what the audit does. Runs alternate; what is shown are medians.
//
//   npm run bench:audit -- [--runs N] [--json]
//
// Peak memory is the largest resident set that Linux tells of the process. Without objdump the comparison is left out.
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { auditFile } from '../src/audit/audit.ts';
import { parseBzImage } from '../src/image/bzimage.ts';
import { type PackedFormat, unpack } from '../src/unpack/unpack.ts';
import { benchKernels } from './kernels.ts';

const RUNS = 3;
const KERNEL = 'debian-6.1';
const LARGEST_KERNEL = 1 << 30;
const POLL_MS = 5;

/** One process, from start to end. */
type Cost = { readonly seconds: number; readonly peakMiB: number };

/** What the process that audits says: reading the file and auditing it, without starting Node. */
type AuditRun = { readonly seconds: number; readonly findings: number; readonly instructions: number };

type Result = {
  readonly file: string;
  readonly bytes: number;
  readonly findings: number;
  readonly instructions: number;
  /** Reading and auditing, without Node's start. */
  readonly auditSeconds: number;
  readonly process: Cost;
  readonly objdump: Cost | undefined;
  /** objdump's cost by that of the whole process. */
  readonly ratio: { readonly time: number; readonly memory: number } | undefined;
};

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return ((low ?? Number.NaN) + (high ?? Number.NaN)) / 2;
}

const medianCost = (costs: readonly Cost[]): Cost => ({
  seconds: median(costs.map((c) => c.seconds)),
  peakMiB: median(costs.map((c) => c.peakMiB)),
});

/** VmHWM of a process; undefined once it is gone. */
function peakOf(pid: number): number | undefined {
  try {
    const match = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return match === null ? undefined : Number(match[1]) / 1024;
  } catch {
    return undefined;
  }
}

/** Runs a command; its output is thrown away where it is not wanted, before it costs anything. */
function costOf(
  command: string,
  args: readonly string[],
  wanted: boolean,
): Promise<Cost & { readonly stdout: string }> {
  const start = performance.now();
  const child = spawn(command, args, { stdio: ['ignore', wanted ? 'pipe' : 'ignore', 'inherit'] });
  let peakMiB = 0;
  let stdout = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  const poll = setInterval(() => {
    peakMiB = Math.max(peakMiB, child.pid === undefined ? 0 : (peakOf(child.pid) ?? 0));
  }, POLL_MS);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      clearInterval(poll);
      if (code !== 0) reject(new Error(`${command} ended with ${code}`));
      else resolve({ seconds: (performance.now() - start) / 1000, peakMiB, stdout });
    });
  });
}

const OBJDUMP = 'objdump';

function objdumpVersion(): string | undefined {
  const { status, stdout } = spawnSync(OBJDUMP, ['--version'], { encoding: 'utf8' });
  return status === 0 ? stdout.split('\n')[0] : undefined;
}

/** An ELF file by its sections, a bzImage as one stretch of 64-bit code. */
const objdumpArguments = (file: string): string[] =>
  file.endsWith('.elf') ? ['-d', file] : ['-D', '-b', 'binary', '-m', 'i386:x86-64', file];

async function measure(name: string, file: string, runs: number, withObjdump: boolean): Promise<Result> {
  const script = fileURLToPath(import.meta.url);
  const ours: (Cost & { readonly run: AuditRun })[] = [];
  const theirs: Cost[] = [];
  for (let i = 0; i < runs; i++) {
    process.stderr.write(`${name}, run ${i + 1} of ${runs}\n`);
    const { stdout, ...cost } = await costOf(process.execPath, [...process.execArgv, script, '--one', file], true);
    ours.push({ ...cost, run: JSON.parse(stdout) as AuditRun });
    if (withObjdump) theirs.push(await costOf(OBJDUMP, objdumpArguments(file), false));
  }
  const own = medianCost(ours);
  const objdump = withObjdump ? medianCost(theirs) : undefined;
  return {
    file: name,
    bytes: readFileSync(file).length,
    findings: ours[0]?.run.findings ?? Number.NaN,
    instructions: ours[0]?.run.instructions ?? Number.NaN,
    auditSeconds: median(ours.map((o) => o.run.seconds)),
    process: own,
    objdump,
    ratio: objdump && { time: objdump.seconds / own.seconds, memory: objdump.peakMiB / own.peakMiB },
  };
}

/** In the process that is measured. */
function auditOne(file: string): AuditRun {
  const start = performance.now();
  const report = auditFile(new Uint8Array(readFileSync(file)), file, {});
  const followed = report.coverage?.followed ?? { 16: 0, 32: 0, 64: 0 };
  return {
    seconds: (performance.now() - start) / 1000,
    findings: report.findings.length,
    instructions: followed[16] + followed[32] + followed[64],
  };
}

function vmlinuxOf(image: Uint8Array): Uint8Array {
  const { payload } = parseBzImage(image);
  if (payload === undefined || payload.format === 'unknown') throw new Error('the image has no payload to unpack');
  const packed = image.subarray(payload.fileOffset, payload.fileOffset + payload.length);
  return payload.format === 'elf' ? packed : unpack(payload.format satisfies PackedFormat, packed, LARGEST_KERNEL);
}

async function measureAll(runs: number, withObjdump: boolean): Promise<Result[]> {
  const kernel = benchKernels().find((k) => k.name === KERNEL) ?? benchKernels()[0];
  if (kernel === undefined) throw new Error('no kernel to audit');
  const folder = mkdtempSync(join(tmpdir(), 'firstlight-bench-'));
  try {
    const vmlinux = join(folder, 'vmlinux.elf');
    writeFileSync(vmlinux, vmlinuxOf(new Uint8Array(readFileSync(kernel.path))));
    return [
      await measure(`${kernel.name} vmlinux`, vmlinux, runs, withObjdump),
      await measure(`${kernel.name} bzImage`, kernel.path, runs, withObjdump),
    ];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const HEADINGS = [
  'file',
  'MB',
  'findings',
  'instr',
  'audit s',
  'process s',
  'MiB',
  'objdump s',
  'MiB',
  'ratio',
  'ratio',
];

function show(results: readonly Result[]): string {
  const fixed = (value: number | undefined, digits: number): string => value?.toFixed(digits) ?? '-';
  const rows = results.map((r) => [
    r.file,
    fixed(r.bytes / 1e6, 1),
    String(r.findings),
    String(r.instructions),
    fixed(r.auditSeconds, 2),
    fixed(r.process.seconds, 2),
    fixed(r.process.peakMiB, 0),
    fixed(r.objdump?.seconds, 2),
    fixed(r.objdump?.peakMiB, 0),
    fixed(r.ratio?.time, 1),
    fixed(r.ratio?.memory, 2),
  ]);
  const all = [HEADINGS, ...rows];
  const widths = HEADINGS.map((_, column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  return all.map((row) => row.map((cell, i) => cell.padStart(widths[i] ?? 0)).join('  ')).join('\n');
}

const NOTES = `audit s: reading the file and auditing it; process s, MiB: with Node's start and the loading of TypeScript, and its peak.
ratio: objdump's time and peak memory by those of the whole process: 10 means objdump takes ten times as much.
objdump writes to /dev/null; of the bzImage it disassembles everything, the packed kernel included.`;

async function main(): Promise<void> {
  const options = {
    runs: { type: 'string' },
    json: { type: 'boolean', default: false },
    one: { type: 'string' },
  } as const;
  const { values } = parseArgs({ options });
  if (values.one !== undefined) {
    console.log(JSON.stringify(auditOne(values.one)));
    return;
  }
  const runs = Number(values.runs ?? RUNS);
  if (!Number.isInteger(runs) || runs < 1) throw new Error('--runs is a number from 1');
  const objdump = objdumpVersion();
  const host = { cpu: cpus()[0]?.model ?? 'unknown', node: process.version, objdump };
  const results = await measureAll(runs, objdump !== undefined);
  if (values.json) {
    console.log(JSON.stringify({ host, runs, results }, null, 2));
    return;
  }
  console.log(`${host.cpu}, Node ${host.node}; ${objdump ?? 'no objdump here: no comparison'}`);
  console.log(`medians of ${runs}\n\n${show(results)}\n\n${NOTES}`);
}

main().catch((error: Error) => {
  process.stderr.write(`bench: ${error.message}\n`);
  process.exitCode = 2;
});
