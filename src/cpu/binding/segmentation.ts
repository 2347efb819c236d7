// Addresses that are not flat 64-bit, generated as WebAssembly: segmentation, and the stack in every mode. A fault is reported by FAULT_VECTOR and then nothing has changed.

import {
  block,
  brIf,
  call,
  call64,
  type Code,
  get,
  type I32,
  type I64,
  i32,
  i64,
  label,
  ret,
  select,
  set,
  when,
} from '../../wasm/code.ts';
import type { ModuleBuilder } from '../../wasm/module.ts';
import { VECTOR } from '../../x86/vectors.ts';
import type { Shared } from '../semantics/emission.ts';
import * as at from '../state/layout.ts';

const SS = 2;
const FS = 4;

const c32 = i32.const;
const c64 = i64.const;
const word = (address: number): I32 => i32.load(c32(address));
const faulted = (): I32 => i32.ne(word(at.FAULT_VECTOR), c32(at.FAULT_NONE));

/** (segment i32, offset i64, size i32, write i32) -> linear i64 (SDM 3A 5.3 limit checks; 64-bit mode: FS and GS bases only). */
export function defineSegmentation(module: ModuleBuilder): number {
  return module.function(['i32', 'i64', 'i32', 'i32'], ['i64'], (fn) => {
    const segment = get(fn.param(0, 'i32'));
    const offset = get(fn.param(1, 'i64'));
    const size = get(fn.param(2, 'i32'));
    const write = get(fn.param(3, 'i32'));
    const address = fn.local('i32');
    const attributes = fn.local('i32');
    const limit = fn.local('i64');
    const last = fn.local('i64');
    const bad = label('bad');
    const base = i64.load(get(address), at.SEGMENTS + at.SEG_BASE);
    const has = (mask: number): I32 => i32.and(get(attributes), c32(mask));
    const isCode = has(8);
    const notWritable = i32.or(isCode, i32.eqz(has(2)));
    const notReadable = i32.and(i32.ne(isCode, c32(0)), i32.eqz(has(2)));
    const expandDown = i32.and(i32.eqz(isCode), i32.ne(has(4), c32(0)));
    const upper = select(has(0x4000), c64(0xffffffff), c64(0xffff));
    const checks: Code = [
      brIf(bad, i32.eqz(has(0x80))),
      brIf(bad, select(write, notWritable, notReadable)),
      when(
        expandDown,
        [brIf(bad, i64.leU(offset, get(limit))), brIf(bad, i64.gtU(get(last), upper))],
        brIf(bad, i64.gtU(get(last), get(limit))),
      ),
      ret(i64.and(i64.add(base, offset), c64(0xffffffff))),
    ];
    return [
      set(address, i32.shl(segment, c32(5))),
      when(word(at.MODE64), ret(select(i32.geU(segment, c32(FS)), i64.add(base, offset), offset))),
      set(attributes, i32.load(get(address), at.SEGMENTS + at.SEG_ATTRIBUTES)),
      set(limit, i64.load32u(get(address), at.SEGMENTS + at.SEG_LIMIT)),
      set(last, i64.add(offset, i64.extendU(i32.sub(size, c32(1))))),
      block(bad, checks),
      i32.store(c32(at.FAULT_VECTOR), select(i32.eq(segment, c32(SS)), c32(VECTOR.SS), c32(VECTOR.GP))),
      i32.store(c32(at.FAULT_ERROR), c32(0)),
      c64(0).code,
    ];
  });
}

type StackFunctions = Pick<Shared, 'push' | 'peekStack' | 'adjustStack'>;

/** The stack by the width that SS and the mode give it (SDM 1 6.2.3). */
export function defineStack(
  module: ModuleBuilder,
  segmentedLinear: number,
  loadSlow: number,
  storeSlow: number,
): StackFunctions {
  const rsp = c32(at.regAddress(4));
  const cut = (value: I64): I64 => {
    const shift = i64.sub(c64(64), i64.load32u(c32(at.STACK_BITS)));
    return i64.shrU(i64.shl(value, shift), shift);
  };
  const adjustStack = module.function(['i64'], [], (fn) => {
    const moved = i64.add(i64.load(rsp), get(fn.param(0, 'i64')));
    return when(i32.eq(word(at.STACK_BITS), c32(16)), i64.store16(rsp, moved), i64.store(rsp, cut(moved)));
  });
  const push = module.function(['i64', 'i32'], [], (fn) => {
    const value = get(fn.param(0, 'i64'));
    const size = get(fn.param(1, 'i32'));
    const linear = fn.local('i64');
    const down = i64.sub(c64(0), i64.extendU(size));
    const top = cut(i64.add(i64.load(rsp), down));
    return [
      set(linear, call64(segmentedLinear, c32(SS), top, size, c32(1))),
      when(faulted(), ret()),
      call(storeSlow, get(linear), size, value),
      when(faulted(), ret()),
      call(adjustStack, down),
    ];
  });
  const peekStack = module.function(['i64', 'i32'], ['i64'], (fn) => {
    const size = get(fn.param(1, 'i32'));
    const linear = fn.local('i64');
    const where = cut(i64.add(i64.load(rsp), get(fn.param(0, 'i64'))));
    return [
      set(linear, call64(segmentedLinear, c32(SS), where, size, c32(0))),
      when(faulted(), ret(c64(0))),
      call64(loadSlow, get(linear), size).code,
    ];
  });
  return { push, peekStack, adjustStack };
}
