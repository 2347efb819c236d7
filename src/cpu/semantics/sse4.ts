// SSE3, SSE4.1 and SSE4.2 (SDM 2): what of them moves, compares and computes with integers. Strings are compared in
// compareStrings.ts; arithmetic of SSE3 and SSE4.1, and rounding, are microcode (microcode/sse/horizontal.ts).

import { type Expr, type I32, i32, i64, type V128 } from '../../wasm/code.ts';
import { doublewords, i16x8, i32x4, i64x2, i8x16, v128, words } from '../../wasm/simd.ts';
import type { Emitter } from './emitter.ts';
import { clearSignAndParity } from './bits.ts';
import { setAuxiliary, setCarryVector, setZero } from './flags.ts';
import type { Handler } from './handler.ts';
import {
  BYTE_NUMBERS,
  evenDoublewords,
  immediate8,
  immediateForms,
  VECTOR_KINDS,
  type VectorKind,
  type VectorOp,
  type VectorResult,
  vectorForms,
  vectorSource,
} from './sse.ts';
import { unaryForms } from './ssse3.ts';

const handler = (key: string, build: (e: Emitter) => void): Handler => ({
  key,
  build: (e) => {
    build(e);
    e.next();
  },
});

type MemoryKind = 'm' | 'g';
const MEMORY: readonly MemoryKind[] = ['m', 'g'];

/** d = op(d, s), element by element. */
export const SSE4_OPERATIONS: readonly (readonly [string, VectorOp])[] = [
  ['pminsb', i8x16.minS],
  ['pminsd', i32x4.minS],
  ['pminuw', i16x8.minU],
  ['pminud', i32x4.minU],
  ['pmaxsb', i8x16.maxS],
  ['pmaxsd', i32x4.maxS],
  ['pmaxuw', i16x8.maxU],
  ['pmaxud', i32x4.maxU],
  ['pmulld', i32x4.mul],
  ['pmuldq', (d, s) => i64x2.extmulLowS(evenDoublewords(d), evenDoublewords(s))],
  ['packusdw', i16x8.narrowU],
  ['pcmpeqq', i64x2.eq],
  ['pcmpgtq', i64x2.gtS],
];

// Widening and duplicating ------------------------------------------------------------------------------------------------

type Unary = (a: V128) => V128;

/** PMOVSX and PMOVZX: bytes of source used, and what widens its low elements. */
export const WIDENING: readonly (readonly [string, 2 | 4 | 8, Unary])[] = [
  ['pmovsxbw', 8, i16x8.extendLowS],
  ['pmovsxbd', 4, (a) => i32x4.extendLowS(i16x8.extendLowS(a))],
  ['pmovsxbq', 2, (a) => i64x2.extendLowS(i32x4.extendLowS(i16x8.extendLowS(a)))],
  ['pmovsxwd', 8, i32x4.extendLowS],
  ['pmovsxwq', 4, (a) => i64x2.extendLowS(i32x4.extendLowS(a))],
  ['pmovsxdq', 8, i64x2.extendLowS],
  ['pmovzxbw', 8, i16x8.extendLowU],
  ['pmovzxbd', 4, (a) => i32x4.extendLowU(i16x8.extendLowU(a))],
  ['pmovzxbq', 2, (a) => i64x2.extendLowU(i32x4.extendLowU(i16x8.extendLowU(a)))],
  ['pmovzxwd', 8, i32x4.extendLowU],
  ['pmovzxwq', 4, (a) => i64x2.extendLowU(i32x4.extendLowU(a))],
  ['pmovzxdq', 8, i64x2.extendLowU],
];

const LOW_TWICE = [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7];
const twice =
  (lanes: readonly number[]): Unary =>
  (a) =>
    i8x16.shuffle(a, a, lanes);
export const movddup = twice(LOW_TWICE);

/** MOVSLDUP and MOVSHDUP: the even or odd singles, each twice. */
export const DUPLICATES: readonly (readonly [string, Unary])[] = [
  ['movsldup', twice([0, 1, 2, 3, 0, 1, 2, 3, 8, 9, 10, 11, 8, 9, 10, 11])],
  ['movshdup', twice([4, 5, 6, 7, 4, 5, 6, 7, 12, 13, 14, 15, 12, 13, 14, 15])],
];

/** A source of fewer than 16 bytes: no alignment is asked of it. Its upper part holds anything. */
const shortSource = (e: Emitter, kind: VectorKind, bytes: 2 | 4 | 8): V128 => {
  if (kind === 'x') return e.xmm('second').read();
  const operand = e.memory(bytes, kind === 'm', 'read');
  return i64x2.splat(operand.width.unsigned64(operand.read()));
};

const fromShort = (name: string, bytes: 2 | 4 | 8, result: Unary): Handler[] =>
  VECTOR_KINDS.map((kind) =>
    handler(`${name} x128,${kind}${kind === 'x' ? 128 : 8 * bytes}`, (e) => {
      const s = e.let(shortSource(e, kind, bytes));
      e.xmm('first').write(result(s));
    }),
  );

// Blends ------------------------------------------------------------------------------------------------------------------

/** Mask of the elements whose bit in the immediate is set; `bits` has each element's bit at its place. */
const chosen = (spread: V128, bits: V128, eq: VectorOp): V128 => eq(v128.and(spread, bits), bits);
const WORD_BITS = words([1, 2, 4, 8, 16, 32, 64, 128]);
const SINGLE_BITS = doublewords([1, 2, 4, 8]);
const DOUBLE_BITS = doublewords([1, 0, 2, 0]);

const immediateMask: Readonly<Record<string, (e: Emitter) => V128>> = {
  pblendw: (e) => chosen(i16x8.splat(immediate8(e)), WORD_BITS, i16x8.eq),
  blendps: (e) => chosen(i32x4.splat(immediate8(e)), SINGLE_BITS, i32x4.eq),
  blendpd: (e) => chosen(i64x2.splat(i64.extendU(immediate8(e))), DOUBLE_BITS, i64x2.eq),
};
const IMMEDIATE_BLENDS: readonly (readonly [string, VectorResult])[] = Object.entries(immediateMask).map(
  ([name, mask]) => [name, (e, d, s) => v128.bitselect(s, d, mask(e))] as const,
);

/** PBLENDVB, BLENDVPS, BLENDVPD: the source's elements where the mask's elements have their sign bit set. */
export const VARIABLE_BLENDS: readonly (readonly [string, (d: V128, s: V128, mask: V128) => V128])[] = [
  ['pblendvb', (d, s, mask) => v128.bitselect(s, d, i8x16.shrS(mask, i32.const(7)))],
  ['blendvps', (d, s, mask) => v128.bitselect(s, d, i32x4.shrS(mask, i32.const(31)))],
  ['blendvpd', (d, s, mask) => v128.bitselect(s, d, i64x2.shrS(mask, i32.const(63)))],
];

// Sums and searches -------------------------------------------------------------------------------------------------------

/** PHMINPOSUW: the least word and, above it, where it stands first. Each word is weighed with its number behind it. */
export const leastWord = (e: Emitter, s: V128): V128 => {
  const three = i32.const(3);
  const low = v128.or(i32x4.shl(i32x4.extendLowU(s), three), doublewords([0, 1, 2, 3]));
  const high = v128.or(i32x4.shl(i32x4.extendHighU(s), three), doublewords([4, 5, 6, 7]));
  const four = e.let(i32x4.minU(low, high));
  const two = e.let(
    i32x4.minU(four, i8x16.shuffle(four, four, [8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7])),
  );
  const least = e.let(i32.wrap(i64x2.extract(i32x4.minU(two, i64x2.shrU(two, i32.const(32))), 0)));
  const result = i32.or(i32.shrU(least, three), i32.shl(i32.and(least, i32.const(7)), i32.const(16)));
  return i64x2.replace(i64x2.splat(i64.const(0)), 0, i64.extendU(result));
};

const bytesFrom = (from: V128, first: I32): V128 => i8x16.swizzle(from, i8x16.add(BYTE_NUMBERS, i8x16.splat(first)));
const followingBytes = (first: number): number[] => [...Array(16).keys()].map((n) => (n + first) & 15);

/**
 * MPSADBW: sums of four differences between the source's four bytes that the immediate's low two bits name and eight
 * places, a byte apart, of the destination; bit 2 says where the first is.
 */
export const sumsOfDifferences = (e: Emitter, d: V128, s: V128, immediate: I32): V128 => {
  const kept = e.let(immediate);
  const first = (bits: number): I32 => i32.and(i32.shl(kept, i32.const(2)), i32.const(bits));
  const block = e.let(bytesFrom(s, first(12)));
  const window = e.let(bytesFrom(d, i32.and(kept, i32.const(4))));
  const difference = (byte: number): V128 => {
    const places = i16x8.extendLowU(i8x16.shuffle(window, window, followingBytes(byte)));
    return i16x8.abs(i16x8.sub(places, i16x8.splat(i8x16.extractU(block, byte))));
  };
  return i16x8.add(i16x8.add(difference(0), difference(1)), i16x8.add(difference(2), difference(3)));
};

/** PTEST: ZF where source and destination have no bit in common, CF where the source has none besides (SDM 2B). */
const testVectors = (e: Emitter, d: V128, s: V128): void => {
  const common = e.let(v128.anyTrue(v128.and(d, s)));
  const besides = e.let(v128.anyTrue(v128.andnot(s, d)));
  clearSignAndParity(e);
  setZero(e, i32.eqz(common));
  setAuxiliary(e, i32.const(0));
  // All ones or none: OF is 0.
  setCarryVector(e, i64.extendS(i32.sub(i32.const(0), i32.eqz(besides))));
};

// Single elements -----------------------------------------------------------------------------------------------------------

type Element = { readonly name: string; readonly bytes: 1 | 2 | 4 | 8; readonly registers: readonly (4 | 8)[] };
const INSERTED: readonly Element[] = [
  { name: 'pinsrb', bytes: 1, registers: [4, 8] },
  { name: 'pinsrd', bytes: 4, registers: [4] },
  { name: 'pinsrq', bytes: 8, registers: [8] },
];
const EXTRACTED: readonly Element[] = [
  { name: 'pextrb', bytes: 1, registers: [4, 8] },
  { name: 'pextrd', bytes: 4, registers: [4] },
  { name: 'pextrq', bytes: 8, registers: [8] },
  { name: 'extractps', bytes: 4, registers: [4, 8] },
];

/** Host address of the element that the immediate names, in the register at `base`. */
export const elementAddress = (e: Emitter, base: I32, bytes: 1 | 2 | 4 | 8): I32 => {
  const number = i32.and(immediate8(e), i32.const(16 / bytes - 1));
  return i32.add(base, i32.mul(number, i32.const(bytes)));
};

const STORES = { 1: i64.store8, 2: i64.store16, 4: i64.store32, 8: i64.store } as const;
const LOADS = { 1: i64.load8u, 2: i64.load16u, 4: i64.load32u, 8: i64.load } as const;

const insertElement = (e: Emitter, bytes: 1 | 2 | 4 | 8, value: Expr<'i64'>): void =>
  e.emit(STORES[bytes](elementAddress(e, e.vectorAddress('first'), bytes), value));

const insertion = ({ name, bytes, registers }: Element): Handler[] => [
  ...registers.map((size) =>
    handler(`${name} x128,r${8 * size},i8`, (e) => {
      insertElement(e, bytes, e.let(e.registerValue('second', 8) as Expr<'i64'>));
    }),
  ),
  ...MEMORY.map((kind) =>
    handler(`${name} x128,${kind}${8 * bytes},i8`, (e) => {
      const operand = e.memory(bytes, kind === 'm', 'read');
      insertElement(e, bytes, e.let(operand.width.unsigned64(operand.read())));
    }),
  ),
];

const extraction = ({ name, bytes, registers }: Element): Handler[] => [
  ...registers.map((size) =>
    handler(`${name} r${8 * size},x128,i8`, (e) => {
      const value = LOADS[bytes](elementAddress(e, e.vectorAddress('second'), bytes));
      const d = e.register('first', size);
      d.write(d.width.from64(value));
    }),
  ),
  ...extractionToMemory(name, bytes),
];

const extractionToMemory = (name: string, bytes: 1 | 2 | 4 | 8): Handler[] =>
  MEMORY.map((kind) =>
    handler(`${name} ${kind}${8 * bytes},x128,i8`, (e) => {
      const value = e.let(LOADS[bytes](elementAddress(e, e.vectorAddress('first'), bytes)));
      const d = e.memory(bytes, kind === 'm', 'write');
      d.write(d.width.from64(value));
    }),
  );

/** INSERTPS: the single in all elements of `value` goes to the place in bits 4 and 5; the low four bits clear elements. */
export const insertSingle = (e: Emitter, d: V128, value: V128): V128 => {
  const immediate = immediate8(e);
  const place = i32x4.splat(i32.and(i32.shrU(immediate, i32.const(4)), i32.const(3)));
  const inserted = v128.bitselect(value, d, i32x4.eq(place, doublewords([0, 1, 2, 3])));
  return v128.andnot(inserted, chosen(i32x4.splat(immediate), SINGLE_BITS, i32x4.eq));
};

/** The single of a register that bits 6 and 7 name, in all elements. */
export const namedSingle = (e: Emitter, s: V128): V128 => {
  const first = i32.shl(i32.shrU(immediate8(e), i32.const(6)), i32.const(2));
  const numbers = i8x16.add(i8x16.splat(first), v128.const([0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3]));
  return i8x16.swizzle(s, numbers);
};

const INSERTPS: readonly Handler[] = VECTOR_KINDS.map((kind) =>
  handler(`insertps x128,${kind}${kind === 'x' ? 128 : 32},i8`, (e) => {
    const source = shortSource(e, kind, 4);
    const value = e.let(kind === 'x' ? namedSingle(e, source) : i8x16.shuffle(source, source, FIRST_SINGLE));
    const d = e.xmm('first');
    d.write(insertSingle(e, d.read(), value));
  }),
);
const FIRST_SINGLE = [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3];

export const sse4: readonly Handler[] = [
  ...SSE4_OPERATIONS.flatMap(([name, op]) => vectorForms(name, (_e, d, s) => op(d, s))),
  ...WIDENING.flatMap(([name, bytes, result]) => fromShort(name, bytes, result)),
  ...fromShort('movddup', 8, movddup),
  ...DUPLICATES.flatMap(([name, result]) => unaryForms(name, (_e, s) => result(s))),
  ...IMMEDIATE_BLENDS.flatMap(([name, result]) => immediateForms(name, result)),
  ...VARIABLE_BLENDS.flatMap(([name, result]) =>
    vectorForms(name, (e, d, s) => result(d, s, v128.load(e.fixedVector(0)))),
  ),
  ...unaryForms('phminposuw', leastWord),
  ...immediateForms('mpsadbw', (e, d, s) => sumsOfDifferences(e, d, s, immediate8(e))),
  ...VECTOR_KINDS.map((kind) =>
    handler(`ptest x128,${kind}128`, (e) => {
      const s = e.let(vectorSource(e, kind, 'second').read());
      testVectors(e, e.xmm('first').read(), s);
    }),
  ),
  ...INSERTED.flatMap(insertion),
  ...EXTRACTED.flatMap(extraction),
  // To a register it has a handler since SSE2 (sseMove.ts).
  ...extractionToMemory('pextrw', 2),
  ...INSERTPS,
];
