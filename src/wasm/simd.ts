// The instruction builder's 128-bit vectors (WebAssembly Core 2.0, 5.4.7): integer and logic instructions by their
// shape, as the specification names them. Operand order is the specification's: `andnot(a, b)` is a and not b.

import { type Expr, type I32, type I64, type Stmt, unsignedLeb, type V128, type ValType } from './code.ts';

const PREFIX = 0xfd;
const operation = (op: number): readonly number[] => [PREFIX, ...unsignedLeb(op)];

const unary =
  (op: number) =>
  (a: V128): V128 => ({ type: 'v128', code: [a.code, operation(op)] });
const binary =
  (op: number) =>
  (a: V128, b: V128): V128 => ({ type: 'v128', code: [a.code, b.code, operation(op)] });
/** The count is taken modulo the lane's bits. */
const shift =
  (op: number) =>
  (a: V128, count: I32): V128 => ({ type: 'v128', code: [a.code, count.code, operation(op)] });
const toI32 =
  (op: number) =>
  (a: V128): I32 => ({ type: 'i32', code: [a.code, operation(op)] });
const splat =
  <T extends ValType>(op: number) =>
  (value: Expr<T>): V128 => ({ type: 'v128', code: [value.code, operation(op)] });
const extract =
  <T extends ValType>(op: number, type: T) =>
  (a: V128, lane: number): Expr<T> => ({ type, code: [a.code, operation(op), lane] });
const replace =
  <T extends ValType>(op: number) =>
  (a: V128, lane: number, value: Expr<T>): V128 => ({ type: 'v128', code: [a.code, value.code, operation(op), lane] });

export const v128 = {
  load: (address: I32, offset = 0): V128 => ({
    type: 'v128',
    code: [address.code, operation(0x00), 0, unsignedLeb(offset)],
  }),
  store: (address: I32, value: V128, offset = 0): Stmt => [
    address.code,
    value.code,
    operation(0x0b),
    0,
    unsignedLeb(offset),
  ],
  /** @param bytes 16 of them, lowest lane first */
  const: (bytes: readonly number[]): V128 => ({ type: 'v128', code: [operation(0x0c), vectorBytes(bytes)] }),
  not: unary(0x4d),
  and: binary(0x4e),
  andnot: binary(0x4f),
  or: binary(0x50),
  xor: binary(0x51),
  /** Bits of `a` where `mask` has ones, of `b` elsewhere. */
  bitselect: (a: V128, b: V128, mask: V128): V128 => ({
    type: 'v128',
    code: [a.code, b.code, mask.code, operation(0x52)],
  }),
  anyTrue: toI32(0x53),
};

function vectorBytes(bytes: readonly number[]): readonly number[] {
  if (bytes.length !== 16) throw new Error('a vector has 16 bytes');
  return bytes.map((byte) => byte & 0xff);
}

export const i8x16 = {
  /** @param lanes 16 numbers: 0 to 15 of `a`, 16 to 31 of `b` */
  shuffle: (a: V128, b: V128, lanes: readonly number[]): V128 => ({
    type: 'v128',
    code: [a.code, b.code, operation(0x0d), vectorBytes(lanes)],
  }),
  /** Bytes of `a` that `lanes` names; 0 for a number above 15. */
  swizzle: binary(0x0e),
  splat: splat<'i32'>(0x0f),
  extractU: extract(0x16, 'i32'),
  eq: binary(0x23),
  gtS: binary(0x27),
  abs: unary(0x60),
  bitmask: toI32(0x64),
  narrowS: binary(0x65),
  narrowU: binary(0x66),
  shrS: shift(0x6c),
  add: binary(0x6e),
  addSatS: binary(0x6f),
  addSatU: binary(0x70),
  sub: binary(0x71),
  subSatS: binary(0x72),
  subSatU: binary(0x73),
  minS: binary(0x76),
  minU: binary(0x77),
  maxS: binary(0x78),
  maxU: binary(0x79),
  avgrU: binary(0x7b),
};

export const i16x8 = {
  splat: splat<'i32'>(0x10),
  extaddPairwiseU: unary(0x7d),
  abs: unary(0x80),
  /** (a * b + 0x4000) >> 15, saturated. */
  q15mulrSatS: binary(0x82),
  eq: binary(0x2d),
  gtS: binary(0x31),
  bitmask: toI32(0x84),
  narrowS: binary(0x85),
  narrowU: binary(0x86),
  extendLowS: unary(0x87),
  extendLowU: unary(0x89),
  shl: shift(0x8b),
  shrS: shift(0x8c),
  shrU: shift(0x8d),
  add: binary(0x8e),
  addSatS: binary(0x8f),
  addSatU: binary(0x90),
  sub: binary(0x91),
  subSatS: binary(0x92),
  subSatU: binary(0x93),
  mul: binary(0x95),
  minS: binary(0x96),
  minU: binary(0x97),
  maxS: binary(0x98),
  maxU: binary(0x99),
  avgrU: binary(0x9b),
};

export const i32x4 = {
  splat: splat<'i32'>(0x11),
  extract: extract(0x1b, 'i32'),
  eq: binary(0x37),
  gtS: binary(0x3b),
  extaddPairwiseU: unary(0x7f),
  abs: unary(0xa0),
  bitmask: toI32(0xa4),
  extendLowS: unary(0xa7),
  extendLowU: unary(0xa9),
  extendHighU: unary(0xaa),
  shl: shift(0xab),
  shrS: shift(0xac),
  shrU: shift(0xad),
  add: binary(0xae),
  sub: binary(0xb1),
  mul: binary(0xb5),
  minS: binary(0xb6),
  minU: binary(0xb7),
  maxS: binary(0xb8),
  maxU: binary(0xb9),
  dotS: binary(0xba),
  extmulLowS: binary(0xbc),
  extmulHighS: binary(0xbd),
  extmulLowU: binary(0xbe),
  extmulHighU: binary(0xbf),
};

export const i64x2 = {
  splat: splat<'i64'>(0x12),
  extract: (a: V128, lane: 0 | 1): I64 => extract(0x1d, 'i64')(a, lane),
  replace: replace<'i64'>(0x1e),
  bitmask: toI32(0xc4),
  extendLowS: unary(0xc7),
  extendLowU: unary(0xc9),
  shl: shift(0xcb),
  shrS: shift(0xcc),
  shrU: shift(0xcd),
  add: binary(0xce),
  sub: binary(0xd1),
  eq: binary(0xd6),
  gtS: binary(0xd9),
  extmulLowS: binary(0xdc),
  extmulLowU: binary(0xde),
};

/** A vector of 16-bit or 32-bit numbers, lowest lane first. */
export const words = (values: readonly number[]): V128 => v128.const(values.flatMap((v) => [v, v >> 8]));
export const doublewords = (values: readonly number[]): V128 =>
  v128.const(values.flatMap((v) => [v, v >> 8, v >> 16, v >> 24]));
