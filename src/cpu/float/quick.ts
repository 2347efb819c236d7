// The common case at JavaScript's speed: round to nearest, operands and result zero or normal. There the host's doubles
// give what the exact way gives, and single precision too: a double has more than twice its bits, so that rounding the
// double again is innocuous for + - * / and square root. Everything else is left to the exact way (undefined).

import { F32, F64, type FloatContext, type Format, ROUND } from './softFloat.ts';

const cell = new ArrayBuffer(8);
const double = new Float64Array(cell);
const doubleBits = new BigUint64Array(cell);
const single = new Float32Array(cell);
const singleBits = new Uint32Array(cell);

/** Do the host's numbers hold the format's? */
export const isNative = (format: Format): boolean => format === F64 || format === F32;

/** The number of a bit pattern; bits beyond the format's width are ignored. */
export const numberOf = (bits: bigint, format: Format): number => {
  doubleBits[0] = bits;
  return (format === F64 ? double[0] : single[0]) ?? 0;
};

/** The bit pattern of a number that the format can represent; of a NaN not a certain one. */
export const bitsOf = (value: number, format: Format): bigint => {
  if (format === F64) {
    double[0] = value;
    return doubleBits[0] ?? 0n;
  }
  single[0] = value;
  return BigInt(singleBits[0] ?? 0);
};

const SMALLEST_F32 = 2 ** -126;
const SMALLEST_F64 = 2 ** -1022;

/** Neither a NaN nor denormal. */
export const isOrdinary = (value: number, format: Format): boolean =>
  value === 0 || Math.abs(value) >= (format === F64 ? SMALLEST_F64 : SMALLEST_F32);

/** Finite and surely above the denormals (the smallest normal number may have been rounded up to). */
const isSafe = (value: number, format: Format): boolean =>
  Math.abs(value) > (format === F64 ? SMALLEST_F64 : SMALLEST_F32) && Math.abs(value) < Number.POSITIVE_INFINITY;

/** Integers below this, half of the significand's bits to spare for square roots, have exact results that are integers. */
const limitOf = (format: Format): number => (format === F64 ? 2 ** 50 : 2 ** 21);
const isSmallInteger = (value: number, limit: number): boolean => Number.isInteger(value) && Math.abs(value) < limit;

/**
 * The result of an operation on two numbers, if it is sure to be this one and to need no flag: inexactness has to be out
 * of the question or, by the context, of no interest.
 */
export const quick = (
  x: bigint,
  y: bigint,
  format: Format,
  context: FloatContext,
  compute: (a: number, b: number) => number,
): bigint | undefined => {
  if (context.rounding !== ROUND.NEAREST || !isNative(format)) return undefined;
  const a = numberOf(x, format);
  const b = numberOf(y, format);
  if (!isOrdinary(a, format) || !isOrdinary(b, format)) return undefined;
  const exact = compute(a, b);
  const result = format === F64 ? exact : Math.fround(exact);
  // A zero that comes of other than zeros may be an underflow.
  if (!isSafe(result, format) && !(result === 0 && (a === 0 || b === 0))) return undefined;
  const limit = limitOf(format);
  const surelyExact = isSmallInteger(a, limit) && isSmallInteger(b, limit) && isSmallInteger(result, limit);
  return surelyExact || context.inexactIgnored ? bitsOf(result, format) : undefined;
};

/** Nearest integer, halves to even. */
const nearest = (value: number): number => {
  const below = Math.floor(value);
  const fraction = value - below;
  return fraction > 0.5 || (fraction === 0.5 && below % 2 !== 0) ? below + 1 : below;
};

export const INTEGER_OF: readonly ((value: number) => number)[] = [nearest, Math.floor, Math.ceil, Math.trunc];
