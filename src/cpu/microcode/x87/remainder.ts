// FPREM, FPREM1, FSCALE, FXTRACT: exact operations on exponents and significands.

import type { Instruction } from 'iced-x86';
import type { Cpu } from '../../state/cpu.ts';
import {
  bitLength,
  F80,
  type FloatContext,
  infinity,
  invalid,
  isNan,
  noteDenormals,
  propagateNan,
  roundPack,
  unpack,
  type Unpacked,
  zero,
} from '../../float/softFloat.ts';
import type { Handler } from '../result.ts';
import * as regs from './registers.ts';
import { FSW } from './registers.ts';
import {
  contextOf,
  done,
  INDEFINITE,
  raise,
  ready,
  STACK_OVERFLOW,
  STACK_UNDERFLOW,
  statusOf,
  withheld,
} from './step.ts';

/** A result for ST(0), and the condition codes it comes with; none given: C0 and C3 stay as they are. */
type Computed = { readonly bits: bigint; readonly codes?: number };
type Operation = (x: bigint, y: bigint, context: FloatContext) => Computed;

/** Quotient bits a partial reduction works off: 32 to 63 at once, so that fewer than 64 are left at the end. */
const partialBits = (apart: number): number => 32 + (apart & 31);

/** C0, C3, C1 are bits 2, 1, 0 of the quotient. */
const quotientCodes = (quotient: bigint): number =>
  (quotient & 4n ? FSW.C0 : 0) | (quotient & 2n ? FSW.C3 : 0) | (quotient & 1n ? FSW.C1 : 0);

const exponentOf = (value: Unpacked): number => value.exponent + bitLength(value.significand);

const reduce = (a: Unpacked, b: Unpacked, nearest: boolean, context: FloatContext): Computed => {
  const apart = exponentOf(a) - exponentOf(b);
  if (apart < -1 || (apart < 0 && !nearest)) {
    return { bits: roundPack(a.sign, a.exponent, a.significand, false, F80, context), codes: 0 };
  }
  const skip = apart >= 64 ? apart - partialBits(apart) : 0;
  const base = Math.min(a.exponent, b.exponent + skip);
  const dividend = a.significand << BigInt(a.exponent - base);
  const divisor = b.significand << BigInt(b.exponent + skip - base);
  let quotient = dividend / divisor;
  let rest = dividend - quotient * divisor;
  let { sign } = a;
  const twice = 2n * rest;
  if (nearest && skip === 0 && (twice > divisor || (twice === divisor && quotient & 1n))) {
    quotient += 1n;
    rest = divisor - rest;
    sign = sign ? 0 : 1;
  }
  const bits = roundPack(rest === 0n ? a.sign : sign, base, rest, false, F80, context);
  return { bits, codes: skip > 0 ? FSW.C2 : quotientCodes(quotient) };
};

/** ST(0) by ST(1): FPREM truncates the quotient, FPREM1 rounds it to nearest (IEEE 754). */
const remainder =
  (nearest: boolean): Operation =>
  (x, y, context) => {
    const a = unpack(x, F80);
    const b = unpack(y, F80);
    if (isNan(a) || isNan(b)) return { bits: propagateNan(a, b, F80, context) };
    if (a.kind === 'infinity' || b.kind === 'zero') return { bits: invalid(F80, context) };
    noteDenormals(context, a, b);
    if (a.kind === 'zero') return { bits: x, codes: 0 };
    if (b.kind === 'infinity')
      return { bits: roundPack(a.sign, a.exponent, a.significand, false, F80, context), codes: 0 };
    return reduce(a, b, nearest, context);
  };

/** Larger scales than this are all the same. */
const MOST = 0x10000;

const truncated = (value: Unpacked): number => {
  if (value.exponent > 0) return value.sign ? -MOST : MOST;
  const magnitude = Math.min(Number(value.significand >> BigInt(-value.exponent)), MOST);
  return value.sign ? -magnitude : magnitude;
};

/** Beyond what a wrapped exponent can say, unmasked results are infinities and zeros, and inexact. */
const noteMassive = (context: FloatContext, bits: bigint): bigint => {
  const { kind } = unpack(bits, F80);
  const massive = (context.overflowUnmasked && kind === 'infinity') || (context.underflowUnmasked && kind === 'zero');
  if (massive) {
    context.flags.inexact = true;
    context.flags.roundedUp = kind === 'infinity';
  }
  return bits;
};

const scale: Operation = (x, y, context) => {
  const a = unpack(x, F80);
  const b = unpack(y, F80);
  if (isNan(a) || isNan(b)) return { bits: propagateNan(a, b, F80, context) };
  const meaningless = b.sign ? 'infinity' : 'zero';
  if (b.kind === 'infinity' && a.kind === meaningless) return { bits: invalid(F80, context) };
  noteDenormals(context, a, b);
  if (a.kind !== 'finite') return { bits: x };
  if (b.kind === 'infinity') return { bits: b.sign ? zero(F80, a.sign) : infinity(F80, a.sign) };
  const bits = roundPack(a.sign, a.exponent + truncated(b), a.significand, false, F80, context);
  return { bits: noteMassive(context, bits) };
};

/** What an operation may change of the condition codes besides C1. */
type Codes = { readonly always: number; readonly computed: number };

const onTwo =
  (operation: Operation, changes: Codes): Handler =>
  (cpu, insn) => {
    const stop = ready(cpu);
    if (stop) return stop;
    const { state } = cpu;
    if (regs.isEmpty(state, 0) || regs.isEmpty(state, 1)) {
      if (raise(cpu, insn, STACK_UNDERFLOW, changes.always)) regs.setSt(state, 0, INDEFINITE);
      return done(cpu, insn);
    }
    const context = contextOf(state);
    const { bits, codes } = operation(regs.st(state, 0), regs.st(state, 1), context);
    const status = statusOf(context.flags);
    const computed = codes !== undefined && !withheld(state, status);
    const changed = computed ? changes.computed : changes.always;
    if (raise(cpu, insn, status | (computed ? codes : 0), changed)) regs.setSt(state, 0, bits);
    return done(cpu, insn);
  };

const REMAINDER_CODES: Codes = { always: FSW.C2, computed: FSW.C0 | FSW.C2 | FSW.C3 };
export const fprem = onTwo(remainder(false), REMAINDER_CODES);
export const fprem1 = onTwo(remainder(true), REMAINDER_CODES);
export const fscale = onTwo(scale, { always: 0, computed: 0 });

type Parts = { readonly exponent: bigint; readonly significand: bigint };

const extract = (x: bigint, context: FloatContext): Parts => {
  const value = unpack(x, F80);
  if (isNan(value)) {
    const bits = propagateNan(value, value, F80, context);
    return { exponent: bits, significand: bits };
  }
  if (value.kind === 'infinity') return { exponent: infinity(F80, 0), significand: x };
  if (value.kind === 'zero') {
    context.flags.divideByZero = true;
    return { exponent: infinity(F80, 1), significand: x };
  }
  noteDenormals(context, value);
  const length = bitLength(value.significand);
  const exponent = value.exponent + length - 1;
  return {
    exponent: roundPack(exponent < 0 ? 1 : 0, 0, BigInt(Math.abs(exponent)), false, F80, context),
    significand: roundPack(value.sign, 1 - length, value.significand, false, F80, context),
  };
};

/** The stack fault of an instruction that takes ST(0) and perhaps pushes, or 0. */
export const stackFault = (cpu: Cpu, pushes: boolean): number => {
  if (regs.isEmpty(cpu.state, 0)) return STACK_UNDERFLOW;
  return !pushes || regs.isEmpty(cpu.state, 7) ? 0 : STACK_OVERFLOW;
};

/** Replaces ST(0) by one result and pushes another, or the indefinite twice after a masked stack fault. */
export const replaceAndPush = (
  cpu: Cpu,
  insn: Instruction,
  compute: (x: bigint, context: FloatContext) => readonly [replaced: bigint, pushed: bigint],
): void => {
  const { state } = cpu;
  const wrong = stackFault(cpu, true);
  const context = contextOf(state);
  const [replaced, pushed] = wrong ? [INDEFINITE, INDEFINITE] : compute(regs.st(state, 0), context);
  if (!raise(cpu, insn, wrong || statusOf(context.flags))) return;
  regs.setSt(state, 0, replaced);
  regs.push(state, pushed);
};

export const fxtract: Handler = (cpu: Cpu, insn: Instruction) => {
  const stop = ready(cpu);
  if (stop) return stop;
  replaceAndPush(cpu, insn, (x, context) => {
    const { exponent, significand } = extract(x, context);
    return [exponent, significand];
  });
  return done(cpu, insn);
};
