// AVX and AVX2: broadcasts, and what moves elements by numbers, within halves and between them (SDM 2C).

import { type Expr, type I32, type I64, i32, i64, select, type V128 } from '../../wasm/code.ts';
import { doublewords, i16x8, i32x4, i64x2, i8x16, v128 } from '../../wasm/simd.ts';
import type { Emitter } from './emitter.ts';
import { pickDoubles } from './avxPacked.ts';
import type { Handler } from './handler.ts';
import { immediate8 } from './sse.ts';
import {
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
  writeMemory,
  writeRegister,
} from './ymm.ts';

// Broadcasts ------------------------------------------------------------------------------------------------------------

type Broadcast = { readonly name: string; readonly bytes: 1 | 2 | 4 | 8; readonly splat: (value: I64) => V128 };
const BROADCASTS: readonly Broadcast[] = [
  { name: 'vpbroadcastb', bytes: 1, splat: (value) => i8x16.splat(i32.wrap(value)) },
  { name: 'vpbroadcastw', bytes: 2, splat: (value) => i16x8.splat(i32.wrap(value)) },
  // VBROADCASTSS and VBROADCASTSD too.
  { name: 'vpbroadcastd', bytes: 4, splat: (value) => i32x4.splat(i32.wrap(value)) },
  { name: 'vpbroadcastq', bytes: 8, splat: i64x2.splat },
];

const broadcasts: readonly Handler[] = BROADCASTS.flatMap(({ name, bytes, splat }) =>
  WIDTHS.flatMap((width) => {
    const spread = (e: Emitter, value: Expr<'i64'>): void => {
      const half = e.let(splat(value));
      writeRegister(e, 'first', width === 128 ? [half] : [half, half]);
    };
    return [
      handler(`${name} ${letter(width)},x128`, (e) => spread(e, i64.load(e.vectorAddress('second')))),
      handler(`${name} ${letter(width)},g${8 * bytes}`, (e) => {
        const operand = e.memory(bytes, false, 'read');
        spread(e, operand.width.unsigned64(operand.read()));
      }),
    ];
  }),
);

const broadcastHalf = handler('vbroadcastf128 y256,g128', (e) => {
  const [half = NONE] = readMemory(e, 'g', 128);
  writeRegister(e, 'first', [half, half]);
});

// Halves ----------------------------------------------------------------------------------------------------------------

const isHigh = (e: Emitter): I32 => e.let(i32.and(immediate8(e), i32.const(1)));

const halfInserts: readonly Handler[] = SOURCES.map((source) =>
  handler(`vinsertf128 y256,y256,${sourceText(source, 128)},i8`, (e) => {
    const [value = NONE] = readSource(e, source, 'third', 128);
    const [low = NONE, high = NONE] = readRegister(e, 'second', 256);
    const toHigh = isHigh(e);
    writeRegister(e, 'first', [e.let(select(toHigh, low, value)), e.let(select(toHigh, value, high))]);
  }),
);

const halfExtracts: readonly Handler[] = [
  handler('vextractf128 x128,y256,i8', (e) => {
    const [low = NONE, high = NONE] = readRegister(e, 'second', 256);
    writeRegister(e, 'first', [e.let(select(isHigh(e), high, low))]);
  }),
  handler('vextractf128 g128,y256,i8', (e) => {
    const [low = NONE, high = NONE] = readRegister(e, 'first', 256);
    writeMemory(e, 'g', [e.let(select(isHigh(e), high, low))]);
  }),
];

/** The half that a field of four bits names: of the second operand, of the third, or zeros. */
const namedHalf = (field: I32, halves: readonly V128[]): V128 => {
  const bit = (mask: number): I32 => i32.and(field, i32.const(mask));
  const [a = NONE, b = NONE, c = NONE, d = NONE] = halves;
  const half = select(bit(2), select(bit(1), d, c), select(bit(1), b, a));
  return select(bit(8), NONE, half);
};

const halfPermutes: readonly Handler[] = SOURCES.map((source) =>
  handler(`vperm2f128 y256,y256,${sourceText(source, 256)},i8`, (e) => {
    const second = readSource(e, source, 'third', 256);
    const halves = [...readRegister(e, 'second', 256), ...second];
    const fields = [immediate8(e), i32.shrU(immediate8(e), i32.const(4))];
    writeRegister(
      e,
      'first',
      fields.map((field) => e.let(namedHalf(e.let(field), halves))),
    );
  }),
);

// Elements --------------------------------------------------------------------------------------------------------------

const REPEATED = doublewords([0x04040404, 0x04040404, 0x04040404, 0x04040404]);
const FIRST_BYTES = doublewords([0x03020100, 0x03020100, 0x03020100, 0x03020100]);
const all32 = (value: number): V128 => doublewords([value, value, value, value]);
const all64 = (value: number): V128 => i64x2.splat(i64.const(value));

/** Byte numbers of the doublewords that the low two bits of each doubleword name. */
const bytesOfDoublewords = (numbers: V128): V128 =>
  i32x4.add(i32x4.mul(v128.and(numbers, all32(3)), REPEATED), FIRST_BYTES);

/** VPERMD (and VPERMPS): the second operand has the numbers, the third the elements. */
const permuteDoublewords: readonly Handler[] = SOURCES.map((source) =>
  handler(`vpermd y256,y256,${sourceText(source, 256)}`, (e) => {
    const [low = NONE, high = NONE] = readSource(e, source, 'third', 256);
    const results = readRegister(e, 'second', 256).map((numbers) => {
      const bytes = e.let(bytesOfDoublewords(numbers));
      const inHigh = i32x4.eq(v128.and(numbers, all32(4)), all32(4));
      return e.let(v128.bitselect(i8x16.swizzle(high, bytes), i8x16.swizzle(low, bytes), inHigh));
    });
    writeRegister(e, 'first', results);
  }),
);

/** VPERMQ (and VPERMPD): two bits of the immediate for each quadword. */
const permuteQuadwords: readonly Handler[] = SOURCES.map((source) =>
  handler(`vpermq y256,${sourceText(source, 256)},i8`, (e) => {
    const [low = NONE, high = NONE] = readSource(e, source, 'second', 256);
    const quadword = (place: number): I64 => {
      const bit = (n: number): I32 => i32.and(immediate8(e), i32.const(1 << (2 * place + n)));
      const of = (half: V128): I64 => select(bit(0), i64x2.extract(half, 1), i64x2.extract(half, 0));
      return select(bit(1), of(high), of(low));
    };
    const pair = (first: number): V128 => e.let(i64x2.replace(i64x2.splat(quadword(first)), 1, quadword(first + 1)));
    writeRegister(e, 'first', [pair(0), pair(2)]);
  }),
);

export const avxPermutes: readonly Handler[] = [
  ...broadcasts,
  broadcastHalf,
  ...halfInserts,
  ...halfExtracts,
  ...halfPermutes,
  ...permuteDoublewords,
  ...permuteQuadwords,
  // The numbers are in the last operand; by an immediate: avxPacked.ts.
  ...ternaryForms('vpermilps', (e, a, b) => i8x16.swizzle(a, e.let(bytesOfDoublewords(b)))),
  ...ternaryForms('vpermilpd', (e, a, b) => pickDoubles(a, e.let(i64x2.eq(v128.and(b, all64(2)), all64(2))))),
];
