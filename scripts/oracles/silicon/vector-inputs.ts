// The inputs of an x87, MMX or SSE form: its registers and memory get values of the kind that the instruction takes, then
// the control and status words are drawn, then `x87-inputs.ts` or the entry in ADJUST makes the case worth having.
import { MemorySizeExt, OpKind, Register, RegisterExt } from 'iced-x86';
import { ARITHMETIC_FLAGS, backgroundFpu, BLOCK_BYTES, type FpuState, REGIONS } from '../../../test/vectors/layout.ts';
import { flagsDefinedBy } from './defined-flags.ts';
import type { Form } from './forms.ts';
import type { Input } from './inputs.ts';
import { type Lane, laneOf, lanes } from './lanes.ts';
import type { Random } from './random.ts';
import { backgroundState, blockOf, regionOf, registerPart, type State, writeMemory, writePart } from './state.ts';
import { edgeValue, SHIFT_COUNTS } from './values.ts';
import type { VectorFamily } from './vector-families.ts';
import { drawX87, x87Memory } from './x87-inputs.ts';

export interface VectorDraft {
  form: Form;
  family: VectorFamily;
  state: State;
  fpu: FpuState;
  random: Random;
  /** Where the memory operand lies, once that is known. */
  address?: bigint;
}

const isXmm = (register: Register): boolean => RegisterExt.isXMM(register);
const isMm = (register: Register): boolean => RegisterExt.isMM(register);

// An MMX register is the low part of an x87 register; MMX leaves ones above it, other code leaves anything.
function setMm(fpu: FpuState, index: number, value: bigint, random: Random): void {
  const above = random.chance(70) ? 0xffffn : random.bits(16);
  fpu.physical[index] = (above << 64n) | value;
}

function setOperands({ form, state, fpu, random }: VectorDraft, lane: Lane): bigint | undefined {
  let previous: bigint | undefined;
  for (let operand = 0; operand < form.instruction.opCount; operand++) {
    if (form.instruction.opKind(operand) !== OpKind.Register) continue;
    const register = form.instruction.opRegister(operand);
    if (isXmm(register)) {
      previous = lanes(lane, 128, previous, random);
      fpu.xmm[register - Register.XMM0] = previous;
    } else if (isMm(register)) {
      previous = lanes(lane.bits > 64 ? { ...lane, bits: 64 } : lane, 64, previous, random);
      setMm(fpu, register - Register.MM0, previous, random);
    } else if (RegisterExt.isGPR(register)) {
      const part = registerPart(register);
      if (part && !form.address?.registers.includes(part.index)) writePart(state, part, edgeValue(part.bits, random));
    }
  }
  return previous;
}

const MISALIGNED_KEPT = 15;
/** Other operands may be half done when they fault, or name another byte of theirs in CR2. */
const AT_PAGE_END = [2, 4, 8, 16];

// False where the draw is dropped: most 16-byte operands should be aligned.
function aimMemory(draft: VectorDraft, lane: Lane, previous: bigint | undefined, pageEnd: boolean): boolean {
  const { form, state, random } = draft;
  if (!form.address) return true;
  const bytes = MemorySizeExt.size(form.instruction.memorySize);
  const start = REGIONS[form.address.region].block;
  const atEnd = pageEnd && AT_PAGE_END.includes(bytes);
  const offset = atEnd ? BLOCK_BYTES - Math.floor(bytes / 2) : 0x40 + random.below(bytes > 16 ? 0x30 : 0x60);
  const near = bytes === 16 && !atEnd && !random.chance(20) ? offset & ~15 : offset;
  const address = form.address.solve(state, start + BigInt(near), random);
  if (bytes === 16 && !atEnd && address % 16n !== 0n && !random.chance(MISALIGNED_KEPT)) return false;
  draft.address = address;
  blockOf(state, form.address.region);
  const end = address + BigInt(bytes) - 1n;
  if (regionOf(address) === undefined || (!atEnd && regionOf(end) === undefined)) return false;
  const value = x87Memory(draft) ?? lanes(lane, Math.max(bytes * 8, lane.bits), previous, random);
  writeMemory(state, address, bytes * 8, value);
  return true;
}

const COMPUTES = new Set<VectorFamily>(['sse-float', 'sse4-float', 'mmx']);

/** Rounding, flushing, sticky flags and masks; most of the time as programs have them. */
function drawMxcsr({ family, fpu, random }: VectorDraft): void {
  if (!random.chance(COMPUTES.has(family) ? 60 : 10)) return;
  const rounding = random.below(4) << 13;
  const flush = (random.chance(30) ? 0x8000 : 0) | (random.chance(30) ? 0x40 : 0);
  const sticky = random.chance(25) ? random.below(64) : 0;
  const masks = random.chance(25) ? random.below(64) : 63;
  fpu.mxcsr = rounding | flush | sticky | (masks << 7);
}

type Adjust = (draft: VectorDraft) => void;

const shiftByVector: Adjust = ({ form, state, fpu, random, address }) => {
  const count = BigInt(random.pick(SHIFT_COUNTS));
  const high = random.bits(64) << 64n;
  const { instruction } = form;
  const register = instruction.op1Register;
  if (instruction.op1Kind === OpKind.Immediate8 || random.chance(15)) return;
  if (instruction.op1Kind === OpKind.Register) {
    if (isXmm(register)) fpu.xmm[register - Register.XMM0] = high | count;
    else setMm(fpu, register - Register.MM0, count, random);
    return;
  }
  if (address !== undefined) writeMemory(state, address, 64, count);
};

const maskedStore: Adjust = ({ form, state, random }) => {
  const kinds: Record<number, number> = {
    [OpKind.MemorySegDI]: 16,
    [OpKind.MemorySegEDI]: 32,
    [OpKind.MemorySegRDI]: 64,
  };
  const bits = kinds[form.instruction.op0Kind] ?? 64;
  const region = bits === 16 ? 'L' : 'D';
  blockOf(state, region);
  const above = form.mode === 64 ? random.bits(64) : random.bits(32);
  state.regs[7] = above;
  writePart(state, { index: 7, bits, high: false }, REGIONS[region].block + 0x40n + BigInt(random.below(0x60)));
};

/** AMD's MXCSR.MM. */
const MISALIGNED_SSE = 0x20000;

/** The control and status register's own instructions: reserved bits are #GP. */
const loadControl: Adjust = ({ state, random, address }) => {
  if (address === undefined) return;
  const value = random.chance(80) ? random.below(0x10000) : random.u32() & ~MISALIGNED_SSE;
  writeMemory(state, address, 32, BigInt(value >>> 0));
};

/** The two vector operands of an instruction; what is not in a register is in memory. */
function setBoth({ form, state, fpu, address }: VectorDraft, first: bigint, second: bigint): void {
  const { instruction } = form;
  fpu.xmm[instruction.op0Register - Register.XMM0] = first;
  if (instruction.op1Kind === OpKind.Register) fpu.xmm[instruction.op1Register - Register.XMM0] = second;
  else if (address !== undefined) writeMemory(state, address, 128, second);
}

/** Operands with no bit in common, the one within the other, and none at all. */
const testedBits: Adjust = (draft) => {
  const { random } = draft;
  const first = random.bits(128);
  const kind = random.below(8);
  const some = random.bits(128) & random.bits(128);
  if (kind === 0) setBoth(draft, first, BigInt.asUintN(128, ~first) & some);
  if (kind === 1) setBoth(draft, first, first & some);
  if (kind === 2) setBoth(draft, first, 0n);
  if (kind === 3) setBoth(draft, 0n, first);
};

/** XMM0 says which elements are taken. */
const blendMask: Adjust = ({ form, fpu, random }) => {
  const { instruction } = form;
  const named = [instruction.op0Register, instruction.op1Register].includes(Register.XMM0);
  if (!named) fpu.xmm[0] = random.bits(128);
};

/** Sixteen bytes or eight words of few different values, so that there is something to be found; now and then an end. */
function text(words: boolean, random: Random): bigint {
  const bits = words ? 16 : 8;
  const letters = 2 + random.below(random.chance(50) ? 3 : 40);
  const base = random.pick([0x61n, 0x7en, 0x7ffen, 0xfffen, 0x0n]);
  const ends = random.chance(60) ? 8 : 0;
  let value = 0n;
  for (let at = 0; at < 128; at += bits) {
    const letter = random.chance(ends) ? 0n : base + BigInt(random.below(letters));
    value |= BigInt.asUintN(bits, letter) << BigInt(at);
  }
  return value;
}

const LENGTHS = [0n, 1n, 7n, 8n, 9n, 15n, 16n, 17n, -1n, -7n, -8n, -9n, -16n, -17n, 1n << 31n, -(1n << 31n), 1n << 63n];

const textLength = (random: Random): bigint => {
  if (random.chance(35)) return random.pick(LENGTHS);
  const length = BigInt(random.below(17));
  const signed = random.chance(20) ? -length : length;
  return random.chance(15) ? (random.bits(32) << 32n) | BigInt.asUintN(32, signed) : signed;
};

/** What strings of half the time are a part of the other's. */
export const strings: Adjust = (draft) => {
  const { form, state, random } = draft;
  const words = (form.instruction.immediate8 & 1) === 1;
  const second = text(words, random);
  const moved = second >> BigInt(8 * (words ? 2 : 1) * random.below(8));
  setBoth(draft, random.chance(40) ? moved : text(words, random), second);
  if (!/^V?pcmpestr/i.test(form.mnemonic)) return;
  for (const index of [0, 2]) state.regs[index] = BigInt.asUintN(64, textLength(random));
};

const ADJUST: Record<string, Adjust> = {
  Ptest: testedBits,
  Pblendvb: blendMask,
  Blendvps: blendMask,
  Blendvpd: blendMask,
  ...Object.fromEntries(
    ['Pcmpestri', 'Pcmpestri64', 'Pcmpestrm', 'Pcmpestrm64', 'Pcmpistri', 'Pcmpistrm'].map((name) => [name, strings]),
  ),
  ...Object.fromEntries(
    ['ll', 'rl', 'ra'].flatMap((kind) => ['w', 'd', 'q'].map((size) => [`Ps${kind}${size}`, shiftByVector])),
  ),
  Maskmovdqu: maskedStore,
  Maskmovq: maskedStore,
  Ldmxcsr: loadControl,
};

function drawFlags(index: number, random: Random): number {
  return index % 4 === 0 ? 0 : random.u32() & ARITHMETIC_FLAGS;
}

/** Makes the `index`th input of a form; undefined if the draw came out as one not worth having or not defined. */
export function makeVectorInput(
  form: Form,
  family: VectorFamily,
  index: number,
  random: Random,
  pageEnd: boolean,
): Input | undefined {
  const state = backgroundState(form.mode);
  const fpu = backgroundFpu();
  state.fpu = fpu;
  const draft: VectorDraft = { form, family, state, fpu, random };
  state.rflags |= drawFlags(index, random);
  const lane = laneOf(form.mnemonic, random);
  const isX87 = family === 'x87' || family === 'transcendental' || family === 'fisttp';
  if (!drawX87(draft, isX87)) return undefined;
  const previous = isX87 ? undefined : setOperands(draft, lane);
  drawMxcsr(draft);
  if (!aimMemory(draft, lane, previous, pageEnd)) return undefined;
  ADJUST[form.mnemonic]?.(draft);
  if (form.mode !== 64) state.regs = state.regs.map((value, at) => (at < 8 ? BigInt.asUintN(32, value) : 0n));
  return { state, flagsMask: flagsDefinedBy(form.instruction) };
}
