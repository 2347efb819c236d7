// Multiplication and addition with one rounding (SDM 1 14.5): x * y + z.

import { sumExactly, zeroSign } from './arithmetic.ts';
import {
  type FloatContext,
  type Format,
  infinity,
  invalid,
  isNan,
  noteDenormals,
  operand,
  quieted,
  roundPack,
  type Sign,
  type Unpacked,
  zero,
} from './softFloat.ts';

/** The first of them that is a NaN, made quiet; a signaling one anywhere is invalid. */
const propagate = (values: readonly Unpacked[], format: Format, context: FloatContext): bigint => {
  if (values.some((value) => isNan(value) && value.kind !== 'quiet')) context.flags.invalid = true;
  context.flags.roundedUp = false;
  return quieted(values.find(isNan) as Unpacked, format);
};

const finite = (
  product: { sign: Sign; exponent: number; significand: bigint },
  z: Unpacked,
  format: Format,
  context: FloatContext,
): bigint => {
  const addend = { sign: z.sign, exponent: z.exponent, significand: z.kind === 'zero' ? 0n : z.significand };
  if (product.significand === 0n && addend.significand === 0n) {
    return zero(format, product.sign === z.sign ? z.sign : zeroSign(context));
  }
  // A zero has no exponent of its own.
  const only = product.significand === 0n ? addend : addend.significand === 0n ? product : undefined;
  if (only) return roundPack(only.sign, only.exponent, only.significand, false, format, context);
  return sumExactly(product, addend, format, context);
};

/**
 * x * y + z, rounded once. Of NaNs the first counts, in the order x, y, z.
 * @param negateProduct -(x * y) is added to @param negateAddend -z is added; NaNs keep their signs
 */
export const multiplyAdd = (
  x: bigint,
  y: bigint,
  z: bigint,
  format: Format,
  context: FloatContext,
  negateProduct: boolean,
  negateAddend: boolean,
): bigint => {
  const [a, b, c] = [operand(x, format, context), operand(y, format, context), operand(z, format, context)];
  const undefinedProduct = (a.kind === 'infinity' && b.kind === 'zero') || (a.kind === 'zero' && b.kind === 'infinity');
  if (isNan(a) || isNan(b) || isNan(c)) return propagate([a, b, c], format, context);
  if (undefinedProduct) return invalid(format, context);
  const sign: Sign = (a.sign === b.sign) === negateProduct ? 1 : 0;
  const addend: Unpacked = negateAddend ? { ...c, sign: c.sign ? 0 : 1 } : c;
  const infinite = a.kind === 'infinity' || b.kind === 'infinity';
  if (infinite && addend.kind === 'infinity' && sign !== addend.sign) return invalid(format, context);
  noteDenormals(context, a, b, c);
  context.flags.roundedUp = false;
  if (infinite) return infinity(format, sign);
  if (addend.kind === 'infinity') return infinity(format, addend.sign);
  const significand = a.kind === 'zero' || b.kind === 'zero' ? 0n : a.significand * b.significand;
  return finite({ sign, exponent: a.exponent + b.exponent, significand }, addend, format, context);
};
