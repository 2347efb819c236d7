import { describe, expect, it } from 'vitest';
import { add, divide, integerSquareRoot, multiply, squareRoot, subtract } from '../../src/cpu/float/arithmetic.ts';
import { compare, maximum, minimum } from '../../src/cpu/float/compare.ts';
import { convert, fromInteger, roundToInteger, toInteger } from '../../src/cpu/float/convert.ts';
import { bitsOf, numberOf } from '../../src/cpu/float/quick.ts';
import {
  bitLength,
  F32,
  F64,
  F80,
  type FloatContext,
  type FloatFlags,
  type Format,
  noFlags,
  ROUND,
  type Rounding,
  roundPack,
  unpack,
  x87Nan,
} from '../../src/cpu/float/softFloat.ts';
import { numberBits, Seeded } from '../microcode/sseCases.ts';

type Operation = (x: bigint, y: bigint, format: Format, context: FloatContext) => bigint;

const context = (rounding: Rounding = ROUND.NEAREST, more: Partial<FloatContext> = {}): FloatContext => ({
  rounding,
  flags: noFlags(),
  ...more,
});
const raised = (flags: FloatFlags): string =>
  Object.entries(flags)
    .filter(([name, set]) => set && name !== 'roundedUp')
    .map(([name]) => name)
    .join(' ');
const isNan = (value: number): boolean => Number.isNaN(value);
/** The bits of a number, one name for every quiet NaN. */
const anyNan = (bits: bigint, format: Format): bigint | string => {
  const { kind } = unpack(bits, format);
  return kind === 'quiet' || kind === 'signaling' ? kind : bits;
};
const root: Operation = (x, _, format, how) => squareRoot(x, format, how);

const OPERATIONS: readonly (readonly [string, Operation, (a: number, b: number) => number])[] = [
  ['add', add, (a, b) => a + b],
  ['subtract', subtract, (a, b) => a - b],
  ['multiply', multiply, (a, b) => a * b],
  ['divide', divide, (a, b) => a / b],
  ['squareRoot', root, (a) => Math.sqrt(a)],
];

describe('taking numbers apart', () => {
  it.each([
    ['zero', 0x8000_0000n, F32, { kind: 'zero', sign: 1, significand: 0n }],
    ['one', 0x3f80_0000n, F32, { kind: 'finite', sign: 0, exponent: -23, significand: 0x80_0000n, denormal: false }],
    ['denormal', 1n, F64, { kind: 'finite', exponent: -1074, significand: 1n, denormal: true }],
    ['infinity', 0xfff0_0000_0000_0000n, F64, { kind: 'infinity', sign: 1 }],
    ['quiet NaN', 0x7fc0_0001n, F32, { kind: 'quiet', significand: 0xc0_0001n }],
    ['signaling NaN', 0x7f80_0001n, F32, { kind: 'signaling' }],
    ['80-bit one', 0x3fff_8000_0000_0000_0000n, F80, { kind: 'finite', exponent: -63, significand: 1n << 63n }],
    ['pseudo-denormal', 1n << 63n, F80, { kind: 'finite', exponent: -16445, denormal: true }],
    ['unnormal', 0x3fff_4000_0000_0000_0000n, F80, { kind: 'unsupported' }],
    ['pseudo-infinity', 0x7fff_0000_0000_0000_0000n, F80, { kind: 'unsupported' }],
    ['80-bit infinity', 0x7fff_8000_0000_0000_0000n, F80, { kind: 'infinity' }],
  ] as const)('%s', (_, bits, format, expected) => {
    expect(unpack(bits, format)).toMatchObject(expected);
  });

  it('putting them together again gives the same bits', () => {
    const random = new Seeded(1n);
    for (let n = 0; n < 500; n++) {
      const value = unpack(numberBits(random, 64), F64);
      if (value.kind !== 'finite') continue;
      const how = context();
      const bits = roundPack(value.sign, value.exponent, value.significand, false, F64, how);
      expect([unpack(bits, F64), raised(how.flags)]).toEqual([value, '']);
    }
  });
});

describe('rounding', () => {
  // 2^24 + the low bits: what single precision makes of it in each mode.
  it.each([
    [0x2000_0005n, false, [0x4e00_0000n, 0x4e00_0000n, 0x4e00_0001n, 0x4e00_0000n]],
    [0x2000_0020n, false, [0x4e00_0000n, 0x4e00_0000n, 0x4e00_0001n, 0x4e00_0000n]],
    [0x2000_0020n, true, [0x4e00_0001n, 0x4e00_0000n, 0x4e00_0001n, 0x4e00_0000n]],
    [0x2000_0060n, false, [0x4e00_0002n, 0x4e00_0001n, 0x4e00_0002n, 0x4e00_0001n]],
    [0x3fff_ffffn, false, [0x4e80_0000n, 0x4e7f_ffffn, 0x4e80_0000n, 0x4e7f_ffffn]],
  ])('%s, more: %s', (significand, sticky, expected) => {
    const results = [0, 1, 2, 3].map((mode) => roundPack(0, 0, significand, sticky, F32, context(mode as Rounding)));
    expect(results).toEqual(expected);
    const negative = [0, 2, 1, 3].map((mode) => roundPack(1, 0, significand, sticky, F32, context(mode as Rounding)));
    expect(negative).toEqual(expected.map((bits) => bits | 0x8000_0000n));
  });

  it('overflows to infinity or the largest number', () => {
    const results = [0, 1, 2, 3].map((mode) => roundPack(0, 128, 1n, false, F32, context(mode as Rounding)));
    expect(results).toEqual([0x7f80_0000n, 0x7f7f_ffffn, 0x7f80_0000n, 0x7f7f_ffffn]);
  });

  it.each([
    ['exact denormal', -149, 1n, {}, 1n, ''],
    ['inexact denormal', -150, 3n, {}, 2n, 'underflow inexact'],
    ['flushed', -149, 1n, { flushToZero: true }, 0n, 'underflow inexact'],
    // Tininess after rounding: with 24 bits it comes to the smallest normal number, so it is not tiny.
    ['just below normal', -151, 0x1ff_ffffn, {}, 0x80_0000n, 'inexact'],
    ['tiny, rounded up to normal', -150, 0xff_ffffn, {}, 0x80_0000n, 'underflow inexact'],
  ] as const)('%s', (_, exponent, significand, more, bits, flags) => {
    const how = context(ROUND.NEAREST, more);
    const result = roundPack(0, exponent, significand, false, F32, how);
    expect([result, raised(how.flags)]).toEqual([bits, flags]);
  });

  it('an exact denormal is an underflow where that is unmasked', () => {
    const how = context(ROUND.NEAREST, { underflowUnmasked: true });
    roundPack(0, -149, 1n, false, F32, how);
    expect(raised(how.flags)).toBe('underflow');
  });

  it('keeps fewer bits under precision control, and says whether it rounded up', () => {
    const how = context(ROUND.NEAREST, { precision: 24 });
    expect(divide(0x4000_8000_0000_0000_0000n, 0x4000_c000_0000_0000_0000n, F80, how)).toBe(
      0x3ffe_aaaa_ab00_0000_0000n,
    );
    expect([raised(how.flags), how.flags.roundedUp]).toEqual(['inexact', true]);
  });

  it('wraps the exponent of an 80-bit result with overflow unmasked', () => {
    const how = context(ROUND.NEAREST, { overflowUnmasked: true });
    const large = 0x7ffe_8000_0000_0000_0000n;
    expect(multiply(large, large, F80, how)).toBe(0x5ffd_8000_0000_0000_0000n);
    expect(raised(how.flags)).toBe('overflow');
  });
});

describe('arithmetic beside the host', () => {
  it.each(OPERATIONS)('%s: doubles, all kinds', (_, operation, host) => {
    const random = new Seeded(11n);
    for (let n = 0; n < 1500; n++) {
      const [x, y] = [numberBits(random, 64), numberBits(random, 64)];
      const expected = host(numberOf(x, F64), numberOf(y, F64));
      const exact = operation(x, y, F64, context());
      expect(anyNan(exact, F64)).toBe(anyNan(bitsOf(expected, F64), F64));
    }
  });

  it.each(OPERATIONS)('%s: single precision, and the quick way as the exact one', (_, operation, host) => {
    const random = new Seeded(12n);
    for (let n = 0; n < 1500; n++) {
      const [x, y] = [numberBits(random, 32), numberBits(random, 32)];
      const expected = host(numberOf(x, F32), numberOf(y, F32));
      const exact = operation(x, y, F32, context());
      expect(anyNan(exact, F32)).toBe(anyNan(bitsOf(expected, F32), F32));
      expect(operation(x, y, F32, context(ROUND.NEAREST, { inexactIgnored: true }))).toBe(exact);
    }
  });

  it.each(OPERATIONS)('%s: directed roundings enclose the value', (_, operation) => {
    const random = new Seeded(13n);
    for (let n = 0; n < 500; n++) {
      const [x, y] = [numberBits(random, 64), numberBits(random, 64)];
      const how = context(ROUND.DOWN);
      const down = numberOf(operation(x, y, F64, how), F64);
      const up = numberOf(operation(x, y, F64, context(ROUND.UP)), F64);
      if (isNan(down)) continue;
      const between = numberOf(operation(x, y, F64, context()), F64);
      expect(down <= between && between <= up).toBe(true);
      expect(down < up).toBe(how.flags.inexact);
    }
  });

  it('an exact result says nothing of inexactness, an inexact one does', () => {
    const flagsOf = (operation: Operation, a: number, b: number): string => {
      const how = context();
      operation(bitsOf(a, F64), bitsOf(b, F64), F64, how);
      return raised(how.flags);
    };
    expect(flagsOf(add, 1, 2)).toBe('');
    expect(flagsOf(add, 0.1, 0.2)).toBe('inexact');
    expect(flagsOf(add, 2 ** 53, 1)).toBe('inexact');
    expect(flagsOf(multiply, 3, 5)).toBe('');
    expect(flagsOf(divide, 6, 3)).toBe('');
    expect(flagsOf(divide, 1, 3)).toBe('inexact');
    expect(flagsOf(root, 49, 0)).toBe('');
    expect(flagsOf(root, 2, 0)).toBe('inexact');
    expect(flagsOf(divide, 1, 0)).toBe('divideByZero');
    expect(flagsOf(divide, 0, 0)).toBe('invalid');
    expect(flagsOf(multiply, 1e-200, 1e-200)).toBe('underflow inexact');
    expect(flagsOf(multiply, 1e200, 1e200)).toBe('overflow inexact');
    expect(flagsOf(add, 5e-324, 1)).toBe('denormal inexact');
  });

  it('sums of zeros', () => {
    const minus = 1n << 63n;
    expect(add(0n, minus, F64, context())).toBe(0n);
    expect(add(0n, minus, F64, context(ROUND.DOWN))).toBe(minus);
    expect(subtract(bitsOf(1, F64), bitsOf(1, F64), F64, context(ROUND.DOWN))).toBe(minus);
    expect(add(minus, minus, F64, context())).toBe(minus);
  });

  it('an operand far below the other only makes the sum inexact', () => {
    const tiny = 1n; // smallest 80-bit denormal
    const one = 0x3fff_8000_0000_0000_0000n;
    expect(add(one, tiny, F80, context(ROUND.UP))).toBe(one + 1n);
    expect(subtract(one, tiny, F80, context(ROUND.DOWN))).toBe(0x3ffe_ffff_ffff_ffff_ffffn);
    expect(subtract(one, tiny, F80, context())).toBe(one);
  });
});

describe('NaNs', () => {
  const quiet = 0x7fc0_0011n;
  const signaling = 0x7f80_0022n;
  it('SSE takes the first, made quiet; only signaling ones are invalid', () => {
    const how = context();
    expect(add(quiet, 0x7fc0_0099n, F32, how)).toBe(quiet);
    expect(raised(how.flags)).toBe('');
    expect(add(signaling, quiet, F32, how)).toBe(0x7fc0_0022n);
    expect(raised(how.flags)).toBe('invalid');
    expect(add(0x3f80_0000n, signaling, F32, context())).toBe(0x7fc0_0022n);
  });

  it('x87 takes the quiet one, then the larger', () => {
    const how = context(ROUND.NEAREST, { nan: x87Nan });
    expect(add(signaling, quiet, F32, how)).toBe(quiet);
    expect(add(quiet, 0x7fc0_0099n, F32, how)).toBe(0x7fc0_0099n);
    expect(add(0xffc0_0011n, quiet, F32, how)).toBe(quiet);
  });

  it('an invalid operation gives the default one', () => {
    expect(subtract(0x7f80_0000n, 0x7f80_0000n, F32, context())).toBe(0xffc0_0000n);
    expect(squareRoot(0xbff0_0000_0000_0000n, F64, context())).toBe(0xfff8_0000_0000_0000n);
    expect(divide(0n, 0n, F80, context())).toBe(0xffff_c000_0000_0000_0000n);
  });
});

describe('comparison', () => {
  it('agrees with the host', () => {
    const random = new Seeded(14n);
    for (let n = 0; n < 1500; n++) {
      const [x, y] = [numberBits(random, 64), numberBits(random, 64)];
      const [a, b] = [numberOf(x, F64), numberOf(y, F64)];
      const expected = isNan(a) || isNan(b) ? 'unordered' : a < b ? 'less' : a > b ? 'greater' : 'equal';
      expect(compare(x, y, F64, context(), false)).toBe(expected);
      const widened = [x, y].map((bits) => convert(bits, F64, F80, context())) as [bigint, bigint];
      expect(compare(...widened, F80, context(), false)).toBe(expected);
    }
  });

  it('quiet NaNs are invalid only where the instruction says so', () => {
    const [quietly, loudly] = [context(), context()];
    compare(0x7fc0_0000n, 0n, F32, quietly, false);
    compare(0x7fc0_0000n, 0n, F32, loudly, true);
    expect([raised(quietly.flags), raised(loudly.flags)]).toEqual(['', 'invalid']);
  });

  it('minimum and maximum give the second of equals and of NaNs', () => {
    const [plus, minus, nan] = [0n, 0x8000_0000n, 0x7fc0_0000n];
    expect(minimum(plus, minus, F32, context())).toBe(minus);
    expect(maximum(minus, plus, F32, context())).toBe(plus);
    expect(maximum(nan, minus, F32, context())).toBe(minus);
    expect(minimum(minus, nan, F32, context())).toBe(nan);
    expect(minimum(1n, 5n, F32, context(ROUND.NEAREST, { denormalsAreZero: true }))).toBe(0n);
  });
});

describe('conversion', () => {
  it.each([
    [2.5, [2n, 2n, 3n, 2n]],
    [3.5, [4n, 3n, 4n, 3n]],
    [-2.5, [-2n, -3n, -2n, -2n]],
    [-0.75, [-1n, -1n, 0n, 0n]],
    [2 ** 40 + 0.5, [2n ** 40n, 2n ** 40n, 2n ** 40n + 1n, 2n ** 40n]],
  ] as const)('%s to an integer', (value, expected) => {
    const bits = bitsOf(value, F64);
    const wide = convert(bits, F64, F80, context());
    for (const [mode, integer] of expected.entries()) {
      const how = context(mode as Rounding);
      expect(BigInt.asIntN(64, toInteger(bits, F64, 64, how))).toBe(integer);
      expect(how.flags.inexact).toBe(true);
      expect(BigInt.asIntN(64, toInteger(wide, F80, 64, context(mode as Rounding)))).toBe(integer);
      const rounded = roundToInteger(bits, F64, context(mode as Rounding));
      expect(BigInt(numberOf(rounded, F64))).toBe(integer);
    }
  });

  it.each([
    [2 ** 31, 32, 'invalid', 0x8000_0000n],
    [-(2 ** 31), 32, '', 0x8000_0000n],
    [2 ** 31 - 0.5, 32, 'invalid', 0x8000_0000n],
    [Number.NaN, 64, 'invalid', 1n << 63n],
    [Number.NEGATIVE_INFINITY, 16, 'invalid', 0x8000n],
    [40000, 16, 'invalid', 0x8000n],
    [5e-324, 32, 'inexact', 0n],
  ] as const)('%s to %s bits', (value, width, flags, expected) => {
    const how = context();
    expect(toInteger(bitsOf(value, F64), F64, width, how)).toBe(expected);
    expect(raised(how.flags)).toBe(flags);
  });

  it('rounds to single precision as the host does', () => {
    const random = new Seeded(15n);
    for (let n = 0; n < 1500; n++) {
      const value = numberOf(numberBits(random, 64), F64);
      if (isNan(value)) continue;
      expect(convert(bitsOf(value, F64), F64, F32, context())).toBe(bitsOf(Math.fround(value), F32));
    }
  });

  it('integers that do not fit are rounded', () => {
    const how = context();
    expect(fromInteger(2n ** 53n + 1n, F64, how)).toBe(bitsOf(2 ** 53, F64));
    expect(raised(how.flags)).toBe('inexact');
    expect(fromInteger(-16_777_217n, F32, context(ROUND.DOWN))).toBe(0xcb80_0001n);
    expect(fromInteger(-(2n ** 63n), F80, context(ROUND.NEAREST, { precision: 24 }))).toBe(0xc03e_8000_0000_0000_0000n);
  });

  it('keeps the payload of a NaN, and precision control out of it', () => {
    expect(convert(0x7f80_0001n, F32, F64, context())).toBe(0x7ff8_0000_2000_0000n);
    const value = 0x3ff1_2345_6789_abcdn;
    const wide = convert(value, F64, F80, context(ROUND.NEAREST, { precision: 24 }));
    expect(convert(wide, F80, F64, context())).toBe(value);
  });
});

it('integer helpers', () => {
  expect([0n, 1n, 255n, 2n ** 32n, 2n ** 100n].map(bitLength)).toEqual([0, 1, 8, 33, 101]);
  for (const value of [0n, 1n, 3n, 4n, 99n, 100n, 2n ** 127n]) {
    const found = integerSquareRoot(value);
    expect(found * found <= value && (found + 1n) * (found + 1n) > value).toBe(true);
  }
});
