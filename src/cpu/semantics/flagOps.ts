// CLC STC CMC CLD STD LAHF SAHF SALC, and NOP for all that does nothing (SDM 2).

import { type I32, i32, i64, type Stmt } from '../../wasm/code.ts';
import { FLAGS } from '../../x86/flags.ts';
import { GPR } from '../../x86/registers.ts';
import type { Emitter } from './emitter.ts';
import * as at from '../state/layout.ts';
import { readAF, readCF, readPF, readSF, readZF, setAuxiliary, setCarry } from './flags.ts';
import type { Definition } from './handler.ts';

const { RAX } = GPR;
const { DF } = FLAGS;
const c32 = i32.const;

const plain = (name: string, effect: (e: Emitter) => void): Definition => ({ name, shapes: [''], sizes: [4], effect });

const rest = (): I32 => i32.load(c32(at.FLAGS_REST));
const setRest = (value: I32): Stmt => i32.store(c32(at.FLAGS_REST), value);

/** AH = SF:ZF:0:AF:0:PF:1:CF. */
function loadAh(e: Emitter): void {
  const parts = [
    [readSF(e), 7],
    [readZF(e), 6],
    [readAF(e), 4],
    [readPF(e), 2],
    [readCF(e), 0],
  ] as const;
  const packed = parts.reduce((sum, [flag, shift]) => i32.or(sum, i32.shl(flag, c32(shift))), c32(2));
  e.fixedHigh(RAX).write(packed);
}

function storeAh(e: Emitter): void {
  const ah = e.let(e.fixedHigh(RAX).read()) as I32;
  const flag = (place: number): I32 => i32.and(i32.shrU(ah, c32(place)), c32(1));
  const sign = i64.shl(i64.extendU(flag(7)), i64.const(63));
  e.setFlag('zero', i64.extendU(i32.eqz(flag(6))));
  e.setFlag('sign', i64.or(sign, i64.extendU(i32.eqz(flag(2)))));
  setAuxiliary(e, flag(4));
  setCarry(e, flag(0));
}

export const flagOps: readonly Definition[] = [
  plain('clc', (e) => setCarry(e, c32(0))),
  plain('stc', (e) => setCarry(e, c32(1))),
  plain('cmc', (e) => setCarry(e, i32.eqz(readCF(e)))),
  plain('cld', (e) => e.emit(setRest(i32.and(rest(), c32(~DF))))),
  plain('std', (e) => e.emit(setRest(i32.or(rest(), c32(DF))))),
  plain('lahf', loadAh),
  plain('sahf', storeAh),
  plain('salc', (e) => e.fixed(RAX, 1).write(i32.sub(c32(0), readCF(e)))),
  plain('nop', () => undefined),
];
