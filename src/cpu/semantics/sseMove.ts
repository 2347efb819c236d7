// SSE and SSE2: moves between XMM registers, general registers and memory (SDM 2, legacy encodings). A load into a part of
// a register either clears the rest (MOVD, MOVQ, MOVSS and MOVSD from memory) or leaves it (the half moves, MOVSS and
// MOVSD between registers).

import { type I32, type I64, i32, i64 } from '../../wasm/code.ts';
import { i32x4, i64x2, i8x16 } from '../../wasm/simd.ts';
import { CR0_EM, CR4_OSFXSR } from '../../x86/control.ts';
import { VECTOR } from '../../x86/vectors.ts';
import type { Slot } from './emission.ts';
import type { Emitter } from './emitter.ts';
import * as at from '../state/layout.ts';
import type { Handler } from './handler.ts';

/** What the decoder puts in the place of every handler with XMM operands where CR0 or CR4 deny them. */
export const SSE_DENIED = 'sse.denied';

/** EM set or OSFXSR clear is #UD, else TS is set, which is #NM (SDM 3A table 13-1). */
const denied: Handler = {
  key: SSE_DENIED,
  build: (e) => {
    const emulated = i64.ne(i64.and(i64.load(i32.const(at.CR0)), i64.const(CR0_EM)), i64.const(0));
    const unsaved = i64.eqz(i64.and(i64.load(i32.const(at.CR4)), i64.const(CR4_OSFXSR)));
    e.faultWhen(i32.or(emulated, unsaved), VECTOR.UD);
    e.emit(e.raise(VECTOR.NM));
  },
};

type MemoryKind = 'm' | 'g';
const MEMORY: readonly MemoryKind[] = ['m', 'g'];

const handler = (key: string, build: (e: Emitter) => void): Handler => ({
  key,
  build: (e) => {
    build(e);
    e.next();
  },
});

// 16 bytes --------------------------------------------------------------------------------------------------------------

const whole = (name: string, aligned: boolean): Handler[] => [
  handler(`${name} x128,x128`, (e) => e.xmm('first').write(e.xmm('second').read())),
  ...MEMORY.flatMap((kind) => [
    handler(`${name} x128,${kind}128`, (e) => {
      const value = e.vectorMemory(kind === 'm', aligned, 'read').read();
      e.xmm('first').write(value);
    }),
    ...wholeStore(name, kind, aligned),
  ]),
];

const wholeStore = (name: string, kind: MemoryKind, aligned: boolean): Handler[] => [
  handler(`${name} ${kind}128,x128`, (e) => {
    e.vectorMemory(kind === 'm', aligned, 'write').write(e.xmm('first').read());
  }),
];

// 4 and 8 bytes ---------------------------------------------------------------------------------------------------------

/** The low half gets a value, the high half 0. */
function writeLow(e: Emitter, slot: Slot, value: I64): void {
  const address = e.vectorAddress(slot);
  e.emit(i64.store(address, value), i64.store(address, i64.const(0), 8));
}

const part = (e: Emitter, slot: Slot, offset = 0): I64 => i64.load(e.vectorAddress(slot), offset);

/** Memory of 8 bytes into one half of a register, and back. */
const half = (name: string, offset: 0 | 8): Handler[] =>
  MEMORY.flatMap((kind) => [
    handler(`${name} x128,${kind}64`, (e) => {
      const value = e.memory(8, kind === 'm', 'read').read() as I64;
      e.emit(i64.store(e.vectorAddress('first'), value, offset));
    }),
    handler(`${name} ${kind}64,x128`, (e) => e.memory(8, kind === 'm', 'write').write(part(e, 'first', offset))),
  ]);

/** From half to half of two registers. */
const halfToHalf = (name: string, to: 0 | 8, from: 0 | 8): Handler =>
  handler(`${name} x128,x128`, (e) => e.emit(i64.store(e.vectorAddress('first'), part(e, 'second', from), to)));

/** MOVD, MOVQ, MOVSS, MOVSD with memory: the rest of the register is cleared. */
const scalar = (name: string, bytes: 4 | 8): Handler[] =>
  MEMORY.flatMap((kind) => [
    handler(`${name} x128,${kind}${bytes * 8}`, (e) => {
      const source = e.memory(bytes, kind === 'm', 'read');
      writeLow(e, 'first', source.width.unsigned64(source.read()));
    }),
    handler(`${name} ${kind}${bytes * 8},x128`, (e) => {
      const address = e.vectorAddress('first');
      e.memory(bytes, kind === 'm', 'write').write(bytes === 8 ? i64.load(address) : i32.load(address));
    }),
  ]);

/** MOVD and MOVQ with a general register. */
const general = (name: string, bytes: 4 | 8): Handler[] => [
  handler(`${name} x128,r${bytes * 8}`, (e) => {
    const source = e.register('second', bytes);
    writeLow(e, 'first', source.width.unsigned64(source.read()));
  }),
  handler(`${name} r${bytes * 8},x128`, (e) => {
    const address = e.vectorAddress('second');
    e.register('first', bytes).write(bytes === 8 ? i64.load(address) : i32.load(address));
  }),
];

const lowSingle = handler('movss x128,x128', (e) => {
  e.emit(i32.store(e.vectorAddress('first'), i32.load(e.vectorAddress('second'))));
});

// Signs and words -------------------------------------------------------------------------------------------------------

/** Sign bits of all elements as a number in a general register. */
const signs = (name: string, mask: typeof i8x16.bitmask): Handler[] =>
  ([4, 8] as const).map((bytes) =>
    handler(`${name} r${bytes * 8},x128`, (e) => {
      const d = e.register('first', bytes);
      d.write(d.width.from32(mask(e.xmm('second').read())));
    }),
  );

/** Distance of the word that the immediate names from the register's start. */
const wordOffset = (e: Emitter): I32 => i32.shl(i32.and(e.constant('i32', 1), i32.const(7)), i32.const(1));

const insertWord = (e: Emitter, value: I32): void =>
  e.emit(i32.store16(i32.add(e.vectorAddress('first'), wordOffset(e)), value));

const wordMoves: readonly Handler[] = [
  ...([4, 8] as const).flatMap((bytes) => [
    handler(`pinsrw x128,r${bytes * 8},i8`, (e) => {
      insertWord(e, e.registerValue('second', 4) as I32);
    }),
    handler(`pextrw r${bytes * 8},x128,i8`, (e) => {
      const value = i32.load16u(i32.add(e.vectorAddress('second'), wordOffset(e)));
      const d = e.register('first', bytes);
      d.write(d.width.from32(value));
    }),
  ]),
  ...MEMORY.map((kind) =>
    handler(`pinsrw x128,${kind}16,i8`, (e) => insertWord(e, e.memory(2, kind === 'm', 'read').read() as I32)),
  ),
];

export const sseMoves: readonly Handler[] = [
  denied,
  // The forms for doubles and integers go by the same names (decode.ts).
  ...whole('movaps', true),
  ...whole('movups', false),
  ...MEMORY.flatMap((kind) => wholeStore('movntps', kind, true)),
  ...half('movlps', 0),
  ...half('movhps', 8),
  halfToHalf('movhlps', 0, 8),
  halfToHalf('movlhps', 8, 0),
  halfToHalf('movsd', 0, 0),
  lowSingle,
  ...scalar('movss', 4),
  ...scalar('movsd', 8),
  ...scalar('movd', 4),
  ...scalar('movq', 8),
  ...general('movd', 4),
  ...general('movq', 8),
  handler('movq x128,x128', (e) => writeLow(e, 'first', e.let(part(e, 'second')))),
  ...signs('pmovmskb', i8x16.bitmask),
  ...signs('movmskps', i32x4.bitmask),
  ...signs('movmskpd', i64x2.bitmask),
  ...wordMoves,
];
