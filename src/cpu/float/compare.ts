// Comparison, minimum and maximum as x86 has them.

import { isNative, isOrdinary, numberOf } from './quick.ts';
import { type FloatContext, type Format, isNan, noteDenormals, operand, type Unpacked, zero } from './softFloat.ts';

export type Ordering = 'less' | 'equal' | 'greater' | 'unordered';

const signedValue = (value: Unpacked): bigint => (value.sign ? -value.significand : value.significand);

const orderOf = (a: bigint | number, b: bigint | number): Ordering => (a < b ? 'less' : a > b ? 'greater' : 'equal');

/** Infinities are beyond every number: their weight among -1 (below), 0 (finite) and 1. */
const beyond = (value: Unpacked): bigint => (value.kind !== 'infinity' ? 0n : value.sign ? -1n : 1n);

const orderOfFinite = (a: Unpacked, b: Unpacked): Ordering => {
  const sameScale = a.significand === 0n || b.significand === 0n;
  const base = sameScale ? 0 : Math.min(a.exponent, b.exponent);
  const scaled = (value: Unpacked): bigint =>
    sameScale ? signedValue(value) : signedValue(value) << BigInt(value.exponent - base);
  return orderOf(scaled(a), scaled(b));
};

const orderOfUnpacked = (a: Unpacked, b: Unpacked): Ordering => {
  if (beyond(a) !== 0n || beyond(b) !== 0n) return orderOf(beyond(a), beyond(b));
  return orderOfFinite(a, b);
};

/**
 * Compares x with y. Signaling NaNs are invalid; where `signalQuiet`, quiet ones too (COMISD, CMPLTPD, FCOM: yes;
 * UCOMISD, CMPEQPD, FUCOM: no).
 */
export const compare = (
  x: bigint,
  y: bigint,
  format: Format,
  context: FloatContext,
  signalQuiet: boolean,
): Ordering => {
  if (isNative(format)) {
    const first = numberOf(x, format);
    const second = numberOf(y, format);
    if (isOrdinary(first, format) && isOrdinary(second, format)) return orderOf(first, second);
  }
  const a = operand(x, format, context);
  const b = operand(y, format, context);
  if (!isNan(a) && !isNan(b)) {
    noteDenormals(context, a, b);
    return orderOfUnpacked(a, b);
  }
  if (signalQuiet || [a, b].some((value) => isNan(value) && value.kind !== 'quiet')) context.flags.invalid = true;
  return 'unordered';
};

/** The second operand where the two compare equal or either is a NaN, unchanged (a denormal may count as zero). */
const choose = (x: bigint, y: bigint, format: Format, context: FloatContext, wanted: Ordering): bigint => {
  const order = compare(x, y, format, context, true);
  const chosen = order === wanted ? x : y;
  if (!context.denormalsAreZero) return chosen;
  const value = operand(chosen, format, context);
  return value.kind === 'zero' ? zero(format, value.sign) : chosen;
};

/** MINSS and the like: x where it is less than y, else y. */
export const minimum = (x: bigint, y: bigint, format: Format, context: FloatContext): bigint =>
  choose(x, y, format, context, 'less');

/** MAXSS and the like: x where it is greater than y, else y. */
export const maximum = (x: bigint, y: bigint, format: Format, context: FloatContext): bigint =>
  choose(x, y, format, context, 'greater');
