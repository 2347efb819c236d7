// MUL IMUL DIV IDIV MULX (SDM 2). WebAssembly multiplies and divides 64 by 64 bits; the 128-bit products and dividends
// of 64-bit operands are built from 32-bit digits. SF, ZF, AF and PF, undefined after all of them, stay as they were
// (MUL and IMUL on AMD's Zen leave them too), and so do CF and OF after a division.

import { br, brIf, block, type I32, type I64, i32, i64, label, loop, set, get, when, choose } from '../../wasm/code.ts';
import { GPR } from '../../x86/registers.ts';
import { VECTOR } from '../../x86/vectors.ts';
import type { Operand } from './emission.ts';
import type { Emitter } from './emitter.ts';
import type { Bytes } from '../state/width.ts';
import { setCarryVector } from './flags.ts';
import { ALL_SIZES, type Definition, WORD_SIZES } from './handler.ts';

const { RAX, RDX } = GPR;
const c64 = i64.const;
const LOW = c64(0xffffffff);
const lowHalf = (value: I64): I64 => i64.and(value, LOW);
const highHalf = (value: I64): I64 => i64.shrU(value, c64(32));
const sign = (value: I64): I64 => i64.shrS(value, c64(63));

/** CF and OF, both as given: the product did not fit. */
const setOverflow = (e: Emitter, tooWide: I32): void => setCarryVector(e, i64.shl(i64.extendU(tooWide), c64(63)));

/** Upper 64 bits of the unsigned product. */
function highProduct(e: Emitter, a: I64, b: I64): I64 {
  const [a0, a1, b0, b1] = [lowHalf(a), highHalf(a), lowHalf(b), highHalf(b)];
  const middle = e.let(i64.add(i64.mul(a1, b0), highHalf(i64.mul(a0, b0))));
  const other = i64.add(i64.mul(a0, b1), lowHalf(middle));
  return e.let(i64.add(i64.add(i64.mul(a1, b1), highHalf(middle)), highHalf(other)));
}

/** Upper 64 bits of the signed product. */
function highSigned(e: Emitter, a: I64, b: I64): I64 {
  const unsigned = highProduct(e, a, b);
  return e.let(i64.sub(i64.sub(unsigned, i64.and(sign(a), b)), i64.and(sign(b), a)));
}

/** The accumulator and its upper half: AH:AL, DX:AX, EDX:EAX, RDX:RAX. */
function pair(e: Emitter, bytes: Bytes): { low: Operand; high: Operand } {
  return { low: e.fixed(RAX, bytes), high: bytes === 1 ? e.fixedHigh(RAX) : e.fixed(RDX, bytes) };
}

const multiply = (name: string, signed: boolean): Definition => ({
  name,
  shapes: ['E'],
  sizes: ALL_SIZES,
  effect: (e, s) => {
    const w = s.width;
    const { low, high } = pair(e, w.bytes);
    const extend = signed ? w.signed64 : w.unsigned64;
    const a = e.let(extend(s.read()));
    const b = e.let(extend(low.read()));
    const product = e.let(i64.mul(a, b));
    const upper = wideUpper(e, w.bits, signed, { a, b, product });
    low.write(w.from64(product));
    high.write(w.from64(upper));
    const fits = signed ? i64.eq(upper, sign(signed64Of(w, product))) : i64.eqz(upper);
    setOverflow(e, i32.eqz(fits));
  },
});

const signed64Of = (w: Operand['width'], value: I64): I64 => w.signed64(w.from64(value));

/** What goes to the upper half, extended to 64 bits as the operands are. */
function wideUpper(
  e: Emitter,
  bits: number,
  signed: boolean,
  { a, b, product }: Record<'a' | 'b' | 'product', I64>,
): I64 {
  if (bits === 64) return signed ? highSigned(e, a, b) : highProduct(e, a, b);
  return e.let((signed ? i64.shrS : i64.shrU)(product, c64(bits)));
}

/** The two- and three-operand forms: the product cut to the operand's size, CF = OF = 1 where that changed it. */
function signedProduct(e: Emitter, d: Operand, x: Operand, y: Operand): void {
  const w = d.width;
  const a = e.let(w.signed64(x.read()));
  const b = e.let(w.signed64(y.read()));
  const product = e.let(i64.mul(a, b));
  if (e.flagsDead) return d.write(w.from64(product));
  const tooWide = e.let(w.bytes === 8 ? overflows64(e, a, b, product) : i64.ne(product, signed64Of(w, product)));
  d.write(w.from64(product));
  setOverflow(e, tooWide);
}

/** Operands that have 66 sign bits between them cannot overflow: the usual case, and a cheap one. */
function overflows64(e: Emitter, a: I64, b: I64, product: I64): I32 {
  const signBits = (value: I64): I64 => i64.clz(i64.xor(value, sign(value)));
  let upper: I64 | undefined;
  const before = e.capture(() => {
    upper = highSigned(e, a, b);
  });
  const narrow = i64.geU(i64.add(signBits(a), signBits(b)), c64(66));
  return choose(narrow, i32.const(0), i64.ne(upper as I64, sign(product)), { no: before });
}

const IMUL_REGISTER: Definition = {
  name: 'imul',
  shapes: ['r,E'],
  sizes: WORD_SIZES,
  intents: ['modify'],
  effect: (e, d, s) => signedProduct(e, d, d, s),
};
const IMUL_IMMEDIATE: Definition = {
  name: 'imul',
  shapes: ['r,E,i'],
  sizes: WORD_SIZES,
  effect: (e, d, s, t) => signedProduct(e, d, s, t),
};

/** Both destinations may be one register, which then holds the upper half. */
const MULX: Definition = {
  name: 'mulx',
  shapes: ['r,r,E'],
  sizes: [4, 8],
  effect: (e, high, low, s) => {
    const w = s.width;
    const a = e.let(w.unsigned64(s.read()));
    const b = e.let(w.unsigned64(e.fixed(RDX, w.bytes).read()));
    const product = e.let(i64.mul(a, b));
    const upper = wideUpper(e, w.bits, false, { a, b, product });
    low.write(w.from64(product));
    high.write(w.from64(upper));
  },
};

// Division --------------------------------------------------------------------------------------------------------------

/** Operands of up to 32 bits: dividend and divisor fit in 64 bits. */
function divideNarrow(e: Emitter, s: Operand, signed: boolean): void {
  const w = s.width;
  const { low, high } = pair(e, w.bytes);
  const divisor = e.let((signed ? w.signed64 : w.unsigned64)(s.read()));
  e.faultWhen(i64.eqz(divisor), VECTOR.DE);
  const upper = signed ? w.signed64(high.read()) : w.unsigned64(high.read());
  const dividend = e.let(i64.or(i64.shl(upper, c64(w.bits)), w.unsigned64(low.read())));
  if (signed) trapOnMinimum(e, dividend, divisor);
  const quotient = e.let((signed ? i64.divS : i64.divU)(dividend, divisor));
  const remainder = e.let((signed ? i64.remS : i64.remU)(dividend, divisor));
  const kept = signed ? signed64Of(w, quotient) : w.unsigned64(w.from64(quotient));
  e.faultWhen(i64.ne(quotient, kept), VECTOR.DE);
  low.write(w.from64(quotient));
  high.write(w.from64(remainder));
}

/** -2^63 / -1 does not fit; WebAssembly's division would trap on it. */
function trapOnMinimum(e: Emitter, dividend: I64, divisor: I64): void {
  const minimum = i64.eq(dividend, c64(-(2n ** 63n)));
  e.faultWhen(i32.and(minimum, i64.eq(divisor, c64(-1))), VECTOR.DE);
}

type Result = { quotient: I64; remainder: I64 };

/** 128 by 64 bits, where the quotient fits (high < divisor): Knuth, TAOCP 2, 4.3.1, algorithm D with two 32-bit digits. */
function divideLong(e: Emitter, high: I64, low: I64, divisor: I64): Result {
  const moved = e.let(i64.clz(divisor));
  const d = e.let(i64.shl(divisor, moved));
  const fromLow = i64.shrU(i64.shrU(low, c64(1)), i64.sub(c64(63), moved));
  const top = e.let(i64.or(i64.shl(high, moved), fromLow));
  const rest = e.let(i64.shl(low, moved));
  const first = divideDigit(e, top, highHalf(rest), d);
  const second = divideDigit(e, first.remainder, lowHalf(rest), d);
  return {
    quotient: e.let(i64.or(i64.shl(first.quotient, c64(32)), second.quotient)),
    remainder: e.let(i64.shrU(second.remainder, moved)),
  };
}

/** One digit of the quotient of (top * 2^32 + next) / d: guessed from d's upper half, then lowered at most twice. */
function divideDigit(e: Emitter, top: I64, next: I64, d: I64): Result {
  const guess = e.local('i64');
  const left = e.local('i64');
  const again = label('again');
  const settled = label('settled');
  const fits = i32.and(
    i64.eqz(highHalf(get(guess))),
    i64.leU(i64.mul(get(guess), lowHalf(d)), i64.or(i64.shl(get(left), c64(32)), next)),
  );
  e.emit(
    set(guess, i64.divU(top, highHalf(d))),
    set(left, i64.sub(top, i64.mul(get(guess), highHalf(d)))),
    block(
      settled,
      loop(
        again,
        brIf(settled, fits),
        set(guess, i64.sub(get(guess), c64(1))),
        set(left, i64.add(get(left), highHalf(d))),
        brIf(settled, i32.eqz(i64.eqz(highHalf(get(left))))),
        br(again),
      ),
    ),
  );
  const whole = i64.or(i64.shl(top, c64(32)), next);
  return { quotient: get(guess), remainder: e.let(i64.sub(whole, i64.mul(get(guess), d))) };
}

/** Unsigned 128 by 64 bits; the quotient fits. */
function divideWide(e: Emitter, high: I64, low: I64, divisor: I64): Result {
  const quotient = e.local('i64');
  const remainder = e.local('i64');
  const long = e.capture(() => {
    const result = divideLong(e, high, low, divisor);
    e.emit(set(quotient, result.quotient), set(remainder, result.remainder));
  });
  const short = [set(quotient, i64.divU(low, divisor)), set(remainder, i64.remU(low, divisor))];
  e.emit(when(i64.eqz(high), short, long));
  return { quotient: get(quotient), remainder: get(remainder) };
}

function divideUnsigned64(e: Emitter, s: Operand): void {
  const { low, high } = pair(e, 8);
  const divisor = e.let(s.read()) as I64;
  // Also true for a divisor of 0.
  e.faultWhen(i64.leU(divisor, high.read() as I64), VECTOR.DE);
  const result = divideWide(e, high.read() as I64, low.read() as I64, divisor);
  low.write(result.quotient);
  high.write(result.remainder);
}

function divideSigned64(e: Emitter, s: Operand): void {
  const { low, high } = pair(e, 8);
  const divisor = e.let(s.read()) as I64;
  e.faultWhen(i64.eqz(divisor), VECTOR.DE);
  const a = e.let(low.read()) as I64;
  const upper = e.let(high.read()) as I64;
  const narrow = e.capture(() => {
    trapOnMinimum(e, a, divisor);
    low.write(i64.divS(a, divisor));
    high.write(i64.remS(a, divisor));
  });
  e.emit(
    when(
      i64.eq(upper, sign(a)),
      narrow,
      e.capture(() => divideMagnitudes(e, { upper, a, divisor, low, high })),
    ),
  );
}

type SignedDivision = { upper: I64; a: I64; divisor: I64; low: Operand; high: Operand };

function divideMagnitudes(e: Emitter, { upper, a, divisor, low, high }: SignedDivision): void {
  const negative = e.let(sign(upper));
  const opposite = e.let(i64.xor(negative, sign(divisor)));
  const flip = (value: I64, mask: I64): I64 => i64.sub(i64.xor(value, mask), mask);
  // The 128-bit negation borrows from the upper half unless the lower is 0.
  const borrowed = i64.and(negative, i64.extendU(i32.eqz(i64.eqz(a))));
  const size = e.let(flip(divisor, sign(divisor)));
  const magnitude = e.let(i64.sub(flip(upper, negative), borrowed));
  e.faultWhen(i64.leU(size, magnitude), VECTOR.DE);
  const result = divideWide(e, magnitude, e.let(flip(a, negative)), size);
  const quotient = e.let(flip(result.quotient, opposite));
  const wrongSign = i64.ne(sign(quotient), opposite);
  e.faultWhen(i32.and(wrongSign, i32.eqz(i64.eqz(quotient))), VECTOR.DE);
  low.write(quotient);
  high.write(flip(result.remainder, negative));
}

const division = (name: string, signed: boolean): Definition => ({
  name,
  shapes: ['E'],
  sizes: ALL_SIZES,
  effect: (e, s) => {
    if (s.width.bytes !== 8) divideNarrow(e, s, signed);
    else if (signed) divideSigned64(e, s);
    else divideUnsigned64(e, s);
  },
});

export const multiplication: readonly Definition[] = [
  multiply('mul', false),
  multiply('imul', true),
  IMUL_REGISTER,
  IMUL_IMMEDIATE,
  MULX,
  division('div', false),
  division('idiv', true),
];
