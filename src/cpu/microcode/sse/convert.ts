// CVTxx: between single and double precision and signed integers, in general, XMM and MMX registers (SDM 1 11.4.1.3, 11.4.2).

import { type Instruction, MemorySize, Mnemonic as M, type Mnemonic, OpKind, Register } from 'iced-x86';
import { type AccessBytes, type Cpu, type Fault, isFault } from '../../state/cpu.ts';
import { convert, fromInteger, toInteger } from '../../float/convert.ts';
import { F32, F64, type FloatContext, type Format, ROUND } from '../../float/softFloat.ts';
import * as at from '../../state/layout.ts';
import { sseDenied } from '../fpuState.ts';
import { memoryPlace, next, readAt, readOperand, registerBytes, writeRegister } from '../operands.ts';
import type { Handler, Microresult } from '../result.ts';
import { enterMmx, mmx, setMmx } from '../x87/registers.ts';
import { pending } from '../x87/step.ts';
import { contextOf, settle } from './mxcsr.ts';
import { element, readSource, readXmm, withElements, writeXmm } from './vector.ts';

type Conversion = (value: bigint, context: FloatContext) => bigint;

const single: Conversion = (value, context) => convert(value, F64, F32, context);
const double: Conversion = (value, context) => convert(value, F32, F64, context);
const signed = (value: bigint): bigint => BigInt.asIntN(32, value);
const fromDword =
  (format: Format): Conversion =>
  (value, context) =>
    fromInteger(signed(value), format, context);
const toDword =
  (format: Format): Conversion =>
  (value, context) =>
    toInteger(value, format, 32, context);
const truncateToDword =
  (format: Format): Conversion =>
  (value, context) =>
    toInteger(value, format, 32, context, ROUND.ZERO);

/** Elements of the source become elements of the destination; `rest` says what becomes of the destination's others. */
type Plan = { from: number; to: number; lanes: number; rest: 'kept' | 'zero'; conversion: Conversion };

const converted = (cpu: Cpu, insn: Instruction, plan: Plan, source: bigint): Fault | Microresult => {
  const context = contextOf(cpu.state.u32(at.MXCSR));
  const results: bigint[] = [];
  for (let n = 0; n < plan.lanes; n++) results.push(plan.conversion(element(source, n, plan.from), context));
  const failed = settle(cpu, context.flags);
  if (failed) return failed;
  const destination = insn.opRegister(0);
  const rest = plan.rest === 'kept' ? readXmm(cpu.state, destination) : 0n;
  writeXmm(cpu.state, destination, withElements(rest, results, plan.to));
  return next(cpu, insn);
};

const vector =
  (plan: Plan): Handler =>
  (cpu, insn) => {
    const denied = sseDenied(cpu);
    if (denied) return denied;
    const source = readSource(cpu, insn, (plan.lanes * plan.from) >> 3);
    return isFault(source) ? source : converted(cpu, insn, plan, source);
  };

const packed = (from: number, to: number, conversion: Conversion): Handler =>
  vector({ from, to, lanes: 128 / Math.max(from, to), rest: 'zero', conversion });
const scalar = (from: number, to: number, conversion: Conversion): Handler =>
  vector({ from, to, lanes: 1, rest: 'kept', conversion });

/** CVTSI2SS and CVTSI2SD: from a general register or memory of 4 or 8 bytes. */
const fromGeneral =
  (format: Format): Handler =>
  (cpu, insn) => {
    const denied = sseDenied(cpu);
    if (denied) return denied;
    const bytes = sourceSize(insn);
    const source = readOperand(cpu, insn, 1, bytes);
    if (isFault(source)) return source;
    const conversion: Conversion = (value, context) => fromInteger(BigInt.asIntN(8 * bytes, value), format, context);
    return converted(cpu, insn, { from: 8 * bytes, to: format.width, lanes: 1, rest: 'kept', conversion }, source);
  };

const sourceSize = (insn: Instruction): AccessBytes =>
  insn.opKind(1) === OpKind.Register ? registerBytes(insn.opRegister(1)) : insn.memorySize === MemorySize.Int64 ? 8 : 4;

/** CVT(T)SS2SI and CVT(T)SD2SI: to a general register. */
const toGeneral =
  (format: Format, truncate: boolean): Handler =>
  (cpu, insn) => {
    const denied = sseDenied(cpu);
    if (denied) return denied;
    const source = readSource(cpu, insn, format.width >> 3);
    if (isFault(source)) return source;
    const context = contextOf(cpu.state.u32(at.MXCSR));
    const destination: Register = insn.opRegister(0);
    const rounding = truncate ? ROUND.ZERO : context.rounding;
    const bits = 8 * registerBytes(destination);
    const value = toInteger(element(source, 0, format.width), format, bits, context, rounding);
    const failed = settle(cpu, context.flags);
    if (failed) return failed;
    writeRegister(cpu.state, destination, value);
    return next(cpu, insn);
  };

const DWORDS = 2;

/** MMn, which makes it one: TOP is 0 from here on, whatever else becomes of the instruction. */
const readMmx = (cpu: Cpu, register: Register): bigint | Fault => {
  const stop = pending(cpu);
  if (stop) return stop;
  enterMmx(cpu.state);
  return mmx(cpu.state, register - Register.MM0);
};

/** CVTPI2PS and CVTPI2PD. From memory they leave the x87 state alone (SDM 2A CVTPI2PD). */
const fromMmx =
  (format: Format, rest: Plan['rest']): Handler =>
  (cpu, insn) => {
    const denied = sseDenied(cpu);
    if (denied) return denied;
    const isRegister = insn.opKind(1) === OpKind.Register;
    const source = isRegister ? readMmx(cpu, insn.opRegister(1)) : readAt(cpu, memoryPlace(cpu, insn), 0, 8);
    if (isFault(source)) return source;
    const plan: Plan = { from: 32, to: format.width, lanes: DWORDS, rest, conversion: fromDword(format) };
    return converted(cpu, insn, plan, source);
  };

/** CVT(T)PS2PI and CVT(T)PD2PI. */
const toMmx =
  (format: Format, conversion: Conversion): Handler =>
  (cpu, insn) => {
    const denied = sseDenied(cpu) ?? pending(cpu);
    if (denied) return denied;
    const source = readSource(cpu, insn, (DWORDS * format.width) >> 3);
    if (isFault(source)) return source;
    const context = contextOf(cpu.state.u32(at.MXCSR));
    enterMmx(cpu.state);
    const results = [0, 1].map((n) => conversion(element(source, n, format.width), context));
    const failed = settle(cpu, context.flags);
    if (failed) return failed;
    setMmx(cpu.state, insn.opRegister(0) - Register.MM0, withElements(0n, results, 32));
    return next(cpu, insn);
  };

/** Conversions and their handlers. */
export const CONVERSIONS: readonly (readonly [Mnemonic, Handler])[] = [
  [M.Cvtss2sd, scalar(32, 64, double)],
  [M.Cvtsd2ss, scalar(64, 32, single)],
  [M.Cvtps2pd, packed(32, 64, double)],
  [M.Cvtpd2ps, packed(64, 32, single)],
  [M.Cvtdq2ps, packed(32, 32, fromDword(F32))],
  [M.Cvtdq2pd, packed(32, 64, fromDword(F64))],
  [M.Cvtps2dq, packed(32, 32, toDword(F32))],
  [M.Cvttps2dq, packed(32, 32, truncateToDword(F32))],
  [M.Cvtpd2dq, packed(64, 32, toDword(F64))],
  [M.Cvttpd2dq, packed(64, 32, truncateToDword(F64))],
  [M.Cvtsi2ss, fromGeneral(F32)],
  [M.Cvtsi2sd, fromGeneral(F64)],
  [M.Cvtss2si, toGeneral(F32, false)],
  [M.Cvttss2si, toGeneral(F32, true)],
  [M.Cvtsd2si, toGeneral(F64, false)],
  [M.Cvttsd2si, toGeneral(F64, true)],
  [M.Cvtpi2ps, fromMmx(F32, 'kept')],
  [M.Cvtpi2pd, fromMmx(F64, 'zero')],
  [M.Cvtps2pi, toMmx(F32, toDword(F32))],
  [M.Cvttps2pi, toMmx(F32, truncateToDword(F32))],
  [M.Cvtpd2pi, toMmx(F64, toDword(F64))],
  [M.Cvttpd2pi, toMmx(F64, truncateToDword(F64))],
];
