// The dynamic binding: operands are looked up in the record at `pc` when the code runs, so that one handler serves every
// instruction of its form.

import {
  call64,
  type Expr,
  get,
  type I32,
  type I64,
  i32,
  i64,
  type Local,
  ret,
  select,
  set,
  when,
} from '../../wasm/code.ts';
import type { ModuleBuilder } from '../../wasm/module.ts';
import type { ImmediatePlace, Operands, Slot } from '../semantics/emission.ts';
import type { Bytes } from '../state/width.ts';
import * as rec from './recordLayout.ts';
import { registerAt } from './stateBlock.ts';

const c32 = i32.const;
const c64 = i64.const;

/** The module's functions that look into a record. */
export type RecordFunctions = {
  /** (pc i32, size i32, plus 256 for a write) -> linear i64: any addressing form, segment base and limit checks; sets FAULT_VECTOR. */
  readonly effectiveAddress: number;
  /** (pc i32) -> offset i64: the operand's offset without its segment, as LEA needs it. */
  readonly effectiveOffset: number;
};

const WRITE = 256;

/** Vector registers that do not fit anywhere else have the immediate's place. */
const SLOTS: Record<Slot, number> = {
  first: rec.REC_REG1,
  second: rec.REC_REG2,
  third: rec.REC_BASE,
  last: rec.REC_IMM,
};
const IMMEDIATES: Record<ImmediatePlace, number> = { first: rec.REC_IMM, second: rec.REC_DISP };

const LOADS = {
  i32: { 1: i32.load8u, 2: i32.load16u, 4: i32.load },
  i64: { 1: i64.load8u, 2: i64.load16u, 4: i64.load32u, 8: i64.load },
} as const;

function loadOf<T extends 'i32' | 'i64'>(type: T, bytes: Bytes): (address: I32, offset: number) => Expr<T> {
  const loads: Partial<Record<Bytes, (address: I32, offset: number) => Expr<'i32' | 'i64'>>> = LOADS[type];
  const load = loads[bytes];
  if (!load) throw new Error(`${bytes} bytes are no ${type}`);
  return load as (address: I32, offset: number) => Expr<T>;
}

const segmentOf = (pc: I32): I32 =>
  i32.and(i32.shrU(i32.load8u(pc, rec.REC_ADDRESSING), c32(rec.ADDRESSING_SEGMENT_SHIFT)), c32(7));

/** @param unindexed the memory operand has no index register: that is known of the record */
export function recordOperands(pcLocal: Local<'i32'>, functions: RecordFunctions, unindexed = false): Operands {
  const pc = get(pcLocal);
  const has = (mask: number): I32 => i32.and(i32.load8u(pc, rec.REC_ADDRESSING), c32(mask));
  const displacement = i64.load(pc, rec.REC_DISP);
  const base = i64.load(i32.load16u(pc, rec.REC_BASE));
  const index = i64.load(i32.load16u(pc, rec.REC_INDEX));
  const scaled = i64.shl(index, i64.extendU(i32.load8u(pc, rec.REC_ADDRESSING)));
  return {
    register: (slot, bytes, keep) => registerAt(keep(i32.load16u(pc, SLOTS[slot])), bytes),
    vector: (slot) => i32.load16u(pc, SLOTS[slot]),
    immediate: (place, type, bytes) => loadOf(type, bytes)(pc, IMMEDIATES[place]),
    flatAddress: () => i64.add(unindexed ? base : i64.add(base, scaled), displacement),
    offset: () => call64(functions.effectiveOffset, pc),
    linear: (bytes, write) => call64(functions.effectiveAddress, pc, c32(bytes | (write ? WRITE : 0))),
    addressMask: () =>
      select(has(rec.ADDRESSING_32), c64(0xffffffff), select(has(rec.ADDRESSING_16), c64(0xffff), c64(-1))),
    segment: () => segmentOf(pc),
    target: () => displacement,
    // A near record has the target's slot where the others have this.
    returnAddress: (reach) => (reach === 'near' ? displacement : i64.load(pc, rec.REC_IMM)),
  };
}

/** The record that a near branch's record leads to; 0 while it is not decoded. */
export const nearRecord = (pc: I32): I32 => i32.load(i32.load(pc, rec.REC_IMM));

/** The instruction pointer that another direct branch's record leads to. */
export const outTarget = (pc: I32): I64 => i64.load(pc, rec.REC_DISP);

/** (pc i32) -> offset i64, cut to the address size. */
export function defineOffset(module: ModuleBuilder): number {
  return module.function(['i32'], ['i64'], (fn) => {
    const pc = get(fn.param(0, 'i32'));
    const how = fn.local('i32');
    const sum = fn.local('i64');
    const base = i64.load(i32.load16u(pc, rec.REC_BASE));
    const index = i64.load(i32.load16u(pc, rec.REC_INDEX));
    const scale = i64.extendU(i32.and(get(how), c32(rec.ADDRESSING_SCALE)));
    return [
      set(how, i32.load8u(pc, rec.REC_ADDRESSING)),
      set(sum, i64.add(i64.add(base, i64.shl(index, scale)), i64.load(pc, rec.REC_DISP))),
      when(i32.and(get(how), c32(rec.ADDRESSING_32)), ret(i64.and(get(sum), c64(0xffffffff)))),
      when(i32.and(get(how), c32(rec.ADDRESSING_16)), ret(i64.and(get(sum), c64(0xffff)))),
      get(sum).code,
    ];
  });
}

/** (pc i32, size i32, bit 8 for a write) -> linear i64 of the record's operand. */
export function defineAddress(module: ModuleBuilder, effectiveOffset: number, segmentedLinear: number): number {
  return module.function(['i32', 'i32'], ['i64'], (fn) => {
    const pc = get(fn.param(0, 'i32'));
    const size = get(fn.param(1, 'i32'));
    const write = i32.shrU(size, c32(8));
    const offset = call64(effectiveOffset, pc);
    return call64(segmentedLinear, segmentOf(pc), offset, i32.and(size, c32(255)), write).code;
  });
}
