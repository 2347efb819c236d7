// RCPxx and RSQRTxx: approximations, the same whatever MXCSR says, and without exceptions. Denormals count as zeros.

import { type Mnemonic, Mnemonic as M } from 'iced-x86';
import { defaultNan, F32, infinity, isNan, quieted, type Sign, unpack, zero } from '../../float/softFloat.ts';
import type { Handler } from '../result.ts';
import { RECIPROCAL, ROOT_OF_ONE, ROOT_OF_TWO } from './approximationTable.ts';
import { laneByLane } from './lanes.ts';
import { PS, type Shape, SS } from './vector.ts';

const BIAS = 127;
const FIRST_LETTER = 64;

/** How far the processor's result is from the rounded one, for a leading part of 12 bits. */
const deviation = (table: string, leading: number): number => {
  const letter = table.charCodeAt(Math.floor(leading / 3)) - FIRST_LETTER;
  const place = 2 - (leading % 3);
  return (Math.floor(letter / 3 ** place) % 3) - 1;
};

const build = (table: string, exact: (middle: number) => number): Uint16Array => {
  const entry = (_: unknown, leading: number): number =>
    Math.round(exact(1 + (leading + 0.5) / 4096) * 8192) + deviation(table, leading);
  return Uint16Array.from({ length: 4096 }, entry);
};

const reciprocals = build(RECIPROCAL, (middle) => 1 / middle);
const rootsOfOne = build(ROOT_OF_ONE, (middle) => 1 / Math.sqrt(middle));
const rootsOfTwo = build(ROOT_OF_TWO, (middle) => 1 / Math.sqrt(2 * middle));

/** Result of 13 significand bits below 1, times a power of two; too small ones are zero. */
const pack = (sign: Sign, field: number, table: Uint16Array, leading: number): bigint => {
  if (field <= 0) return zero(F32, sign);
  const fraction = ((table[leading] ?? 0) & 0xfff) << 11;
  return (BigInt(sign) << 31n) | BigInt(field << 23) | BigInt(fraction);
};

const fieldOf = (bits: bigint): number => Number((bits >> 23n) & 0xffn);
const leadingOf = (bits: bigint): number => Number((bits >> 11n) & 0xfffn);

/** RCPSS of a single-precision number. */
export const reciprocal = (bits: bigint): bigint => {
  const value = unpack(bits, F32);
  if (isNan(value)) return quieted(value, F32);
  if (value.kind === 'infinity') return zero(F32, value.sign);
  if (value.kind === 'zero' || value.denormal) return infinity(F32, value.sign);
  return pack(value.sign, 2 * BIAS - 1 - fieldOf(bits), reciprocals, leadingOf(bits));
};

/** RSQRTSS of a single-precision number. */
export const reciprocalRoot = (bits: bigint): bigint => {
  const value = unpack(bits, F32);
  if (isNan(value)) return quieted(value, F32);
  if (value.kind === 'zero' || value.denormal) return infinity(F32, value.sign);
  if (value.sign === 1) return defaultNan(F32);
  if (value.kind === 'infinity') return zero(F32, 0);
  const field = fieldOf(bits);
  const odd = (field - BIAS) & 1;
  return pack(0, (3 * BIAS - 2 + odd - field) / 2, odd ? rootsOfTwo : rootsOfOne, leadingOf(bits));
};

const all = (lane: (bits: bigint) => bigint, names: readonly [Mnemonic, Mnemonic]): (readonly [Mnemonic, Handler])[] =>
  [SS, PS].map((shape: Shape, n) => [names[n] as Mnemonic, laneByLane(shape, () => (_, b) => lane(b))] as const);

/** Approximations and their handlers. */
export const APPROXIMATIONS: readonly (readonly [Mnemonic, Handler])[] = [
  ...all(reciprocal, [M.Rcpss, M.Rcpps]),
  ...all(reciprocalRoot, [M.Rsqrtss, M.Rsqrtps]),
];
