// SSSE3 (SDM 2B): horizontal sums, byte shuffles, signs and rounded products, for XMM and for MMX registers. An operation
// on MMX registers is the same one on the low half of a vector; horizontal ones take both operands side by side.

import { type I32, i32, select, type V128 } from '../../wasm/code.ts';
import { i16x8, i32x4, i64x2, i8x16, v128, words } from '../../wasm/simd.ts';
import type { Emitter } from './emitter.ts';
import type { Handler } from './handler.ts';
import { lowOf, mmxBinary, type MmxResult, mmxVector } from './mmx.ts';
import {
  BYTE_NUMBERS,
  immediate8,
  immediateForms,
  VECTOR_KINDS,
  type VectorOp,
  type VectorResult,
  vectorForms,
  vectorSource,
} from './sse.ts';

const bytes = (value: number): V128 => v128.const(Array(16).fill(value));
const NONE = bytes(0);

// Horizontal sums -------------------------------------------------------------------------------------------------------

/** Byte numbers of every second element of both operands, from the first or the second on. */
function alternate(width: 2 | 4, first: 0 | 1): number[] {
  const lanes: number[] = [];
  for (let start = first * width; start < 32; start += 2 * width) {
    for (let byte = 0; byte < width; byte++) lanes.push(start + byte);
  }
  return lanes;
}

const pairwise =
  (width: 2 | 4, op: VectorOp): VectorOp =>
  (d, s) =>
    op(i8x16.shuffle(d, s, alternate(width, 0)), i8x16.shuffle(d, s, alternate(width, 1)));

export const HORIZONTAL: readonly (readonly [string, VectorOp])[] = [
  ['phaddw', pairwise(2, i16x8.add)],
  ['phaddd', pairwise(4, i32x4.add)],
  ['phaddsw', pairwise(2, i16x8.addSatS)],
  ['phsubw', pairwise(2, i16x8.sub)],
  ['phsubd', pairwise(4, i32x4.sub)],
  ['phsubsw', pairwise(2, i16x8.subSatS)],
];

// Element by element ----------------------------------------------------------------------------------------------------

/** A number with its top bit set names no byte; of others the low bits count. */
const shuffleBytes =
  (kept: number): VectorOp =>
  (d, s) =>
    i8x16.swizzle(d, v128.and(s, bytes(kept)));

const BYTE = i32.const(8);

/** Unsigned bytes times signed ones; neighbouring products are added with saturation. */
const multiplyAddBytes: VectorOp = (d, s) => {
  const even = i16x8.mul(v128.and(d, words(Array(8).fill(0xff))), i16x8.shrS(i16x8.shl(s, BYTE), BYTE));
  const odd = i16x8.mul(i16x8.shrU(d, BYTE), i16x8.shrS(s, BYTE));
  return i16x8.addSatS(even, odd);
};

const LEAST_WORD = words(Array(8).fill(0x8000));

/** WebAssembly saturates the one product that does not fit, x86 lets it wrap: -1 times -1 is -1. */
const multiplyRounded: VectorOp = (d, s) => {
  const wraps = v128.and(i16x8.eq(d, LEAST_WORD), i16x8.eq(s, LEAST_WORD));
  return v128.xor(i16x8.q15mulrSatS(d, s), wraps);
};

type Lanes = { readonly eq: VectorOp; readonly gtS: VectorOp; readonly sub: VectorOp };

/** d where s is positive, -d where it is negative, 0 where it is 0. */
const sign =
  (lanes: Lanes): VectorResult =>
  (e, d, s) => {
    const negative = e.let(lanes.gtS(NONE, s));
    return v128.andnot(lanes.sub(v128.xor(d, negative), negative), lanes.eq(s, NONE));
  };

/** Without PSHUFB, which has another range of numbers in MMX registers. */
export const ELEMENTWISE: readonly (readonly [string, VectorResult])[] = [
  ['pmaddubsw', (_e, d, s) => multiplyAddBytes(d, s)],
  ['pmulhrsw', (_e, d, s) => multiplyRounded(d, s)],
  ['psignb', sign(i8x16)],
  ['psignw', sign(i16x8)],
  ['psignd', sign(i32x4)],
  ['pabsb', (_e, _d, s) => i8x16.abs(s)],
  ['pabsw', (_e, _d, s) => i16x8.abs(s)],
  ['pabsd', (_e, _d, s) => i32x4.abs(s)],
];

export const pshufb = shuffleBytes(0x8f);

/** PALIGNR: 16 bytes from the immediate's place on in the source with the destination above it; beyond both there are zeros. */
export const palignr: VectorResult = (e, d, s) => {
  const first = e.let(atMost(immediate8(e), 32));
  const low = e.let(i8x16.add(BYTE_NUMBERS, i8x16.splat(first)));
  return v128.or(i8x16.swizzle(s, low), i8x16.swizzle(d, i8x16.sub(low, bytes(16))));
};

const atMost = (value: I32, limit: number): I32 => select(i32.gtU(value, i32.const(limit)), i32.const(limit), value);

const isUnary = (name: string): boolean => name.startsWith('pabs');

/** PABSx and the like: the destination is only written. */
export const unaryForms = (name: string, result: (e: Emitter, s: V128) => V128): Handler[] =>
  VECTOR_KINDS.map((kind) => ({
    key: `${name} x128,${kind}128`,
    build: (e) => {
      const s = e.let(vectorSource(e, kind, 'second').read());
      e.xmm('first').write(result(e, s));
      e.next();
    },
  }));

// MMX -------------------------------------------------------------------------------------------------------------------

const lanewise =
  (result: VectorResult): MmxResult =>
  (e, d, s) =>
    lowOf(result(e, e.let(mmxVector(d)), e.let(mmxVector(s))));
const sideBySide =
  (op: VectorOp): MmxResult =>
  (e, d, s) => {
    const both = e.let(i64x2.replace(mmxVector(d), 1, s));
    return lowOf(op(both, both));
  };
const alignMmx: MmxResult = (e, d, s) => {
  const both = i64x2.replace(mmxVector(s), 1, d);
  const first = i8x16.splat(atMost(i32.wrap(e.constant('i64', 1)), 16));
  return lowOf(i8x16.swizzle(both, i8x16.add(BYTE_NUMBERS, first)));
};

export const ssse3: readonly Handler[] = [
  ...HORIZONTAL.flatMap(([name, op]) => [
    ...vectorForms(name, (e, d, s) => op(e.let(d), s)),
    ...mmxBinary(name, sideBySide(op)),
  ]),
  ...ELEMENTWISE.flatMap(([name, result]) => [
    ...(isUnary(name) ? unaryForms(name, (e, s) => result(e, s, s)) : vectorForms(name, result)),
    ...mmxBinary(name, lanewise(result)),
  ]),
  ...vectorForms('pshufb', (_e, d, s) => pshufb(d, s)),
  ...mmxBinary(
    'pshufb',
    lanewise((_e, d, s) => shuffleBytes(0x87)(d, s)),
  ),
  ...immediateForms('palignr', palignr),
  ...mmxBinary('palignr', alignMmx, 8, ',i8'),
];
