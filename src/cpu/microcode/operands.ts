// Operands of a decoded instruction: registers by their iced-x86 names, and memory through segmentation (SDM 3A 5.3).

import type { ReasonId } from '../../x86/reasons.ts';
import { type Instruction, OpKind, Register } from 'iced-x86';
import { ATTR_CODE, ATTR_DB, ATTR_DC, ATTR_P, ATTR_RW } from '../../x86/descriptors.ts';
import { VECTOR } from '../../x86/vectors.ts';
import { type Access, type AccessBytes, type Cpu, type Fault, fault, isFault } from '../state/cpu.ts';
import { type CpuState, SEG, type SegmentIndex } from '../state/state.ts';
import { codeMask, isCanonical, isProtected, linearMask, MASK16, MASK32, MASK64 } from './modes.ts';
import type { Microresult } from './result.ts';

/** #GP(0), #UD and #NM, each with the check that failed. */
export const gp0 = (reason: ReasonId): Fault => fault(reason, VECTOR.GP, 0);
export const ud = (reason: ReasonId): Fault => fault(reason, VECTOR.UD);
export const nm = (reason: ReasonId): Fault => fault(reason, VECTOR.NM);

/** Steps to the following instruction. */
export const next = (cpu: Cpu, insn: Instruction): Microresult => {
  const { state } = cpu;
  state.rip = (state.rip + BigInt(insn.length)) & codeMask(state);
  return 'next';
};

/** Offset of the following instruction. */
export const nextRip = (cpu: Cpu, insn: Instruction): bigint =>
  (cpu.state.rip + BigInt(insn.length)) & codeMask(cpu.state);

type Place = { index: number; bytes: AccessBytes; high: boolean };

const range = (first: Register, bytes: AccessBytes): [Register, Place][] =>
  Array.from({ length: 16 }, (_, index) => [(first + index) as Register, { index, bytes, high: false }]);

/** iced numbers AL..BL, AH..BH, SPL..R15L in a row: 20 of them, the others by 16. */
const BYTE_REGISTERS: [Register, Place][] = Array.from({ length: 20 }, (_, n) => [
  (Register.AL + n) as Register,
  { index: n < 4 ? n : n - 4, bytes: 1, high: n >= 4 && n < 8 },
]);

const PLACES = new Map<Register, Place>([
  ...BYTE_REGISTERS,
  ...range(Register.AX, 2),
  ...range(Register.EAX, 4),
  ...range(Register.RAX, 8),
]);

const placeOf = (register: Register): Place => {
  const place = PLACES.get(register);
  if (place === undefined) throw new RangeError(`not a general register: ${register}`);
  return place;
};

export const registerBytes = (register: Register): AccessBytes => placeOf(register).bytes;

export const readRegister = (state: CpuState, register: Register): bigint => {
  const { index, bytes, high } = placeOf(register);
  return BigInt.asUintN(8 * bytes, state.reg(index) >> (high ? 8n : 0n));
};

/** Writes of 32 bits clear the upper half, smaller ones leave the rest as it is (SDM 1 3.4.1.1). */
export const writeRegister = (state: CpuState, register: Register, value: bigint): void => {
  const { index, bytes, high } = placeOf(register);
  if (bytes >= 4) return state.setReg(index, BigInt.asUintN(8 * bytes, value));
  const shift = high ? 8n : 0n;
  const mask = (bytes === 1 ? 0xffn : MASK16) << shift;
  return state.setReg(index, (state.reg(index) & ~mask) | ((value << shift) & mask));
};

const SEGMENT_OF: Readonly<Partial<Record<Register, SegmentIndex>>> = {
  [Register.ES]: SEG.ES,
  [Register.CS]: SEG.CS,
  [Register.SS]: SEG.SS,
  [Register.DS]: SEG.DS,
  [Register.FS]: SEG.FS,
  [Register.GS]: SEG.GS,
};
export const segmentOf = (register: Register): SegmentIndex => {
  const index = SEGMENT_OF[register];
  if (index === undefined) throw new RangeError(`not a segment register: ${register}`);
  return index;
};

/** What a segment adds to an offset: in 64-bit mode nothing but for FS and GS. */
export const segmentBaseOf = (state: CpuState, register: Register): bigint => {
  const index = segmentOf(register);
  return state.mode64 && index !== SEG.FS && index !== SEG.GS ? 0n : state.segment(index).base;
};

/** Mask of the address size the memory operand was encoded with. */
const addressMask = (insn: Instruction): bigint => {
  const named = insn.memoryBase !== Register.None ? insn.memoryBase : insn.memoryIndex;
  const bytes =
    named === Register.None
      ? insn.memoryDisplSize
      : named === Register.RIP
        ? 8
        : named === Register.EIP
          ? 4
          : registerBytes(named);
  return bytes === 8 ? MASK64 : bytes === 4 ? MASK32 : MASK16;
};

export type MemoryPlace = { segment: SegmentIndex; offset: bigint; mask: bigint };

/** Segment and offset of the instruction's memory operand. */
export const memoryPlace = (cpu: Cpu, insn: Instruction): MemoryPlace => {
  const { state } = cpu;
  const mask = addressMask(insn);
  let offset = insn.memoryDisplacement;
  // iced gives RIP-relative operands as absolute addresses, counted from wherever it was told the instruction is.
  if (insn.memoryBase === Register.RIP || insn.memoryBase === Register.EIP) {
    offset += state.rip + BigInt(insn.length) - insn.nextIP;
  } else if (insn.memoryBase !== Register.None) {
    offset += readRegister(state, insn.memoryBase);
  }
  if (insn.memoryIndex !== Register.None) {
    offset += readRegister(state, insn.memoryIndex) * BigInt(insn.memoryIndexScale);
  }
  return { segment: segmentOf(insn.memorySegment), offset: offset & mask, mask };
};

/** Is the access inside the segment's limit, and does its type allow it? (SDM 3A 5.3, 5.5; protected-mode types only) */
const segmentAllows = (
  state: CpuState,
  index: SegmentIndex,
  offset: bigint,
  bytes: number,
  write: boolean,
): boolean => {
  const { attributes, limit } = state.segment(index);
  if (isProtected(state)) {
    if ((attributes & ATTR_P) === 0) return false;
    const readable = (attributes & ATTR_CODE) === 0 || (attributes & ATTR_RW) !== 0;
    const writable = (attributes & (ATTR_CODE | ATTR_RW)) === ATTR_RW;
    // A code segment kept from real mode has data attributes and is writable until it is reloaded, as on a processor.
    if (write ? !writable : !readable) return false;
  }
  const first = Number(offset);
  const last = first + bytes - 1;
  const expandDown = (attributes & (ATTR_CODE | ATTR_DC)) === ATTR_DC;
  if (!expandDown) return last <= limit;
  return first > limit && last <= (attributes & ATTR_DB ? 0xffff_ffff : 0xffff);
};

/** Linear address of `bytes` bytes at an offset in a segment, with every check of segmentation. */
export const linearAddress = (
  cpu: Cpu,
  segment: SegmentIndex,
  offset: bigint,
  bytes: number,
  write: boolean,
): bigint | Fault => {
  const { state } = cpu;
  const violation = segment === SEG.SS ? VECTOR.SS : VECTOR.GP;
  if (!state.mode64) {
    if (!segmentAllows(state, segment, offset, bytes, write)) return fault('segment-limit', violation, 0);
    return (state.segment(segment).base + offset) & MASK32;
  }
  const base = segment === SEG.FS || segment === SEG.GS ? state.segment(segment).base : 0n;
  const linear = (base + offset) & MASK64;
  const last = (linear + BigInt(bytes - 1)) & MASK64;
  return isCanonical(state, linear) && isCanonical(state, last) ? linear : fault('address-not-canonical', violation, 0);
};

/** @param access `unaligned` for parts of a larger operand */
export const readAt = (
  cpu: Cpu,
  place: MemoryPlace,
  displacement: number,
  bytes: AccessBytes,
  access: Access = {},
): bigint | Fault => {
  const offset = (place.offset + BigInt(displacement)) & place.mask;
  const linear = linearAddress(cpu, place.segment, offset, bytes, false);
  return isFault(linear) ? linear : cpu.readLinear(linear, bytes, access);
};

export const writeAt = (
  cpu: Cpu,
  place: MemoryPlace,
  displacement: number,
  bytes: AccessBytes,
  value: bigint,
  access: Access = {},
): Fault | undefined => {
  const offset = (place.offset + BigInt(displacement)) & place.mask;
  const linear = linearAddress(cpu, place.segment, offset, bytes, true);
  return isFault(linear) ? linear : cpu.writeLinear(linear, bytes, value, access);
};

/** The fault that writing there would meet, nothing written. */
export const probeWrite = (cpu: Cpu, place: MemoryPlace, displacement: number, bytes: number): Fault | undefined => {
  const offset = (place.offset + BigInt(displacement)) & place.mask;
  const linear = linearAddress(cpu, place.segment, offset, bytes, true);
  return isFault(linear) ? linear : probeLinear(cpu, linear, bytes);
};

/** As probeWrite, for a linear address whose segment has been checked. */
export const probeLinear = (cpu: Cpu, linear: bigint, bytes: number): Fault | undefined => {
  const first = cpu.translate(linear, { write: true });
  if (isFault(first)) return first;
  const end = (linear + BigInt(bytes - 1)) & linearMask(cpu.state);
  if (end >> 12n === linear >> 12n) return undefined;
  const last = cpu.translate((end >> 12n) << 12n, { write: true });
  return isFault(last) ? last : undefined;
};

/** Value of an operand: a register whole, or `bytes` of memory. */
export const readOperand = (cpu: Cpu, insn: Instruction, operand: 0 | 1 | 2, bytes: AccessBytes): bigint | Fault => {
  if (insn.opKind(operand) === OpKind.Register) {
    return BigInt.asUintN(8 * bytes, readRegister(cpu.state, insn.opRegister(operand)));
  }
  return readAt(cpu, memoryPlace(cpu, insn), 0, bytes);
};

/** Writes a register operand whole (the value zero-extended), or `bytes` of memory. */
export const writeOperand = (
  cpu: Cpu,
  insn: Instruction,
  operand: 0 | 1,
  bytes: AccessBytes,
  value: bigint,
): Fault | undefined => {
  if (insn.opKind(operand) === OpKind.Register) {
    writeRegister(cpu.state, insn.opRegister(operand), value);
    return undefined;
  }
  return writeAt(cpu, memoryPlace(cpu, insn), 0, bytes, value);
};

/** #GP(0) for an instruction of privilege level 0 outside it. */
export const supervisorOnly = (cpu: Cpu): Fault | undefined =>
  cpu.state.cpl === 0 ? undefined : gp0('privileged-instruction');
