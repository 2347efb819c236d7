// What single instructions need beyond edge values in their operands. An adjuster returns false to drop the draw: the
// manual leaves its result open, or it would leave the memory that a vector shows.
import { OpKind, Register } from 'iced-x86';
import { GPR } from '../../../src/x86/registers.ts';
import { codeAddress, REGIONS, RFLAGS_BITS, RSP } from '../../../test/vectors/layout.ts';
import { maskedCount } from './defined-flags.ts';
import { type Draft, operandBits, readOperand, writeOperand } from './draft.ts';
import { blockOf, readPart, type RegisterPart, writeMemory, writePart } from './state.ts';
import { edgeValue, SHIFT_COUNTS } from './values.ts';
import { adjustString } from './adjust-string.ts';

export type Adjust = (draft: Draft) => boolean | void;

const { RAX, RCX, RDX, RBX, RBP } = GPR;

const part = (index: number, bits: number, high = false): RegisterPart => ({ index, bits, high });

/** Count of a shift or rotate, unmasked: the immediate, CL, or 1. */
export function shiftCount(draft: Draft): number {
  const last = draft.form.instruction.opCount - 1;
  if (draft.form.instruction.opKind(last) === OpKind.Register) return Number(readPart(draft.state, part(RCX, 8)));
  return draft.form.instruction.immediate8;
}

const countInCl: Adjust = ({ form, state, random, index }) => {
  const last = form.instruction.opCount - 1;
  if (form.instruction.opKind(last) !== OpKind.Register || form.address?.registers.includes(RCX)) return;
  writePart(state, part(RCX, 8), BigInt(SHIFT_COUNTS[(index * 7) % SHIFT_COUNTS.length] ?? random.below(256)));
};

// SHLD and SHRD of 16 bits by more than 16: the result is undefined.
const doubleShift: Adjust = (draft) => {
  countInCl(draft);
  return operandBits(draft, 0) !== 16 || maskedCount(16, shiftCount(draft)) <= 16;
};

// The last operand is a count or an index whose low byte matters.
const countInOperand: Adjust = (draft) => {
  const low = BigInt(draft.random.pick(SHIFT_COUNTS));
  const rest = draft.random.bits(operandBits(draft, 2)) & ~0xffn;
  return writeOperand(draft, 2, rest | low);
};

// BEXTR's third operand: start in bits 0 to 7, length in bits 8 to 15 (Intel SDM vol. 2, BEXTR).
const bitField: Adjust = (draft) => {
  const { random } = draft;
  const control = BigInt(random.pick(SHIFT_COUNTS)) | (BigInt(random.pick(SHIFT_COUNTS)) << 8n);
  return writeOperand(draft, 2, control | (random.bits(operandBits(draft, 2)) & ~0xffffn));
};

// A bit string in memory: the register is a signed bit offset that may leave the operand, but not our block.
const bitString: Adjust = (draft) => {
  const { form, random, memory } = draft;
  if (!memory || form.instruction.opKind(1) !== OpKind.Register) return true;
  const offset = BigInt(random.below(0x50 * 8 + 0x38 * 8) - 0x38 * 8);
  return writeOperand(draft, 1, BigInt.asUintN(operandBits(draft, 1), offset));
};

// BSF and BSR of 0 leave the destination as it was (AMD APM vol. 3; Intel documents it since 2023). Vendors differ in
// the upper half of a 32-bit destination, so that is 0 there.
const bitScan: Adjust = (draft) => {
  if (draft.form.mode !== 64 || operandBits(draft, 0) !== 32 || readOperand(draft, 1) !== 0n) return true;
  const index = draft.form.instruction.op0Register - Register.EAX;
  if (draft.form.address?.registers.includes(index)) return false;
  draft.state.regs[index] = BigInt.asUintN(32, draft.state.regs[index] ?? 0n);
  return true;
};

function setDividend(draft: Draft, bits: number, dividend: bigint): void {
  const { state } = draft;
  if (bits === 8) return writePart(state, part(RAX, 16), BigInt.asUintN(16, dividend));
  writePart(state, part(RAX, bits), BigInt.asUintN(bits, dividend));
  writePart(state, part(RDX, bits), BigInt.asUintN(bits, dividend >> BigInt(bits)));
}

// Mostly divisions whose quotient fits, some on either side of the limit, some with anything.
const divide = (signed: boolean): Adjust => {
  return (draft) => {
    const { random, form } = draft;
    if (random.chance(15) || form.address?.registers.some((index) => index === RAX || index === RDX)) return;
    const bits = operandBits(draft, 0);
    const as = (value: bigint): bigint => (signed ? BigInt.asIntN(bits, value) : value);
    const divisor = as(edgeValue(bits, random));
    const quotient = as(edgeValue(bits, random));
    const size = divisor < 0n ? -divisor : divisor;
    const remainder = size === 0n ? 0n : random.bits(bits) % size;
    const product = quotient * divisor;
    setDividend(draft, bits, product < 0n ? product - remainder : product + remainder);
    writeOperand(draft, 0, BigInt.asUintN(bits, divisor));
  };
};

// Half of the time the comparison succeeds.
const compareExchange: Adjust = (draft) => {
  if (draft.form.address?.registers.includes(RAX) || draft.random.chance(50)) return;
  writePart(draft.state, part(RAX, operandBits(draft, 0)), readOperand(draft, 0));
};

const compareExchangeWide = (half: 32 | 64): Adjust => {
  return ({ state, random, memory, form }) => {
    if (!memory) return;
    // CMPXCHG16B wants 16-byte alignment (#GP otherwise): keep some of each.
    const value = edgeValue(half, random) | (edgeValue(half, random) << BigInt(half));
    writeMemory(state, memory.address, half * 2, value);
    if (random.chance(50) || form.address?.registers.some((index) => index === RAX || index === RDX)) return;
    writePart(state, part(RAX, half), BigInt.asUintN(half, value));
    writePart(state, part(RDX, half), value >> BigInt(half));
  };
};

// XLAT reads at rBX + AL; any AL must stay in the block.
const tableLookup: Adjust = ({ form, state, random }) => {
  const base = form.instruction.memoryBase;
  const bits = base === Register.RBX ? 64 : base === Register.EBX ? 32 : 16;
  const region = bits === 16 ? 'L' : bits === 64 && random.chance(30) ? 'H' : 'D';
  const target = REGIONS[region].block + BigInt(random.below(256));
  const table = target - readPart(state, part(RAX, 8));
  blockOf(state, region);
  state.regs[RBX] = bits === 64 ? BigInt.asUintN(64, table) : (random.bits(64) >> BigInt(bits)) << BigInt(bits);
  if (bits !== 64) writePart(state, part(RBX, bits), BigInt.asUintN(bits, table));
};

function stackPointer(draft: Draft): bigint {
  const { form, state, random } = draft;
  if (!form.address?.registers.includes(RSP)) state.regs[RSP] = REGIONS.S.block + 0x50n + BigInt(random.below(0x50));
  blockOf(state, 'S');
  return state.regs[RSP] ?? 0n;
}

// PUSH and POP and their like: an edge value lies on the stack.
const stack: Adjust = (draft) => {
  writeMemory(draft.state, stackPointer(draft), 64, edgeValue(64, draft.random));
};

// PUSHA and POPA move 32 bytes either way; the block holds them from any pointer that `stack` picks.
const stackAll: Adjust = (draft) => {
  const pointer = stackPointer(draft);
  for (let slot = 0n; slot < 8n; slot++) writeMemory(draft.state, pointer + slot * 4n, 32, edgeValue(32, draft.random));
};

// A flag image: anything but TF (it would trap the recorder) and AC (it would make the handler's own accesses trap).
const flagImage = ({ random }: Draft): bigint => random.bits(22) & ~BigInt(RFLAGS_BITS.TF | RFLAGS_BITS.AC);

const popFlags: Adjust = (draft) => {
  writeMemory(draft.state, stackPointer(draft), 64, flagImage(draft));
};

// ENTER copies older frame pointers from below rBP. The frame is small: the CPU may test the new top of the stack.
const enter: Adjust = (draft) => {
  const { state, random } = draft;
  blockOf(state, 'S');
  state.regs[RSP] = REGIONS.S.block + 0xc0n + BigInt(random.below(0x20));
  state.regs[RBP] = REGIONS.S.block + 0x60n + BigInt(random.below(0x40));
};

const leave: Adjust = ({ state, random }) => {
  blockOf(state, 'S');
  state.regs[RBP] = REGIONS.S.block + 0x60n + BigInt(random.below(0x40));
  writeMemory(state, state.regs[RBP] ?? 0n, 64, edgeValue(64, random));
};

/** An address in INT3 land that `bits` bits can hold. */
function landing(draft: Draft, bits: number): bigint {
  const { form, random } = draft;
  if (bits === 16 || form.mode === 16) return 0x4000n + BigInt(random.below(0x3f00));
  return codeAddress(form.mode) - 0x7000n + BigInt(random.below(0x6f00));
}

const jumpIndirect: Adjust = (draft) => {
  const bits = operandBits(draft, 0);
  if (bits === 0) return true;
  if (draft.form.instruction.op0Register === Register.RSP || draft.form.instruction.op0Register === Register.ESP)
    return false;
  return writeOperand(draft, 0, landing(draft, bits));
};

const call: Adjust = (draft) => {
  stackPointer(draft);
  return jumpIndirect(draft);
};

const returnNear: Adjust = (draft) => {
  const increment =
    draft.form.instruction.stackPointerIncrement -
    (draft.form.instruction.opCount > 0 ? draft.form.instruction.immediate16 : 0);
  const bits = increment * 8;
  // What stands above a 16- or 32-bit return address must not count.
  const above = edgeValue(64, draft.random) << BigInt(bits);
  writeMemory(draft.state, stackPointer(draft), 64, BigInt.asUintN(64, above | landing(draft, bits)));
};

// LOOP and JrCXZ: the counter at its turning points; above a 32-bit counter stands rubbish.
const counter = (draft: Draft): void => {
  const { state, random, form } = draft;
  const bits = /_RCX$|^Jrcxz/.test(form.name) ? 64 : /_ECX$|^Jecxz/.test(form.name) ? 32 : 16;
  const value = random.pick([0n, 0n, 1n, 1n, 2n, 5n, (1n << BigInt(bits)) - 1n, 1n << BigInt(bits - 1)]);
  state.regs[RCX] = random.bits(64);
  writePart(state, part(RCX, bits), value);
};

const bound: Adjust = (draft) => {
  const { state, random, memory } = draft;
  if (!memory) return true;
  const bits = operandBits({ ...draft, memory: undefined }, 0);
  const lower = BigInt.asIntN(bits, edgeValue(bits, random));
  const upper = lower + BigInt(random.below(20));
  writeMemory(state, memory.address, bits, BigInt.asUintN(bits, lower));
  writeMemory(state, memory.address + BigInt(bits / 8), bits, BigInt.asUintN(bits, upper));
  return writeOperand(draft, 0, BigInt.asUintN(bits, lower + BigInt(random.below(30) - 5)));
};

// A selector that Linux's GDT knows, the null one, one that CPL 3 may not load, or one beyond the table. The other null
// selectors, 1 to 3, are no use: the kernel's IRET to the signal handler would make them 0 before we see them.
const SELECTORS = [0x2b, 0x2b, 0x28, 0x33, 0x23, 0, 0, 0x10, 0x18, 0xf8, 0xffff];

const selectorOperand = (operand: number): Adjust => {
  return (draft) => {
    if (operandBits(draft, operand) === 0) return;
    writeOperand(draft, operand, BigInt(draft.random.pick(SELECTORS)));
  };
};

// ARPL compares the low two bits only.
const adjustPrivilege: Adjust = (draft) => {
  writeOperand(draft, 0, draft.random.bits(16));
  writeOperand(draft, 1, draft.random.bits(16));
};

const isSegment = (register: Register): boolean => register >= Register.ES && register <= Register.GS;

const moveSegment: Adjust = (draft) => {
  const { instruction } = draft.form;
  const loads = instruction.op0Kind === OpKind.Register && isSegment(instruction.op0Register);
  return loads ? selectorOperand(1)(draft) : undefined;
};

// PUSH of a selector may write 2 bytes only (Intel) or all (AMD): zeros under it make both the same.
const pushSegment: Adjust = (draft) => {
  const pointer = stackPointer(draft);
  writeMemory(draft.state, pointer - 8n, 64, 0n);
};

const push: Adjust = (draft) => (isSegment(draft.form.instruction.op0Register) ? pushSegment : stack)(draft);

const pop: Adjust = (draft) => {
  if (!isSegment(draft.form.instruction.op0Register)) return stack(draft);
  const above = edgeValue(64, draft.random) & ~0xffffn;
  writeMemory(draft.state, stackPointer(draft), 64, above | BigInt(draft.random.pick(SELECTORS)));
};

// LEA touches no memory, so its address may be anything.
const anyAddress: Adjust = ({ form, state, random }) => {
  state.blocks.clear();
  for (const index of form.address?.registers ?? []) state.regs[index] = edgeValue(64, random);
};

const CODE_SELECTORS = [0x33, 0x23, 0x33, 0x23, 0x30, 0x2b, 0, 0x10, 0xf8];

// Where a far transfer may go: 64-bit or 32-bit code below 4 GiB, or a selector that faults.
const farOffset = (draft: Draft, bits: number): bigint =>
  bits === 16 ? landing(draft, 16) : codeAddress(64) - 0x7000n + BigInt(draft.random.below(0x6f00));

const farPointerBits = (name: string): number => (/1664|q$|q_/.test(name) ? 64 : /1632|d$|d_/.test(name) ? 32 : 16);

const farIndirect: Adjust = (draft) => {
  const { memory, state, random, form } = draft;
  stackPointer(draft);
  writeMemory(state, (state.regs[RSP] ?? 0n) - 16n, 128, 0n);
  if (!memory) return;
  const bits = farPointerBits(form.name);
  writeMemory(state, memory.address, bits, farOffset(draft, bits));
  writeMemory(state, memory.address + BigInt(bits / 8), 16, BigInt(random.pick(CODE_SELECTORS)));
};

const loadFarPointer: Adjust = (draft) => {
  const { memory, state, random, form } = draft;
  if (!memory) return;
  const bits = farPointerBits(form.name);
  writeMemory(state, memory.address, bits, edgeValue(bits, random));
  writeMemory(state, memory.address + BigInt(bits / 8), 16, BigInt(random.pick(SELECTORS)));
};

const transfer = (near: Adjust): Adjust => {
  return (draft) => (/_(ptr|m)16/.test(draft.form.name) ? farIndirect : near)(draft);
};

const returnFar: Adjust = (draft) => {
  const bits = farPointerBits(draft.form.name);
  const pointer = stackPointer(draft);
  writeMemory(draft.state, pointer, bits, farOffset(draft, bits));
  writeMemory(draft.state, pointer + BigInt(bits / 8), bits, BigInt(draft.random.pick(CODE_SELECTORS)));
};

// IRET: in 64-bit mode rSP and SS are popped always.
const returnInterrupt: Adjust = (draft) => {
  const { state, random, form } = draft;
  returnFar(draft);
  const bits = farPointerBits(form.name);
  const slot = BigInt(bits / 8);
  const pointer = state.regs[RSP] ?? 0n;
  writeMemory(state, pointer + 2n * slot, bits, BigInt.asUintN(bits, flagImage(draft)));
  writeMemory(state, pointer + 3n * slot, bits, BigInt.asUintN(bits, random.bits(47)));
  writeMemory(state, pointer + 4n * slot, bits, 0x2bn);
};

export const ADJUST: Partial<Record<string, Adjust>> = {
  Shl: countInCl,
  Sal: countInCl,
  Shr: countInCl,
  Sar: countInCl,
  Rol: countInCl,
  Ror: countInCl,
  Rcl: countInCl,
  Rcr: countInCl,
  Shld: doubleShift,
  Shrd: doubleShift,
  Shlx: countInOperand,
  Shrx: countInOperand,
  Sarx: countInOperand,
  Bzhi: countInOperand,
  Bextr: bitField,
  Bt: bitString,
  Bts: bitString,
  Btr: bitString,
  Btc: bitString,
  Bsf: bitScan,
  Bsr: bitScan,
  Div: divide(false),
  Idiv: divide(true),
  Cmpxchg: compareExchange,
  Cmpxchg8b: compareExchangeWide(32),
  Cmpxchg16b: compareExchangeWide(64),
  Xlatb: tableLookup,
  Push: push,
  Pop: pop,
  Pusha: stackAll,
  Pushad: stackAll,
  Popa: stackAll,
  Popad: stackAll,
  Pushf: stack,
  Pushfd: stack,
  Pushfq: stack,
  Popf: popFlags,
  Popfd: popFlags,
  Popfq: popFlags,
  Enter: enter,
  Leave: leave,
  Jmp: transfer(jumpIndirect),
  Call: transfer(call),
  Ret: returnNear,
  Loop: counter,
  Loope: counter,
  Loopne: counter,
  Jcxz: counter,
  Jecxz: counter,
  Jrcxz: counter,
  Bound: bound,
  Lea: anyAddress,
  Mov: moveSegment,
  Lar: selectorOperand(1),
  Lsl: selectorOperand(1),
  Verr: selectorOperand(0),
  Verw: selectorOperand(0),
  Arpl: adjustPrivilege,
  Lds: loadFarPointer,
  Les: loadFarPointer,
  Lss: loadFarPointer,
  Lfs: loadFarPointer,
  Lgs: loadFarPointer,
  Retf: returnFar,
  Iret: returnInterrupt,
  Iretd: returnInterrupt,
  Iretq: returnInterrupt,
  ...Object.fromEntries(
    ['Movs', 'Cmps', 'Stos', 'Lods', 'Scas'].flatMap((name) =>
      ['b', 'w', 'd', 'q'].map((size) => [name + size, adjustString]),
    ),
  ),
};
