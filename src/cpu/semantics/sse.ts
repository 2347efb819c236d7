// SSE and SSE2: packed integers, logic and comparisons in XMM registers (SDM 2, legacy encodings). Operand letters in
// keys: x128 XMM register, m128 and g128 memory by a flat or any address. Arithmetic's memory operands have to be aligned
// to 16 bytes (SDM 1 10.4.1.1). Whether SSE may be used at all is the decoder's business: it depends on the mode.

import { type I32, type I64, i32, i64, select, type V128 } from '../../wasm/code.ts';
import { doublewords, i16x8, i32x4, i64x2, i8x16, v128, words } from '../../wasm/simd.ts';
import type { Slot, VectorOperand } from './emission.ts';
import type { Emitter } from './emitter.ts';
import type { Handler } from './handler.ts';

export type VectorKind = 'x' | 'm' | 'g';
export const VECTOR_KINDS: readonly VectorKind[] = ['x', 'm', 'g'];
export type VectorOp = (d: V128, s: V128) => V128;

/** Source operand of 16 bytes: the register in that slot, or memory. */
export const vectorSource = (e: Emitter, kind: VectorKind, slot: Slot): VectorOperand =>
  kind === 'x' ? e.xmm(slot) : e.vectorMemory(kind === 'm', true, 'read');

const zero = i64x2.splat(i64.const(0));

/** What an operation makes of its two operands; it may emit statements, and look at the immediate. */
export type VectorResult = (e: Emitter, d: V128, s: V128) => V128;

/** d = result(d, s) for a register and a register or memory. @param immediate ',i8' where the instruction has one */
export const vectorForms = (name: string, result: VectorResult, immediate = ''): Handler[] =>
  VECTOR_KINDS.map((kind) => ({
    key: `${name} x128,${kind}128${immediate}`,
    build: (e) => {
      const s = e.let(vectorSource(e, kind, 'second').read());
      const d = e.xmm('first');
      d.write(result(e, d.read(), s));
      e.next();
    },
  }));
const packed = (name: string, op: VectorOp): Handler[] => vectorForms(name, (_e, d, s) => op(d, s));

/** High or low halves of 32-bit products as 16-bit lanes. */
const HIGH_HALVES = [2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31];
const EVEN_DOUBLEWORDS = [0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11];

const andNot: VectorOp = (d, s) => v128.andnot(s, d);
const highUnsigned: VectorOp = (d, s) => i8x16.shuffle(i32x4.extmulLowU(d, s), i32x4.extmulHighU(d, s), HIGH_HALVES);
const highSigned: VectorOp = (d, s) => i8x16.shuffle(i32x4.extmulLowS(d, s), i32x4.extmulHighS(d, s), HIGH_HALVES);
export const evenDoublewords = (a: V128): V128 => i8x16.shuffle(a, a, EVEN_DOUBLEWORDS);
const multiplyEven: VectorOp = (d, s) => i64x2.extmulLowU(evenDoublewords(d), evenDoublewords(s));

/** PSADBW: sums of 8 differences each, in the low word of either half. */
export const sumOfDifferences = (e: Emitter, d: V128, s: V128): V128 => {
  const differences = i8x16.sub(i8x16.maxU(d, s), i8x16.minU(d, s));
  const quarters = e.let(i32x4.extaddPairwiseU(i16x8.extaddPairwiseU(differences)));
  const low = v128.and(quarters, doublewords([-1, 0, -1, 0]));
  return i64x2.add(low, i64x2.shrU(quarters, i32.const(32)));
};

/** Byte numbers of an interleaving of `bytes`-wide elements from one half of both operands (PUNPCKL, PUNPCKH). */
function interleaved(bytes: number, high: boolean): number[] {
  const lanes: number[] = [];
  for (let element = 0; element < 8 / bytes; element++) {
    const first = (high ? 8 : 0) + element * bytes;
    for (const operand of [0, 16]) for (let byte = 0; byte < bytes; byte++) lanes.push(operand + first + byte);
  }
  return lanes;
}
export const unpack =
  (bytes: number, high: boolean): VectorOp =>
  (d, s) =>
    i8x16.shuffle(d, s, interleaved(bytes, high));

/** Logic and unpacking of singles and doubles go by the names of the integer forms (decode.ts). */
export const OPERATIONS: readonly (readonly [string, VectorOp])[] = [
  ['pxor', v128.xor],
  ['por', v128.or],
  ['pand', v128.and],
  ['pandn', andNot],
  ['paddb', i8x16.add],
  ['paddw', i16x8.add],
  ['paddd', i32x4.add],
  ['paddq', i64x2.add],
  ['psubb', i8x16.sub],
  ['psubw', i16x8.sub],
  ['psubd', i32x4.sub],
  ['psubq', i64x2.sub],
  ['paddsb', i8x16.addSatS],
  ['paddsw', i16x8.addSatS],
  ['paddusb', i8x16.addSatU],
  ['paddusw', i16x8.addSatU],
  ['psubsb', i8x16.subSatS],
  ['psubsw', i16x8.subSatS],
  ['psubusb', i8x16.subSatU],
  ['psubusw', i16x8.subSatU],
  ['pcmpeqb', i8x16.eq],
  ['pcmpeqw', i16x8.eq],
  ['pcmpeqd', i32x4.eq],
  ['pcmpgtb', i8x16.gtS],
  ['pcmpgtw', i16x8.gtS],
  ['pcmpgtd', i32x4.gtS],
  ['pminub', i8x16.minU],
  ['pmaxub', i8x16.maxU],
  ['pminsw', i16x8.minS],
  ['pmaxsw', i16x8.maxS],
  ['pavgb', i8x16.avgrU],
  ['pavgw', i16x8.avgrU],
  ['pmullw', i16x8.mul],
  ['pmulhw', highSigned],
  ['pmulhuw', highUnsigned],
  ['pmuludq', multiplyEven],
  ['pmaddwd', i32x4.dotS],
  ['packsswb', i8x16.narrowS],
  ['packuswb', i8x16.narrowU],
  ['packssdw', i16x8.narrowS],
  ['punpcklbw', unpack(1, false)],
  ['punpckhbw', unpack(1, true)],
  ['punpcklwd', unpack(2, false)],
  ['punpckhwd', unpack(2, true)],
  ['punpckldq', unpack(4, false)],
  ['punpckhdq', unpack(4, true)],
  ['punpcklqdq', unpack(8, false)],
  ['punpckhqdq', unpack(8, true)],
];

// Shifts ----------------------------------------------------------------------------------------------------------------

export type Shift = { readonly name: string; readonly bits: number; readonly op: (a: V128, count: I32) => V128 };
export const SHIFTS: readonly Shift[] = [
  { name: 'psllw', bits: 16, op: i16x8.shl },
  { name: 'pslld', bits: 32, op: i32x4.shl },
  { name: 'psllq', bits: 64, op: i64x2.shl },
  { name: 'psrlw', bits: 16, op: i16x8.shrU },
  { name: 'psrld', bits: 32, op: i32x4.shrU },
  { name: 'psrlq', bits: 64, op: i64x2.shrU },
  { name: 'psraw', bits: 16, op: i16x8.shrS },
  { name: 'psrad', bits: 32, op: i32x4.shrS },
];

export const immediate8 = (e: Emitter): I32 => e.constant('i32', 1);

/** A count of the element's bits or more gives zeros; of an arithmetic shift, copies of the sign. */
function shifted(e: Emitter, { name, bits, op }: Shift, count: I64): void {
  const d = e.xmm('first');
  const kept = e.let(count);
  const fits = i64.ltU(kept, i64.const(bits));
  if (name.startsWith('psra')) d.write(op(d.read(), select(fits, i32.wrap(kept), i32.const(bits - 1))));
  else d.write(select(fits, op(d.read(), i32.wrap(kept)), zero));
  e.next();
}

const shifts: readonly Handler[] = SHIFTS.flatMap((shift) => [
  ...VECTOR_KINDS.map((kind) => ({
    key: `${shift.name} x128,${kind}128`,
    build: (e: Emitter) => shifted(e, shift, i64x2.extract(vectorSource(e, kind, 'second').read(), 0)),
  })),
  { key: `${shift.name} x128,i8`, build: (e: Emitter) => shifted(e, shift, i64.extendU(immediate8(e))) },
]);

export const BYTE_NUMBERS = v128.const([...Array(16).keys()]);

/** PSLLDQ and PSRLDQ: by bytes. Bytes taken from outside are 0, as numbers above 15 name nothing. */
const byteShift = (name: string, op: VectorOp): Handler => ({
  key: `${name} x128,i8`,
  build: (e) => {
    const d = e.xmm('first');
    const count = e.let(immediate8(e));
    const most = select(i32.ltU(count, i32.const(16)), count, i32.const(16));
    d.write(i8x16.swizzle(d.read(), op(BYTE_NUMBERS, i8x16.splat(most))));
    e.next();
  },
});

// Shuffles --------------------------------------------------------------------------------------------------------------

const SELECTOR_SHIFT = i32.const(6);

/** Bytes of the doublewords that an immediate's four fields of 2 bits name. */
export const doublewordNumbers = (e: Emitter): V128 => {
  const fields = i32x4.mul(i32x4.splat(immediate8(e)), doublewords([64, 16, 4, 1]));
  const selected = v128.and(i32x4.shrU(fields, SELECTOR_SHIFT), doublewords([3, 3, 3, 3]));
  const first = i32x4.mul(selected, doublewords([0x04040404, 0x04040404, 0x04040404, 0x04040404]));
  return i32x4.add(first, doublewords([0x03020100, 0x03020100, 0x03020100, 0x03020100]));
};

/** The same for the words of one half; the other half stays as it is. */
export const wordNumbers = (e: Emitter, high: boolean): V128 => {
  const half = (low: readonly number[], other: readonly number[]): V128 =>
    words(high ? [...other, ...low] : [...low, ...other]);
  const none = [0, 0, 0, 0];
  const fields = i16x8.mul(i16x8.splat(immediate8(e)), half([64, 16, 4, 1], none));
  const selected = v128.and(i16x8.shrU(fields, SELECTOR_SHIFT), half([3, 3, 3, 3], none));
  const start = high ? 0x0908 : 0x0100;
  const same = high ? [0x0100, 0x0302, 0x0504, 0x0706] : [0x0908, 0x0b0a, 0x0d0c, 0x0f0e];
  const first = i16x8.mul(selected, half([0x0202, 0x0202, 0x0202, 0x0202], none));
  return i16x8.add(first, half([start, start, start, start], same));
};

export const immediateForms = (name: string, result: VectorResult): Handler[] => vectorForms(name, result, ',i8');

const FIRST_AND_SECOND = [0, 1, 2, 3, 4, 5, 6, 7, 24, 25, 26, 27, 28, 29, 30, 31];

export const shuffleSingles = (e: Emitter, d: V128, s: V128): V128 => {
  const numbers = e.let(doublewordNumbers(e));
  return i8x16.shuffle(i8x16.swizzle(d, numbers), i8x16.swizzle(s, numbers), FIRST_AND_SECOND);
};

const shuffleDoubles = (e: Emitter, d: V128, s: V128): V128 => {
  const pick = (bit: number, from: V128): I64 =>
    select(i32.and(immediate8(e), i32.const(bit)), i64x2.extract(from, 1), i64x2.extract(from, 0));
  return i64x2.replace(i64x2.splat(pick(1, d)), 1, pick(2, s));
};

export const ssePacked: readonly Handler[] = [
  ...OPERATIONS.flatMap(([name, op]) => packed(name, op)),
  ...vectorForms('psadbw', sumOfDifferences),
  ...shifts,
  byteShift('pslldq', i8x16.sub),
  byteShift('psrldq', i8x16.add),
  ...immediateForms('pshufd', (e, _d, s) => i8x16.swizzle(s, doublewordNumbers(e))),
  ...immediateForms('pshuflw', (e, _d, s) => i8x16.swizzle(s, wordNumbers(e, false))),
  ...immediateForms('pshufhw', (e, _d, s) => i8x16.swizzle(s, wordNumbers(e, true))),
  ...immediateForms('shufps', shuffleSingles),
  ...immediateForms('shufpd', shuffleDoubles),
];
