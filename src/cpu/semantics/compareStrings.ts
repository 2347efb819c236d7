// PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (SDM 2B 4.1): how long the strings are, and what is told of their comparison,
// which is engine/strings.ts.

import { call32, type I32, type I64, i32, i64, select, type V128 } from '../../wasm/code.ts';
import { i16x8, i64x2, i8x16, v128, words } from '../../wasm/simd.ts';
import { GPR } from '../../x86/registers.ts';
import type { Emitter } from './emitter.ts';
import { CONTROL } from './stringComparison.ts';
import { NO_SIGN_NO_PARITY } from './bits.ts';
import { setAuxiliary, setCarryOverflow, setZero } from './flags.ts';
import type { Handler } from './handler.ts';
import { immediate8, VECTOR_KINDS } from './sse.ts';

const BYTE_COUNT = 16;
const WORD_COUNT = 8;

const asksFor = (e: Emitter, bit: number): I32 => i32.and(immediate8(e), i32.const(bit));
const hasWords = (e: Emitter): I32 => asksFor(e, CONTROL.WORDS);
const countOf = (e: Emitter): I32 => select(hasWords(e), i32.const(WORD_COUNT), i32.const(BYTE_COUNT));

const NONE = v128.const(Array(16).fill(0));

/** Elements before the first that is 0. */
const implicitLength = (e: Emitter, vector: V128): I32 => {
  const ends = (lanes: typeof i8x16 | typeof i16x8, count: number): I32 =>
    i32.or(lanes.bitmask(lanes.eq(vector, NONE)), i32.const(1 << count));
  return i32.ctz(select(hasWords(e), ends(i16x8, WORD_COUNT), ends(i8x16, BYTE_COUNT)));
};

/** The magnitude of a register, and not more than a vector has room for. */
const explicitLength = (e: Emitter, register: number, wide: boolean): I32 => {
  const value = e.fixed(register, 8).read() as I64;
  const signed = e.let(wide ? value : i64.extend32S(value));
  const magnitude = e.let(select(i64.ltS(signed, i64.const(0)), i64.sub(i64.const(0), signed), signed));
  const most: I64 = i64.extendU(countOf(e));
  return i32.wrap(select(i64.gtU(magnitude, most), most, magnitude));
};

type Lengths = (e: Emitter, pattern: V128, text: V128) => readonly [I32, I32];
const implicit: Lengths = (e, pattern, text) => [implicitLength(e, pattern), implicitLength(e, text)];
const explicit =
  (wide: boolean): Lengths =>
  (e) => [explicitLength(e, GPR.RAX, wide), explicitLength(e, GPR.RDX, wide)];

type Deliver = (e: Emitter, bits: I32) => void;

const asIndex: Deliver = (e, bits) => {
  const first = i32.ctz(i32.or(bits, i32.shl(i32.const(1), countOf(e))));
  const last = select(bits, i32.sub(i32.const(31), i32.clz(bits)), countOf(e));
  e.fixed(GPR.RCX, 4).write(select(asksFor(e, CONTROL.LAST_OR_WIDE), last, first));
};

const WORD_BITS = words([1, 2, 4, 8, 16, 32, 64, 128]);
const BYTE_BITS = v128.const([1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128]);
const LOW_AND_HIGH = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1];

const asMask: Deliver = (e, bits) => {
  const spread = e.let(i16x8.splat(bits));
  const wordMask = i16x8.eq(v128.and(spread, WORD_BITS), WORD_BITS);
  const byteMask = i8x16.eq(v128.and(i8x16.shuffle(spread, spread, LOW_AND_HIGH), BYTE_BITS), BYTE_BITS);
  const narrow = i64x2.replace(NONE, 0, i64.extendU(bits));
  const wide = select(hasWords(e), wordMask, byteMask);
  const result = select(asksFor(e, CONTROL.LAST_OR_WIDE), wide, narrow);
  e.emit(v128.store(e.fixedVector(0), result));
};

/** With a VEX prefix the upper half of YMM0 is cleared. */
const asVexMask: Deliver = (e, bits) => {
  asMask(e, bits);
  e.emit(v128.store(e.fixedVector(0, 'high'), NONE));
};

/** CF: any bit, OF: the first one; ZF and SF: the text or the pattern ends within its vector; AF and PF are cleared. */
function setFlags(e: Emitter, bits: I32, pattern: I32, text: I32): void {
  const ends = (length: I32): I32 => i32.ltU(length, countOf(e));
  const sign = i64.shl(i64.extendU(ends(pattern)), i64.const(63));
  e.setFlag('sign', i64.or(sign, i64.const(NO_SIGN_NO_PARITY)));
  setZero(e, ends(text));
  setAuxiliary(e, i32.const(0));
  setCarryOverflow(e, i32.ne(bits, i32.const(0)), i32.and(bits, i32.const(1)));
}

/** Strings in memory may lie anywhere. */
const comparison = (name: string, lengths: Lengths, deliver: Deliver): Handler[] =>
  VECTOR_KINDS.map((kind) => ({
    key: `${name} x128,${kind}128,i8`,
    build: (e) => {
      const text = e.let(kind === 'x' ? e.xmm('second').read() : e.vectorMemory(kind === 'm', false, 'read').read());
      const pattern = e.let(e.xmm('first').read());
      const [patternLength, textLength] = lengths(e, pattern, text).map((length) => e.let(length)) as [I32, I32];
      const bits = e.let(call32(e.shared.compareStrings, pattern, text, patternLength, textLength, immediate8(e)));
      deliver(e, bits);
      setFlags(e, bits, patternLength, textLength);
      e.next();
    },
  }));

const forms = (prefix: '' | 'v', mask: Deliver): Handler[] => [
  ...comparison(`${prefix}pcmpistri`, implicit, asIndex),
  ...comparison(`${prefix}pcmpistrm`, implicit, mask),
  ...comparison(`${prefix}pcmpestri`, explicit(false), asIndex),
  ...comparison(`${prefix}pcmpestrm`, explicit(false), mask),
  ...comparison(`${prefix}pcmpestri64`, explicit(true), asIndex),
  ...comparison(`${prefix}pcmpestrm64`, explicit(true), mask),
];

export const stringComparisons: readonly Handler[] = [...forms('', asMask), ...forms('v', asVexMask)];
