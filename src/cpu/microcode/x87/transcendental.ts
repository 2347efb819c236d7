// F2XM1, FYL2X, FYL2XP1, FSIN, FCOS, FSINCOS, FPTAN, FPATAN.
// Computed to more than 100 bits and rounded once, as RC says, to 64. Processors promise only an error below one unit in
// the last place (SDM 1 8.3.10), and differ from each other there: results here are the correctly rounded ones.

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
  type Sign,
  unpack,
  type Unpacked,
  zero,
} from '../../float/softFloat.ts';
import type { Handler } from '../result.ts';
import * as regs from './registers.ts';
import { FSW } from './registers.ts';
import { replaceAndPush, stackFault } from './remainder.ts';
import { atan, atanh, cosine, expm1, ln2, pi, sine } from './series.ts';
import { contextOf, done, INDEFINITE, raise, ready, STACK_UNDERFLOW, statusOf } from './step.ts';

const ONE = 0x3fff_8000_0000_0000_0000n;

/** Exponent of the leading bit of a finite number that is not zero. */
const leading = (value: Unpacked): number => value.exponent + bitLength(value.significand) - 1;

/** Below this, the first term of a series and the direction of the rest say all. */
const TINY = -140;
const BASE_BITS = 448;
/** Places enough for numbers with this leading exponent, in steps so that constants are computed seldom. */
const placesFor = (exponent: number): bigint => BigInt(BASE_BITS + 128 * Math.ceil(Math.max(0, -exponent) / 64));

/** A number in fixed point, exactly where `bits` are enough. */
const fixed = (value: Unpacked, bits: bigint): bigint => {
  const shift = BigInt(value.exponent) + bits;
  const magnitude = shift >= 0n ? value.significand << shift : value.significand >> -shift;
  return value.sign ? -magnitude : magnitude;
};

/** Rounds a fixed-point number that is not exact, times 2^scale. */
const inexact = (value: bigint, bits: bigint, context: FloatContext, scale = 0): bigint => {
  const sign: Sign = value < 0n ? 1 : 0;
  return roundPack(sign, scale - Number(bits), sign ? -value : value, true, F80, context);
};

/** x a little changed in its magnitude, less or more, by less than anything that rounding could see but ties. */
const nudged = (x: Unpacked, more: boolean, context: FloatContext): bigint => {
  const wide = x.significand << 128n;
  return roundPack(x.sign, x.exponent - 128, more ? wide : wide - 1n, true, F80, context);
};

// 2^x - 1

const F2XM1_TINY_BITS = 256n;

const f2xm1Of = (x: Unpacked, bits: bigint, context: FloatContext): bigint => {
  if (x.kind === 'zero') return bits;
  if (x.kind === 'infinity') return x.sign ? ONE | (1n << 79n) : bits;
  noteDenormals(context, x);
  if (leading(x) >= 0) return outsideF2xm1(x, bits, context);
  if (leading(x) < TINY) {
    const product = x.significand * ln2(F2XM1_TINY_BITS);
    return roundPack(x.sign, x.exponent - Number(F2XM1_TINY_BITS), product, true, F80, context);
  }
  const places = placesFor(leading(x));
  return inexact(expm1((fixed(x, places) * ln2(places)) >> places, places), places, context);
};

/** +1 and -1 are exact; what lies beyond is undefined (SDM 2A F2XM1): it stays as it is, and is called inexact. */
const outsideF2xm1 = (x: Unpacked, bits: bigint, context: FloatContext): bigint => {
  if (leading(x) === 0 && x.significand === 1n << 63n) return x.sign ? roundPack(1, -1, 1n, false, F80, context) : ONE;
  context.flags.inexact = true;
  return bits;
};

// y * log2(x), y * log2(x + 1)

/** log2 of a number near 1 from its distance to 1: 2 atanh(d / (2 + d)) / ln 2. */
const log2NearOne = (distance: bigint, places: bigint): bigint => {
  const argument = (distance << places) / ((2n << places) + distance);
  return ((2n * atanh(argument, places)) << places) / ln2(places);
};

const LOG_PLACES = BigInt(BASE_BITS);

/** log2 x in fixed point: the exponent, and the logarithm of a significand between 3/4 and 3/2. */
const log2Of = (x: Unpacked): bigint => {
  const length = bitLength(x.significand);
  const low = x.significand << (LOG_PLACES - BigInt(length)) < 3n << (LOG_PLACES - 2n);
  const exponent = x.exponent + length - (low ? 1 : 0);
  const scaled = x.significand << (LOG_PLACES - BigInt(length - (low ? 1 : 0)));
  const whole = BigInt(exponent) << LOG_PLACES;
  const distance = scaled - (1n << LOG_PLACES);
  return distance === 0n ? whole : whole + log2NearOne(distance, LOG_PLACES);
};

const isPowerOfTwo = (x: Unpacked): boolean => (x.significand & (x.significand - 1n)) === 0n;

/** y times a logarithm in fixed point. */
const timesLog = (y: Unpacked, log: bigint, places: bigint, exact: boolean, context: FloatContext): bigint => {
  const negative = log < 0n;
  const sign: Sign = negative === (y.sign === 1) ? 0 : 1;
  const magnitude = y.significand * (negative ? -log : log);
  const bits = roundPack(sign, y.exponent - Number(places), magnitude, !exact, F80, context);
  // Processors call exact results inexact too.
  context.flags.inexact = true;
  return bits;
};

const flipped = (sign: Sign, flip: boolean): Sign => (flip === (sign === 1) ? 0 : 1);

const fyl2xOfZero = (y: Unpacked, context: FloatContext): bigint => {
  if (y.kind === 'zero') return invalid(F80, context);
  if (y.kind === 'finite') context.flags.divideByZero = true;
  return infinity(F80, flipped(y.sign, true));
};

/** Where y is zero or infinite, only the logarithm's sign counts. */
const fyl2xBySign = (y: Unpacked, negative: boolean): bigint => {
  const sign = flipped(y.sign, negative);
  return y.kind === 'zero' ? zero(F80, sign) : infinity(F80, sign);
};

const fyl2xOf = (x: Unpacked, y: Unpacked, context: FloatContext): bigint => {
  if (x.kind === 'zero') return fyl2xOfZero(y, context);
  if (x.sign === 1) return invalid(F80, context);
  if (x.kind === 'infinity') {
    if (y.kind === 'zero') return invalid(F80, context);
    noteDenormals(context, y);
    return infinity(F80, y.sign);
  }
  const isOne = leading(x) === 0 && isPowerOfTwo(x);
  if (isOne && y.kind === 'infinity') return invalid(F80, context);
  noteDenormals(context, x, y);
  if (isOne) return zero(F80, y.sign);
  if (y.kind !== 'finite') return fyl2xBySign(y, leading(x) < 0);
  return timesLog(y, log2Of(x), LOG_PLACES, isPowerOfTwo(x), context);
};

/** At -1 and below there is no logarithm, and the result is undefined (SDM 2A FYL2XP1): x, as on processors. */
const noLog = (x: Unpacked, context: FloatContext): bigint => {
  const bits = roundPack(x.sign, x.exponent, x.significand, false, F80, context);
  context.flags.inexact = true;
  return bits;
};

const fyl2xp1Of = (x: Unpacked, y: Unpacked, context: FloatContext): bigint => {
  const negative = x.sign === 1;
  if (x.kind === 'zero' && y.kind === 'infinity') return invalid(F80, context);
  if (x.kind === 'infinity') {
    if (negative || y.kind === 'zero') return invalid(F80, context);
    noteDenormals(context, y);
    return infinity(F80, y.sign);
  }
  noteDenormals(context, x, y);
  if (x.kind === 'zero' || y.kind === 'zero') return zero(F80, flipped(y.sign, negative));
  if (y.kind === 'infinity') return infinity(F80, flipped(y.sign, negative));
  if (negative && leading(x) >= 0) return noLog(x, context);
  if (leading(x) >= -2) return farLog(x, y, context);
  if (leading(x) < TINY) {
    const log = (x.significand << 512n) / ln2(256n);
    const sign = flipped(y.sign, negative);
    return roundPack(sign, x.exponent + y.exponent - 256, y.significand * log, true, F80, context);
  }
  const places = placesFor(leading(x));
  return timesLog(y, log2NearOne(fixed(x, places), places), places, false, context);
};

/** Far from 0 the sum x + 1 is exact in some 70 bits, and its logarithm as good as any (the series near 1 is not). */
const farLog = (x: Unpacked, y: Unpacked, context: FloatContext): bigint => {
  if (x.exponent > 0) return timesLog(y, log2Of(x), LOG_PLACES, false, context);
  const one = 1n << BigInt(-x.exponent);
  const sum: Unpacked = { ...x, sign: 0, significand: x.sign ? one - x.significand : one + x.significand };
  return timesLog(y, log2Of(sum), LOG_PLACES, isPowerOfTwo(sum), context);
};

// Circular functions

/** An angle as a multiple of pi/2 and the rest, between -pi/4 and pi/4. */
type Angle = { readonly quadrant: number; readonly rest: bigint; readonly places: bigint };

/** Angles are reduced by this value of pi, which has 66 bits, and are no better than it (SDM 1 8.3.8). */
const PI_66 = 0xc90f_daa2_2168_c234_cn;
const PI_66_PLACES = 66n;

const reduced = (x: Unpacked): Angle => {
  const places = placesFor(leading(x));
  const angle = fixed(x, places);
  const half = PI_66 << (places - PI_66_PLACES - 1n);
  const turns = (2n * angle + half) / (2n * half) - (2n * angle + half < 0n ? 1n : 0n);
  return { quadrant: Number(BigInt.asUintN(2, turns)), rest: angle - turns * half, places };
};

const sineOf = ({ quadrant, rest, places }: Angle): bigint => {
  const value = quadrant & 1 ? cosine(rest, places) : sine(rest, places);
  return quadrant & 2 ? -value : value;
};
const cosineOf = (angle: Angle): bigint => sineOf({ ...angle, quadrant: (angle.quadrant + 1) & 3 });

const sin = (x: Unpacked, context: FloatContext): bigint => {
  if (x.kind === 'zero') return zero(F80, x.sign);
  if (leading(x) < TINY) return nudged(x, false, context);
  const angle = reduced(x);
  return inexact(sineOf(angle), angle.places, context);
};
const cos = (x: Unpacked, context: FloatContext): bigint => {
  if (x.kind === 'zero') return ONE;
  if (leading(x) < TINY) return nudged(unpack(ONE, F80), false, context);
  const angle = reduced(x);
  return inexact(cosineOf(angle), angle.places, context);
};
const tan = (x: Unpacked, context: FloatContext): bigint => {
  if (x.kind === 'zero') return zero(F80, x.sign);
  if (leading(x) < TINY) return nudged(x, true, context);
  const angle = reduced(x);
  return inexact((sineOf(angle) << angle.places) / cosineOf(angle), angle.places, context);
};

type Circular = (x: Unpacked, context: FloatContext) => bigint;

/** Operands from 2^63 on are left alone, with C2 set (SDM 1 8.3.7). */
const isTooLarge = (x: Unpacked): boolean => x.kind === 'finite' && leading(x) >= 63;

const circular = (x: Unpacked, operation: Circular, context: FloatContext): bigint => {
  if (isNan(x)) return propagateNan(x, x, F80, context);
  if (x.kind === 'infinity') return invalid(F80, context);
  noteDenormals(context, x);
  return operation(x, context);
};

/** Sets C2 alone, where the operand is too large and the stack not at fault. */
const refused = (cpu: Cpu, insn: Instruction, pushes: boolean): boolean => {
  if (stackFault(cpu, pushes)) return false;
  const { state } = cpu;
  if (!isTooLarge(unpack(regs.st(state, 0), F80))) return false;
  raise(cpu, insn, FSW.C2);
  return true;
};

const replacing =
  (operation: Circular): Handler =>
  (cpu, insn) => {
    const stop = ready(cpu);
    if (stop) return stop;
    const { state } = cpu;
    if (refused(cpu, insn, false)) return done(cpu, insn);
    const empty = regs.isEmpty(state, 0);
    const context = contextOf(state);
    const bits = empty ? INDEFINITE : circular(unpack(regs.st(state, 0), F80), operation, context);
    const status = empty ? STACK_UNDERFLOW : statusOf(context.flags);
    if (raise(cpu, insn, status, FSW.C2)) regs.setSt(state, 0, bits);
    return done(cpu, insn);
  };

export const fsin = replacing(sin);
export const fcos = replacing(cos);

/** Replaces ST(0) by one function of it and pushes another; a NaN or an invalid operation gives the same twice. */
const replacingAndPushing =
  (first: Circular, second: Circular): Handler =>
  (cpu, insn) => {
    const stop = ready(cpu);
    if (stop) return stop;
    if (refused(cpu, insn, true)) return done(cpu, insn);
    regs.setStatusWord(cpu.state, regs.statusWord(cpu.state) & ~FSW.C2);
    replaceAndPush(cpu, insn, (bits, context) => {
      const x = unpack(bits, F80);
      const pushed = circular(x, second, context);
      return [circular(x, first, context), pushed];
    });
    return done(cpu, insn);
  };

export const fsincos = replacingAndPushing(sin, cos);
export const fptan = replacingAndPushing(tan, () => ONE);

/** k * pi / 4. */
const quarterTurns = (k: bigint, sign: Sign, context: FloatContext): bigint => {
  const bits = BigInt(BASE_BITS);
  return roundPack(sign, -Number(bits) - 2, k * pi(bits), true, F80, context);
};

/** The angle of the point (x, y) where one coordinate is zero or infinite. */
const specialAngle = (y: Unpacked, x: Unpacked, context: FloatContext): bigint => {
  if (y.kind === 'infinity' && x.kind === 'infinity') return quarterTurns(x.sign ? 3n : 1n, y.sign, context);
  if (y.kind === 'infinity' || (x.kind === 'zero' && y.kind !== 'zero')) return quarterTurns(2n, y.sign, context);
  return x.sign ? quarterTurns(4n, y.sign, context) : zero(F80, y.sign);
};

/** Places of the quotient of the smaller by the greater coordinate. */
const ANGLE_PLACES = BigInt(BASE_BITS + 2 * -TINY);

const ratio = (a: Unpacked, b: Unpacked): bigint => {
  const shift = BigInt(a.exponent - b.exponent) + ANGLE_PLACES;
  return shift >= 0n ? (a.significand << shift) / b.significand : 0n;
};

/** atan of a quotient too small for fixed point is the quotient. */
const tinyAngle = (y: Unpacked, x: Unpacked, context: FloatContext): bigint => {
  const wide = (y.significand << 256n) / x.significand;
  const rest = (y.significand << 256n) % x.significand;
  // The angle is a little less than the quotient: where that is exact, less than it.
  return roundPack(y.sign, y.exponent - x.exponent - 256, rest === 0n ? wide - 1n : wide, true, F80, context);
};

const angleOf = (y: Unpacked, x: Unpacked, context: FloatContext): bigint => {
  const apart = leading(y) - leading(x);
  if (x.sign === 0 && apart < TINY) return tinyAngle(y, x, context);
  const flat = apart < 0 || (apart === 0 && ratio(y, x) <= 1n << ANGLE_PLACES);
  const half = pi(ANGLE_PLACES) >> 1n;
  const acute = flat ? atan(ratio(y, x), ANGLE_PLACES) : half - atan(ratio(x, y), ANGLE_PLACES);
  const angle = x.sign ? 2n * half - acute : acute;
  return inexact(y.sign ? -angle : angle, ANGLE_PLACES, context);
};

/** The angle of the point (ST(0), ST(1)). */
const fpatanOf = (x: Unpacked, y: Unpacked, context: FloatContext): bigint => {
  noteDenormals(context, x, y);
  return x.kind === 'finite' && y.kind === 'finite' ? angleOf(y, x, context) : specialAngle(y, x, context);
};

type OfTwo = (x: Unpacked, y: Unpacked, context: FloatContext) => bigint;

/** ST(1) becomes a function of ST(0) and itself, and ST(0) is popped. */
const ofTwo =
  (operation: OfTwo): Handler =>
  (cpu, insn) => {
    const stop = ready(cpu);
    if (stop) return stop;
    const { state } = cpu;
    const empty = regs.isEmpty(state, 0) || regs.isEmpty(state, 1);
    const context = contextOf(state);
    const x = unpack(regs.st(state, 0), F80);
    const y = unpack(regs.st(state, 1), F80);
    const nan = isNan(x) || isNan(y);
    const result = (): bigint => (nan ? propagateNan(x, y, F80, context) : operation(x, y, context));
    const bits = empty ? INDEFINITE : result();
    if (raise(cpu, insn, empty ? STACK_UNDERFLOW : statusOf(context.flags))) {
      regs.setSt(state, 1, bits);
      regs.pop(state);
    }
    return done(cpu, insn);
  };

export const fyl2x = ofTwo(fyl2xOf);
export const fyl2xp1 = ofTwo(fyl2xp1Of);
export const fpatan = ofTwo(fpatanOf);

export const f2xm1: Handler = (cpu, insn) => {
  const stop = ready(cpu);
  if (stop) return stop;
  const { state } = cpu;
  const empty = regs.isEmpty(state, 0);
  const context = contextOf(state);
  const stored = regs.st(state, 0);
  const x = unpack(stored, F80);
  const result = (): bigint => (isNan(x) ? propagateNan(x, x, F80, context) : f2xm1Of(x, stored, context));
  const bits = empty ? INDEFINITE : result();
  if (raise(cpu, insn, empty ? STACK_UNDERFLOW : statusOf(context.flags))) regs.setSt(state, 0, bits);
  return done(cpu, insn);
};
