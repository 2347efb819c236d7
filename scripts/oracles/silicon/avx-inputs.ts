// The inputs of a form with a VEX prefix: vector and general registers and memory get values of the kind that the
// instruction takes, then MXCSR is drawn, then the entry in ADJUST makes the case worth having.
import { MemorySizeExt, OpKind, Register, RegisterExt } from 'iced-x86';
import { ARITHMETIC_FLAGS, backgroundAvx, BLOCK_BYTES, type FpuState, REGIONS } from '../../../test/vectors/layout.ts';
import type { AvxFamily } from '../../../test/vectors/avxFamilies.ts';
import { flagsDefinedBy } from './defined-flags.ts';
import type { Form } from './forms.ts';
import type { Input } from './inputs.ts';
import { type Lane, laneOf, lanes } from './lanes.ts';
import type { Random } from './random.ts';
import {
  backgroundState,
  blockOf,
  readMemory,
  regionOf,
  registerPart,
  type State,
  writeMemory,
  writePart,
} from './state.ts';
import { edgeValue, SHIFT_COUNTS } from './values.ts';
import { strings } from './vector-inputs.ts';

interface AvxDraft {
  form: Form;
  family: AvxFamily;
  state: State;
  fpu: FpuState & { upper: bigint[] };
  random: Random;
  /** Where the memory operand lies, once that is known. */
  address?: bigint;
}

// Registers and operands --------------------------------------------------------------------------------------------------

const isVector = (register: Register): boolean => RegisterExt.isXMM(register) || RegisterExt.isYMM(register);
const numberOf = (register: Register): number =>
  register - (RegisterExt.isYMM(register) ? Register.YMM0 : Register.XMM0);

/** Sets what the register's name covers. */
function setVector({ fpu }: AvxDraft, register: Register, value: bigint): void {
  fpu.xmm[numberOf(register)] = BigInt.asUintN(128, value);
  if (RegisterExt.isYMM(register)) fpu.upper[numberOf(register)] = BigInt.asUintN(128, value >> 128n);
}
const getVector = ({ fpu }: AvxDraft, register: Register): bigint => {
  const low = fpu.xmm[numberOf(register)] ?? 0n;
  return RegisterExt.isYMM(register) ? low | ((fpu.upper[numberOf(register)] ?? 0n) << 128n) : low;
};

const bitsOf = (draft: AvxDraft, operand: number): number => {
  const { instruction } = draft.form;
  if (instruction.opKind(operand) === OpKind.Memory) return 8 * MemorySizeExt.size(instruction.memorySize);
  return RegisterExt.isYMM(instruction.opRegister(operand)) ? 256 : 128;
};

/** A vector operand, in a register or in memory. */
function setOperand(draft: AvxDraft, operand: number, value: bigint): void {
  const { instruction } = draft.form;
  if (instruction.opKind(operand) === OpKind.Register) setVector(draft, instruction.opRegister(operand), value);
  else if (draft.address !== undefined) writeMemory(draft.state, draft.address, bitsOf(draft, operand), value);
}
function getOperand(draft: AvxDraft, operand: number): bigint {
  const { instruction } = draft.form;
  if (instruction.opKind(operand) === OpKind.Register) return getVector(draft, instruction.opRegister(operand));
  return draft.address === undefined ? 0n : readMemory(draft.state, draft.address, bitsOf(draft, operand));
}

function setOperands(draft: AvxDraft, lane: Lane): bigint | undefined {
  const { form, state, random } = draft;
  const { instruction } = form;
  let previous: bigint | undefined;
  for (let operand = 0; operand < instruction.opCount; operand++) {
    if (instruction.opKind(operand) !== OpKind.Register) continue;
    const register = instruction.opRegister(operand);
    if (isVector(register)) {
      previous = lanes(lane, RegisterExt.isYMM(register) ? 256 : 128, previous, random);
      setVector(draft, register, previous);
    } else if (RegisterExt.isGPR(register)) {
      const part = registerPart(register);
      if (part && !form.address?.registers.includes(part.index)) writePart(state, part, edgeValue(part.bits, random));
    }
  }
  return previous;
}

// Memory ------------------------------------------------------------------------------------------------------------------

/** The only ones that want their memory operand aligned, to its whole size. */
export const isAligned = (mnemonic: string): boolean => /^Vmov(aps|apd|dqa|ntps|ntpd|ntdqa?)$/.test(mnemonic);
const MISALIGNED_KEPT = 20;

function aimMemory(draft: AvxDraft, lane: Lane, previous: bigint | undefined, pageEnd: boolean): boolean {
  const { form, state, random } = draft;
  if (!form.address) return true;
  const bytes = MemorySizeExt.size(form.instruction.memorySize);
  const start = REGIONS[form.address.region].block;
  const atEnd = pageEnd && bytes > 1;
  const offset = atEnd ? BLOCK_BYTES - 1 - random.below(bytes - 1) : 0x40 + random.below(0x60);
  const align = isAligned(form.mnemonic) && !random.chance(MISALIGNED_KEPT) ? bytes : 1;
  const wanted = start + BigInt(offset - (offset % align));
  const address = form.address.solve(state, wanted, random);
  if (align > 1 && address % BigInt(align) !== 0n) return false;
  draft.address = address;
  blockOf(state, form.address.region);
  if (regionOf(address) === undefined) return false;
  if (!atEnd && regionOf(address + BigInt(bytes) - 1n) === undefined) return false;
  writeMemory(state, address, bytes * 8, lanes(lane, Math.max(bytes * 8, lane.bits), previous, random));
  return true;
}

const COMPUTES = new Set<AvxFamily>(['avx-float', 'fma']);

function drawMxcsr({ family, fpu, random }: AvxDraft): void {
  if (!random.chance(COMPUTES.has(family) ? 60 : 10)) return;
  const rounding = random.below(4) << 13;
  const flush = (random.chance(30) ? 0x8000 : 0) | (random.chance(30) ? 0x40 : 0);
  const sticky = random.chance(25) ? random.below(64) : 0;
  const masks = random.chance(20) ? random.below(64) : 63;
  fpu.mxcsr = rounding | flush | sticky | (masks << 7);
}

// Cases worth having ------------------------------------------------------------------------------------------------------

type Adjust = (draft: AvxDraft) => void;

const shiftByVector: Adjust = (draft) => {
  const { form, random } = draft;
  if (form.instruction.opKind(2) === OpKind.Immediate8 || random.chance(15)) return;
  setOperand(draft, 2, (random.bits(64) << 64n) | BigInt(random.pick(SHIFT_COUNTS)));
};

/** A count for each element, most of them below its size. */
const shiftEach =
  (bits: number): Adjust =>
  (draft) => {
    let value = 0n;
    for (let at = 0; at < bitsOf(draft, 0); at += bits) {
      const count = draft.random.chance(90) ? BigInt(draft.random.pick(SHIFT_COUNTS)) : draft.random.bits(bits);
      value |= count << BigInt(at);
    }
    setOperand(draft, 2, value);
  };

const anyNumbers =
  (operand: number): Adjust =>
  (draft) =>
    setOperand(draft, operand, (draft.random.bits(128) << 128n) | draft.random.bits(128));

/** Operands with no bit in common that counts, the one within the other, and none at all. */
const testedBits: Adjust = (draft) => {
  const { random } = draft;
  const all = (1n << 256n) - 1n;
  const first = (random.bits(128) << 128n) | random.bits(128);
  const some = (random.bits(128) << 128n) | random.bits(128);
  const pairs = [
    [first, (all ^ first) & some],
    [first, first & some],
    [first, 0n],
    [0n, first],
  ] as const;
  const pair = pairs[random.below(6)];
  pair?.forEach((value, operand) => setOperand(draft, operand, value));
};

/** Elements chosen at random, few, or none; where memory ends, often those that are not there are not chosen. */
function maskFor(draft: AvxDraft, bits: number, count: number): bigint {
  const { random } = draft;
  const share = random.pick([0, 20, 50, 80, 100]);
  let mask = 0n;
  for (let n = 0; n < count; n++) {
    const sign = random.chance(share) ? 1n : 0n;
    mask |= ((sign << BigInt(bits - 1)) | random.bits(bits - 1)) << BigInt(n * bits);
  }
  return mask;
}

const maskedMove =
  (bits: number): Adjust =>
  (draft) =>
    setOperand(draft, 1, maskFor(draft, bits, bitsOf(draft, 1) / bits));

/** Into the page before or behind the region's, where there is nothing, or to no address at all. */
function farIndex(bits: number, scale: number, random: Random): bigint {
  const distance = BigInt(Math.floor((0x1100 + random.below(0x700)) / scale));
  if (bits === 64 && random.chance(30)) return (1n << 56n) + distance;
  return random.chance(50) ? distance : -distance;
}

const gathered =
  (indexBits: number, bits: number): Adjust =>
  (draft) => {
    const { form, random } = draft;
    const { instruction } = form;
    setVector(draft, instruction.op2Register, maskFor(draft, bits, bitsOf(draft, 2) / bits));
    const reach = 0x60 / instruction.memoryIndexScale;
    const far = random.chance(10);
    let indices = 0n;
    for (let at = 0; at < (RegisterExt.isYMM(instruction.memoryIndex) ? 256 : 128); at += indexBits) {
      const near = BigInt(random.below(2 * reach) - reach);
      const index = far && random.chance(40) ? farIndex(indexBits, instruction.memoryIndexScale, random) : near;
      indices |= BigInt.asUintN(indexBits, index) << BigInt(at);
    }
    setVector(draft, instruction.memoryIndex, indices);
  };

const loadControl: Adjust = ({ state, random, address }) => {
  if (address === undefined) return;
  const value = random.chance(80) ? random.below(0x10000) : random.u32() & ~0x20000;
  writeMemory(state, address, 32, BigInt(value >>> 0));
};

const MASKED_STORE_BITS: Record<number, number> = {
  [OpKind.MemorySegDI]: 16,
  [OpKind.MemorySegEDI]: 32,
  [OpKind.MemorySegRDI]: 64,
};
const maskedStore: Adjust = ({ form, state, random }) => {
  const bits = MASKED_STORE_BITS[form.instruction.op0Kind] ?? 64;
  const region = bits === 16 ? 'L' : 'D';
  blockOf(state, region);
  state.regs[7] = form.mode === 64 ? random.bits(64) : random.bits(32);
  writePart(state, { index: 7, bits, high: false }, REGIONS[region].block + 0x40n + BigInt(random.below(0x60)));
};

// Fused multiplication and addition: an addend near the product's negative, so that all but the last bits cancel.

const cell = new DataView(new ArrayBuffer(8));
const toNumber = (bits: number, value: bigint): number => {
  if (bits === 64) {
    cell.setBigUint64(0, value);
    return cell.getFloat64(0);
  }
  cell.setUint32(0, Number(value));
  return cell.getFloat32(0);
};
const toBits = (bits: number, value: number): bigint => {
  if (bits === 64) {
    cell.setFloat64(0, value);
    return cell.getBigUint64(0);
  }
  cell.setFloat32(0, value);
  return BigInt(cell.getUint32(0));
};

const ORDERS: Record<string, readonly [number, number, number]> = { 132: [0, 2, 1], 213: [1, 0, 2], 231: [1, 2, 0] };

const fused: Adjust = (draft) => {
  const { form, random } = draft;
  const [x, y, z] = ORDERS[/\d{3}/.exec(form.mnemonic)?.[0] ?? '132'] ?? [0, 2, 1];
  const bits = form.mnemonic.endsWith('s') ? 32 : 64;
  const mask = (1n << BigInt(bits)) - 1n;
  let value = getOperand(draft, z);
  for (let at = 0; at < bitsOf(draft, z); at += bits) {
    if (!random.chance(45)) continue;
    const [a, b] = [x, y].map((operand) => toNumber(bits, (getOperand(draft, operand) >> BigInt(at)) & mask));
    const product = toBits(bits, (a ?? 0) * (b ?? 0) * (random.chance(80) ? -1 : 1));
    const near = random.chance(60) ? product : (product + random.bits(2) - 1n) & mask;
    value = (value & ~(mask << BigInt(at))) | (near << BigInt(at));
  }
  setOperand(draft, z, value);
};

const named = (names: readonly string[], adjust: Adjust): Record<string, Adjust> =>
  Object.fromEntries(names.map((name) => [name, adjust]));

const ADJUST: Record<string, Adjust> = {
  ...named(
    ['ll', 'rl', 'ra'].flatMap((kind) => ['w', 'd', 'q'].map((size) => `Vps${kind}${size}`)),
    shiftByVector,
  ),
  ...named(['Vpsllvd', 'Vpsrlvd', 'Vpsravd'], shiftEach(32)),
  ...named(['Vpsllvq', 'Vpsrlvq'], shiftEach(64)),
  ...named(['Vpermd', 'Vpermps'], anyNumbers(1)),
  ...named(['Vpermilps', 'Vpermilpd', 'Vpshufb'], (draft) => {
    if (draft.form.instruction.opKind(2) !== OpKind.Immediate8) anyNumbers(2)(draft);
  }),
  ...named(['Vpblendvb', 'Vblendvps', 'Vblendvpd'], anyNumbers(3)),
  ...named(['Vptest', 'Vtestps', 'Vtestpd'], testedBits),
  ...named(['Vmaskmovps', 'Vpmaskmovd'], maskedMove(32)),
  ...named(['Vmaskmovpd', 'Vpmaskmovq'], maskedMove(64)),
  ...named(['Vpgatherdd', 'Vgatherdps'], gathered(32, 32)),
  ...named(['Vpgatherdq', 'Vgatherdpd'], gathered(32, 64)),
  ...named(['Vpgatherqd', 'Vgatherqps'], gathered(64, 32)),
  ...named(['Vpgatherqq', 'Vgatherqpd'], gathered(64, 64)),
  Vmaskmovdqu: maskedStore,
  Vldmxcsr: loadControl,
};

const drawFlags = (index: number, random: Random): number => (index % 4 === 0 ? 0 : random.u32() & ARITHMETIC_FLAGS);

/** Makes the `index`th input of a form; undefined if the draw came out as one not worth having. */
export function makeAvxInput(
  form: Form,
  family: AvxFamily,
  index: number,
  random: Random,
  pageEnd: boolean,
): Input | undefined {
  const state = backgroundState(form.mode);
  const background = backgroundAvx();
  const fpu = { ...background, upper: background.upper ?? [] };
  state.fpu = fpu;
  const draft: AvxDraft = { form, family, state, fpu, random };
  state.rflags |= drawFlags(index, random);
  const lane = laneOf(form.mnemonic, random);
  const previous = setOperands(draft, lane);
  drawMxcsr(draft);
  if (!aimMemory(draft, lane, previous, pageEnd)) return undefined;
  ADJUST[form.mnemonic]?.(draft);
  if (family === 'fma') fused(draft);
  if (family === 'avx-strings') strings({ ...draft, family: 'sse4-string' });
  if (form.mode !== 64) state.regs = state.regs.map((value, at) => (at < 8 ? BigInt.asUintN(32, value) : 0n));
  return { state, flagsMask: flagsDefinedBy(form.instruction) };
}
