// MASKMOVDQU and MASKMOVQ (SDM 2A): the bytes of a register whose mask byte has its sign bit set go to DS:(R/E)DI. Bytes
// that are not selected are not touched. The first and last that are selected are looked at before any is written.

import {
  brIf,
  call,
  call32,
  get,
  type I32,
  type I64,
  i32,
  i64,
  label,
  loop,
  select,
  set,
  when,
} from '../../wasm/code.ts';
import { i64x2, i8x16 } from '../../wasm/simd.ts';
import type { Emitter } from './emitter.ts';
import * as at from '../state/layout.ts';
import type { Handler } from './handler.ts';
import { mmxEnter, mmxPlace, mmxReady } from './mmx.ts';

/** @param from host address of the register's bytes @param mask a bit for each byte to store */
function storeSelected(e: Emitter, from: I32, mask: I32): void {
  const start = e.generalAddress(1, true);
  const limit = e.let(select(i32.load(i32.const(at.MODE64)), i64.const(-1), i64.const(0xffff_ffff)));
  const linear = (byte: I32): I64 => i64.and(i64.add(start, i64.extendU(byte)), limit);
  for (const byte of [i32.ctz(mask), i32.sub(i32.const(31), i32.clz(mask))]) {
    const host = call32(e.shared.hostOf, linear(byte), i32.const(1));
    e.emit(when(i32.eqz(host), e.host.fault()));
  }
  const rest = e.local('i32');
  const again = label('again');
  e.emit(set(rest, mask));
  const body = e.capture(() => {
    const byte = e.let(i32.ctz(get(rest)));
    e.emit(call(e.shared.storeSlow, linear(byte), i32.const(1), i64.load8u(i32.add(from, byte))));
    e.checkFault();
    e.emit(set(rest, i32.and(get(rest), i32.sub(get(rest), i32.const(1)))));
    e.emit(brIf(again, get(rest)));
  });
  e.emit(loop(again, body));
}

const selected = (e: Emitter, from: I32, mask: I32): void => {
  const kept = e.let(mask);
  const store = e.capture(() => storeSelected(e, from, kept));
  e.emit(when(kept, store));
};

export const maskedStores: readonly Handler[] = [
  {
    key: 'maskmovdqu x128,x128',
    build: (e) => {
      selected(e, e.vectorAddress('first'), i8x16.bitmask(e.xmm('second').read()));
      e.next();
    },
  },
  {
    key: 'maskmovq y64,y64',
    build: (e) => {
      mmxReady(e);
      const mask = i8x16.bitmask(i64x2.splat(i64.load(mmxPlace(e, 'second'))));
      selected(e, mmxPlace(e, 'first'), i32.and(mask, i32.const(0xff)));
      mmxEnter(e);
      e.next();
    },
  },
];
