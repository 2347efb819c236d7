// Conversions between formats and between numbers and integers.

import { bitsOf, INTEGER_OF, isNative, isOrdinary, numberOf } from './quick.ts';
import {
  F32,
  F64,
  type FloatContext,
  type Format,
  infinity,
  isNan,
  noteDenormals,
  operand,
  propagateNan,
  quieted,
  ROUND,
  type Rounding,
  roundOff,
  roundPack,
  type Unpacked,
  withoutLimit,
  zero,
} from './softFloat.ts';

/** A NaN keeps the high bits of its payload. */
const convertNan = (value: Unpacked, to: Format, from: Format): bigint => {
  const shift = to.precision - from.precision;
  const moved = shift >= 0 ? value.significand << BigInt(shift) : value.significand >> BigInt(-shift);
  return quieted({ ...value, significand: moved }, to);
};

/** Between the host's own formats where nothing but inexactness can be met; undefined elsewhere. */
const convertQuickly = (x: bigint, from: Format, to: Format, context: FloatContext): bigint | undefined => {
  if (!isNative(from) || !isNative(to)) return undefined;
  const value = numberOf(x, from);
  if (!isOrdinary(value, from)) return undefined;
  if (to === F64) return bitsOf(value, F64);
  const rounded = Math.fround(value);
  // The smallest normal number may be a tiny one rounded up, infinity a finite one.
  if (value !== 0 && !(Math.abs(rounded) > 2 ** -126 && Math.abs(rounded) < Number.POSITIVE_INFINITY)) return undefined;
  if (rounded !== value && context.rounding !== ROUND.NEAREST) return undefined;
  if (rounded !== value) context.flags.inexact = true;
  return bitsOf(rounded, F32);
};

/** Converts a number from one format to another, rounding where the other is narrower; precision control does not matter. */
export const convert = (x: bigint, from: Format, to: Format, context: FloatContext): bigint =>
  convertQuickly(x, from, to, context) ?? convertExactly(x, from, to, context);

const convertExactly = (x: bigint, from: Format, to: Format, context: FloatContext): bigint => {
  const value = operand(x, from, context);
  context.flags.roundedUp = false;
  if (isNan(value)) {
    if (value.kind !== 'quiet') context.flags.invalid = true;
    return convertNan(value, to, from);
  }
  noteDenormals(context, value);
  if (value.kind === 'infinity') return infinity(to, value.sign);
  return roundPack(value.sign, value.exponent, value.significand, false, to, withoutLimit(context));
};

/** What conversions give for NaNs and values out of range: the "integer indefinite", the most negative number. */
export const integerIndefinite = (width: number): bigint => 1n << BigInt(width - 1);

/** Far beyond every integer; avoids enormous shifts. */
const TOO_LARGE = 128;

const integerOf = (value: Unpacked, rounding: Rounding): { integer: bigint; inexact: boolean; up: boolean } => {
  // Bits below 2^-70 only tell that there is something.
  const drop = Math.min(-value.exponent, 2 * TOO_LARGE);
  const rounded = roundOff(value.significand, drop, value.sign, rounding);
  const integer = value.sign ? -rounded.significand : rounded.significand;
  return { integer, inexact: rounded.inexact, up: rounded.up };
};

/** The integer of an ordinary number that is well inside 32 bits; undefined elsewhere. */
const toIntegerQuickly = (x: bigint, format: Format, context: FloatContext, rounding: Rounding): number | undefined => {
  if (!isNative(format)) return undefined;
  const value = numberOf(x, format);
  if (!isOrdinary(value, format) || Math.abs(value) > 0x7fff_0000) return undefined;
  const integer = INTEGER_OF[rounding]?.(value);
  if (integer !== value) context.flags.inexact = true;
  return integer;
};

/**
 * The signed integer of `width` bits nearest in the sense of the context's rounding (or the one given, such as
 * ROUND.ZERO for the truncating instructions), as an unsigned bit pattern. Out of range, NaN and infinity are invalid and
 * give the integer indefinite. Denormal operands are no exception here. Widths are 16, 32 and 64.
 */
export const toInteger = (
  x: bigint,
  format: Format,
  width: number,
  context: FloatContext,
  rounding: Rounding = context.rounding,
): bigint => {
  const integer = width < 32 ? undefined : toIntegerQuickly(x, format, context, rounding);
  return integer === undefined
    ? toIntegerExactly(x, format, width, context, rounding)
    : BigInt.asUintN(width, BigInt(integer));
};

const toIntegerExactly = (
  x: bigint,
  format: Format,
  width: number,
  context: FloatContext,
  rounding: Rounding,
): bigint => {
  const value = operand(x, format, context);
  context.flags.roundedUp = false;
  if (value.kind === 'zero') return 0n;
  if (value.kind === 'finite' && value.exponent < TOO_LARGE) {
    const { integer, inexact, up } = integerOf(value, rounding);
    if (BigInt.asIntN(width, integer) === integer) {
      if (inexact) context.flags.inexact = true;
      context.flags.roundedUp = up;
      return BigInt.asUintN(width, integer);
    }
  }
  context.flags.invalid = true;
  return integerIndefinite(width);
};

/** The number nearest to a signed integer. */
export const fromInteger = (integer: bigint, format: Format, context: FloatContext): bigint => {
  const value = Number(integer);
  if (isNative(format) && Math.abs(value) < (format === F64 ? 2 ** 53 : 2 ** 24)) return bitsOf(value, format);
  return roundPack(integer < 0n ? 1 : 0, 0, integer < 0n ? -integer : integer, false, format, withoutLimit(context));
};

/** Rounds to an integer in the same format, keeping the sign of zeros (FRNDINT, ROUNDSD). */
export const roundToInteger = (
  x: bigint,
  format: Format,
  context: FloatContext,
  rounding: Rounding = context.rounding,
): bigint => {
  const value = operand(x, format, context);
  if (isNan(value)) return propagateNan(value, value, format, context);
  noteDenormals(context, value);
  context.flags.roundedUp = false;
  if (value.kind === 'zero') return zero(format, value.sign);
  if (value.kind === 'infinity' || value.exponent >= 0) return x;
  const { integer, inexact, up } = integerOf(value, rounding);
  // An integer of at most precision bits is exact, whatever the precision control says.
  const exact = { rounding: ROUND.NEAREST, flags: context.flags } as const;
  const bits = roundPack(value.sign, 0, integer < 0n ? -integer : integer, false, format, exact);
  if (inexact) context.flags.inexact = true;
  context.flags.roundedUp = up;
  return bits;
};
