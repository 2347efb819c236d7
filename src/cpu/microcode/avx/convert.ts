// VCVTxx: between precisions and integers (SDM 2C), half precision too (F16C).

import { type Instruction, MemorySizeExt, Mnemonic as M, OpKind } from 'iced-x86';
import { type AccessBytes, type Fault, isFault } from '../../state/cpu.ts';
import { convert, fromInteger, toInteger } from '../../float/convert.ts';
import { F16, F32, F64, type FloatContext, type Format, ROUND, type Rounding } from '../../float/softFloat.ts';
import * as at from '../../state/layout.ts';
import { next, readOperand as readGeneral, registerBytes, writeRegister } from '../operands.ts';
import type { Handler } from '../result.ts';
import { contextOf, settle } from '../sse/mxcsr.ts';
import { element, withElements } from '../sse/vector.ts';
import type { Row } from './arithmetic.ts';
import { probeMemory, readOperand, readVector, registerBits, vex, writeMemory, writeVector } from './vector.ts';

type Conversion = (value: bigint, context: FloatContext) => bigint;

const single: Conversion = (value, context) => convert(value, F64, F32, context);
const double: Conversion = (value, context) => convert(value, F32, F64, context);
const fromDword =
  (format: Format): Conversion =>
  (value, context) =>
    fromInteger(BigInt.asIntN(32, value), format, context);
const toDword =
  (format: Format, rounding?: Rounding): Conversion =>
  (value, context) =>
    toInteger(value, format, 32, context, rounding ?? context.rounding);

const sourceBits = (insn: Instruction): number =>
  insn.opKind(1) === OpKind.Register ? registerBits(insn.opRegister(1)) : 8 * MemorySizeExt.size(insn.memorySize);

/** The wider of source and destination says how many elements there are. */
const lanesOf = (insn: Instruction, from: number, to: number): number =>
  from > to ? sourceBits(insn) / from : registerBits(insn.opRegister(0)) / to;

const packed = (from: number, to: number, conversion: Conversion): Handler =>
  vex((cpu, insn) => {
    const lanes = lanesOf(insn, from, to);
    const source = readOperand(cpu, insn, 1, (lanes * from) / 8);
    if (isFault(source)) return source;
    const context = contextOf(cpu.state.u32(at.MXCSR));
    const results: bigint[] = [];
    for (let n = 0; n < lanes; n++) results.push(conversion(element(source, n, from), context));
    const failed = settle(cpu, context.flags);
    if (failed) return failed;
    writeVector(cpu.state, insn.opRegister(0), withElements(0n, results, to));
    return next(cpu, insn);
  });

const scalar = (from: number, to: number, conversion: Conversion): Handler =>
  vex((cpu, insn) => {
    const source = readOperand(cpu, insn, 2, from / 8);
    if (isFault(source)) return source;
    const context = contextOf(cpu.state.u32(at.MXCSR));
    const result = conversion(element(source, 0, from), context);
    const failed = settle(cpu, context.flags);
    if (failed) return failed;
    const rest = readVector(cpu.state, insn.opRegister(1));
    writeVector(cpu.state, insn.opRegister(0), withElements(rest, [result], to));
    return next(cpu, insn);
  });

/** VCVTSI2SS and VCVTSI2SD: the integer is the third operand, a general register or memory. */
const fromGeneral = (format: Format): Handler =>
  vex((cpu, insn) => {
    const isRegister = insn.opKind(2) === OpKind.Register;
    const bytes = isRegister ? registerBytes(insn.opRegister(2)) : MemorySizeExt.size(insn.memorySize);
    const value = readGeneral(cpu, insn, 2, bytes as AccessBytes);
    if (isFault(value)) return value;
    const context = contextOf(cpu.state.u32(at.MXCSR));
    const result = fromInteger(BigInt.asIntN(8 * bytes, value), format, context);
    const failed = settle(cpu, context.flags);
    if (failed) return failed;
    const rest = readVector(cpu.state, insn.opRegister(1));
    writeVector(cpu.state, insn.opRegister(0), withElements(rest, [result], format.width));
    return next(cpu, insn);
  });

const toGeneral = (format: Format, rounding?: Rounding): Handler =>
  vex((cpu, insn) => {
    const source = readOperand(cpu, insn, 1, format.width / 8);
    if (isFault(source)) return source;
    const context = contextOf(cpu.state.u32(at.MXCSR));
    const bits = 8 * registerBytes(insn.opRegister(0));
    const low = element(source, 0, format.width);
    const value = toInteger(low, format, bits, context, rounding ?? context.rounding);
    const failed = settle(cpu, context.flags);
    if (failed) return failed;
    writeRegister(cpu.state, insn.opRegister(0), value);
    return next(cpu, insn);
  });

// Half precision --------------------------------------------------------------------------------------------------------

/** Denormal halves are numbers like others, whatever MXCSR says. */
const fromHalf: Conversion = (value, context) => {
  const { denormal } = context.flags;
  const result = convert(value, F16, F32, { ...context, denormalsAreZero: false });
  context.flags.denormal = denormal;
  return result;
};

const USES_MXCSR = 4;

/** Rounds as the immediate or MXCSR says; results may be denormal, whatever MXCSR says. */
const toHalf = (insn: Instruction): Conversion => {
  const control = insn.immediate8;
  return (value, context) => {
    const rounding = control & USES_MXCSR ? context.rounding : ((control & 3) as Rounding);
    return convert(value, F32, F16, { ...context, rounding, flushToZero: false });
  };
};

/** VCVTPS2PH: half as many bytes as the source's, to a register or memory. */
const storeHalves = vex((cpu, insn) => {
  const source = readVector(cpu.state, insn.opRegister(1));
  const lanes = registerBits(insn.opRegister(1)) / 32;
  const bytes = lanes === 4 ? 8 : 16;
  const toMemory = insn.opKind(0) === OpKind.Memory;
  const unwritable = toMemory ? probeMemory(cpu, insn, bytes) : undefined;
  if (unwritable) return unwritable;
  const context = contextOf(cpu.state.u32(at.MXCSR));
  const conversion = toHalf(insn);
  const results: bigint[] = [];
  for (let n = 0; n < lanes; n++) results.push(conversion(element(source, n, 32), context));
  const value = withElements(0n, results, 16);
  const failed: Fault | undefined = settle(cpu, context.flags);
  if (failed) return failed;
  if (!toMemory) writeVector(cpu.state, insn.opRegister(0), value);
  return (toMemory ? writeMemory(cpu, insn, bytes, value) : undefined) ?? next(cpu, insn);
});

/** Conversions of AVX and F16C and their handlers. */
export const AVX_CONVERSIONS: readonly Row[] = [
  [M.Vcvtss2sd, scalar(32, 64, double)],
  [M.Vcvtsd2ss, scalar(64, 32, single)],
  [M.Vcvtps2pd, packed(32, 64, double)],
  [M.Vcvtpd2ps, packed(64, 32, single)],
  [M.Vcvtdq2ps, packed(32, 32, fromDword(F32))],
  [M.Vcvtdq2pd, packed(32, 64, fromDword(F64))],
  [M.Vcvtps2dq, packed(32, 32, toDword(F32))],
  [M.Vcvttps2dq, packed(32, 32, toDword(F32, ROUND.ZERO))],
  [M.Vcvtpd2dq, packed(64, 32, toDword(F64))],
  [M.Vcvttpd2dq, packed(64, 32, toDword(F64, ROUND.ZERO))],
  [M.Vcvtsi2ss, fromGeneral(F32)],
  [M.Vcvtsi2sd, fromGeneral(F64)],
  [M.Vcvtss2si, toGeneral(F32)],
  [M.Vcvttss2si, toGeneral(F32, ROUND.ZERO)],
  [M.Vcvtsd2si, toGeneral(F64)],
  [M.Vcvttsd2si, toGeneral(F64, ROUND.ZERO)],
  [M.Vcvtph2ps, packed(16, 32, fromHalf)],
  [M.Vcvtps2ph, storeHalves],
];
