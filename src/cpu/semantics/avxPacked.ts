// AVX and AVX2: packed integers and logic. The operations are those of SSE to SSE4.1, done with either half of the
// registers (SDM 2): nothing goes from one half to the other but in avxPermute.ts.

import { type I32, type I64, i32, i64, select, type V128 } from '../../wasm/code.ts';
import { doublewords, i16x8, i32x4, i64x2, i8x16, v128, words } from '../../wasm/simd.ts';
import type { Emitter } from './emitter.ts';
import { clearSignAndParity } from './bits.ts';
import { setAuxiliary, setCarryVector, setZero } from './flags.ts';
import type { Handler } from './handler.ts';
import {
  BYTE_NUMBERS,
  doublewordNumbers,
  immediate8,
  OPERATIONS,
  type Shift,
  SHIFTS,
  shuffleSingles,
  sumOfDifferences,
  type VectorOp,
  wordNumbers,
} from './sse.ts';
import {
  DUPLICATES,
  leastWord,
  movddup,
  SSE4_OPERATIONS,
  sumsOfDifferences,
  VARIABLE_BLENDS,
  WIDENING,
} from './sse4.ts';
import { ELEMENTWISE, HORIZONTAL, palignr, pshufb } from './ssse3.ts';
import {
  binaryForms,
  type HalfResult,
  type Halves,
  handler,
  letter,
  NONE,
  readMemory,
  readRegister,
  readSource,
  SOURCES,
  sourceText,
  ternaryForms,
  WIDTHS,
  writeRegister,
} from './ymm.ts';

const UNARY = /^pabs/;

/** What C libraries search and compare memory with, and compilers make of loops. */
const COMMON: ReadonlySet<string> = new Set(
  'pcmpeqb pcmpeqd pminub pmaxub por pand pandn pxor paddb paddd paddq psubb psubd pshufb'.split(' '),
);
const IMMEDIATE = { immediate: ',i8' };

// Plain operations ------------------------------------------------------------------------------------------------------

const ternary: readonly (readonly [string, HalfResult])[] = [
  ...[...OPERATIONS, ...SSE4_OPERATIONS, ...HORIZONTAL, ['pshufb', pshufb] as const].map(
    ([name, op]) => [name, (_e: Emitter, a: V128, b: V128) => op(a, b)] as const,
  ),
  ...ELEMENTWISE.filter(([name]) => !UNARY.test(name)),
  ['psadbw', sumOfDifferences],
];

const unary: readonly (readonly [string, (e: Emitter, s: V128) => V128])[] = [
  ...ELEMENTWISE.filter(([name]) => UNARY.test(name)).map(
    ([name, result]) => [name, (e: Emitter, s: V128) => result(e, s, s)] as const,
  ),
  ...DUPLICATES.map(([name, op]) => [name, (_e: Emitter, s: V128) => op(s)] as const),
];

// Immediates ------------------------------------------------------------------------------------------------------------

/** The immediate's bits for a half, where the halves have their own. */
const bitsOf = (e: Emitter, half: 0 | 1, count: number): I32 =>
  half ? i32.shrU(immediate8(e), i32.const(count)) : immediate8(e);

const chosen = (spread: V128, bits: V128, eq: VectorOp): V128 => eq(v128.and(spread, bits), bits);
const WORD_BITS = words([1, 2, 4, 8, 16, 32, 64, 128]);
const SINGLE_BITS = doublewords([1, 2, 4, 8]);
const singlesOf = (bits: I32): V128 => chosen(i32x4.splat(bits), SINGLE_BITS, i32x4.eq);
const DOUBLE_BITS = doublewords([1, 0, 2, 0]);
const doublesOf = (bits: I32): V128 => chosen(i64x2.splat(i64.extendU(bits)), DOUBLE_BITS, i64x2.eq);

const LOW_TWICE = [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7];
const HIGH_TWICE = LOW_TWICE.map((byte) => byte + 8);
/** The low or, where the mask has ones, the high double of the vector at each place. */
export const pickDoubles = (s: V128, mask: V128): V128 =>
  v128.bitselect(i8x16.shuffle(s, s, HIGH_TWICE), i8x16.shuffle(s, s, LOW_TWICE), mask);

const withImmediate: readonly (readonly [string, HalfResult])[] = [
  ['palignr', palignr],
  ['shufps', shuffleSingles],
  [
    'shufpd',
    (e, a, b, half) => {
      const bits = e.let(doublesOf(bitsOf(e, half, 2)));
      return i8x16.shuffle(
        pickDoubles(a, bits),
        pickDoubles(b, bits),
        [0, 1, 2, 3, 4, 5, 6, 7, 24, 25, 26, 27, 28, 29, 30, 31],
      );
    },
  ],
  ['pblendw', (e, a, b) => v128.bitselect(b, a, chosen(i16x8.splat(immediate8(e)), WORD_BITS, i16x8.eq))],
  // VPBLENDD too, by the decoder's names.
  ['blendps', (e, a, b, half) => v128.bitselect(b, a, singlesOf(bitsOf(e, half, 4)))],
  ['blendpd', (e, a, b, half) => v128.bitselect(b, a, doublesOf(bitsOf(e, half, 2)))],
  ['mpsadbw', (e, a, b, half) => sumsOfDifferences(e, a, b, bitsOf(e, half, 3))],
];

const unaryWithImmediate: readonly (readonly [string, (e: Emitter, s: V128, half: 0 | 1) => V128])[] = [
  ['pshufd', (e, s) => i8x16.swizzle(s, doublewordNumbers(e))],
  ['permilps', (e, s) => i8x16.swizzle(s, doublewordNumbers(e))],
  ['pshuflw', (e, s) => i8x16.swizzle(s, wordNumbers(e, false))],
  ['pshufhw', (e, s) => i8x16.swizzle(s, wordNumbers(e, true))],
  ['permilpd', (e, s, half) => pickDoubles(s, doublesOf(bitsOf(e, half, 2)))],
];

const variableBlends: readonly Handler[] = VARIABLE_BLENDS.flatMap(([name, blend]) =>
  WIDTHS.flatMap((width) =>
    SOURCES.map((source) =>
      handler(`v${name} ${letter(width)},${letter(width)},${sourceText(source, width)},${letter(width)}`, (e) => {
        const b = readSource(e, source, 'third', width);
        const a = readRegister(e, 'second', width);
        const mask = readRegister(e, 'last', width);
        const results = a.map((part, half) => e.let(blend(part, b[half] as V128, mask[half] as V128)));
        writeRegister(e, 'first', results);
      }),
    ),
  ),
);

// Shifts ----------------------------------------------------------------------------------------------------------------

/** A count of the element's bits or more gives zeros; of an arithmetic shift, copies of the sign. */
function shifted(e: Emitter, { name, bits, op }: Shift, values: Halves, count: I64): V128[] {
  const kept = e.let(count);
  const fits = i64.ltU(kept, i64.const(bits));
  const arithmetic = name.startsWith('psra');
  const least = e.let(select(fits, i32.wrap(kept), i32.const(bits - 1)));
  return values.map((a) => e.let(arithmetic ? op(a, least) : select(fits, op(a, least), NONE)));
}

const shifts: readonly Handler[] = SHIFTS.flatMap((shift) =>
  WIDTHS.flatMap((width) => [
    // The count is the low 64 bits of a register or of 16 bytes of memory, whatever the width.
    ...SOURCES.map((source) =>
      handler(`v${shift.name} ${letter(width)},${letter(width)},${sourceText(source, 128)}`, (e) => {
        const [count = NONE] = readSource(e, source, 'third', 128);
        const values = readRegister(e, 'second', width);
        writeRegister(e, 'first', shifted(e, shift, values, i64x2.extract(count, 0)));
      }),
    ),
    handler(`v${shift.name} ${letter(width)},${letter(width)},i8`, (e) => {
      const values = readRegister(e, 'second', width);
      writeRegister(e, 'first', shifted(e, shift, values, i64.extendU(immediate8(e))));
    }),
  ]),
);

const byteShift = (name: string, op: VectorOp): Handler[] =>
  WIDTHS.map((width) =>
    handler(`${name} ${letter(width)},${letter(width)},i8`, (e) => {
      const count = e.let(immediate8(e));
      const most = select(i32.ltU(count, i32.const(16)), count, i32.const(16));
      const numbers = e.let(op(BYTE_NUMBERS, i8x16.splat(most)));
      const values = readRegister(e, 'second', width);
      writeRegister(
        e,
        'first',
        values.map((a) => e.let(i8x16.swizzle(a, numbers))),
      );
    }),
  );

type Scalar = (value: I64, count: I64) => I64;
const LOW32 = i64.const(0xffff_ffff);
const low32 = (a: I64): I64 => i64.and(a, LOW32);
const high32 = (a: I64): I64 => i64.shrU(a, i64.const(32));

/** Each element by the count at its place. */
const byQuadwords =
  (op: Scalar): HalfResult =>
  (e, a, b) => {
    const one = (lane: 0 | 1): I64 => op(i64x2.extract(a, lane), e.let(i64x2.extract(b, lane)));
    return i64x2.replace(i64x2.splat(one(0)), 1, one(1));
  };
const byDoublewords = (op: Scalar): HalfResult =>
  byQuadwords((value, count) =>
    i64.or(low32(op(low32(value), low32(count))), i64.shl(op(high32(value), high32(count)), i64.const(32))),
  );

const within =
  (bits: number, op: Scalar): Scalar =>
  (value, count) =>
    select(i64.ltU(count, i64.const(bits)), op(value, count), i64.const(0));
const arithmetic32: Scalar = (value, count) =>
  i64.shrS(i64.extend32S(value), select(i64.ltU(count, i64.const(31)), count, i64.const(31)));

const variableShifts: readonly (readonly [string, HalfResult])[] = [
  ['psllvd', byDoublewords(within(32, i64.shl))],
  ['psrlvd', byDoublewords(within(32, i64.shrU))],
  ['psravd', byDoublewords(arithmetic32)],
  ['psllvq', byQuadwords(within(64, i64.shl))],
  ['psrlvq', byQuadwords(within(64, i64.shrU))],
];

// Widening, signs and tests ---------------------------------------------------------------------------------------------

/** VPMOVSX and VPMOVZX: the upper half is made of what follows in the source. */
const widening: readonly Handler[] = WIDENING.flatMap(([name, bytes, widen]) =>
  WIDTHS.flatMap((width) => {
    const used = (bytes * width) / 128;
    const result = (e: Emitter, s: V128): void => {
      const following = [...Array(16).keys()].map((byte) => (byte + bytes) & 15);
      const halves = width === 128 ? [s] : [s, i8x16.shuffle(s, s, following)];
      writeRegister(
        e,
        'first',
        halves.map((half) => e.let(widen(half))),
      );
    };
    return [
      handler(`v${name} ${letter(width)},x128`, (e) => result(e, readRegister(e, 'second', 128)[0] as V128)),
      handler(`v${name} ${letter(width)},g${used * 8}`, (e) => result(e, e.let(shortMemory(e, used)))),
    ];
  }),
);

/** 2, 4, 8 or 16 bytes of memory; above them there is anything. */
export function shortMemory(e: Emitter, bytes: number): V128 {
  if (bytes === 16) return readMemory(e, 'g', 128)[0] as V128;
  const operand = e.memory(bytes as 2 | 4 | 8, false, 'read');
  return i64x2.splat(operand.width.unsigned64(operand.read()));
}

type Signs = readonly [name: string, mask: (a: V128) => I32, perHalf: number];
const SIGNS: readonly Signs[] = [
  ['vpmovmskb', i8x16.bitmask, 16],
  ['vmovmskps', i32x4.bitmask, 4],
  ['vmovmskpd', i64x2.bitmask, 2],
];
const signs: readonly Handler[] = SIGNS.flatMap(([name, mask, perHalf]) =>
  WIDTHS.flatMap((width) =>
    ([4, 8] as const).map((bytes) =>
      handler(`${name} r${bytes * 8},${letter(width)}`, (e) => {
        const [low = NONE, high] = readRegister(e, 'second', width);
        const value = high ? i32.or(mask(low), i32.shl(mask(high), i32.const(perHalf))) : mask(low);
        const d = e.register('first', bytes);
        d.write(d.width.from64(i64.extendU(value)));
      }),
    ),
  ),
);

const ALL = v128.not(NONE);
const TESTS: readonly (readonly [string, V128])[] = [
  ['vptest', ALL],
  ['vtestps', doublewords([-(2 ** 31), -(2 ** 31), -(2 ** 31), -(2 ** 31)])],
  ['vtestpd', doublewords([0, -(2 ** 31), 0, -(2 ** 31)])],
];
/** ZF where no bit that counts is in both operands, CF where the source has none besides (SDM 2C, VTESTPD). */
const tests: readonly Handler[] = TESTS.flatMap(([name, counting]) =>
  WIDTHS.flatMap((width) =>
    SOURCES.map((source) =>
      handler(`${name} ${letter(width)},${sourceText(source, width)}`, (e) => {
        const b = readSource(e, source, 'second', width);
        const a = readRegister(e, 'first', width);
        const any = (op: VectorOp): I32 =>
          e.let(v128.anyTrue(v128.and(counting, a.map((part, half) => op(part, b[half] as V128)).reduce(v128.or))));
        const common = any(v128.and);
        const besides = any((d, s) => v128.andnot(s, d));
        clearSignAndParity(e);
        setZero(e, i32.eqz(common));
        setAuxiliary(e, i32.const(0));
        setCarryVector(e, i64.extendS(i32.sub(i32.const(0), i32.eqz(besides))));
      }),
    ),
  ),
);

export const avxPacked: readonly Handler[] = [
  ...ternary.flatMap(([name, result]) => ternaryForms(`v${name}`, result, { common: COMMON.has(name) })),
  ...unary.flatMap(([name, result]) => binaryForms(`v${name}`, result)),
  ...binaryForms('vphminposuw', leastWord, { widths: [128] }),
  ...binaryForms('vmovddup', (_e, s) => movddup(s), { widths: [256] }),
  handler('vmovddup x128,x128', (e) => writeRegister(e, 'first', [movddup(readRegister(e, 'second', 128)[0] as V128)])),
  handler('vmovddup x128,g64', (e) => writeRegister(e, 'first', [movddup(e.let(shortMemory(e, 8)))])),
  ...withImmediate.flatMap(([name, result]) => ternaryForms(`v${name}`, result, IMMEDIATE)),
  ...unaryWithImmediate.flatMap(([name, result]) => binaryForms(`v${name}`, result, IMMEDIATE)),
  ...variableBlends,
  ...shifts,
  ...byteShift('vpslldq', i8x16.sub),
  ...byteShift('vpsrldq', i8x16.add),
  ...variableShifts.flatMap(([name, result]) => ternaryForms(`v${name}`, result)),
  ...widening,
  ...signs,
  ...tests,
];
