// Packed decimal integers: 18 digits in nine bytes, the sign in the top bit of the tenth (SDM 1 4.7).

import { toInteger } from '../../float/convert.ts';
import { F80, type FloatContext, noFlags, ROUND, roundPack } from '../../float/softFloat.ts';

const DIGITS = 18;
const LIMIT = 10n ** BigInt(DIGITS);
const SIGN = 1n << 79n;

/** Digits above 9 are undefined; each counts what it says. */
export const fromBcd = (raw: bigint): bigint => {
  let magnitude = 0n;
  for (let n = DIGITS - 1; n >= 0; n--) magnitude = 10n * magnitude + ((raw >> BigInt(4 * n)) & 15n);
  return roundPack(raw & SIGN ? 1 : 0, 0, magnitude, false, F80, { rounding: ROUND.NEAREST, flags: noFlags() });
};

/** Packed decimal of an 80-bit number rounded to an integer; undefined, and invalid, where it does not fit. */
export const toBcd = (bits: bigint, context: FloatContext): bigint | undefined => {
  const integer = BigInt.asIntN(64, toInteger(bits, F80, 64, context));
  const magnitude = integer < 0n ? -integer : integer;
  if (context.flags.invalid || magnitude >= LIMIT) {
    context.flags.invalid = true;
    context.flags.inexact = false;
    context.flags.roundedUp = false;
    return undefined;
  }
  // Decimal digits read as hexadecimal ones are packed decimal.
  return (bits & SIGN) | BigInt(`0x${magnitude}`);
};
