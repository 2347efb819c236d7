// Hardware task switches (SDM 3A chapter 8; 2A JMP, CALL, IRET, INT n). A switch has two halves: until the new task-state
// segment is taken, a fault belongs to the old task and nothing has changed; from then on it belongs to the new one, which
// then has all its registers, and of its segments those that had been found good.

import { CR0_PG, CR0_TS, DR6_BT } from '../../x86/control.ts';
import {
  SELECTOR_RPL,
  SELECTOR_TI,
  TASK16,
  TASK32,
  type TaskLayout,
  TSS_BUSY_BIT,
  TYPE,
} from '../../x86/descriptors.ts';
import { DEFINED_FLAGS, FLAGS } from '../../x86/flags.ts';
import { VECTOR } from '../../x86/vectors.ts';
import { type AccessBytes, type Cpu, type Fault, fault, isFault } from '../state/cpu.ts';
import * as at from '../state/layout.ts';
import { type CpuState, SEG, type SegmentIndex } from '../state/state.ts';
import { writeCr3 } from './control.ts';
import { linearMask } from './modes.ts';
import {
  checkStackSegment,
  type Found,
  findDescriptor,
  IMPLICIT,
  IMPLICIT_WRITE,
  isNull,
  loadCode,
  markAccessed,
  NULL_SEGMENT,
  segmentFrom,
  selectorError,
  vm86Segment,
} from './selectors.ts';

export type TaskSwitch = {
  /** The new task's descriptor, checked by findTask. */
  readonly task: Found;
  /** CALL and interrupts leave a way back; JMP and IRET do not. */
  readonly how: 'jump' | 'call' | 'return';
  /** What the old task goes on at, and its flags, once it runs again. */
  readonly returnRip: bigint;
  readonly flags: number;
  /** EXT bit for error codes. */
  readonly ext: number;
};

/** The new task runs. */
export type Switched = {
  readonly kind: 'switched';
  /** Size of what is pushed on its stack. */
  readonly bytes: 2 | 4;
  /** Met in the new task, before its first instruction. */
  readonly fault: Fault | undefined;
  /** The T bit of its TSS: #DB before its first instruction, if nothing else comes before. */
  readonly trap: Fault | undefined;
};

const isWide = (type: number): boolean => (type & 8) !== 0;
const layoutOf = (type: number): TaskLayout => (isWide(type) ? TASK32 : TASK16);

const AVAILABLE: readonly number[] = [TYPE.TSS16_AVAILABLE, TYPE.TSS32_AVAILABLE];
const BUSY: readonly number[] = [TYPE.TSS16_BUSY, TYPE.TSS32_BUSY];

/**
 * The descriptor of a TSS in the GDT, present and of the state wanted.
 * @param vector what else is raised: #GP, or #TS on the way back by IRET
 */
export const findTask = (
  cpu: Cpu,
  selector: number,
  ext: number,
  busy = false,
  vector: number = VECTOR.GP,
): Found | Fault => {
  const error = selectorError(selector, ext);
  if (selector & SELECTOR_TI) return fault('task-selector-in-ldt', vector, error);
  const found = findDescriptor(cpu, selector, { vector, ext });
  if (isFault(found)) return found;
  if (found.isSegment || !(busy ? BUSY : AVAILABLE).includes(found.type)) return fault('task-not-a-tss', vector, error);
  return found.present ? found : fault('task-not-present', VECTOR.NP, error);
};

/** The task that an IRET with NT goes back to, from the link field of the current TSS. */
export const previousTask = (cpu: Cpu): Found | Fault => {
  const link = cpu.readLinear(cpu.state.segment(SEG.TR).base & linearMask(cpu.state), 2, IMPLICIT);
  return isFault(link) ? link : findTask(cpu, Number(link), 0, true, VECTOR.TS);
};

/** Memory of a TSS or descriptor, by offset; the caller has looked at limits. */
const read = (cpu: Cpu, base: bigint, offset: number, bytes: AccessBytes): bigint | Fault =>
  cpu.readLinear((base + BigInt(offset)) & linearMask(cpu.state), bytes, IMPLICIT);
const write = (cpu: Cpu, base: bigint, offset: number, bytes: AccessBytes, value: bigint): Fault | undefined =>
  cpu.writeLinear((base + BigInt(offset)) & linearMask(cpu.state), bytes, value, IMPLICIT_WRITE);

/** The fault that a range of memory, less than a page, would meet, nothing accessed. */
const probe = (cpu: Cpu, base: bigint, first: number, last: number, writes: boolean): Fault | undefined => {
  const mask = linearMask(cpu.state);
  const start = (base + BigInt(first)) & mask;
  const lastPage = (base + BigInt(last)) & mask & ~0xfffn;
  for (const address of (start & ~0xfffn) === lastPage ? [start] : [start, lastPage]) {
    const page = cpu.translate(address, writes ? IMPLICIT_WRITE : IMPLICIT);
    if (isFault(page)) return page;
  }
  return undefined;
};

/** Everything in a TSS that a switch loads. */
type Image = {
  readonly rip: bigint;
  readonly flags: number;
  readonly registers: readonly bigint[];
  readonly selectors: readonly number[];
  readonly ldt: number;
  readonly cr3: bigint | undefined;
  readonly trap: boolean;
};

const readImage = (cpu: Cpu, base: bigint, layout: TaskLayout): Image | Fault => {
  const words: bigint[] = [];
  for (let n = 0; n < 10 + layout.segments; n++) {
    const value = read(cpu, base, layout.rip + n * layout.bytes, n < 10 ? layout.bytes : 2);
    if (isFault(value)) return value;
    words.push(value);
  }
  const ldt = read(cpu, base, layout.ldt, 2);
  if (isFault(ldt)) return ldt;
  const cr3 = layout.cr3 === undefined ? undefined : read(cpu, base, layout.cr3, 4);
  if (isFault(cr3)) return cr3;
  const trap = layout.trap === undefined ? 0n : read(cpu, base, layout.trap, 2);
  if (isFault(trap)) return trap;
  const [rip = 0n, flags = 0n, ...rest] = words;
  // A 16-bit TSS says nothing of the upper halves; processors fill them with ones.
  const upper = layout.bytes === 2 ? 0xffff_0000n : 0n;
  return {
    rip,
    flags: Number(flags),
    registers: rest.slice(0, 8).map((value) => value | upper),
    selectors: rest.slice(8).map(Number),
    ldt: Number(ldt),
    cr3,
    trap: (trap & 1n) !== 0n,
  };
};

/** ES, CS, SS, DS, FS, GS: the order in a TSS. */
const SEGMENTS: readonly SegmentIndex[] = [SEG.ES, SEG.CS, SEG.SS, SEG.DS, SEG.FS, SEG.GS];

const saveImage = (cpu: Cpu, layout: TaskLayout, rip: bigint, flags: number): Fault | undefined => {
  const { state } = cpu;
  const { base } = state.segment(SEG.TR);
  const registers = Array.from({ length: 8 }, (_, index) => state.reg(index));
  const selectors = SEGMENTS.slice(0, layout.segments).map((index) => BigInt(state.segment(index).selector));
  for (const [n, value] of [rip, BigInt(flags), ...registers, ...selectors].entries()) {
    const failed = write(cpu, base, layout.rip + n * layout.bytes, n < 10 ? layout.bytes : 2, value);
    if (failed) return failed;
  }
  return undefined;
};

/** Address of the descriptor's byte that holds the busy bit. */
const TYPE_BYTE = 5;

const setBusy = (cpu: Cpu, selector: number, busy: boolean): Fault | undefined => {
  const address = cpu.state.table(at.GDTR).base + BigInt(selector & 0xfff8);
  const old = read(cpu, address, TYPE_BYTE, 1);
  if (isFault(old)) return old;
  const cleared = old & ~BigInt(TSS_BUSY_BIT);
  return write(cpu, address, TYPE_BYTE, 1, busy ? cleared | BigInt(TSS_BUSY_BIT) : cleared);
};

/** Limits, and whether every page that the switch touches can be: what fails here fails in the old task. */
const checkMemory = (cpu: Cpu, { task, how, ext }: TaskSwitch): Fault | undefined => {
  const tr = cpu.state.segment(SEG.TR);
  const from = layoutOf(tr.attributes);
  const to = layoutOf(task.type);
  if (task.limit < to.limit) return fault('task-new-tss-limit', VECTOR.TS, selectorError(task.selector, ext));
  const savedEnd = from.rip + (10 + from.segments) * from.bytes - 1;
  if (tr.limit < savedEnd) return fault('task-old-tss-limit', VECTOR.TS, selectorError(tr.selector, ext));
  const gdt = cpu.state.table(at.GDTR).base;
  const busyAt = (selector: number): number => (selector & 0xfff8) + TYPE_BYTE;
  return (
    probe(cpu, task.base, 0, to.limit, false) ??
    (how === 'call' ? probe(cpu, task.base, 0, 1, true) : undefined) ??
    probe(cpu, tr.base, from.rip, savedEnd, true) ??
    (how === 'return' ? undefined : probe(cpu, gdt, busyAt(task.selector), busyAt(task.selector), true)) ??
    (how === 'call' ? undefined : probe(cpu, gdt, busyAt(tr.selector), busyAt(tr.selector), true))
  );
};

/** The old task's last writes: its state, its busy bit, the way back, and the new one's busy bit. */
const leaveTask = (cpu: Cpu, request: TaskSwitch): Fault | undefined => {
  const { task, how } = request;
  const tr = cpu.state.segment(SEG.TR);
  const flags = how === 'return' ? request.flags & ~FLAGS.NT : request.flags;
  return (
    (how === 'call' ? undefined : setBusy(cpu, tr.selector, false)) ??
    saveImage(cpu, layoutOf(tr.attributes), request.returnRip, flags) ??
    (how === 'call' ? write(cpu, task.base, 0, 2, BigInt(tr.selector)) : undefined) ??
    (how === 'return' ? undefined : setBusy(cpu, task.selector, true))
  );
};

/** Registers of the new task. Its segments have their selectors and nothing behind them yet. */
const loadRegisters = (state: CpuState, task: Found, image: Image, nested: boolean): void => {
  const tr = segmentFrom(task);
  state.setSegment(SEG.TR, { ...tr, attributes: tr.attributes | TSS_BUSY_BIT });
  state.setU64(at.CR0, state.u64(at.CR0) | CR0_TS);
  const dr7 = at.DR0 + 8 * 7;
  state.setU64(dr7, state.u64(dr7) & ~DR7_LOCAL);
  state.rip = image.rip;
  state.rflags = (image.flags & DEFINED_FLAGS) | (nested ? FLAGS.NT : 0);
  for (const [index, value] of image.registers.entries()) state.setReg(index, value);
  for (const [n, index] of SEGMENTS.entries()) state.setSegment(index, NULL_SEGMENT(image.selectors[n] ?? 0));
  state.setSegment(SEG.LDTR, NULL_SEGMENT(image.ldt));
  state.setU32(at.INTERRUPT_SHADOW, 0);
};

/** L0 to L3 belong to a task (SDM 3B 18.2.4). */
const DR7_LOCAL = 0x55n;

const loadLdt = (cpu: Cpu, selector: number, ext: number): Fault | undefined => {
  const error = selectorError(selector, ext);
  if (isNull(selector)) return undefined;
  if (selector & SELECTOR_TI) return fault('task-ldt-in-ldt', VECTOR.TS, error);
  const found = findDescriptor(cpu, selector, { vector: VECTOR.TS, ext });
  if (isFault(found)) return found;
  if (found.isSegment || found.type !== TYPE.LDT || !found.present) return fault('task-ldt-invalid', VECTOR.TS, error);
  cpu.state.setSegment(SEG.LDTR, segmentFrom(found));
  return undefined;
};

const loadTaskCode = (cpu: Cpu, selector: number, ext: number): Fault | undefined => {
  const error = selectorError(selector, ext);
  const level = selector & SELECTOR_RPL;
  if (isNull(selector)) return fault('task-code-null', VECTOR.TS, error);
  const found = findDescriptor(cpu, selector, { vector: VECTOR.TS, ext });
  if (isFault(found)) return found;
  if (!found.isCode) return fault('task-code-not-code', VECTOR.TS, error);
  if (found.isConforming ? found.dpl > level : found.dpl !== level) return fault('task-code-dpl', VECTOR.TS, error);
  if (!found.present) return fault('task-code-not-present', VECTOR.NP, error);
  const marked = markAccessed(cpu, found);
  if (marked) return marked;
  loadCode(cpu, found, level);
  return undefined;
};

const loadTaskStack = (cpu: Cpu, selector: number, ext: number): Fault | undefined => {
  const found = checkStackSegment(cpu, selector, cpu.state.cpl, VECTOR.TS, ext);
  if (isFault(found)) return found;
  const marked = markAccessed(cpu, found);
  if (marked) return marked;
  cpu.state.setSegment(SEG.SS, segmentFrom(found));
  return undefined;
};

const loadTaskData = (cpu: Cpu, index: SegmentIndex, selector: number, ext: number): Fault | undefined => {
  if (isNull(selector)) return undefined;
  const error = selectorError(selector, ext);
  const found = findDescriptor(cpu, selector, { vector: VECTOR.TS, ext });
  if (isFault(found)) return found;
  const weakest = Math.max(cpu.state.cpl, selector & SELECTOR_RPL);
  if (!found.isReadable || (!found.isConforming && weakest > found.dpl))
    return fault('task-data-invalid', VECTOR.TS, error);
  if (!found.present) return fault('task-data-not-present', VECTOR.NP, error);
  const marked = markAccessed(cpu, found);
  if (marked) return marked;
  cpu.state.setSegment(index, segmentFrom(found));
  return undefined;
};

const DATA: readonly SegmentIndex[] = [SEG.ES, SEG.DS, SEG.FS, SEG.GS];

/** Page tables, LDT and segments of the new task, one after the other until one is not good (SDM 3A table 8-1). */
const loadSegments = (cpu: Cpu, image: Image, ext: number): Fault | undefined => {
  const { state } = cpu;
  const selectorOf = (index: SegmentIndex): number => image.selectors[SEGMENTS.indexOf(index)] ?? 0;
  const vm86 = (image.flags & FLAGS.VM) !== 0;
  state.cpl = vm86 ? 3 : selectorOf(SEG.CS) & SELECTOR_RPL;
  if (vm86) for (const index of SEGMENTS) state.setSegment(index, vm86Segment(selectorOf(index)));
  const paged = (state.u64(at.CR0) & CR0_PG) !== 0n;
  const early =
    (paged && image.cr3 !== undefined ? writeCr3(cpu, image.cr3) : undefined) ?? loadLdt(cpu, image.ldt, ext);
  if (early || vm86) return early;
  const failed = loadTaskCode(cpu, selectorOf(SEG.CS), ext) ?? loadTaskStack(cpu, selectorOf(SEG.SS), ext);
  if (failed) return failed;
  for (const index of DATA) {
    const met = loadTaskData(cpu, index, selectorOf(index), ext);
    if (met) return met;
  }
  return undefined;
};

const TASK_TRAP: Fault = { ...fault('task-trap', VECTOR.DB), trap: true, dr6: DR6_BT };

/** Switches to a task. @returns a fault where the old task is still the current one */
export const switchTask = (cpu: Cpu, request: TaskSwitch): Switched | Fault => {
  const { state } = cpu;
  const { task, how, ext } = request;
  const layout = layoutOf(task.type);
  const refused = checkMemory(cpu, request);
  if (refused) return refused;
  // Saved before the new image is read: a task may be left and entered by one TSS.
  const failed = leaveTask(cpu, request);
  if (failed) return failed;
  const image = readImage(cpu, task.base, layout);
  if (isFault(image)) return image;
  loadRegisters(state, task, image, how === 'call');
  const met = loadSegments(cpu, image, ext);
  cpu.modeChanged();
  return { kind: 'switched', bytes: layout.bytes, fault: met, trap: image.trap ? TASK_TRAP : undefined };
};

/** Is the new task's instruction pointer inside its code segment? #GP(EXT) if not. */
export const checkTaskRip = ({ state }: Cpu, ext: number): Fault | undefined =>
  state.rip > BigInt(state.segment(SEG.CS).limit) ? fault('task-target-beyond-limit', VECTOR.GP, ext) : undefined;

/** A switch that an instruction asked for: what is raised before the new task's first instruction. */
export const switchByInstruction = (cpu: Cpu, request: Omit<TaskSwitch, 'flags' | 'ext'>): Fault | 'transfer' => {
  const switched = switchTask(cpu, { ...request, flags: cpu.state.rflags, ext: 0 });
  if (isFault(switched)) return switched;
  return switched.fault ?? checkTaskRip(cpu, 0) ?? switched.trap ?? 'transfer';
};
