// SSE3 and SSE4.1 arithmetic on the elements of 16 bytes that is not element by element: ADDSUBPx, HADDPx, HSUBPx, DPPx,
// and ROUNDxx.

import { type Mnemonic, Mnemonic as M } from 'iced-x86';
import { type Fault, isFault } from '../../state/cpu.ts';
import { add, multiply, subtract } from '../../float/arithmetic.ts';
import { roundToInteger } from '../../float/convert.ts';
import { F32, F64, type FloatContext, type Format, type Rounding } from '../../float/softFloat.ts';
import * as at from '../../state/layout.ts';
import { sseDenied } from '../fpuState.ts';
import { next } from '../operands.ts';
import type { Handler } from '../result.ts';
import { type Lane, laneByLane } from './lanes.ts';
import { contextOf, settle } from './mxcsr.ts';
import { element, PD, PS, readSource, readXmm, SD, SS, withElements, writeXmm } from './vector.ts';

/** Notes the exceptions found so far; one that is not masked ends the instruction. */
type Settle = () => Fault | undefined;
/** 16 bytes made of 16 bytes of either operand. Who computes in several steps settles between them. */
export type VectorArithmetic = (
  d: bigint,
  s: bigint,
  context: FloatContext,
  immediate: number,
  settled: Settle,
) => bigint | Fault;

const elementsOf = (vector: bigint, { width }: Format): bigint[] =>
  Array.from({ length: 128 / width }, (_, n) => element(vector, n, width));
const joined = (elements: readonly bigint[], { width }: Format): bigint => withElements(0n, elements, width);
const at0 = (elements: readonly bigint[], n: number): bigint => elements[n] ?? 0n;

/** Differences of the even elements, sums of the odd ones. */
export const addSubtract =
  (format: Format): VectorArithmetic =>
  (d, s, context) => {
    const [a, b] = [elementsOf(d, format), elementsOf(s, format)];
    const result = a.map((x, n) => (n & 1 ? add : subtract)(x, at0(b, n), format, context));
    return joined(result, format);
  };

/** Neighbours added (or subtracted): those of the destination, then those of the source. */
export const neighbours =
  (format: Format, operation: Lane): VectorArithmetic =>
  (d, s, context) => {
    const all = [...elementsOf(d, format), ...elementsOf(s, format)];
    const pairs = Array.from({ length: all.length / 2 }, (_, n) => n);
    const result = pairs.map((n) => operation(at0(all, 2 * n), at0(all, 2 * n + 1), format, context));
    return joined(result, format);
  };

/** DPPS, DPPD: products chosen by the immediate's high bits, added by pairs; the sum goes where its low bits say. */
export const dotProduct =
  (format: Format): VectorArithmetic =>
  (d, s, context, immediate, settled) => {
    const [a, b] = [elementsOf(d, format), elementsOf(s, format)];
    let terms = a.map((x, n) => ((immediate >> (4 + n)) & 1 ? multiply(x, at0(b, n), format, context) : 0n));
    const places = terms.length;
    while (terms.length > 1) {
      const failed = settled();
      if (failed) return failed;
      const pairs = Array.from({ length: terms.length / 2 }, (_, n) => n);
      terms = pairs.map((n) => add(at0(terms, 2 * n), at0(terms, 2 * n + 1), format, context));
    }
    const chosen = Array.from({ length: places }, (_, n) => ((immediate >> n) & 1 ? at0(terms, 0) : 0n));
    return joined(chosen, format);
  };

const arithmetic =
  (operation: VectorArithmetic): Handler =>
  (cpu, insn) => {
    const denied = sseDenied(cpu);
    if (denied) return denied;
    const source = readSource(cpu, insn, 16);
    if (isFault(source)) return source;
    const { state } = cpu;
    const destination = insn.opRegister(0);
    const context = contextOf(state.u32(at.MXCSR));
    const immediate = insn.opCount > 2 ? insn.immediate8 : 0;
    const settled = (): Fault | undefined => settle(cpu, context.flags);
    const result = operation(readXmm(state, destination), source, context, immediate, settled);
    if (isFault(result)) return result;
    const failed = settled();
    if (failed) return failed;
    writeXmm(state, destination, result);
    return next(cpu, insn);
  };

const USES_MXCSR = 4;
const SUPPRESSES_INEXACT = 8;

/** ROUNDxx by its immediate: denormal operands are no exception, and inexact results are none where it says so. */
export const roundElement =
  (immediate: number): Lane =>
  (_, b, format, context) => {
    const rounding = immediate & USES_MXCSR ? context.rounding : ((immediate & 3) as Rounding);
    const found = { ...context.flags };
    const result = roundToInteger(b, format, context, rounding);
    context.flags.denormal = found.denormal;
    if (immediate & SUPPRESSES_INEXACT) context.flags.inexact = found.inexact;
    return result;
  };

const round = [SS, PS, SD, PD].map((shape) => laneByLane(shape, (insn) => roundElement(insn.immediate8)));

/** Instructions of SSE3 and SSE4.1 and their handlers. */
export const HORIZONTAL: readonly (readonly [Mnemonic, Handler])[] = [
  [M.Addsubps, arithmetic(addSubtract(F32))],
  [M.Addsubpd, arithmetic(addSubtract(F64))],
  [M.Haddps, arithmetic(neighbours(F32, add))],
  [M.Haddpd, arithmetic(neighbours(F64, add))],
  [M.Hsubps, arithmetic(neighbours(F32, subtract))],
  [M.Hsubpd, arithmetic(neighbours(F64, subtract))],
  [M.Dpps, arithmetic(dotProduct(F32))],
  [M.Dppd, arithmetic(dotProduct(F64))],
  ...[M.Roundss, M.Roundps, M.Roundsd, M.Roundpd].map((name, n) => [name, round[n] as Handler] as const),
];
