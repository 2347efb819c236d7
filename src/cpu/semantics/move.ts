// MOV MOVZX MOVSX MOVSXD LEA XCHG BSWAP CMOVcc SETcc CBW/CWDE/CDQE CWD/CDQ/CQO, and the near stack forms of 64-bit mode
// (SDM 2). A conditional move to a 32-bit register clears the upper half even where the condition does not hold.

import { call, call64, type I32, type I64, i32, i64, select } from '../../wasm/code.ts';
import { GPR } from '../../x86/registers.ts';
import type { Operand } from './emission.ts';
import type { Emitter } from './emitter.ts';
import { type Bytes, widthOf } from '../state/width.ts';
import { CONDITIONS, readCondition } from './flags.ts';
import { ALL_SIZES, type Definition, type Handler, LEGACY_STACK_SIZES, WORD_SIZES } from './handler.ts';

const { RAX, RDX, RSP } = GPR;

const MOV: Definition = {
  name: 'mov',
  shapes: ['E,r', 'r,M', 'E,i'],
  sizes: ALL_SIZES,
  intents: ['write'],
  effect: (_e, d, s) => d.write(s.read()),
};

/** The hint has no meaning without caches. */
const MOVNTI: Definition = { ...MOV, name: 'movnti', shapes: ['M,r'], sizes: [4, 8] };

type SizePairs = readonly (readonly [Bytes, Bytes])[];
/** [destination, source]; a 16-bit destination and source is a plain move that takes a prefix to write. */
const EXTENDING: SizePairs = [
  [2, 1],
  [4, 1],
  [8, 1],
  [2, 2],
  [4, 2],
  [8, 2],
];
/** Without REX.W, MOVSXD is a plain move of 32 or 16 bits (SDM 2B, MOVSXD). */
const EXTENDING_DOUBLEWORD: SizePairs = [
  [2, 2],
  [4, 4],
  [8, 4],
];
const widening = (name: string, signed: boolean, sizes: SizePairs): Definition => ({
  name,
  shapes: ['r,E'],
  sizes,
  effect: (_e, d, s) => {
    const value = signed ? s.width.signed64(s.read()) : s.width.unsigned64(s.read());
    d.write(d.width.from64(value));
  },
});

const XCHG: Definition = {
  name: 'xchg',
  shapes: ['E,r'],
  sizes: ALL_SIZES,
  intents: ['modify'],
  effect: (e, d, s) => {
    const a = e.let(d.read());
    const b = e.let(s.read());
    d.write(b);
    s.write(a);
  },
};

const byteSwap32 = (value: I32): I32 => {
  const odd = i32.const(0x00ff00ff);
  return i32.or(i32.rotr(i32.and(value, odd), i32.const(8)), i32.and(i32.rotl(value, i32.const(8)), odd));
};

export const byteSwap64 = (value: I64): I64 => {
  const low = i64.extendU(byteSwap32(i32.wrap(value)));
  const high = i64.extendU(byteSwap32(i32.wrap(i64.shrU(value, i64.const(32)))));
  return i64.or(i64.shl(low, i64.const(32)), high);
};

/** BSWAP of a 16-bit register is undefined (SDM 2A); processors clear it. */
const BSWAP: Definition = {
  name: 'bswap',
  shapes: ['r'],
  sizes: WORD_SIZES,
  effect: (e, d) => {
    const value = e.let(d.width.unsigned64(d.read()));
    if (d.width.bytes === 2) d.write(i32.const(0));
    else if (d.width.bytes === 4) d.write(byteSwap32(i32.wrap(value)));
    else d.write(byteSwap64(value));
  },
};

const CONDITIONAL: readonly Definition[] = CONDITIONS.flatMap((condition) => [
  {
    name: `cmov${condition}`,
    shapes: ['r,E'],
    sizes: WORD_SIZES,
    effect: (e: Emitter, d: Operand, s: Operand) => {
      const source = e.let(s.read());
      d.write(select(readCondition(e, condition), source, d.read()));
    },
  },
  {
    name: `set${condition}`,
    shapes: ['E'],
    sizes: [1] as const,
    intents: ['write'] as const,
    effect: (e: Emitter, d: Operand) => d.write(readCondition(e, condition)),
  },
]);

/** CBW CWDE CDQE: the accumulator's lower half, sign-extended. */
const widenAccumulator = (name: string, bytes: Bytes): Definition => ({
  name,
  shapes: [''],
  sizes: [bytes],
  effect: (e) => {
    const half = e.fixed(RAX, (bytes / 2) as Bytes);
    const whole = e.fixed(RAX, bytes);
    whole.write(whole.width.from64(half.width.signed64(half.read())));
  },
});

/** CWD CDQ CQO: the accumulator's sign in every bit of (R/E)DX. */
const signToDx = (name: string, bytes: Bytes): Definition => ({
  name,
  shapes: [''],
  sizes: [bytes],
  effect: (e) => {
    const accumulator = e.fixed(RAX, bytes);
    const sign = i64.shrS(accumulator.width.signed64(accumulator.read()), i64.const(63));
    e.fixed(RDX, bytes).write(accumulator.width.from64(sign));
  },
});

export const moves: readonly Definition[] = [
  MOV,
  MOVNTI,
  widening('movzx', false, EXTENDING),
  widening('movsx', true, EXTENDING),
  widening('movsxd', true, EXTENDING_DOUBLEWORD),
  XCHG,
  BSWAP,
  ...CONDITIONAL,
  widenAccumulator('cbw', 2),
  widenAccumulator('cwde', 4),
  widenAccumulator('cdqe', 8),
  signToDx('cwd', 2),
  signToDx('cdq', 4),
  signToDx('cqo', 8),
  // PUSH and POP in every mode but the 64-bit forms below; the operand's size is the amount RSP moves by.
  { name: 'pushg', shapes: ['E', 'i'], sizes: LEGACY_STACK_SIZES, effect: (e, s) => pushGeneral(e, s) },
];

function pushGeneral(e: Emitter, s: Operand): void {
  const value = e.let(s.width.unsigned64(s.read()));
  e.emit(call(e.shared.push, value, i32.const(s.width.bytes)));
  e.checkFault();
}

/** LEA: the offset, cut to the operand's size. */
const leas: readonly Handler[] = WORD_SIZES.flatMap((bytes) =>
  (['m', 'g'] as const).map((kind) => ({
    key: `lea r${bytes * 8},${kind}`,
    build: (e: Emitter) => {
      const offset = kind === 'm' ? e.flatAddress() : e.offset();
      const d = e.register('first', bytes);
      d.write(d.width.from64(offset));
      e.next();
    },
  })),
);

// 64-bit mode's 8-byte PUSH and POP, the hot ones. PUSH RSP pushes the old value; POP RSP keeps the popped one.
const stackPointer = (e: Emitter): Operand => e.fixed(RSP, 8);
export const push64 = (e: Emitter, value: I64): void => {
  const top = e.let(i64.sub(stackPointer(e).read() as I64, i64.const(8)));
  e.store(top, 8, value);
  stackPointer(e).write(top);
};

const stack64: readonly Handler[] = [
  ...(['r', 'i', 'm', 'g'] as const).map((kind) => ({
    key: `push64 ${kind}64`,
    build: (e: Emitter) => {
      push64(e, sourceOf(e, kind).read() as I64);
      e.next();
    },
  })),
  {
    key: 'pop64 r64',
    build: (e) => {
      const top = e.let(stackPointer(e).read() as I64);
      const value = e.load(top, 8);
      stackPointer(e).write(i64.add(top, i64.const(8)));
      e.register('first', 8).write(value);
      e.next();
    },
  },
];

function sourceOf(e: Emitter, kind: 'r' | 'i' | 'm' | 'g'): Operand {
  if (kind === 'r') return e.register('first', 8);
  return kind === 'i' ? e.immediate(8) : e.memory(8, kind === 'm', 'read');
}

/** POP into a register, but for 64-bit mode's 8 bytes. */
const popGeneral: readonly Handler[] = LEGACY_STACK_SIZES.map((bytes) => ({
  key: `popg r${bytes * 8}`,
  build: (e: Emitter) => {
    const value = e.let(call64(e.shared.peekStack, i64.const(0), i32.const(bytes)));
    e.checkFault();
    e.emit(call(e.shared.adjustStack, i64.const(bytes)));
    e.register('first', bytes).write(widthOf(bytes).from64(value));
    e.next();
  },
}));

export const moveHandlers: readonly Handler[] = [...leas, ...stack64, ...popGeneral];
