// Binary floating point, exactly, with BigInt significands: formats, unpacking, rounding. Operations stand in arithmetic.ts
// (add, subtract, multiply, divide, squareRoot), compare.ts and convert.ts.
// The rules are x86's (SDM 1 chapter 4.8 and 4.9): tininess is decided after rounding, NaNs are quieted and passed on.
// Numbers are passed around as their bits; a context says how to round and collects the exceptions.

export type Format = {
  exponentBits: number;
  /** Significand bits, the integer bit included. */
  precision: number;
  /** The integer bit is stored (80-bit extended), not implied. */
  explicitInteger: boolean;
  /** Width of the whole number in bits. */
  width: number;
  /** Unbiased exponents of the smallest and largest normal numbers. */
  minExponent: number;
  maxExponent: number;
};

const makeFormat = (exponentBits: number, precision: number, explicitInteger: boolean): Format => {
  const maxExponent = 2 ** (exponentBits - 1) - 1;
  const width = 1 + exponentBits + precision - (explicitInteger ? 0 : 1);
  return { exponentBits, precision, explicitInteger, width, minExponent: 1 - maxExponent, maxExponent };
};

/** Half precision: conversions only. */
export const F16: Format = makeFormat(5, 11, false);
export const F32: Format = makeFormat(8, 24, false);
export const F64: Format = makeFormat(11, 53, false);
export const F80: Format = makeFormat(15, 64, true);

/** Rounding modes as MXCSR.RC and FCW.RC encode them. */
export const ROUND = { NEAREST: 0, DOWN: 1, UP: 2, ZERO: 3 } as const;
export type Rounding = (typeof ROUND)[keyof typeof ROUND];

/** Exceptions that operations found; they only ever get set here. */
export type FloatFlags = {
  invalid: boolean;
  denormal: boolean;
  divideByZero: boolean;
  overflow: boolean;
  underflow: boolean;
  inexact: boolean;
  /** The last rounding went away from zero (x87's C1); set and cleared by every rounding. */
  roundedUp: boolean;
};

export const noFlags = (): FloatFlags => ({
  invalid: false,
  denormal: false,
  divideByZero: false,
  overflow: false,
  underflow: false,
  inexact: false,
  roundedUp: false,
});

export type Sign = 0 | 1;

export type FloatContext = {
  rounding: Rounding;
  flags: FloatFlags;
  /** Significand bits to round to where fewer than the format has (x87 precision control: 24 or 53). */
  precision?: number;
  /** MXCSR.DAZ: denormal operands count as zeros of their sign, without an exception. */
  denormalsAreZero?: boolean;
  /** MXCSR.FTZ: tiny results become zeros of their sign. Without effect while underflow is unmasked. */
  flushToZero?: boolean;
  /**
   * With the exception unmasked, underflow is reported for exact tiny results too, inexactness is that of the result with
   * an unbounded exponent, and 80-bit results are delivered with the exponent wrapped by 24576 (SDM 1 8.5.4, 8.5.5).
   * Other formats have no result to deliver then.
   */
  underflowUnmasked?: boolean;
  overflowUnmasked?: boolean;
  /** Nobody asks whether results are inexact (the flag is set already and masked): single and double precision may not say. */
  inexactIgnored?: boolean;
  /** Which NaN two operands of which at least one is a NaN give; sseNan where absent. */
  nan?: NanRule;
};

/**
 * A number taken apart. A finite one is (-1)^sign * significand * 2^exponent, not normalised; zero has significand 0.
 * The significand of a NaN is its fraction with the integer bit. `unsupported` are the 80-bit encodings that no
 * processor since the 387 accepts (unnormals, pseudo-infinities, pseudo-NaNs).
 */
export type Unpacked = {
  kind: 'zero' | 'finite' | 'infinity' | 'quiet' | 'signaling' | 'unsupported';
  sign: Sign;
  exponent: number;
  significand: bigint;
  /** Exponent field 0 and not zero (80-bit pseudo-denormals too). */
  denormal: boolean;
};

export type NanRule = (a: Unpacked, b: Unpacked, format: Format) => bigint;

/** Number of bits up to the highest one that is set; 0 for 0. */
export const bitLength = (value: bigint): number => {
  let rest = value;
  let bits = 0;
  while (rest > 0xffff_ffffn) {
    rest >>= 32n;
    bits += 32;
  }
  return bits + 32 - Math.clz32(Number(rest));
};

const storedBits = (format: Format): number => format.width - 1 - format.exponentBits;
const integerBit = (format: Format): bigint => 1n << BigInt(format.precision - 1);
const quietBit = (format: Format): bigint => 1n << BigInt(format.precision - 2);

/** Puts the fields together: the significand with its integer bit, which is dropped where the format implies it. */
const assemble = (format: Format, sign: Sign, field: number, significand: bigint): bigint => {
  const stored = BigInt(storedBits(format));
  const signAndField = (BigInt(sign) << BigInt(format.exponentBits)) | BigInt(field);
  return (signAndField << stored) | BigInt.asUintN(Number(stored), significand);
};

const allOnes = (format: Format): number => 2 ** format.exponentBits - 1;

export const zero = (format: Format, sign: Sign): bigint => assemble(format, sign, 0, 0n);
export const infinity = (format: Format, sign: Sign): bigint =>
  assemble(format, sign, allOnes(format), integerBit(format));
/** The largest finite number; with fewer bits of precision, the largest that has no more. */
const largest = (format: Format, sign: Sign, precision = format.precision): bigint => {
  const significand = ((1n << BigInt(precision)) - 1n) << BigInt(format.precision - precision);
  return assemble(format, sign, allOnes(format) - 1, significand);
};
/** What masked invalid operations give: the "real indefinite" QNaN (SDM 1 4.8.3.7). */
export const defaultNan = (format: Format): bigint =>
  assemble(format, 1, allOnes(format), integerBit(format) | quietBit(format));

/** The bits of a NaN that was taken apart, made quiet; of an unsupported encoding the default NaN. */
export const quieted = (value: Unpacked, format: Format): bigint => {
  if (value.kind === 'unsupported') return defaultNan(format);
  return assemble(format, value.sign, allOnes(format), value.significand | quietBit(format) | integerBit(format));
};

export const isNan = (value: Unpacked): boolean =>
  value.kind === 'quiet' || value.kind === 'signaling' || value.kind === 'unsupported';

/** SSE: the first operand if it is a NaN, else the second (SDM 1 table 4-7). */
const sseNan: NanRule = (a, b, format) => quieted(isNan(a) ? a : b, format);

/** x87: a QNaN before an SNaN, else the larger significand, else the positive one (SDM 1 table 4-7). */
export const x87Nan: NanRule = (a, b, format) => {
  if (a.kind === 'unsupported' || b.kind === 'unsupported') return defaultNan(format);
  if (!isNan(a) || !isNan(b)) return quieted(isNan(a) ? a : b, format);
  if (a.kind !== b.kind) return quieted(a.kind === 'quiet' ? a : b, format);
  if (a.significand !== b.significand) return quieted(a.significand > b.significand ? a : b, format);
  return quieted(a.sign === 0 ? a : b, format);
};

const special = (format: Format, sign: Sign, significand: bigint): Unpacked => {
  const value = { sign, exponent: 0, significand, denormal: false };
  if (!(significand & integerBit(format))) return { kind: 'unsupported', ...value };
  if (significand === integerBit(format)) return { kind: 'infinity', ...value };
  return { kind: significand & quietBit(format) ? 'quiet' : 'signaling', ...value };
};

/** Takes a number apart; bits beyond the format's width are ignored. */
export const unpack = (bits: bigint, format: Format): Unpacked => {
  const stored = storedBits(format);
  const field = Number((bits >> BigInt(stored)) & BigInt(allOnes(format)));
  const sign: Sign = (bits >> BigInt(format.width - 1)) & 1n ? 1 : 0;
  const fraction = BigInt.asUintN(stored, bits);
  const significand = format.explicitInteger || field === 0 ? fraction : fraction | integerBit(format);
  if (field === allOnes(format)) return special(format, sign, significand);
  const exponent = (field || 1) - format.maxExponent - (format.precision - 1);
  if (significand === 0n && field === 0) return { kind: 'zero', sign, exponent: 0, significand, denormal: false };
  if (field !== 0 && !(significand & integerBit(format))) {
    return { kind: 'unsupported', sign, exponent, significand, denormal: false };
  }
  return { kind: 'finite', sign, exponent, significand, denormal: field === 0 };
};

/** Takes an operand apart as the context wants it: with denormals-are-zero, denormals are zeros. */
export const operand = (bits: bigint, format: Format, context: FloatContext): Unpacked => {
  const value = unpack(bits, format);
  if (!value.denormal || !context.denormalsAreZero) return value;
  return { kind: 'zero', sign: value.sign, exponent: 0, significand: 0n, denormal: false };
};

/** Does rounding go away from zero, given the last bit kept, the first bit dropped, and whether any further bit is set? */
const goesUp = (rounding: Rounding, sign: Sign, last: boolean, half: boolean, rest: boolean): boolean => {
  if (rounding === ROUND.NEAREST) return half && (rest || last);
  if (rounding === ROUND.ZERO) return false;
  return (half || rest) && (rounding === ROUND.UP) === (sign === 0);
};

export type Rounded = { significand: bigint; inexact: boolean; up: boolean };

/** Drops the low `count` bits (none where it is not positive: then the significand is shifted left instead). */
export const roundOff = (significand: bigint, count: number, sign: Sign, rounding: Rounding): Rounded => {
  if (count <= 0) return { significand: significand << BigInt(-count), inexact: false, up: false };
  const kept = significand >> BigInt(count);
  const dropped = BigInt.asUintN(count, significand);
  const halfway = 1n << BigInt(count - 1);
  const half = dropped >= halfway;
  const rest = half ? dropped !== halfway : dropped !== 0n;
  const up = goesUp(rounding, sign, (kept & 1n) === 1n, half, rest);
  return { significand: up ? kept + 1n : kept, inexact: dropped !== 0n, up };
};

/** x87's unmasked overflow and underflow move the exponent by this (SDM 1 8.5.4). */
const WRAP = 24576;

const noteRounding = (context: FloatContext, inexact: boolean, up: boolean): void => {
  if (inexact) context.flags.inexact = true;
  context.flags.roundedUp = up;
};

const precisionOf = (format: Format, context: FloatContext): number =>
  Math.min(context.precision ?? format.precision, format.precision);

const overflowed = (sign: Sign, format: Format, context: FloatContext, precision: number): bigint => {
  context.flags.overflow = true;
  const up = goesUp(context.rounding, sign, true, true, true);
  noteRounding(context, true, up);
  return up ? infinity(format, sign) : largest(format, sign, precision);
};

/** A result whose exponent (of the leading bit) is out of the format's range, for an unmasked handler. */
const wrapped = (sign: Sign, exponent: number, rounded: Rounded, format: Format, context: FloatContext): bigint => {
  const tiny = exponent < format.minExponent;
  if (tiny) context.flags.underflow = true;
  else context.flags.overflow = true;
  noteRounding(context, rounded.inexact, rounded.up);
  const field = exponent + (tiny ? WRAP : -WRAP) + format.maxExponent;
  if (field >= allOnes(format)) return infinity(format, sign);
  if (field <= 0) return zero(format, sign);
  return assemble(format, sign, field, rounded.significand);
};

const flushed = (sign: Sign, format: Format, context: FloatContext): bigint => {
  context.flags.underflow = true;
  noteRounding(context, true, false);
  return zero(format, sign);
};

/** A result below the normal range: rounded at the smallest denormal's place. */
const denormalised = (
  sign: Sign,
  exponent: number,
  significand: bigint,
  format: Format,
  context: FloatContext,
): bigint => {
  const precision = precisionOf(format, context);
  const lowest = format.minExponent - (precision - 1);
  const rounded = roundOff(significand, lowest - exponent, sign, context.rounding);
  if (rounded.inexact) context.flags.underflow = true;
  noteRounding(context, rounded.inexact, rounded.up);
  const full = rounded.significand << BigInt(format.precision - precision);
  // Rounded up to the smallest normal number after all: its exponent field is 1.
  return assemble(format, sign, full & integerBit(format) ? 1 : 0, full);
};

const tinyResult = (
  sign: Sign,
  exponent: number,
  significand: bigint,
  format: Format,
  context: FloatContext,
): bigint => {
  if (context.flushToZero) return flushed(sign, format, context);
  return denormalised(sign, exponent, significand, format, context);
};

/**
 * Rounds significand * 2^exponent (a little more in magnitude where `sticky`) to the format, with the sign given, and
 * tells the context of overflow, underflow and inexactness. A significand of 0 without sticky gives a zero of that sign.
 */
export const roundPack = (
  sign: Sign,
  exponent: number,
  significand: bigint,
  sticky: boolean,
  format: Format,
  context: FloatContext,
): bigint => {
  context.flags.roundedUp = false;
  if (significand === 0n && !sticky) return zero(format, sign);
  const precision = precisionOf(format, context);
  // What is beyond the significand becomes a one in a place below every rounding decision.
  const extra = sticky ? Math.max(2, precision + 3 - bitLength(significand)) : 0;
  const exact = (significand << BigInt(extra)) | (sticky ? 1n : 0n);
  const place = exponent - extra;
  const drop = bitLength(exact) - precision;
  const rounded = roundOff(exact, drop, sign, context.rounding);
  const carried = rounded.significand >> BigInt(precision) === 1n;
  const full = (carried ? rounded.significand >> 1n : rounded.significand) << BigInt(format.precision - precision);
  const leading = place + drop + precision - 1 + (carried ? 1 : 0);
  if (leading > format.maxExponent) {
    if (!context.overflowUnmasked) return overflowed(sign, format, context, precision);
    return wrapped(sign, leading, { ...rounded, significand: full }, format, context);
  }
  if (leading < format.minExponent) {
    if (!context.underflowUnmasked) return tinyResult(sign, place, exact, format, context);
    return wrapped(sign, leading, { ...rounded, significand: full }, format, context);
  }
  noteRounding(context, rounded.inexact, rounded.up);
  return assemble(format, sign, leading + format.maxExponent, full);
};

/** The same context without the limit to precision, which binds only arithmetic. */
export const withoutLimit = (context: FloatContext): FloatContext => {
  if (context.precision === undefined) return context;
  const { precision: _, ...rest } = context;
  return rest;
};

/** Takes note of denormal operands; to be called once no NaN or invalid operation comes before it (SDM 1 4.9.2). */
export const noteDenormals = (context: FloatContext, ...values: readonly Unpacked[]): void => {
  if (values.some((value) => value.denormal)) context.flags.denormal = true;
};

/** The result of an operation on two operands of which one at least is a NaN. */
export const propagateNan = (a: Unpacked, b: Unpacked, format: Format, context: FloatContext): bigint => {
  if (!(a.kind === 'quiet' || !isNan(a)) || !(b.kind === 'quiet' || !isNan(b))) context.flags.invalid = true;
  context.flags.roundedUp = false;
  return (context.nan ?? sseNan)(a, b, format);
};

export const invalid = (format: Format, context: FloatContext): bigint => {
  context.flags.invalid = true;
  context.flags.roundedUp = false;
  return defaultNan(format);
};
