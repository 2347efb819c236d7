// MMX: 64-bit integer vectors in the x87 registers (SDM 1 chapter 9), with what SSE and SSE2 added. Operations are those
// of SSE2, on the low half of a vector. Operand letter in keys: y64 MMX register. A binding names the place a register
// has while TOP is 0; until an instruction has made it so, the register stands elsewhere.

import { call, type I32, type I64, i32, i64, select, type V128 } from '../../wasm/code.ts';
import { i8x16, i64x2 } from '../../wasm/simd.ts';
import { CR0_EM, CR0_TS } from '../../x86/control.ts';
import { VECTOR } from '../../x86/vectors.ts';
import type { Slot } from './emission.ts';
import type { Emitter } from './emitter.ts';
import { topDistance } from './mmxState.ts';
import * as at from '../state/layout.ts';
import type { Handler } from './handler.ts';
import { OPERATIONS, SHIFTS, type Shift, sumOfDifferences, unpack, type VectorOp, wordNumbers } from './sse.ts';

type MemoryKind = 'm' | 'g';
type SourceKind = 'y' | MemoryKind;
const MEMORY: readonly MemoryKind[] = ['m', 'g'];
const SOURCES: readonly SourceKind[] = ['y', 'm', 'g'];

const FSW_ES = 0x80;
/** Sign and exponent of a register that MMX wrote. */
const ALL_ONES = i64.const(0xffff);

/** EM is #UD, TS #NM, a pending x87 exception #MF (SDM 3A 12.1). */
export function mmxReady(e: Emitter): void {
  const has = (bit: bigint): I32 => i32.and(i32.load(i32.const(at.CR0)), i32.const(Number(bit)));
  e.faultWhen(has(CR0_EM), VECTOR.UD);
  e.faultWhen(has(CR0_TS), VECTOR.NM);
  e.faultWhen(i32.and(i32.load16u(i32.const(at.FSW)), i32.const(FSW_ES)), VECTOR.MF);
}

/** Address of the register that is an operand, wherever TOP has it. */
export function mmxPlace(e: Emitter, slot: Slot): I32 {
  const distance = i32.sub(e.vectorPlace(slot), i32.add(i32.const(at.ST0), topDistance()));
  return e.let(i32.add(i32.and(distance, i32.const(0x7f)), i32.const(at.ST0)));
}

const mmxRead = (e: Emitter, slot: Slot): I64 => e.let(i64.load(mmxPlace(e, slot)));

/** TOP becomes 0; nothing may fault from here on. */
export const mmxEnter = (e: Emitter): void => e.emit(call(e.shared.enterMmx));

function mmxWrite(e: Emitter, slot: Slot, value: I64): void {
  const address = e.vectorAddress(slot);
  e.emit(i64.store(address, value), i64.store(address, ALL_ONES, 8));
}

const handler = (key: string, build: (e: Emitter) => void): Handler => ({
  key,
  build: (e) => {
    mmxReady(e);
    build(e);
    e.next();
  },
});

const memory = (e: Emitter, kind: MemoryKind, bytes: 2 | 4 | 8): I64 => {
  const operand = e.memory(bytes, kind === 'm', 'read');
  return e.let(operand.width.unsigned64(operand.read()));
};
export const mmxVector = (low: I64): V128 => i64x2.splat(low);
export const lowOf = (value: V128): I64 => i64x2.extract(value, 0);

// Operations ------------------------------------------------------------------------------------------------------------

export type MmxResult = (e: Emitter, d: I64, s: I64) => I64;

/** d = result(d, s); the low unpacks read 4 bytes of memory only. */
export const mmxBinary = (name: string, result: MmxResult, bytes: 4 | 8 = 8, immediate = ''): Handler[] =>
  SOURCES.map((kind) =>
    handler(`${name} y64,${kind}${kind === 'y' ? 64 : bytes * 8}${immediate}`, (e) => {
      const s = kind === 'y' ? mmxRead(e, 'second') : memory(e, kind, bytes);
      const d = mmxRead(e, 'first');
      mmxEnter(e);
      mmxWrite(e, 'first', result(e, d, s));
    }),
  );

const lanewise =
  (op: VectorOp): MmxResult =>
  (_e, d, s) =>
    lowOf(op(mmxVector(d), mmxVector(s)));
/** Both operands side by side are narrowed together. */
const packing =
  (op: VectorOp): MmxResult =>
  (e, d, s) => {
    const both = e.let(i64x2.replace(mmxVector(d), 1, s));
    return lowOf(op(both, both));
  };
const unpackHigh =
  (bytes: number): MmxResult =>
  (_e, d, s) =>
    i64x2.extract(unpack(bytes, false)(mmxVector(d), mmxVector(s)), 1);

const PACKS = new Set(['packsswb', 'packuswb', 'packssdw']);
/** The unpacks' MMX forms are others. */
const isLanewise = (name: string): boolean => !name.startsWith('punpck');

const operations: readonly Handler[] = [
  ...OPERATIONS.filter(([name]) => isLanewise(name)).flatMap(([name, op]) =>
    mmxBinary(name, PACKS.has(name) ? packing(op) : lanewise(op)),
  ),
  ...mmxBinary('psadbw', (e, d, s) => lowOf(sumOfDifferences(e, mmxVector(d), mmxVector(s)))),
  ...mmxBinary('punpcklbw', lanewise(unpack(1, false)), 4),
  ...mmxBinary('punpcklwd', lanewise(unpack(2, false)), 4),
  ...mmxBinary('punpckldq', lanewise(unpack(4, false)), 4),
  ...mmxBinary('punpckhbw', unpackHigh(1)),
  ...mmxBinary('punpckhwd', unpackHigh(2)),
  ...mmxBinary('punpckhdq', unpackHigh(4)),
  ...mmxBinary('pshufw', (e, _d, s) => lowOf(i8x16.swizzle(mmxVector(s), wordNumbers(e, false))), 8, ',i8'),
];

function shiftOf({ name, bits, op }: Shift, value: I64, count: I64): I64 {
  const fits = i64.ltU(count, i64.const(bits));
  if (name.startsWith('psra')) return lowOf(op(mmxVector(value), select(fits, i32.wrap(count), i32.const(bits - 1))));
  return select(fits, lowOf(op(mmxVector(value), i32.wrap(count))), i64.const(0));
}

const shifts: readonly Handler[] = SHIFTS.flatMap((shift) => [
  ...mmxBinary(shift.name, (_e, d, s) => shiftOf(shift, d, s)),
  handler(`${shift.name} y64,i8`, (e) => {
    const d = mmxRead(e, 'first');
    mmxEnter(e);
    mmxWrite(e, 'first', shiftOf(shift, d, e.let(e.constant('i64', 1))));
  }),
]);

// Moves -----------------------------------------------------------------------------------------------------------------

const load = (name: string, bytes: 4 | 8): Handler[] =>
  MEMORY.map((kind) =>
    handler(`${name} y64,${kind}${bytes * 8}`, (e) => {
      const value = memory(e, kind, bytes);
      mmxEnter(e);
      mmxWrite(e, 'first', value);
    }),
  );
const store = (name: string, bytes: 4 | 8): Handler[] =>
  MEMORY.map((kind) =>
    handler(`${name} ${kind}${bytes * 8},y64`, (e) => {
      const value = mmxRead(e, 'first');
      const d = e.memory(bytes, kind === 'm', 'write');
      d.write(d.width.from64(value));
      mmxEnter(e);
    }),
  );
const general = (name: string, bytes: 4 | 8): Handler[] => [
  handler(`${name} y64,r${bytes * 8}`, (e) => {
    mmxEnter(e);
    const s = e.register('second', bytes);
    mmxWrite(e, 'first', s.width.unsigned64(s.read()));
  }),
  handler(`${name} r${bytes * 8},y64`, (e) => {
    const value = mmxRead(e, 'second');
    mmxEnter(e);
    const d = e.register('first', bytes);
    d.write(d.width.from64(value));
  }),
];

const between: readonly Handler[] = [
  handler('movq y64,y64', (e) => {
    const value = mmxRead(e, 'second');
    mmxEnter(e);
    mmxWrite(e, 'first', value);
  }),
  handler('movdq2q y64,x128', (e) => {
    mmxEnter(e);
    mmxWrite(e, 'first', i64.load(e.vectorAddress('second')));
  }),
  handler('movq2dq x128,y64', (e) => {
    const value = mmxRead(e, 'second');
    mmxEnter(e);
    const address = e.vectorAddress('first');
    e.emit(i64.store(address, value), i64.store(address, i64.const(0), 8));
  }),
];

// Words and signs -------------------------------------------------------------------------------------------------------

/** Bits below the word that the immediate names. */
const wordBits = (e: Emitter): I64 => i64.shl(i64.and(e.constant('i64', 1), i64.const(3)), i64.const(4));

function insertWord(e: Emitter, word: I64): void {
  const old = mmxRead(e, 'first');
  mmxEnter(e);
  const below = e.let(wordBits(e));
  const kept = i64.and(old, i64.xor(i64.shl(i64.const(0xffff), below), i64.const(-1)));
  mmxWrite(e, 'first', i64.or(kept, i64.shl(i64.and(word, i64.const(0xffff)), below)));
}

const words: readonly Handler[] = [
  ...MEMORY.map((kind) => handler(`pinsrw y64,${kind}16,i8`, (e) => insertWord(e, memory(e, kind, 2)))),
  ...([4, 8] as const).flatMap((bytes) => [
    handler(`pinsrw y64,r${bytes * 8},i8`, (e) => insertWord(e, e.let(e.registerValue('second', 8) as I64))),
    handler(`pextrw r${bytes * 8},y64,i8`, (e) => {
      const value = mmxRead(e, 'second');
      mmxEnter(e);
      const d = e.register('first', bytes);
      d.write(d.width.from64(i64.and(i64.shrU(value, wordBits(e)), i64.const(0xffff))));
    }),
    handler(`pmovmskb r${bytes * 8},y64`, (e) => {
      const value = mmxRead(e, 'second');
      mmxEnter(e);
      const d = e.register('first', bytes);
      d.write(d.width.from32(i32.and(i8x16.bitmask(mmxVector(value)), i32.const(0xff))));
    }),
  ]),
];

export const mmxHandlers: readonly Handler[] = [
  ...operations,
  ...shifts,
  ...load('movd', 4),
  ...load('movq', 8),
  ...store('movd', 4),
  ...store('movq', 8),
  ...store('movntq', 8),
  ...general('movd', 4),
  ...general('movq', 8),
  ...between,
  ...words,
];
