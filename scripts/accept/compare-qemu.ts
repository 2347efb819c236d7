// Holds a boot against the same boot in qemu-system-x86_64 (TCG), over the gdb protocol: same memory, same state at the
// 64-bit entry, and then, at each point where code of another page runs for the first time, up to the first moment with
// interrupts on, the same registers and control registers. Needs QEMU, gcc and binutils.
//
// Two differences are allowed. AF, which logical instructions and shifts leave undefined. And what depends on the machine
// rather than on its instructions: registers in which our own machine differs from itself when it is given another clock,
// other random numbers, and other answers to CPUID about caches, frequencies and vendor.
//
//   npx tsx scripts/accept/compare-qemu.ts IMAGE [--paging 4|5] [--cpu NAME] [--memory MIB] [--append TEXT] [--all]
//
// --all   prints allowed differences too, not only their counts
//
// Exit status: 0 no difference but allowed ones, 1 others, 2 usage or no QEMU.
import { type ChildProcess, execFileSync, type ExecFileSyncOptions, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { MIB } from '../../src/bits/sizes.ts';
import { DEFAULT_MAX_INSTRUCTIONS, DEFAULT_MEMORY, LINUX_WORDS } from '../../src/options/defaults.ts';
import { BootRun, type RunConfig } from '../../src/run/run.ts';
import { setV8Flags } from '../../src/cli/v8Flags.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { FLAGS, SEG, type SegmentIndex } from '../../src/cpu/state/state.ts';
import { type CpuModel, cpuModel, withApic } from '../../src/x86/models.ts';
import { MSR_IA32_MTRR_DEF_TYPE, MSR_KERNEL_GS_BASE, msrSlot } from '../../src/x86/msr.ts';
import { GdbRemote, type Registers } from '../oracles/gdb-remote.ts';

const root = resolve(fileURLToPath(import.meta.url), '../../..');
const ROM = 0xf0000;
const ROM_SIZE = 0x10000;
/** Where in the ROM the way from reset to the entry stands, below the reset vector. */
const SHIM = 0xfe00;
const RESET_VECTOR = 0xfff0;
/** Breakpoints set at once: QEMU may take another way between two points. */
const WINDOW = 12;
/** Of the time stamp counter and the random numbers of our machine as others. */
const OTHER_SEEDS = [0x1234_5678, 0x2b3c_4d5e_6f01, 0x1357_9bdf];
const STOP_LIMIT_MS = 30_000;
/** What QEMU's TCG does not have; the processor compared does without it too. */
const NOT_IN_TCG = [
  'prefetchw',
  'xsavec',
  'xsaves',
  'invariant-tsc',
  'pcid',
  'invpcid',
  'x2apic',
  'tsc-deadline',
  'tsc-adjust',
  'rdseed',
  'rdpid',
  'arch-capabilities',
];
/** What gives each machine values of its own. */
const OWN_VALUES = ['rdrand'];
const CPU = ['max', ...[...NOT_IN_TCG, ...OWN_VALUES].map((name) => `-${name}`)].join(',');

interface Point {
  readonly instructions: bigint;
  readonly registers: Registers;
}

const GENERAL = 'rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15'.split(' ');
const SELECTORS: readonly (readonly [string, SegmentIndex])[] = [
  ['cs', SEG.CS],
  ['ss', SEG.SS],
  ['ds', SEG.DS],
  ['es', SEG.ES],
  ['fs', SEG.FS],
  ['gs', SEG.GS],
];
const CONTROL: readonly (readonly [string, number])[] = [
  ['cr0', at.CR0],
  ['cr2', at.CR2],
  ['cr3', at.CR3],
  ['cr4', at.CR4],
  ['efer', at.EFER],
  ['kernel_gs_base', at.msrAddress(msrSlot(MSR_KERNEL_GS_BASE))],
];

/** Another machine of the same instruction set: what differs between it and ours says nothing about instructions. */
function makeOther(run: BootRun): void {
  const { engine } = run.machine;
  const { model, state } = engine;
  const cpuid = model.cpuid.bind(model);
  const answer: CpuModel['cpuid'] = (leaf, subleaf, dynamic) => {
    const row = cpuid(leaf, subleaf, dynamic);
    // QEMU repeats the vendor's name in the highest extended leaf; it has no leaf that tells frequencies.
    if (leaf === 0x8000_0000) return { ...cpuid(0, 0, dynamic), eax: row.eax };
    return [2, 4, 0x15, 0x16, 0x8000_0005, 0x8000_0006].includes(leaf) ? { eax: 0, ebx: 0, ecx: 0, edx: 0 } : row;
  };
  Object.assign(model, { cpuid: answer });
  // QEMU's own firmware, which would set the memory types, does not run.
  state.setU64(at.msrAddress(msrSlot(MSR_IA32_MTRR_DEF_TYPE)), 0n);
}

function registersOf({ machine }: BootRun): Registers {
  const { state } = machine.engine;
  return new Map([
    ...GENERAL.map((name, index): [string, bigint] => [name, state.reg(index)]),
    ['rip', state.rip],
    ['rflags', BigInt(state.rflags)],
    ...SELECTORS.map(([name, index]): [string, bigint] => [name, BigInt(state.segment(index).selector)]),
    ['fs_base', state.segment(SEG.FS).base],
    ['gs_base', state.segment(SEG.GS).base],
    ...CONTROL.map(([name, address]): [string, bigint] => [name, state.u64(address)]),
  ]);
}

/** Our side: the points, in the order in which they are come to. */
function pointsOf(run: BootRun): Point[] {
  const { machine } = run;
  const { state } = machine.engine;
  const seen = new Set<bigint>();
  let fresh: bigint[] = [];
  const observation = run.observe({
    code: (context) => {
      fresh.push(context.ip + context.mode.base);
      machine.requestStop();
    },
  });
  const points: Point[] = [];
  while (!(state.rflags & FLAGS.IF) && machine.engine.retired < DEFAULT_MAX_INSTRUCTIONS) {
    if (machine.run(DEFAULT_MAX_INSTRUCTIONS)?.kind !== 'requested') break;
    const page = state.rip & ~0xfffn;
    if (fresh.includes(page) && !seen.has(page)) {
      points.push({ instructions: machine.engine.retired, registers: registersOf(run) });
    }
    for (const one of fresh) seen.add(one);
    fresh = [];
  }
  observation.dispose();
  return points;
}

/** Names QEMU has for features under another one than ours. */
const QEMU_NAMES: Readonly<Record<string, string>> = {
  CLFSH: 'clflush',
  SSE3: 'pni',
  SSE4_1: 'sse4.1',
  SSE4_2: 'sse4.2',
  TSC_DEADLINE: 'tsc-deadline',
  TSC_ADJUST: 'tsc-adjust',
  ARCH_CAPABILITIES: 'arch-capabilities',
  LAHF_LM: 'lahf-lm',
  LZCNT: 'abm',
  PREFETCHW: '3dnowprefetch',
  INVARIANT_TSC: 'invtsc',
};

/** What QEMU has no name for. */
const NAMELESS: ReadonlySet<string> = new Set(['ZERO_FCS_FDS']);

function qemuCpu({ vendor, family, model, stepping, brand, features, physicalBits }: CpuModel): string {
  const flags = [...features]
    .filter((name) => !NAMELESS.has(name))
    .map((name) => `+${QEMU_NAMES[name] ?? name.toLowerCase()}`);
  const identity = [`vendor=${vendor}`, `family=${family}`, `model=${model}`, `stepping=${stepping}`];
  return [
    'base,level=0x16,xlevel=0x80000008',
    ...identity,
    `model-id=${brand}`,
    `phys-bits=${physicalBits}`,
    ...flags,
  ].join(',');
}

/** The BIOS: what our ROM holds, and the way from reset to the entry state. */
function buildRom(run: BootRun, folder: string): string {
  const { registers, rip, cr3, cr4, gdtBase, gdtLimit } = run.boot.state;
  const numbers = {
    START: SHIM,
    RIP_AT: rip,
    RSP_AT: registers.rsp ?? 0n,
    RSI_AT: registers.rsi ?? 0n,
    CR3_AT: cr3,
    CR4_AT: cr4,
    GDT_AT: gdtBase,
    GDT_LIMIT: gdtLimit,
  };
  const defines = Object.entries(numbers).map(([name, value]) => `-D${name}=${value}`);
  const file = (name: string): string => join(folder, name);
  const options: ExecFileSyncOptions = { stdio: ['ignore', 'pipe', 'pipe'] };
  execFileSync(
    'gcc',
    ['-c', ...defines, '-o', file('shim.o'), join(root, 'scripts/accept/compare-entry64.S')],
    options,
  );
  execFileSync(
    'ld',
    ['-Ttext', '0', '-e', '_start', '--oformat', 'binary', '-o', file('shim'), file('shim.o')],
    options,
  );
  const rom = Buffer.from(run.machine.memory.read(ROM as never, ROM_SIZE));
  const shim = readFileSync(file('shim'));
  if (SHIM + shim.length > RESET_VECTOR) throw new Error('the way to the entry does not fit into the ROM');
  rom.set(shim, SHIM);
  rom.writeUInt8(0xe9, RESET_VECTOR);
  rom.writeInt16LE(SHIM - (RESET_VECTOR + 3), RESET_VECTOR + 1);
  writeFileSync(file('rom'), rom);
  return file('rom');
}

/** One `-device loader` for each stretch of RAM that is not zero at the entry. */
function loaders(run: BootRun, folder: string): string[] {
  const parts: { start: number; pieces: Uint8Array[]; end: number }[] = [];
  const chunks = [...run.machine.memory.touched()].sort((a, b) => a.address - b.address);
  for (const { address, bytes } of chunks) {
    for (let offset = 0; offset < bytes.length; offset += 4096) {
      const page = bytes.slice(offset, offset + 4096);
      const start = address + offset;
      if (start >= 0xa0000 && start < MIB) continue;
      if (page.every((byte) => byte === 0)) continue;
      const last = parts.at(-1);
      if (last?.end === start) {
        last.pieces.push(page);
        last.end += 4096;
      } else parts.push({ start, pieces: [page], end: start + 4096 });
    }
  }
  return parts.flatMap(({ start, pieces }, i) => {
    const file = join(folder, `ram${i}`);
    writeFileSync(file, Buffer.concat(pieces));
    return ['-device', `loader,file=${file},addr=0x${start.toString(16)},force-raw=on`];
  });
}

function startQemu(
  run: BootRun,
  model: CpuModel,
  memoryMiB: number,
  folder: string,
): { child: ChildProcess; stub: string } {
  const stub = join(folder, 'gdb');
  const child = spawn(
    'qemu-system-x86_64',
    [
      ...['-M', 'pc', '-accel', 'tcg', '-cpu', qemuCpu(model), '-m', `${memoryMiB}M`, '-bios', buildRom(run, folder)],
      ...[
        '-display',
        'none',
        '-vga',
        'none',
        '-net',
        'none',
        '-monitor',
        'none',
        '-serial',
        `file:${join(folder, 'serial')}`,
      ],
      ...['-no-reboot', '-S', '-chardev', `socket,path=${stub},server=on,wait=off,id=gdb`, '-gdb', 'chardev:gdb'],
      ...loaders(run, folder),
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  return { child, stub };
}

async function connect(child: ChildProcess, stub: string): Promise<GdbRemote> {
  for (let tries = 0; tries < 300; tries++) {
    if (child.exitCode !== null) throw new Error(`QEMU ended with ${child.exitCode}`);
    if (existsSync(stub)) return GdbRemote.connect(stub);
    await sleep(50);
  }
  throw new Error('QEMU offers no debugger stub');
}

interface Difference {
  readonly register: string;
  readonly ours: bigint;
  readonly theirs: bigint;
}

const FLAGS_COMPARED =
  BigInt(FLAGS.CF | FLAGS.PF | FLAGS.AF | FLAGS.ZF | FLAGS.SF | FLAGS.OF | FLAGS.IF | FLAGS.DF) | 0x7000n;

function differences(ours: Registers, theirs: Registers): Difference[] {
  return [...ours].flatMap(([register, value]) => {
    const mask = register === 'rflags' ? FLAGS_COMPARED : (1n << 64n) - 1n;
    const other = theirs.get(register) ?? 0n;
    return (value & mask) === (other & mask) ? [] : [{ register, ours: value & mask, theirs: other & mask }];
  });
}

type Kind = 'other' | 'AF' | 'machine';

interface Report {
  compared: number;
  missed: number;
  readonly found: { readonly point: Point; readonly difference: Difference; readonly kind: Kind }[];
}

/** What kind of difference it is. @param again the same points of our machine when it is others */
function kindOf(
  point: Point,
  { register, ours, theirs }: Difference,
  again: readonly ReadonlyMap<bigint, Registers>[],
): Kind {
  if (register === 'rflags' && (ours ^ theirs) === BigInt(FLAGS.AF)) return 'AF';
  const same = again.every((points) => points.get(ripOf(point))?.get(register) === point.registers.get(register));
  return same ? 'other' : 'machine';
}

const ripOf = (point: Point | undefined): bigint => point?.registers.get('rip') ?? 0n;

/** Follows QEMU from point to point. */
async function follow(
  gdb: GdbRemote,
  points: readonly Point[],
  again: readonly ReadonlyMap<bigint, Registers>[],
  report: Report,
): Promise<void> {
  let next = 0;
  const set = new Set<bigint>();
  while (next < points.length) {
    for (const point of points.slice(next, next + WINDOW)) {
      if (set.has(ripOf(point))) continue;
      set.add(ripOf(point));
      await gdb.setBreakpoint(ripOf(point));
    }
    if (!(await gdb.proceed(STOP_LIMIT_MS))) {
      const { rip, cs } = Object.fromEntries(await gdb.registers());
      throw new Error(
        `QEMU comes to none of the points from ${next} on; it is at ${cs?.toString(16)}:${rip?.toString(16)}`,
      );
    }
    const theirs = await gdb.registers();
    const hit = points.findIndex((point, i) => i >= next && i < next + WINDOW && ripOf(point) === theirs.get('rip'));
    if (hit < 0) throw new Error(`QEMU stopped at 0x${theirs.get('rip')?.toString(16)}, where nobody asked it to`);
    for (const point of points.slice(next, hit + 1)) {
      set.delete(ripOf(point));
      await gdb.removeBreakpoint(ripOf(point));
    }
    report.missed += hit - next;
    report.compared++;
    const point = points[hit] as Point;
    for (const difference of differences(point.registers, theirs)) {
      report.found.push({ point, difference, kind: kindOf(point, difference, again) });
    }
    next = hit + 1;
  }
}

const hex = (value: bigint): string => `0x${value.toString(16)}`;

async function main(): Promise<number> {
  const text = { type: 'string' } as const;
  const { values, positionals } = parseArgs({
    options: { paging: text, cpu: text, memory: text, append: text, all: { type: 'boolean' } },
    allowPositionals: true,
  });
  const [path] = positionals;
  if (path === undefined || positionals.length > 1) throw new Error('one image is wanted');
  setV8Flags();
  const memoryMiB = Number(values.memory ?? DEFAULT_MEMORY / MIB);
  const cpu = values.cpu ?? CPU;
  const config: RunConfig = {
    image: new Uint8Array(readFileSync(path)),
    ...{ entry: 64, paging: values.paging === '5' ? 5 : 4, cpu, memoryBytes: memoryMiB * MIB },
    cmdline: values.append ?? `${LINUX_WORDS} nokaslr`,
    until: 'end',
    maxInstructions: DEFAULT_MAX_INSTRUCTIONS,
    seed: 0,
  };
  const run = new BootRun(config);
  const folder = mkdtempSync(join(tmpdir(), 'firstlight-compare-'));
  const { child, stub } = startQemu(run, withApic(cpuModel(cpu)), memoryMiB, folder);
  let warnings = '';
  child.stderr?.setEncoding('utf8').on('data', (more: string) => (warnings += more));
  child.on('exit', (code, signal) => (warnings += `QEMU ended with ${signal ?? code}\n`));
  const stop = (): boolean => child.kill('SIGKILL');
  process.once('exit', stop);
  const report: Report = { compared: 0, missed: 0, found: [] };
  try {
    const points = pointsOf(run);
    const again = OTHER_SEEDS.map((seed) => {
      const other = new BootRun({ ...config, seed });
      makeOther(other);
      return new Map(pointsOf(other).map((point) => [ripOf(point), point.registers]));
    });
    const gdb = await connect(child, stub);
    console.log(`${points.length} points in ${run.machine.engine.retired.toLocaleString('en')} instructions`);
    try {
      await follow(gdb, points, again, report);
    } finally {
      gdb.close();
    }
  } finally {
    stop();
    if (warnings !== '') console.log(warnings.trim());
    tell(report, values.all ?? false);
    rmSync(folder, { recursive: true, force: true });
  }
  return report.found.some(({ kind }) => kind === 'other') ? 1 : 0;
}

function tell({ found, compared, missed }: Report, all: boolean): void {
  for (const { point, difference, kind } of found) {
    if (kind !== 'other' && !all) continue;
    const { register, ours, theirs } = difference;
    const where = `after ${point.instructions.toLocaleString('en')} at ${hex(ripOf(point))}`;
    console.log(`${where}, ${register}: ${hex(ours)}, QEMU ${hex(theirs)}${kind === 'other' ? '' : ` (${kind})`}`);
  }
  const count = (kind: Kind): number => found.filter((one) => one.kind === kind).length;
  console.log(
    `${compared} points compared, ${missed} not come to by QEMU: ${count('other')} differences; allowed ${count('AF')} of AF, ` +
      `${count('machine')} of the machine`,
  );
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`compare-qemu: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 2;
}
