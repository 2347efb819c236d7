// Memory operands of x87 instructions: read as 80-bit numbers, written from them.

import { type Instruction, MemorySize, OpKind } from 'iced-x86';
import { type Access, type AccessBytes, type Cpu, type Fault, isFault } from '../../state/cpu.ts';
import { F32, F64, F80, type Format, isNan, noFlags, ROUND, roundPack, unpack } from '../../float/softFloat.ts';
import { type MemoryPlace, memoryPlace, probeWrite, readAt, writeAt } from '../operands.ts';

export const hasMemory = (insn: Instruction): boolean => insn.op0Kind === OpKind.Memory;

export const placeOf = (cpu: Cpu, insn: Instruction): MemoryPlace | undefined =>
  hasMemory(insn) ? memoryPlace(cpu, insn) : undefined;

/** Signed integers by size in bytes. */
const INTEGER_BYTES: ReadonlyMap<MemorySize, AccessBytes> = new Map([
  [MemorySize.Int16, 2],
  [MemorySize.Int32, 4],
  [MemorySize.Int64, 8],
]);
/** Reals shorter than a register. */
const SHORT_FORMATS: ReadonlyMap<MemorySize, Format> = new Map([
  [MemorySize.Float32, F32],
  [MemorySize.Float64, F64],
]);

export const integerBytes = (insn: Instruction): AccessBytes | undefined => INTEGER_BYTES.get(insn.memorySize);
export const shortFormat = (insn: Instruction): Format | undefined => SHORT_FORMATS.get(insn.memorySize);
export const formatBytes = (format: Format): AccessBytes => (format === F32 ? 4 : 8);

/** The same number in 80 bits; NaNs stay signaling if they were. */
const widen = (bits: bigint, from: Format): bigint => {
  const value = unpack(bits, from);
  if (!isNan(value)) {
    const context = { rounding: ROUND.NEAREST, flags: noFlags() };
    if (value.kind !== 'infinity') return roundPack(value.sign, value.exponent, value.significand, false, F80, context);
  }
  const payload = value.significand << BigInt(F80.precision - from.precision);
  return (BigInt(value.sign) << 79n) | (0x7fffn << 64n) | payload;
};

/** A source operand in 80 bits; a denormal of 32 or 64 bits is none any more there. */
export type Source = { readonly bits: bigint; readonly denormal: boolean };

const fromSigned = (value: bigint): bigint => {
  const context = { rounding: ROUND.NEAREST, flags: noFlags() };
  return roundPack(value < 0n ? 1 : 0, 0, value < 0n ? -value : value, false, F80, context);
};

/** An integer of 16, 32 or 64 bits or a real of 32 or 64 bits. */
export const readShort = (cpu: Cpu, insn: Instruction, place: MemoryPlace): Source | Fault => {
  const format = shortFormat(insn);
  const bytes = format ? formatBytes(format) : (integerBytes(insn) ?? 8);
  const raw = readAt(cpu, place, 0, bytes);
  if (isFault(raw)) return raw;
  if (format === undefined) return { bits: fromSigned(BigInt.asIntN(8 * bytes, raw)), denormal: false };
  return { bits: widen(raw, format), denormal: unpack(raw, format).denormal };
};

/** Ten bytes at a displacement in an operand. */
export const readTen = (cpu: Cpu, place: MemoryPlace, displacement = 0, access: Access = {}): bigint | Fault => {
  const low = readAt(cpu, place, displacement, 8, access);
  if (isFault(low)) return low;
  const high = readAt(cpu, place, displacement + 8, 2, access);
  return isFault(high) ? high : (high << 64n) | low;
};

/** Ten bytes or none. */
export const writeTen = (cpu: Cpu, place: MemoryPlace, value: bigint): Fault | undefined =>
  probeWrite(cpu, place, 0, 10) ??
  writeAt(cpu, place, 0, 8, value & 0xffff_ffff_ffff_ffffn) ??
  writeAt(cpu, place, 8, 2, value >> 64n);
