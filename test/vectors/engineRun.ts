// Runs one vector on our processor: long mode, CPL 3, the recorder's pages mapped as it had them, an IDT whose 256 gates
// each lead to a HLT of their own, so that an exception shows as the place where the processor came to rest.
import { Code } from 'iced-x86';
import { Engine } from '../../src/cpu/interpret/engine.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { GuestMemory } from '../../src/cpu/state/memory.ts';
import { SEG, type SegmentIndex } from '../../src/cpu/state/state.ts';
import { physAddr } from '../../src/bits/address.ts';
import { findModel } from '../../src/x86/models.ts';
import { vectorInfo } from '../../src/x86/vectors.ts';
import {
  CODE_REGIONS,
  codeAddress,
  FX_IMAGE_BYTES,
  fpuOfImage,
  fxImage,
  REGIONS,
  SEGMENT_NAMES,
  type SegmentName,
} from './layout.ts';
import type { VectorInput } from './load.ts';
import type { RunOutput } from './replay.ts';

const PAGE = 4096;
/** Physical addresses of our own things; the recorder's pages get frames from FRAMES on. */
const PML4 = 0x100000;
const TABLES = 0x101000;
const FRAMES = 0x200000;
const KERNEL = 0x80000; // mapped at KERNEL_LINEAR: GDT, LDT, TSS, IDT, handlers, stack
const KERNEL_LINEAR = 0xffff_8000_0000_0000n;
const GDT = 0;
const LDT = 0x800;
const TSS = 0x900;
const IDT = 0x1000;
const HANDLERS = 0x2000;
const STACK_TOP = 0x4000;
const PTE_P = 1n;
const PTE_RW = 2n;
const PTE_US = 4n;

export const memory = new GuestMemory([{ start: 0, end: 0x1000000 }]);
const frames = new Map<bigint, number>();
let nextTable = TABLES;
let nextFrame = FRAMES;

const put64 = (address: number, value: bigint): void => {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, value), true);
  memory.write(physAddr(address), bytes);
};
const get64 = (address: number): bigint => new DataView(memory.read(physAddr(address), 8).buffer).getBigUint64(0, true);

function map(linear: bigint, physical: number, rights: bigint): void {
  let table = PML4;
  for (const shift of [39n, 30n, 21n]) {
    const entry = table + 8 * Number((linear >> shift) & 511n);
    let value = get64(entry);
    if (!(value & PTE_P)) {
      value = BigInt(nextTable) | PTE_P | PTE_RW | PTE_US;
      nextTable += PAGE;
      put64(entry, value);
    }
    table = Number(value & 0xffff_f000n);
  }
  put64(table + 8 * Number((linear >> 12n) & 511n), BigInt(physical) | rights);
}

function mapUser(linear: bigint, writable: boolean): void {
  frames.set(linear, nextFrame);
  map(linear, nextFrame, PTE_P | PTE_US | (writable ? PTE_RW : 0n));
  nextFrame += PAGE;
}

const descriptor = (attributes: number): bigint => (BigInt(attributes) << 40n) | 0x000f_0000_0000_ffffn;
const DESCRIPTORS: Record<number, number> = { 0x08: 0xa09b, 0x10: 0xc093, 0x20: 0xc0fb, 0x28: 0xc0f3, 0x30: 0xa0fb };

function buildKernel(): void {
  for (let page = 0; page < 4; page++) map(KERNEL_LINEAR + BigInt(page * PAGE), KERNEL + page * PAGE, PTE_P | PTE_RW);
  for (const [selector, attributes] of Object.entries(DESCRIPTORS))
    put64(KERNEL + GDT + Number(selector), descriptor(attributes));
  put64(KERNEL + LDT, descriptor(0x80fb));
  // No I/O permission bitmap: its offset lies beyond the TSS's limit.
  put64(KERNEL + TSS + 0x60, 0x68n << 48n);
  put64(KERNEL + TSS + 4, KERNEL_LINEAR + BigInt(STACK_TOP));
  for (let vector = 0; vector < 256; vector++) {
    const handler = KERNEL_LINEAR + BigInt(HANDLERS + vector * 16);
    // Like Linux, only #BP and #OF may be raised by software from user mode.
    const dpl = vector === 3 || vector === 4 ? 3n : 0n;
    const low =
      (handler & 0xffffn) | (0x08n << 16n) | ((0x8e00n | (dpl << 13n)) << 32n) | (((handler >> 16n) & 0xffffn) << 48n);
    put64(KERNEL + IDT + vector * 16, low);
    put64(KERNEL + IDT + vector * 16 + 8, handler >> 32n);
    memory.write(physAddr(KERNEL + HANDLERS + vector * 16), Uint8Array.of(0xf4));
  }
}

buildKernel();
for (const region of CODE_REGIONS) {
  for (let page = region.address; page < region.address + region.length; page += 4096n) mapUser(page, false);
}
for (const { page } of Object.values(REGIONS)) mapUser(page, true);

let unimplemented: string | undefined;
const model = findModel('max');
if (!model) throw new Error("the model 'max' is gone");
export const engine = new Engine({
  memory,
  model,
  ports: { in: () => 0xff, out: () => {} },
  devices: { read: () => 0xffn, write: () => {}, emptyAccesses: 0 },
  random: () => 0n,
  timestamp: (retired) => retired,
  unimplemented: (what) => {
    unimplemented ??= what;
  },
  interruptRequested: () => false,
});

const frameOf = (linear: bigint): number => {
  const frame = frames.get(linear & ~0xfffn);
  if (frame === undefined) throw new Error(`nothing is mapped at 0x${linear.toString(16)}`);
  return frame + Number(linear & 0xfffn);
};

const INDEX: Record<SegmentName, SegmentIndex> = {
  es: SEG.ES,
  cs: SEG.CS,
  ss: SEG.SS,
  ds: SEG.DS,
  fs: SEG.FS,
  gs: SEG.GS,
};
const ATTRIBUTES: Record<number, number> = { 0x23: 0xc0fb, 0x2b: 0xc0f3, 0x33: 0xa0fb, 0x07: 0x80fb, 0: 0 };
const INT1 = 0xf1;
const INT3 = 0xcc;
const MAX_PIECES = 20000;

function setFpu(image: Uint8Array): void {
  const view = new DataView(image.buffer);
  for (let offset = 0; offset < FX_IMAGE_BYTES; offset += 8) {
    engine.state.setU64(at.FXSTATE + offset, view.getBigUint64(offset, true));
  }
}

function setUpper(upper: readonly bigint[]): void {
  upper.forEach((value, index) => {
    engine.state.setU64(at.YMM_HIGH + 16 * index, value);
    engine.state.setU64(at.YMM_HIGH + 16 * index + 8, value >> 64n);
  });
}

const upperOf = (index: number): bigint =>
  engine.state.u64(at.YMM_HIGH + 16 * index) | (engine.state.u64(at.YMM_HIGH + 16 * index + 8) << 64n);

function fpu(input: VectorInput): Pick<RunOutput, 'fpu' | 'unimplemented'> {
  if (!input.fpu) return {};
  const image = new DataView(new ArrayBuffer(FX_IMAGE_BYTES));
  for (let offset = 0; offset < FX_IMAGE_BYTES; offset += 8) {
    image.setBigUint64(offset, engine.state.u64(at.FXSTATE + offset), true);
  }
  const state = fpuOfImage(new Uint8Array(image.buffer));
  const upper = input.fpu.upper && { upper: input.fpu.upper.map((_, index) => upperOf(index)) };
  return { fpu: { ...state, ...upper }, unimplemented };
}

function enter(input: VectorInput): void {
  const { state } = engine;
  state.setU64(at.CR0, 0x8005_0033n);
  state.setU64(at.CR3, BigInt(PML4));
  state.setU64(at.CR4, 0x506a0n);
  state.setU64(at.XCR0, 7n);
  state.setU64(at.EFER, 0xd01n);
  state.setTable(at.GDTR, { base: KERNEL_LINEAR + BigInt(GDT), limit: 0x7f });
  state.setTable(at.IDTR, { base: KERNEL_LINEAR + BigInt(IDT), limit: 0xfff });
  state.setSegment(SEG.LDTR, { selector: 0x40, attributes: 0x82, base: KERNEL_LINEAR + BigInt(LDT), limit: 15 });
  state.setSegment(SEG.TR, { selector: 0x48, attributes: 0x8b, base: KERNEL_LINEAR + BigInt(TSS), limit: 0x67 });
  for (const name of SEGMENT_NAMES) {
    const selector = input.segments[name];
    const base = name === 'gs' ? input.gsBase : 0n;
    const attributes = ATTRIBUTES[selector];
    if (attributes === undefined) throw new Error(`selector 0x${selector.toString(16)} is not one of the recorder's`);
    state.setSegment(INDEX[name], { selector, attributes, base, limit: attributes ? 0xffffffff : 0 });
  }
  state.cpl = 3;
  input.regs.forEach((value, index) => {
    state.setReg(index, value);
  });
  state.rflags = input.rflags;
  state.rip = input.rip;
  if (input.fpu) setFpu(fxImage(input.fpu));
  if (input.fpu?.upper) setUpper(input.fpu.upper);
  unimplemented = undefined;
  state.setU32(at.HALTED, 0);
  state.setU32(at.INTERRUPT_SHADOW, 0);
  engine.modeChanged();
}

const codePages = CODE_REGIONS.flatMap((region) =>
  Array.from({ length: Number(region.length) / PAGE }, (_, page) => region.address + BigInt(page * PAGE)),
);
for (const page of codePages) memory.write(physAddr(frameOf(page)), new Uint8Array(PAGE).fill(INT3));

/** The instruction in place: the vectors of one instruction follow each other, and it is decoded once for all of them. */
let placed: Pick<VectorInput, 'rip' | 'code'> = { rip: codeAddress(64), code: new Uint8Array(0) };

function placeCode(input: VectorInput): void {
  if (placed.code === input.code && placed.rip === input.rip) return;
  memory.write(physAddr(frameOf(placed.rip)), new Uint8Array(placed.code.length).fill(INT3));
  memory.write(physAddr(frameOf(input.rip)), input.code);
  placed = input;
}

function placeMemory(input: VectorInput): void {
  placeCode(input);
  for (const { page } of Object.values(REGIONS)) {
    const host = memory.hostOf(frameOf(page)) as number;
    memory.bytes.fill(0, host, host + PAGE);
  }
  for (const { address, bytes } of input.memory) memory.write(physAddr(frameOf(address)), bytes);
}

/** What the vector has before its instruction, in the engine's state and in memory. */
export function prepare(input: VectorInput): void {
  placeMemory(input);
  enter(input);
}

/** By the engine's `step`: every handler is called through the table, and the budget ends the run. */
export function runStepped(input: VectorInput): RunOutput {
  prepare(input);
  const { state } = engine;
  for (let piece = 0; piece < MAX_PIECES; piece++) {
    engine.run(engine.retired + 1n);
    if (state.rip !== input.rip || state.cpl !== 3) break;
  }
  const output = state.cpl === 3 ? running(input) : stopped(input);
  return output;
}

/** Enough for the engine to use its run loop, whose hot handlers are inlined; what lies behind the instruction ends it. */
const LOOP_BUDGET = 2000n;
/** What is to be done at an INT3, and at an exception. */
let atEnd: { readonly trap: () => void; readonly fault: () => void } | undefined;
// The code pages are full of INT3: the engine stops before it does one.
engine.observe({
  choose: (insn) => insn.code === Code.Int3,
  instruction: () => atEnd?.trap(),
  fault: () => atEnd?.fault(),
});

/**
 * By the engine's `run`: the instruction is over when the next one is an INT3 or cannot be fetched. No vector jumps to
 * itself.
 */
export function runInLoop(input: VectorInput): RunOutput {
  prepare(input);
  const { state } = engine;
  let output: RunOutput | undefined;
  const look = (): void => {
    if (state.cpl !== 3 || state.rip === input.rip) return;
    output = running(input);
    engine.stop();
  };
  atEnd = {
    trap: look,
    fault: () => {
      look();
      engine.stop();
    },
  };
  for (let piece = 0; piece < MAX_PIECES; piece++) {
    engine.run(engine.retired + LOOP_BUDGET);
    if (output || state.cpl !== 3) break;
  }
  atEnd = undefined;
  output ??= stopped(input);
  return output;
}

const blocks = (input: VectorInput): RunOutput['memory'] =>
  input.memory.map(({ address, bytes }) => ({ address, bytes: memory.read(physAddr(frameOf(address)), bytes.length) }));

/** The recorder saw selectors after its kernel had come and gone, which turns every null selector into 0 (SDM 2A, IRET). */
const seen = (selector: number): number => (selector < 4 ? 0 : selector);
const selectors = (): Record<SegmentName, number> =>
  Object.fromEntries(SEGMENT_NAMES.map((name) => [name, seen(engine.state.segment(INDEX[name]).selector)])) as Record<
    SegmentName,
    number
  >;

const registers = (): bigint[] => Array.from({ length: 16 }, (_, index) => engine.state.reg(index));

/** What is there when no exception was delivered. */
export function running(input: VectorInput): RunOutput {
  const { state } = engine;
  return {
    regs: registers(),
    rflags: state.rflags,
    rip: state.rip,
    memory: blocks(input),
    segments: selectors(),
    ...fpu(input),
  };
}

/** An exception came: what it reported is on the handler's stack. */
function stopped(input: VectorInput): RunOutput {
  const { state } = engine;
  const vector = Number((state.rip - KERNEL_LINEAR - BigInt(HANDLERS)) >> 4n);
  const top = KERNEL + STACK_TOP;
  const errorCode = vectorInfo(vector).errorCode ? Number(get64(top - 48)) : undefined;
  const regs = registers();
  regs[4] = get64(top - 16);
  // INT1 is a trap: it reports the following instruction (SDM 2A, INT1). The recorder's hypervisor intercepts #DB and
  // gives it back without stepping over the instruction, so the recorded place is that of INT1 itself.
  const place = get64(top - 40);
  const rip = vector === 1 && input.code[0] === INT1 ? place - 1n : place;
  const segments = { ...selectors(), ss: Number(get64(top - 8)) & 0xffff, cs: Number(get64(top - 32)) & 0xffff };
  return {
    regs,
    rflags: Number(get64(top - 24)),
    rip,
    memory: blocks(input),
    vector,
    errorCode,
    cr2: vector === 14 ? state.u64(at.CR2) : undefined,
    segments,
    ...fpu(input),
  };
}
