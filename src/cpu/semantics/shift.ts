// SHL SHR SAR ROL ROR RCL RCR SHLD SHRD (SDM 2). The count is masked to 5 bits, 6 for 64-bit operands; a count of 0
// writes the operand back (which clears a 32-bit register's upper half) and leaves every flag alone.
// The manual leaves OF open for counts above 1, and AF for shifts. OF follows the rule for a count of 1, and AF is set,
// as AMD's Zen does. Everything is computed in 64 bits: no count can shift past that.

import { type I32, type I64, i32, i64, select } from '../../wasm/code.ts';
import { GPR } from '../../x86/registers.ts';
import type { Operand } from './emission.ts';
import type { Emitter } from './emitter.ts';
import type { Bytes, Width } from '../state/width.ts';
import { readCF, setAuxiliary, setCarryOverflow, setCarryVector, setResultFlags, topAligned } from './flags.ts';
import { ALL_SIZES, type Definition, WORD_SIZES } from './handler.ts';

const { RCX } = GPR;
const c64 = i64.const;

/** A value and a count; the effect has to write the result and, where the count is not 0, the flags. */
type Effect = (e: Emitter, d: Operand, count: I64) => void;

const masked = (e: Emitter, w: Width, count: I32): I64 =>
  e.let(i64.extendU(i32.and(count, i32.const(w.bytes === 8 ? 63 : 31))));

/** `name` with an immediate count, `name.cl` with the count in CL. */
function byCount(name: string, effect: Effect): Definition[] {
  const sizes: (readonly Bytes[])[] = ALL_SIZES.map((bytes) => [bytes, 1]);
  return [
    {
      name,
      shapes: ['E,i'],
      sizes,
      intents: ['modify'],
      effect: (e, d, s) => effect(e, d, masked(e, d.width, s.read() as I32)),
    },
    {
      name: `${name}.cl`,
      shapes: ['E'],
      sizes: ALL_SIZES,
      intents: ['modify'],
      effect: (e, d) => effect(e, d, masked(e, d.width, e.fixed(RCX, 1).read() as I32)),
    },
  ];
}

const lessOne = (count: I64): I64 => i64.sub(count, c64(1));
const lowBit = (value: I64): I32 => i32.and(i32.wrap(value), i32.const(1));
const top64 = (w: Width, value: I64): I64 => topAligned(w, w.from64(value));

/** 1 where the result's two highest bits differ. */
const topBitsDiffer = (w: Width, r: I64): I32 => lowBit(i64.shrU(i64.xor(r, i64.shrU(r, c64(1))), c64(w.bits - 2)));

/** Writes the result, ends here for a count of 0, else sets ZF, SF, PF (and AF) from it. */
function shiftResult(e: Emitter, d: Operand, count: I64, r: I64): void {
  d.write(d.width.from64(r));
  if (e.flagsDead) return;
  e.nextWhen(i64.eqz(count));
  setResultFlags(e, d.width, d.width.from64(r));
  setAuxiliary(e, i32.const(1));
}

function rotateResult(e: Emitter, d: Operand, count: I64, r: I64): void {
  d.write(d.width.from64(r));
  if (!e.flagsDead) e.nextWhen(i64.eqz(count));
}

/** Moved up by one less than the count, the operand is its own carry vector: CF on top, the result's sign below. */
const shiftLeft: Effect = (e, d, count) => {
  const a = e.let(d.width.unsigned64(d.read()));
  shiftResult(e, d, count, e.let(i64.shl(a, count)));
  setCarryVector(e, i64.shl(top64(d.width, a), lessOne(count)));
};

/** OF is the operand's sign for a count of 1: the top bit of what has been shifted by one less. */
const shiftRight: Effect = (e, d, count) => {
  const a = e.let(d.width.unsigned64(d.read()));
  shiftResult(e, d, count, e.let(i64.shrU(a, count)));
  const before = e.let(i64.shrU(a, lessOne(count)));
  const carry = e.let(i64.shl(before, c64(63)));
  setCarryVector(e, i64.xor(carry, i64.shrU(i64.xor(carry, top64(d.width, before)), c64(1))));
};

/** OF = 0. */
const shiftArithmetic: Effect = (e, d, count) => {
  const a = e.let(d.width.signed64(d.read()));
  shiftResult(e, d, count, e.let(i64.shrS(a, count)));
  setCarryVector(e, i64.shrS(i64.shl(i64.shrS(a, lessOne(count)), c64(63)), c64(1)));
};

function rotated(e: Emitter, w: Width, value: Operand, count: I64, left: boolean): I64 {
  if (w.bytes === 8) return e.let((left ? i64.rotl : i64.rotr)(value.read() as I64, count));
  const a = e.let(w.unsigned64(value.read()));
  const up = e.let(i64.and(left ? count : i64.sub(c64(0), count), c64(w.bits - 1)));
  return e.let(w.unsigned64(w.from64(i64.or(i64.shl(a, up), i64.shrU(a, i64.sub(c64(w.bits), up))))));
}

/** CF is the result's lowest bit, OF = CF xor its highest. */
const rotateLeft: Effect = (e, d, count) => {
  const r = rotated(e, d.width, d, count, true);
  rotateResult(e, d, count, r);
  setCarryVector(e, i64.or(i64.shl(r, c64(63)), i64.shrU(top64(d.width, r), c64(1))));
};

/** CF is the result's highest bit, OF = CF xor the next. */
const rotateRight: Effect = (e, d, count) => {
  const r = rotated(e, d.width, d, count, false);
  rotateResult(e, d, count, r);
  setCarryVector(e, top64(d.width, r));
};

/** Places to rotate operand and carry together by: 9 or 17 are a whole turn. */
const turns = (w: Width, count: I64): I64 => (w.bits < 32 ? i64.remU(count, c64(w.bits + 1)) : count);

const rotateCarryLeft: Effect = (e, d, count) => {
  const w = d.width;
  const a = e.let(w.unsigned64(d.read()));
  const places = e.let(turns(w, count));
  const old = e.let(i64.extendU(readCF(e)));
  const low = i64.or(i64.shl(a, places), i64.shl(old, lessOne(places)));
  const moved = i64.or(low, i64.shrU(i64.shrU(a, c64(1)), i64.sub(c64(w.bits), places)));
  const r = e.let(select(i64.eqz(places), a, moved));
  rotateResult(e, d, count, r);
  const carry = select(i64.eqz(places), old, i64.shrU(a, i64.sub(c64(w.bits), places)));
  setCarryVector(e, i64.or(i64.shl(carry, c64(63)), i64.shrU(top64(w, r), c64(1))));
};

const rotateCarryRight: Effect = (e, d, count) => {
  const w = d.width;
  const a = e.let(w.unsigned64(d.read()));
  const places = e.let(turns(w, count));
  const old = e.let(i64.extendU(readCF(e)));
  const up = i64.sub(c64(w.bits), places);
  const high = i64.or(i64.shl(old, up), i64.shl(i64.shl(a, c64(1)), up));
  const r = e.let(w.unsigned64(w.from64(select(i64.eqz(places), a, i64.or(i64.shrU(a, places), high)))));
  rotateResult(e, d, count, r);
  const carry = select(i64.eqz(places), old, i64.shrU(a, lessOne(places)));
  setCarryOverflow(e, lowBit(carry), topBitsDiffer(w, r));
};

// SHLD and SHRD ---------------------------------------------------------------------------------------------------------

type Double = (e: Emitter, d: Operand, s: Operand, count: I64) => void;

function doubleByCount(name: string, effect: Double): Definition[] {
  const sizes: (readonly Bytes[])[] = WORD_SIZES.map((bytes) => [bytes, bytes, 1]);
  return [
    {
      name,
      shapes: ['E,r,i'],
      sizes,
      intents: ['modify'],
      effect: (e, d, s, t) => effect(e, d, s, masked(e, d.width, t.read() as I32)),
    },
    {
      name: `${name}.cl`,
      shapes: ['E,r'],
      sizes: WORD_SIZES,
      intents: ['modify'],
      effect: (e, d, s) => effect(e, d, s, masked(e, d.width, e.fixed(RCX, 1).read() as I32)),
    },
  ];
}

const both = (d: Operand, s: Operand): [I64, I64] => [d.width.unsigned64(d.read()), d.width.unsigned64(s.read())];

/**
 * 16-bit operands may be shifted by up to 31, which the manual leaves undefined: bits then come from the source again.
 * Shifted by one less than the count, the top of the pair is the carry vector (as for SHL).
 */
const doubleLeft: Double = (e, d, s, count) => {
  const w = d.width;
  const [a, b] = both(d, s).map((value) => e.let(value)) as [I64, I64];
  if (w.bytes === 8) {
    const filled = i64.shrU(i64.shrU(b, c64(1)), i64.sub(c64(63), count));
    shiftResult(e, d, count, e.let(i64.or(i64.shl(a, count), filled)));
    return setCarryVector(e, i64.shl(a, lessOne(count)));
  }
  const pair = i64.or(i64.shl(a, c64(64 - w.bits)), i64.shl(b, c64(64 - 2 * w.bits)));
  const line = e.let(w.bytes === 2 ? i64.or(pair, i64.shl(b, c64(16))) : pair);
  shiftResult(e, d, count, e.let(i64.shrU(i64.shl(line, count), c64(64 - w.bits))));
  setCarryVector(e, i64.shl(line, lessOne(count)));
};

const doubleRight: Double = (e, d, s, count) => {
  const w = d.width;
  const [a, b] = both(d, s).map((value) => e.let(value)) as [I64, I64];
  const pair = i64.or(a, i64.shl(b, c64(w.bits)));
  const line = w.bytes === 8 ? a : e.let(w.bytes === 2 ? i64.or(pair, i64.shl(b, c64(32))) : pair);
  const plain = i64.shrU(line, count);
  const filled = i64.or(plain, i64.shl(i64.shl(b, c64(1)), i64.sub(c64(63), count)));
  const r = e.let(w.unsigned64(w.from64(w.bytes === 8 ? filled : plain)));
  shiftResult(e, d, count, r);
  setCarryOverflow(e, lowBit(i64.shrU(line, lessOne(count))), topBitsDiffer(w, r));
};

/** SARX SHLX SHRX RORX: no flags, the count in a register or an immediate. */
const flagless = (name: string, shape: string, compute: (w: Width, a: I64, count: I64) => I64): Definition => ({
  name,
  shapes: [shape],
  sizes: shape.endsWith('i')
    ? [
        [4, 4, 1],
        [8, 8, 1],
      ]
    : [4, 8],
  effect: (e, d, s, t) => {
    const w = d.width;
    const a = e.let(name === 'sarx' ? w.signed64(s.read()) : w.unsigned64(s.read()));
    const count = masked(e, w, t.width.to32(t.read()));
    d.write(w.from64(compute(w, a, count)));
  },
});

const rotate32 = (a: I64, count: I64): I64 => i64.extendU(i32.rotr(i32.wrap(a), i32.wrap(count)));

export const shift: readonly Definition[] = [
  ...byCount('shl', shiftLeft),
  ...byCount('shr', shiftRight),
  ...byCount('sar', shiftArithmetic),
  ...byCount('rol', rotateLeft),
  ...byCount('ror', rotateRight),
  ...byCount('rcl', rotateCarryLeft),
  ...byCount('rcr', rotateCarryRight),
  ...doubleByCount('shld', doubleLeft),
  ...doubleByCount('shrd', doubleRight),
  flagless('sarx', 'r,E,r', (_w, a, count) => i64.shrS(a, count)),
  flagless('shlx', 'r,E,r', (_w, a, count) => i64.shl(a, count)),
  flagless('shrx', 'r,E,r', (_w, a, count) => i64.shrU(a, count)),
  flagless('rorx', 'r,E,i', (w, a, count) => (w.bytes === 8 ? i64.rotr(a, count) : rotate32(a, count))),
];
