// Floating-point numbers worth trying, as bit patterns: the ends of every range, what lies between, and the values that
// rounding and conversion turn on.
import type { Random } from './random.ts';

export interface FloatFormat {
  bits: number;
  exponentBits: number;
  /** Bits of the significand behind the point. */
  fractionBits: number;
  /** The significand's integer bit is stored (the 80-bit format). */
  explicit: boolean;
}

export const HALF: FloatFormat = { bits: 16, exponentBits: 5, fractionBits: 10, explicit: false };
export const SINGLE: FloatFormat = { bits: 32, exponentBits: 8, fractionBits: 23, explicit: false };
export const DOUBLE: FloatFormat = { bits: 64, exponentBits: 11, fractionBits: 52, explicit: false };
export const EXTENDED: FloatFormat = { bits: 80, exponentBits: 15, fractionBits: 63, explicit: true };

const maxExponent = ({ exponentBits }: FloatFormat): number => 2 ** exponentBits - 1;
const bias = ({ exponentBits }: FloatFormat): number => 2 ** (exponentBits - 1) - 1;
const fractionMask = ({ fractionBits }: FloatFormat): bigint => (1n << BigInt(fractionBits)) - 1n;

/** Sign 0 or 1, biased exponent, fraction; the integer bit of the 80-bit format follows from the exponent. */
function compose(format: FloatFormat, sign: number, exponent: number, fraction: bigint): bigint {
  const width = BigInt(format.fractionBits + (format.explicit ? 1 : 0));
  const integer = format.explicit && exponent > 0 ? 1n << BigInt(format.fractionBits) : 0n;
  const head = (BigInt(sign) << BigInt(format.exponentBits)) | BigInt(exponent);
  return (head << width) | integer | (fraction & fractionMask(format));
}

interface Parts {
  sign: number;
  exponent: number;
  fraction: bigint;
}

export function partsOf(format: FloatFormat, value: bigint): Parts {
  const width = BigInt(format.fractionBits + (format.explicit ? 1 : 0));
  return {
    sign: Number(value >> BigInt(format.bits - 1)) & 1,
    exponent: Number((value >> width) & BigInt(maxExponent(format))),
    fraction: value & fractionMask(format),
  };
}

const negative = (format: FloatFormat, value: bigint): bigint => value ^ (1n << BigInt(format.bits - 1));

/** magnitude x 2^scale, cut to the format's precision. */
function scaled(format: FloatFormat, sign: number, magnitude: bigint, scale: number): bigint {
  if (magnitude === 0n) return compose(format, sign, 0, 0n);
  const length = magnitude.toString(2).length;
  const shift = format.fractionBits - (length - 1);
  const fraction = shift >= 0 ? magnitude << BigInt(shift) : magnitude >> BigInt(-shift);
  return compose(format, sign, bias(format) + length - 1 + scale, fraction);
}

/** Zeros, ones, denormals, the largest and the least, infinities and NaNs of both kinds. */
export function specials(format: FloatFormat): bigint[] {
  const quiet = 1n << BigInt(format.fractionBits - 1);
  const all = fractionMask(format);
  const top = maxExponent(format);
  const one = bias(format);
  const fields: [number, bigint][] = [
    [0, 0n],
    [0, 1n],
    [0, all],
    [0, quiet],
    [1, 0n],
    [1, 1n],
    [top - 1, all],
    [top - 1, 0n],
    [top, 0n],
    [top, quiet],
    [top, quiet | 0x1234n],
    [top, 1n],
    [top, quiet - 1n],
    [one, 0n],
    [one, 1n],
    [one - 1, all],
    [one + 1, 0n],
  ];
  return fields.flatMap(([exponent, fraction]) => [
    compose(format, 0, exponent, fraction),
    compose(format, 1, exponent, fraction),
  ]);
}

const SPECIALS = new Map([HALF, SINGLE, DOUBLE, EXTENDED].map((format) => [format.bits, specials(format)]));

/** What the 80-bit format can say and no arithmetic takes: unnormals, pseudo-infinities, pseudo-NaNs; pseudo-denormals are taken. */
export const UNSUPPORTED_80 = [
  0x3fff_4000_0000_0000_0000n,
  0x7fff_0000_0000_0000_0000n,
  0x7fff_4000_0000_0000_0001n,
  0x8001_0000_0000_0000_0000n,
  0x0000_8000_0000_0000_0000n,
  0x8000_c000_0000_0000_0001n,
];

/** Whole numbers and halves around the limits of 16, 32 and 64 bits. */
export function nearInteger(format: FloatFormat, random: Random): bigint {
  const limit = 1n << BigInt(random.pick([3, 8, 15, 16, 31, 32, 52, 62, 63, 64]));
  const halves = 2n * random.pick([limit, limit - 1n, limit + 1n, random.bits(20) % limit]) + random.bits(2) - 1n;
  return scaled(format, random.below(2), halves < 0n ? 1n : halves, -1);
}

/** A value of the format: special, near one, near a whole number, or anything. */
export function floatValue(format: FloatFormat, random: Random): bigint {
  const kind = random.below(100);
  const sign = random.below(2);
  const fraction = random.bits(format.fractionBits);
  if (kind < 30) return random.pick(SPECIALS.get(format.bits) ?? []);
  if (kind < 55) return compose(format, sign, bias(format) + random.below(9) - 4, fraction);
  if (kind < 70) return nearInteger(format, random);
  if (kind < 76) return compose(format, sign, 1 + random.below(4), fraction);
  if (kind < 80) return compose(format, sign, 0, fraction >> BigInt(random.below(format.fractionBits)));
  if (kind < 85) return compose(format, sign, maxExponent(format) - 1 - random.below(3), fraction);
  if (kind < 90)
    return compose(format, sign, bias(format) + random.below(70), fraction & ~(fractionMask(format) >> 9n));
  return compose(format, sign, 1 + random.below(maxExponent(format) - 1), fraction);
}

/** A value that meets the first: equal, its negative, its neighbour, or one of an exponent near enough to matter. */
export function relatedFloat(format: FloatFormat, first: bigint, random: Random): bigint {
  const kind = random.below(100);
  const { sign, exponent, fraction } = partsOf(format, first);
  if (kind < 6) return first;
  if (kind < 12) return negative(format, first);
  if (kind < 20 && exponent > 0 && exponent < maxExponent(format)) {
    return compose(format, random.below(2), exponent, fraction + random.bits(2) - 1n);
  }
  if (kind < 45 && exponent > 0 && exponent < maxExponent(format)) {
    const near = exponent + random.below(2 * format.fractionBits + 6) - format.fractionBits - 3;
    if (near > 0 && near < maxExponent(format))
      return compose(format, random.below(2), near, random.bits(format.fractionBits));
  }
  // The product or quotient falls near the least normal number.
  if (kind < 53) {
    const least = bias(format) - exponent + random.below(5) - 2;
    if (least > 0 && least < maxExponent(format)) return compose(format, sign, least, random.bits(format.fractionBits));
  }
  return floatValue(format, random);
}

/** A number of magnitude below 2^power (power may be negative); now and then zero, infinity or a NaN. */
export function boundedFloat(format: FloatFormat, power: number, random: Random): bigint {
  if (random.chance(20))
    return random.pick(SPECIALS.get(format.bits)?.filter((value) => !isFiniteNonZero(format, value)) ?? []);
  const exponent = bias(format) + power - 1 - Math.min(random.below(12), random.below(40));
  return compose(format, random.below(2), exponent, random.bits(format.fractionBits));
}

export function isFiniteNonZero(format: FloatFormat, value: bigint): boolean {
  const { exponent, fraction } = partsOf(format, value);
  return exponent !== maxExponent(format) && (exponent !== 0 || fraction !== 0n);
}

export const withExponent = (format: FloatFormat, value: bigint, exponent: number): bigint => {
  const { sign, fraction } = partsOf(format, value);
  return compose(format, sign, exponent, fraction);
};
