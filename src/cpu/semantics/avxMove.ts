// AVX: moves between vector registers, general registers and memory (SDM 2). What is above the part that is written becomes
// 0; the forms with three operands take the rest of the 128 bits from the second.

import { type I64, i32, i64, type V128 } from '../../wasm/code.ts';
import { i64x2, i8x16, v128 } from '../../wasm/simd.ts';
import type { Slot, VectorHalf } from './emission.ts';
import type { Emitter } from './emitter.ts';
import * as at from '../state/layout.ts';
import type { Handler } from './handler.ts';
import { maskedStores } from './maskedStore.ts';
import { elementAddress, insertSingle, namedSingle } from './sse4.ts';
import { shortMemory } from './avxPacked.ts';
import {
  type Address,
  handler,
  letter,
  NONE,
  readMemory,
  readRegister,
  WIDTHS,
  writeLow,
  writeMemory,
  writeRegister,
} from './ymm.ts';

const ADDRESSES: readonly Address[] = ['m', 'g'];

// Whole registers -------------------------------------------------------------------------------------------------------

const loads = (name: string, aligned: boolean): Handler[] =>
  WIDTHS.flatMap((width) =>
    ADDRESSES.map((kind) =>
      handler(`${name} ${letter(width)},${kind}${width}`, (e) =>
        writeRegister(e, 'first', readMemory(e, kind, width, aligned)),
      ),
    ),
  );
const stores = (name: string, aligned: boolean): Handler[] =>
  WIDTHS.flatMap((width) =>
    ADDRESSES.map((kind) =>
      handler(`${name} ${kind}${width},${letter(width)}`, (e) =>
        writeMemory(e, kind, readRegister(e, 'first', width), aligned),
      ),
    ),
  );
const copies = (name: string): Handler[] =>
  WIDTHS.map((width) =>
    handler(`${name} ${letter(width)},${letter(width)}`, (e) =>
      writeRegister(e, 'first', readRegister(e, 'second', width)),
    ),
  );

// Parts of the low half -------------------------------------------------------------------------------------------------

type Part = 4 | 8;
const PART_BITS: Record<Part, number> = { 4: 32, 8: 64 };
const low = (e: Emitter, slot: Slot): V128 => readRegister(e, slot, 128)[0] as V128;

/** VMOVSS, VMOVSD, VMOVD, VMOVQ with memory. */
const scalar = (name: string, bytes: Part): Handler[] =>
  ADDRESSES.flatMap((kind) => [
    handler(`${name} x128,${kind}${PART_BITS[bytes]}`, (e) => {
      const source = e.memory(bytes, kind === 'm', 'read');
      writeLow(e, 'first', source.width.unsigned64(source.read()));
    }),
    handler(`${name} ${kind}${PART_BITS[bytes]},x128`, (e) => {
      const address = e.vectorAddress('first');
      e.memory(bytes, kind === 'm', 'write').write(bytes === 8 ? i64.load(address) : i32.load(address));
    }),
  ]);

/** VMOVD and VMOVQ with a general register. */
const general = (name: string, bytes: Part): Handler[] => [
  handler(`${name} x128,r${PART_BITS[bytes]}`, (e) => {
    const source = e.register('second', bytes);
    writeLow(e, 'first', source.width.unsigned64(source.read()));
  }),
  handler(`${name} r${PART_BITS[bytes]},x128`, (e) => {
    const address = e.vectorAddress('second');
    e.register('first', bytes).write(bytes === 8 ? i64.load(address) : i32.load(address));
  }),
];

/** Bytes of a result: 0 to 15 of the second operand, 16 to 31 of the third. */
const FIRST: readonly number[] = [...Array(16).keys()];
const LOW_OF_LAST = [16, 17, 18, 19, 20, 21, 22, 23];
const HIGH_OF_LAST = LOW_OF_LAST.map((byte) => byte + 8);
const MERGES: readonly (readonly [string, readonly number[]])[] = [
  ['vmovss', [16, 17, 18, 19, ...FIRST.slice(4)]],
  ['vmovsd', [...LOW_OF_LAST, ...FIRST.slice(8)]],
  ['vmovhlps', [...HIGH_OF_LAST, ...FIRST.slice(8)]],
  ['vmovlhps', [...FIRST.slice(0, 8), ...LOW_OF_LAST]],
];
const merges: readonly Handler[] = MERGES.map(([name, lanes]) =>
  handler(`${name} x128,x128,x128`, (e) =>
    writeRegister(e, 'first', [e.let(i8x16.shuffle(low(e, 'second'), low(e, 'third'), lanes))]),
  ),
);

/** VMOVLPS and VMOVHPS: one half from memory, the other from the second operand; or one half to memory. */
const half = (name: string, place: 0 | 1): Handler[] => [
  handler(`${name} x128,x128,g64`, (e) => {
    const value = e.let(e.memory(8, false, 'read').read() as I64);
    writeRegister(e, 'first', [e.let(i64x2.replace(low(e, 'second'), place, value))]);
  }),
  handler(`${name} g64,x128`, (e) => {
    e.memory(8, false, 'write').write(i64.load(e.vectorAddress('first'), 8 * place));
  }),
];

// Single elements -------------------------------------------------------------------------------------------------------

type Element = {
  readonly name: string;
  readonly bytes: 1 | 2 | 4 | 8;
  readonly registers: readonly Part[];
};
const INSERTED: readonly Element[] = [
  { name: 'vpinsrb', bytes: 1, registers: [4, 8] },
  { name: 'vpinsrw', bytes: 2, registers: [4, 8] },
  { name: 'vpinsrd', bytes: 4, registers: [4] },
  { name: 'vpinsrq', bytes: 8, registers: [8] },
];
const EXTRACTED: readonly Element[] = [
  { name: 'vpextrb', bytes: 1, registers: [4, 8] },
  { name: 'vpextrw', bytes: 2, registers: [4, 8] },
  { name: 'vpextrd', bytes: 4, registers: [4] },
  { name: 'vpextrq', bytes: 8, registers: [8] },
  { name: 'vextractps', bytes: 4, registers: [4, 8] },
];
const ELEMENT_STORES = { 1: i64.store8, 2: i64.store16, 4: i64.store32, 8: i64.store } as const;
const ELEMENT_LOADS = { 1: i64.load8u, 2: i64.load16u, 4: i64.load32u, 8: i64.load } as const;

const insert = (e: Emitter, bytes: 1 | 2 | 4 | 8, value: I64): void => {
  const kept = e.let(value);
  writeRegister(e, 'first', readRegister(e, 'second', 128));
  e.emit(ELEMENT_STORES[bytes](elementAddress(e, e.vectorAddress('first'), bytes), kept));
};

const insertion = ({ name, bytes, registers }: Element): Handler[] => [
  ...registers.map((size) =>
    handler(`${name} x128,x128,r${8 * size},i8`, (e) => insert(e, bytes, e.registerValue('third', 8) as I64)),
  ),
  handler(`${name} x128,x128,g${8 * bytes},i8`, (e) => {
    const operand = e.memory(bytes, false, 'read');
    insert(e, bytes, operand.width.unsigned64(operand.read()));
  }),
];

const extraction = ({ name, bytes, registers }: Element): Handler[] => [
  ...registers.map((size) =>
    handler(`${name} r${8 * size},x128,i8`, (e) => {
      const value = ELEMENT_LOADS[bytes](elementAddress(e, e.vectorAddress('second'), bytes));
      const d = e.register('first', size);
      d.write(d.width.from64(value));
    }),
  ),
  handler(`${name} g${8 * bytes},x128,i8`, (e) => {
    const value = e.let(ELEMENT_LOADS[bytes](elementAddress(e, e.vectorAddress('first'), bytes)));
    const d = e.memory(bytes, false, 'write');
    d.write(d.width.from64(value));
  }),
];

const FIRST_SINGLE = [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3];
const insertps: readonly Handler[] = [
  handler('vinsertps x128,x128,x128,i8', (e) => {
    const value = e.let(namedSingle(e, low(e, 'third')));
    writeRegister(e, 'first', [e.let(insertSingle(e, low(e, 'second'), value))]);
  }),
  handler('vinsertps x128,x128,g32,i8', (e) => {
    const source = e.let(shortMemory(e, 4));
    const value = e.let(i8x16.shuffle(source, source, FIRST_SINGLE));
    writeRegister(e, 'first', [e.let(insertSingle(e, low(e, 'second'), value))]);
  }),
];

// Upper halves ----------------------------------------------------------------------------------------------------------

/** Outside 64-bit mode only the first eight registers are cleared. */
const clearing = (name: string, halves: readonly VectorHalf[]): Handler => ({
  key: name,
  build: (e) => {
    const clear = (first: number): void => {
      for (let index = first; index < first + 8; index++) {
        for (const half of halves) e.emit(v128.store(e.fixedVector(index, half), NONE));
      }
    };
    clear(0);
    e.nextWhen(i32.eqz(i32.load(i32.const(at.MODE64))));
    clear(8);
    e.next();
  },
});

/** VMASKMOVDQU is MASKMOVDQU by another encoding. */
const masked: readonly Handler[] = maskedStores
  .filter(({ key }) => key.startsWith('maskmovdqu'))
  .map(({ key, build }) => ({ key: `v${key}`, build }));

export const avxMoves: readonly Handler[] = [
  // The forms for doubles and integers go by the same names (decode.ts).
  ...copies('vmovaps'),
  ...loads('vmovaps', true),
  ...stores('vmovaps', true),
  ...copies('vmovups'),
  ...loads('vmovups', false),
  ...stores('vmovups', false),
  ...stores('vmovntps', true),
  ...loads('vmovntdqa', true),
  ...scalar('vmovss', 4),
  ...scalar('vmovsd', 8),
  ...scalar('vmovd', 4),
  ...scalar('vmovq', 8),
  ...general('vmovd', 4),
  ...general('vmovq', 8),
  handler('vmovq x128,x128', (e) => writeLow(e, 'first', e.let(i64.load(e.vectorAddress('second'))))),
  ...merges,
  ...half('vmovlps', 0),
  ...half('vmovhps', 1),
  ...INSERTED.flatMap(insertion),
  ...EXTRACTED.flatMap(extraction),
  ...insertps,
  clearing('vzeroupper', ['high']),
  clearing('vzeroall', ['low', 'high']),
  ...masked,
];
