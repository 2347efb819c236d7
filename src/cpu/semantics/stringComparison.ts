// The comparison in PCMPESTRx and PCMPISTRx (SDM 2B 4.1): two strings of bytes or words, each as long as is said, in one
// of four ways. What comes of it is a bit for each element of the second (IntRes2).

import {
  br,
  brIf,
  block,
  get,
  type I32,
  i32,
  label,
  type Local,
  loop,
  ret,
  type Stmt,
  set,
  type V128,
  when,
} from '../../wasm/code.ts';
import type { FunctionBuilder, ModuleBuilder } from '../../wasm/module.ts';
import { i16x8, i8x16, v128, words } from '../../wasm/simd.ts';

const c32 = i32.const;

/** Bits of the instruction's immediate. */
export const CONTROL = {
  WORDS: 1,
  SIGNED: 2,
  NEGATIVE: 0x10,
  /** Negates only what stands for elements within the string. */
  MASKED: 0x20,
  /** The index is that of the highest bit; the mask has whole elements. */
  LAST_OR_WIDE: 0x40,
} as const;
const AGGREGATION = 12;
const EQUAL_ANY = 0;
const RANGES = 4;
const EQUAL_EACH = 8;
const EQUAL_ORDERED = 12;

type Lanes = {
  readonly count: 8 | 16;
  eq(a: V128, b: V128): V128;
  gtS(a: V128, b: V128): V128;
  bitmask(a: V128): I32;
  /** All elements as the one with this number. */
  all(a: V128, number: I32): V128;
  readonly signs: V128;
};
const BYTES: Lanes = {
  count: 16,
  ...i8x16,
  all: (a, number) => i8x16.swizzle(a, i8x16.splat(number)),
  signs: v128.const(Array(16).fill(0x80)),
};
const WORDS: Lanes = {
  count: 8,
  ...i16x8,
  all: (a, number) => i8x16.swizzle(a, i16x8.splat(i32.add(i32.mul(number, c32(0x0202)), c32(0x0100)))),
  signs: words(Array(8).fill(0x8000)),
};

type Locals = {
  readonly pattern: Local<'v128'>;
  readonly text: Local<'v128'>;
  readonly patternLength: Local<'i32'>;
  readonly control: Local<'i32'>;
  /** Bits of the elements that the text has. */
  readonly valid: Local<'i32'>;
  readonly bits: Local<'i32'>;
  readonly j: Local<'i32'>;
};

const has = (l: Locals, bit: number): I32 => i32.and(get(l.control), c32(bit));
const asks = (l: Locals, aggregation: number): I32 => i32.eq(has(l, AGGREGATION), c32(aggregation));
const next = (l: Locals): Stmt => set(l.j, i32.add(get(l.j), c32(1)));
const orBits = (l: Locals, more: I32): Stmt => set(l.bits, i32.or(get(l.bits), more));

/** What element j of the pattern (with the one behind it, for ranges) does to the bits. */
function withElement(l: Locals, lanes: Lanes): Stmt {
  const element = lanes.all(get(l.pattern), get(l.j));
  const equal = lanes.bitmask(lanes.eq(get(l.text), element));
  const below = lanes.gtS(element, get(l.text));
  const above = lanes.gtS(get(l.text), lanes.all(get(l.pattern), i32.add(get(l.j), c32(1))));
  const inside = i32.xor(lanes.bitmask(v128.or(below, above)), c32(2 ** lanes.count - 1));
  // Places so high that element j lies beyond the vector are not ruled out by it.
  const beyond = i32.xor(i32.shrU(c32(2 ** lanes.count - 1), get(l.j)), c32(-1));
  const here = i32.shrU(i32.and(equal, get(l.valid)), get(l.j));
  return [
    when(asks(l, EQUAL_ANY), orBits(l, equal)),
    when(asks(l, RANGES), [orBits(l, inside), next(l)]),
    when(asks(l, EQUAL_ORDERED), set(l.bits, i32.and(get(l.bits), i32.or(here, beyond)))),
    next(l),
  ];
}

/** Element by element; beyond the ends of both, the two are equal. */
function each(l: Locals, lanes: Lanes): Stmt {
  const patternBits = i32.sub(i32.shl(c32(1), get(l.patternLength)), c32(1));
  const both = i32.and(patternBits, get(l.valid));
  const equal = i32.and(lanes.bitmask(lanes.eq(get(l.pattern), get(l.text))), both);
  const neither = i32.xor(i32.or(patternBits, get(l.valid)), c32(-1));
  return set(l.bits, i32.and(i32.or(equal, neither), c32(2 ** lanes.count - 1)));
}

function throughPattern(l: Locals, lanes: Lanes): Stmt {
  const again = label('element');
  const done = label('done');
  // Half a range is none.
  const needed = i32.add(get(l.j), i32.eq(has(l, AGGREGATION), c32(RANGES)));
  return [
    set(l.bits, i32.mul(asks(l, EQUAL_ORDERED), c32(2 ** lanes.count - 1))),
    block(done, loop(again, brIf(done, i32.geU(needed, get(l.patternLength))), withElement(l, lanes), br(again))),
    when(i32.ne(has(l, AGGREGATION), c32(EQUAL_ORDERED)), set(l.bits, i32.and(get(l.bits), get(l.valid)))),
  ];
}

function compared(l: Locals, lanes: Lanes): Stmt {
  const biased = (value: Local<'v128'>): Stmt => set(value, v128.xor(get(value), lanes.signs));
  const whole = c32(2 ** lanes.count - 1);
  const negated = (which: I32): Stmt => set(l.bits, i32.xor(get(l.bits), which));
  return [
    // Unsigned numbers are in order as signed ones once their top bits are turned.
    when(i32.eqz(has(l, CONTROL.SIGNED)), [biased(l.pattern), biased(l.text)]),
    when(asks(l, EQUAL_EACH), each(l, lanes), throughPattern(l, lanes)),
    when(has(l, CONTROL.NEGATIVE), when(has(l, CONTROL.MASKED), negated(get(l.valid)), negated(whole))),
    ret(get(l.bits)),
  ];
}

const localsOf = (fn: FunctionBuilder): Locals => ({
  pattern: fn.param(0, 'v128'),
  text: fn.param(1, 'v128'),
  patternLength: fn.param(2, 'i32'),
  valid: fn.param(3, 'i32'),
  control: fn.param(4, 'i32'),
  bits: fn.local('i32'),
  j: fn.local('i32'),
});

/** (pattern v128, text v128, elements in the pattern i32, and in the text i32, immediate i32) -> bits i32 */
export const defineCompareStrings = (module: ModuleBuilder): number =>
  module.function(['v128', 'v128', 'i32', 'i32', 'i32'], ['i32'], (fn) => {
    const l = localsOf(fn);
    return [
      set(l.valid, i32.sub(i32.shl(c32(1), get(l.valid)), c32(1))),
      when(has(l, CONTROL.WORDS), compared(l, WORDS), compared(l, BYTES)),
      c32(0).code,
    ];
  });
