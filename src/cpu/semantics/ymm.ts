// What instructions with a VEX prefix have in common (SDM 1 14): registers of 128 or 256 bits, of which the upper halves lie
// apart (layout.ts); a write to a register clears what is above it; memory need not be aligned, the aligned moves apart.
// An operand's value is a list of halves, the lower one first. Operand letters in keys: x128 and y256 registers, m and g
// memory by a flat or any address. Most forms have no flat handler of their own: a general one does both.

import { PAGE_SIZE } from '../../bits/address.ts';
import { call32, i32, i64, type I32, type I64, select, type V128, when } from '../../wasm/code.ts';
import { i64x2, v128 } from '../../wasm/simd.ts';
import { CR0_PE, CR4_OSXSAVE } from '../../x86/control.ts';
import { FLAGS } from '../../x86/flags.ts';
import { VECTOR } from '../../x86/vectors.ts';
import { XSTATE_AVX, XSTATE_SSE } from '../../x86/xstate.ts';
import type { Slot } from './emission.ts';
import type { Emitter } from './emitter.ts';
import { isNotCanonical, raiseNotCanonical } from '../mmu/paging.ts';
import * as at from '../state/layout.ts';
import type { Handler } from './handler.ts';

export type Width = 128 | 256;
export const WIDTHS: readonly Width[] = [128, 256];
export const letter = (width: Width): string => (width === 128 ? 'x128' : 'y256');

/** One half, or two. */
export type Halves = readonly V128[];
export type Address = 'm' | 'g';

const OFFSETS: Record<Width, readonly number[]> = { 128: [0], 256: [0, at.TO_YMM_HIGH] };
const HALF_BYTES = 16;
export const NONE = i64x2.splat(i64.const(0));

/** What the decoder puts in the place of every VEX instruction that the mode or XCR0 denies. */
export const AVX_DENIED = 'avx.denied';

/** Real mode and virtual-8086 mode have no VEX; without CR4.OSXSAVE and both bits of XCR0 it is #UD; else TS is set, which is #NM (SDM 2A table 2-17). */
const denied: Handler = {
  key: AVX_DENIED,
  build: (e) => {
    const has = (address: number, bits: bigint): I32 =>
      i64.eq(i64.and(i64.load(i32.const(address)), i64.const(bits)), i64.const(bits));
    const enabled = i32.and(has(at.CR4, CR4_OSXSAVE), has(at.XCR0, XSTATE_SSE | XSTATE_AVX));
    const vm = i32.and(i32.load(i32.const(at.FLAGS_REST)), i32.const(FLAGS.VM));
    e.faultWhen(i32.or(vm, i32.eqz(i32.and(has(at.CR0, CR0_PE), enabled))), VECTOR.UD);
    e.emit(e.raise(VECTOR.NM));
  },
};
export const deniedHandlers: readonly Handler[] = [denied];

export const handler = (key: string, build: (e: Emitter) => void): Handler => ({
  key,
  build: (e) => {
    build(e);
    e.next();
  },
});

// Registers -------------------------------------------------------------------------------------------------------------

/** The vector register that is an operand. */
export function readRegister(e: Emitter, slot: Slot, width: Width): Halves {
  const address = e.vectorAddress(slot);
  return OFFSETS[width].map((offset) => e.let(v128.load(address, offset)));
}

/** Writes one half or two; the upper half is cleared where there is but one. */
export function writeRegister(e: Emitter, slot: Slot, value: Halves): void {
  const address = e.vectorAddress(slot);
  const [low = NONE, high = NONE] = value;
  const kept = e.let(high);
  e.emit(v128.store(address, low), v128.store(address, kept, at.TO_YMM_HIGH));
}

/** The low half gets a value of 64 bits, everything above it 0. */
export const writeLow = (e: Emitter, slot: Slot, value: I64): void =>
  writeRegister(e, slot, [i64x2.replace(NONE, 0, value)]);

// Memory ----------------------------------------------------------------------------------------------------------------

/** Linear address of the memory operand. @param aligned #GP(0) where it is no multiple of its size */
function addressOf(e: Emitter, kind: Address, bytes: number, write: boolean, aligned: boolean): I64 {
  const linear = kind === 'm' ? e.let(e.flatAddress()) : e.generalAddress(bytes, write);
  if (aligned) e.faultWhen(i32.and(i32.wrap(linear), i32.const(bytes - 1)), VECTOR.GP, 0);
  return linear;
}

/** Outside 64-bit mode addresses wrap at 4 GiB. */
const further = (e: Emitter, kind: Address, linear: I64, distance: number): I64 => {
  const sum = i64.add(linear, i64.const(distance));
  if (kind === 'm') return e.let(sum);
  return e.let(i64.and(sum, select(i32.load(i32.const(at.MODE64)), i64.const(-1), i64.const(0xffff_ffff))));
};

/** Are these 32 bytes in two pages? */
const crosses = (linear: I64): I32 =>
  i32.gtU(i32.and(i32.wrap(linear), i32.const(PAGE_SIZE - 1)), i32.const(PAGE_SIZE - 2 * HALF_BYTES));

/** An access is checked for canonicality whole, before the first page of it is looked at. */
function checkEnd(e: Emitter, kind: Address, linear: I64): void {
  const last = further(e, kind, linear, 2 * HALF_BYTES - 1);
  const wrong = i32.and(i32.load(i32.const(at.MODE64)), isNotCanonical(last));
  e.emit(when(wrong, [raiseNotCanonical, e.host.fault()]));
}

export function readMemory(e: Emitter, kind: Address, width: Width, aligned = false): Halves {
  const linear = addressOf(e, kind, width / 8, false, aligned);
  if (width === 256) {
    const check = e.capture(() => checkEnd(e, kind, linear));
    e.emit(when(crosses(linear), check));
  }
  const low = e.loadVector(linear);
  return width === 128 ? [low] : [low, e.loadVector(further(e, kind, linear, HALF_BYTES))];
}

/** Of 32 bytes that run over a page's end both pages are looked at before any byte is written. */
export function writeMemory(e: Emitter, kind: Address, value: Halves, aligned = false): void {
  const [low = NONE, high] = value;
  const linear = addressOf(e, kind, value.length * HALF_BYTES, true, aligned);
  if (!high) return e.storeVector(linear, low);
  const looks = e.capture(() => {
    checkEnd(e, kind, linear);
    const second = i64.and(further(e, kind, linear, 2 * HALF_BYTES - 1), i64.const(-PAGE_SIZE));
    for (const address of [linear, second]) {
      const host = call32(e.shared.hostOf, address, i32.const(1));
      e.emit(when(i32.eqz(host), e.host.fault()));
    }
  });
  e.emit(when(crosses(linear), looks));
  e.storeVector(linear, low);
  e.storeVector(further(e, kind, linear, HALF_BYTES), high);
}

// Forms -----------------------------------------------------------------------------------------------------------------

/** Where the last source is: a register, or memory by any address; for some also by a flat one. */
export const SOURCES = ['register', 'memory'] as const;
const ALL_SOURCES = [...SOURCES, 'flat'] as const;
export type Source = (typeof SOURCES)[number] | 'flat';

/** Its letters in a key. */
export const sourceText = (source: Source, width: Width): string =>
  source === 'register' ? letter(width) : `${source === 'flat' ? 'm' : 'g'}${width}`;

/** @param slot of the register, where it is one */
export const readSource = (e: Emitter, source: Source, slot: Slot, width: Width): Halves =>
  source === 'register' ? readRegister(e, slot, width) : readMemory(e, source === 'flat' ? 'm' : 'g', width);

/** What an instruction makes of one half of its sources; `half` is 0 for the lower one. */
export type HalfResult = (e: Emitter, a: V128, b: V128, half: 0 | 1) => V128;

export type FormOptions = {
  /** ',i8' where there is an immediate. */
  readonly immediate?: string;
  readonly widths?: readonly Width[];
  /** Programs use it so much that flat addresses have handlers of their own. */
  readonly common?: boolean;
};

/** d = result(a, b), half by half: three operands, the last of which may be memory. */
export const ternaryForms = (
  name: string,
  result: HalfResult,
  { immediate = '', widths = WIDTHS, common = false }: FormOptions = {},
): Handler[] =>
  widths.flatMap((width) =>
    (common ? ALL_SOURCES : SOURCES).map((source) =>
      handler(`${name} ${letter(width)},${letter(width)},${sourceText(source, width)}${immediate}`, (e) => {
        const b = readSource(e, source, 'third', width);
        const a = readRegister(e, 'second', width);
        writeRegister(
          e,
          'first',
          a.map((part, half) => e.let(result(e, part, b[half] as V128, half as 0 | 1))),
        );
      }),
    ),
  );

/** d = result(s), half by half: two operands, the last of which may be memory. */
export const binaryForms = (
  name: string,
  result: (e: Emitter, s: V128, half: 0 | 1) => V128,
  { immediate = '', widths = WIDTHS }: FormOptions = {},
): Handler[] =>
  widths.flatMap((width) =>
    SOURCES.map((source) =>
      handler(`${name} ${letter(width)},${sourceText(source, width)}${immediate}`, (e) => {
        const s = readSource(e, source, 'second', width);
        writeRegister(
          e,
          'first',
          s.map((part, half) => e.let(result(e, part, half as 0 | 1))),
        );
      }),
    ),
  );
