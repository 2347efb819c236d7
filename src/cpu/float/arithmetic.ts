// Addition, subtraction, multiplication, division and square root of numbers given as bits, rounded once. All take any
// format; operands and result are of the same one.

import { quick } from './quick.ts';
import {
  bitLength,
  type FloatContext,
  type Format,
  infinity,
  invalid,
  isNan,
  noteDenormals,
  operand,
  propagateNan,
  ROUND,
  roundPack,
  type Sign,
  type Unpacked,
  zero,
} from './softFloat.ts';

/** The sign of an exact zero that came of numbers of unlike signs (SDM 1 4.8.3.1). */
export const zeroSign = (context: FloatContext): Sign => (context.rounding === ROUND.DOWN ? 1 : 0);

const flip = (value: Unpacked): Unpacked => ({ ...value, sign: value.sign ? 0 : 1 });
const signed = (sign: Sign, magnitude: bigint): bigint => (sign ? -magnitude : magnitude);
const signOf = (value: bigint, context: FloatContext): Sign => (value < 0n ? 1 : value > 0n ? 0 : zeroSign(context));
const magnitude = (value: bigint): bigint => (value < 0n ? -value : value);
const productSign = (a: Unpacked, b: Unpacked): Sign => (a.sign === b.sign ? 0 : 1);

/** Farther apart than this, all that the smaller operand does is to make the sum inexact. */
const REACH = 300;

type Exact = { sign: Sign; exponent: number; significand: bigint };

/** The sum of two numbers that are not zero, exact until it is rounded. */
export const sumExactly = (a: Exact, b: Exact, format: Format, context: FloatContext): bigint => {
  const [high, low] = a.exponent >= b.exponent ? [a, b] : [b, a];
  const apart = high.exponent - low.exponent;
  const shift = Math.min(apart, REACH);
  const small = apart > REACH && low.significand !== 0n ? 1n : low.significand;
  const sum = signed(high.sign, high.significand << BigInt(shift)) + signed(low.sign, small);
  return roundPack(signOf(sum, context), high.exponent - shift, magnitude(sum), false, format, context);
};

const sum = (a: Unpacked, b: Unpacked, format: Format, context: FloatContext): bigint => {
  const unlike = a.sign !== b.sign;
  if (a.kind === 'infinity' && b.kind === 'infinity' && unlike) return invalid(format, context);
  noteDenormals(context, a, b);
  context.flags.roundedUp = false;
  if (a.kind === 'infinity') return infinity(format, a.sign);
  if (b.kind === 'infinity') return infinity(format, b.sign);
  if (a.kind === 'zero' && b.kind === 'zero') return zero(format, unlike ? zeroSign(context) : a.sign);
  // A zero has no exponent of its own.
  if (a.kind === 'zero') return roundPack(b.sign, b.exponent, b.significand, false, format, context);
  if (b.kind === 'zero') return roundPack(a.sign, a.exponent, a.significand, false, format, context);
  return sumExactly(a, b, format, context);
};

const addExactly = (x: bigint, y: bigint, format: Format, context: FloatContext): bigint => {
  const a = operand(x, format, context);
  const b = operand(y, format, context);
  return isNan(a) || isNan(b) ? propagateNan(a, b, format, context) : sum(a, b, format, context);
};

export const add = (x: bigint, y: bigint, format: Format, context: FloatContext): bigint =>
  quick(x, y, format, context, (a, b) => a + b) ?? addExactly(x, y, format, context);

const subtractExactly = (x: bigint, y: bigint, format: Format, context: FloatContext): bigint => {
  const a = operand(x, format, context);
  const b = operand(y, format, context);
  return isNan(a) || isNan(b) ? propagateNan(a, b, format, context) : sum(a, flip(b), format, context);
};

/** x - y. */
export const subtract = (x: bigint, y: bigint, format: Format, context: FloatContext): bigint =>
  quick(x, y, format, context, (a, b) => a - b) ?? subtractExactly(x, y, format, context);

const multiplyExactly = (x: bigint, y: bigint, format: Format, context: FloatContext): bigint => {
  const a = operand(x, format, context);
  const b = operand(y, format, context);
  if (isNan(a) || isNan(b)) return propagateNan(a, b, format, context);
  const kinds = [a.kind, b.kind];
  const infinite = kinds.includes('infinity');
  if (infinite && kinds.includes('zero')) return invalid(format, context);
  noteDenormals(context, a, b);
  context.flags.roundedUp = false;
  if (infinite) return infinity(format, productSign(a, b));
  const exponent = a.exponent + b.exponent;
  return roundPack(productSign(a, b), exponent, a.significand * b.significand, false, format, context);
};

export const multiply = (x: bigint, y: bigint, format: Format, context: FloatContext): bigint =>
  quick(x, y, format, context, (a, b) => a * b) ?? multiplyExactly(x, y, format, context);

const quotient = (a: Unpacked, b: Unpacked, format: Format, context: FloatContext): bigint => {
  const shift = Math.max(0, format.precision + 3 + bitLength(b.significand) - bitLength(a.significand));
  const dividend = a.significand << BigInt(shift);
  const result = dividend / b.significand;
  const sticky = result * b.significand !== dividend;
  return roundPack(productSign(a, b), a.exponent - b.exponent - shift, result, sticky, format, context);
};

const divideExactly = (x: bigint, y: bigint, format: Format, context: FloatContext): bigint => {
  const a = operand(x, format, context);
  const b = operand(y, format, context);
  if (isNan(a) || isNan(b)) return propagateNan(a, b, format, context);
  if (a.kind === b.kind && a.kind !== 'finite') return invalid(format, context);
  context.flags.roundedUp = false;
  if (b.kind === 'zero' && a.kind === 'finite') {
    context.flags.divideByZero = true;
    return infinity(format, productSign(a, b));
  }
  noteDenormals(context, a, b);
  if (a.kind === 'infinity') return infinity(format, productSign(a, b));
  if (a.kind === 'zero' || b.kind === 'infinity') return zero(format, productSign(a, b));
  return quotient(a, b, format, context);
};

/** x / y. */
export const divide = (x: bigint, y: bigint, format: Format, context: FloatContext): bigint =>
  quick(x, y, format, context, (a, b) => a / b) ?? divideExactly(x, y, format, context);

/** The largest integer whose square is not above the value (Newton's iteration from above). */
export const integerSquareRoot = (value: bigint): bigint => {
  if (value === 0n) return 0n;
  let root = 1n << BigInt((bitLength(value) + 1) >> 1);
  for (;;) {
    const better = (root + value / root) >> 1n;
    if (better >= root) return root;
    root = better;
  }
};

const squareRootExactly = (x: bigint, format: Format, context: FloatContext): bigint => {
  const a = operand(x, format, context);
  if (isNan(a)) return propagateNan(a, a, format, context);
  context.flags.roundedUp = false;
  if (a.kind === 'zero') return zero(format, a.sign);
  if (a.sign === 1) return invalid(format, context);
  noteDenormals(context, a);
  if (a.kind === 'infinity') return infinity(format, 0);
  // Enough bits for the root to have three more than the format, and an even exponent.
  const wanted = Math.max(0, 2 * (format.precision + 3) - bitLength(a.significand));
  const shift = wanted + ((a.exponent - wanted) & 1);
  const radicand = a.significand << BigInt(shift);
  const root = integerSquareRoot(radicand);
  return roundPack(0, (a.exponent - shift) / 2, root, root * root !== radicand, format, context);
};

export const squareRoot = (x: bigint, format: Format, context: FloatContext): bigint =>
  quick(x, x, format, context, Math.sqrt) ?? squareRootExactly(x, format, context);
