// Arithmetic flags, kept as the values they follow from, so that neither producer nor consumer needs to know the other
// (layout.ts: FLAG_ZR, FLAG_SR, FLAG_CV, FLAG_AR). The carry vector holds the carry (or borrow) out of every bit of the
// operation, moved up so that the operand's top bit is bit 63: CF is the carry out of that bit, OF is it xor the one
// below (SDM 1 3.4.3.1).

import { type Expr, type I32, type I64, i32, i64, type ValType } from '../../wasm/code.ts';
import type { FlagSource, FlagWord } from './emission.ts';
import type { Emitter } from './emitter.ts';
import type { Width } from '../state/width.ts';

type V = Expr<ValType>;
const word = (e: Emitter, which: FlagWord): I64 => e.flag(which) as I64;

export const CONDITIONS = [
  'o',
  'no',
  'b',
  'ae',
  'e',
  'ne',
  'be',
  'a',
  's',
  'ns',
  'p',
  'np',
  'l',
  'ge',
  'le',
  'g',
] as const;
export type Condition = (typeof CONDITIONS)[number];

export const readCF = (e: Emitter): I32 => i32.wrap(i64.shrU(word(e, 'carry'), i64.const(63)));
export const readZF = (e: Emitter): I32 => i64.eqz(word(e, 'zero'));
export const readSF = (e: Emitter): I32 => i64.ltS(word(e, 'sign'), i64.const(0));
export const readOF = (e: Emitter): I32 => {
  const carries = word(e, 'carry');
  return i32.wrap(i64.shrU(i64.xor(carries, i64.shl(carries, i64.const(1))), i64.const(63)));
};
export const readPF = (e: Emitter): I32 => {
  const ones = i32.popcnt(e.flag('sign', 1) as I32);
  return i32.eqz(i32.and(ones, i32.const(1)));
};
export const readAF = (e: Emitter): I32 => i32.and(i32.shrU(e.flag('auxiliary', 4) as I32, i32.const(4)), i32.const(1));

const not = (value: I32): I32 => i32.eqz(value);
const READ: Record<Condition, (e: Emitter) => I32> = {
  o: readOF,
  no: (e) => not(readOF(e)),
  b: readCF,
  ae: (e) => not(readCF(e)),
  e: readZF,
  ne: (e) => not(readZF(e)),
  be: (e) => i32.or(readCF(e), readZF(e)),
  a: (e) => not(i32.or(readCF(e), readZF(e))),
  s: readSF,
  ns: (e) => not(readSF(e)),
  p: readPF,
  np: (e) => not(readPF(e)),
  l: (e) => i32.xor(readSF(e), readOF(e)),
  ge: (e) => i32.eq(readSF(e), readOF(e)),
  le: (e) => i32.or(i32.xor(readSF(e), readOF(e)), readZF(e)),
  g: (e) => i32.and(i32.eq(readSF(e), readOF(e)), not(readZF(e))),
};
/** 1 where the condition holds. Behind a comparison in the same handler it is read off the operands themselves. */
export const readCondition = (e: Emitter, condition: Condition): I32 =>
  (e.flags && FROM_SOURCE[e.flags.kind](e.flags)[condition]) ?? READ[condition](e);

type Conditions = Partial<Record<Condition, I32>>;
const both = (no: Condition, yes: Condition, value: I32): Conditions => ({ [yes]: value, [no]: not(value) });
const isNegative = (w: Width, r: V): I32 => i64.ltS(w.signed64(r), i64.const(0));
const lessSigned = (w: Width, a: V, b: V): I32 =>
  w.bytes === 8 ? i64.ltS(a as I64, b as I64) : i32.ltS(w.signed(a) as I32, w.signed(b) as I32);

const ofResult = ({ w, r }: FlagSource): Conditions => ({
  ...both('ne', 'e', w.eqz(r)),
  ...both('ns', 's', isNegative(w, r)),
});
/** Conditions that follow from the operands of r = a - b, or from a result that leaves CF and OF clear. */
const FROM_SOURCE: Record<FlagSource['kind'], (source: FlagSource) => Conditions> = {
  result: ofResult,
  logic: (source) => {
    const { w, r } = source;
    const positive = w.bytes === 8 ? i64.gtS(r as I64, i64.const(0)) : i64.gtS(w.signed64(r), i64.const(0));
    return { ...ofResult(source), ...both('ge', 'l', isNegative(w, r)), ...both('le', 'g', positive) };
  },
  difference: (source) => {
    const { w, a, b } = source;
    return {
      ...ofResult(source),
      ...both('ne', 'e', w.eq(a, b)),
      ...both('ae', 'b', w.ltU(a, b)),
      ...both('be', 'a', w.ltU(b, a)),
      ...both('ge', 'l', lessSigned(w, a, b)),
      ...both('le', 'g', lessSigned(w, b, a)),
    };
  },
};

/** A value of this size with its top bit moved to bit 63. */
export const topAligned = (w: Width, carries: V): I64 =>
  w.bytes === 8 ? (carries as I64) : i64.shl(i64.extendU(carries as I32), i64.const(64 - w.bits));

/** Carry out of every bit of a + b (+ carry in) = r. */
const addCarries = (w: Width, a: V, b: V, r: V): V => w.or(w.and(a, b), w.and(w.or(a, b), w.xor(r, w.const(-1))));
/** Borrow out of every bit of a - b (- borrow in) = r. */
const subBorrows = (w: Width, a: V, b: V, r: V): V =>
  w.or(w.and(w.xor(a, w.const(-1)), b), w.and(w.xor(w.xor(a, b), w.const(-1)), r));

/** Flags are not kept where nobody can see them. */
const put = (e: Emitter, word: FlagWord, value: I64): void => {
  if (!e.flagsDead) e.setFlag(word, value);
};

const storeResult = (e: Emitter, signed: I64): void => {
  if (e.flagsDead) return;
  const kept = e.let(signed);
  put(e, 'zero', kept);
  put(e, 'sign', kept);
};

const store64 = (e: Emitter, w: Width, a: V, b: V, r: V): void =>
  put(e, 'auxiliary', w.unsigned64(w.xor(w.xor(a, b), r)));

/** ZF, SF and PF of a result; the others stay. */
export const setResultFlags = (e: Emitter, w: Width, r: V): void => storeResult(e, w.signed64(r));

/** All six flags of r = a + b, with or without a carry in. Operands zero-extended. */
export function setAddFlags(e: Emitter, w: Width, a: V, b: V, r: V): void {
  setResultFlags(e, w, r);
  put(e, 'carry', topAligned(w, addCarries(w, a, b, r)));
  store64(e, w, a, b, r);
}

/** All six flags of r = a - b, with or without a borrow in. */
export function setSubFlags(e: Emitter, w: Width, a: V, b: V, r: V): void {
  setResultFlags(e, w, r);
  put(e, 'carry', topAligned(w, subBorrows(w, a, b, r)));
  store64(e, w, a, b, r);
}

/** AND, OR, XOR, TEST: CF = OF = 0; AF, undefined, is cleared as silicon does. */
export function setLogicFlags(e: Emitter, w: Width, r: V): void {
  setResultFlags(e, w, r);
  put(e, 'carry', i64.const(0));
  put(e, 'auxiliary', i64.const(0));
}

/** CF = bit 63, OF = bit 63 xor bit 62; the bits below do not matter. The other flags stay. */
export const setCarryVector = (e: Emitter, vector: I64): void => put(e, 'carry', vector);

/** CF and OF as given (each 0 or 1); the others stay. */
export function setCarryOverflow(e: Emitter, cf: I32, of: I32): void {
  const carry = e.let(cf);
  const vector = i32.or(i32.shl(carry, i32.const(1)), i32.xor(carry, of));
  put(e, 'carry', i64.shl(i64.extendU(vector), i64.const(62)));
}

/** CF as given, OF stays. */
export const setCarry = (e: Emitter, cf: I32): void => {
  const overflow = e.let(readOF(e));
  setCarryOverflow(e, cf, overflow);
};

/** ZF as given (0 or 1); the others stay. */
export const setZero = (e: Emitter, zf: I32): void => put(e, 'zero', i64.extendU(i32.eqz(zf)));

export const setAuxiliary = (e: Emitter, af: I32): void => put(e, 'auxiliary', i64.extendU(i32.shl(af, i32.const(4))));

/** INC and DEC: as an addition or subtraction of 1, but CF stays. */
export function setStepFlags(e: Emitter, w: Width, a: V, r: V, kind: 'inc' | 'dec'): void {
  if (e.flagsDead) return;
  const one = w.const(1);
  const vector = kind === 'inc' ? addCarries(w, a, one, r) : subBorrows(w, a, one, r);
  const aligned = e.let(topAligned(w, vector));
  const overflow = e.let(
    i64.and(i64.xor(i64.shrU(aligned, i64.const(63)), i64.shrU(aligned, i64.const(62))), i64.const(1)),
  );
  const carry = e.let(i64.shrU(word(e, 'carry'), i64.const(63)));
  setResultFlags(e, w, r);
  const kept = i64.or(i64.shl(carry, i64.const(63)), i64.shl(i64.xor(carry, overflow), i64.const(62)));
  put(e, 'carry', kept);
  store64(e, w, a, one, r);
}
