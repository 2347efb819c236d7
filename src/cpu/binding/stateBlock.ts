// Registers, flags and time where the state block has them: what both bindings answer.

import { type Expr, type I32, i32, i64, type Stmt, type ValType } from '../../wasm/code.ts';
import type { FlagWord, Register, Registers } from '../semantics/emission.ts';
import * as at from '../state/layout.ts';
import { type Bytes, widthOf } from '../state/width.ts';

const c32 = i32.const;

/** The general register whose bytes begin at a host address (AH's are RAX's from the second on). */
export function registerAt(address: I32, bytes: Bytes): Register {
  const width = widthOf(bytes);
  return {
    read: () => width.load(address),
    write: (value: Expr<ValType>) =>
      bytes === 4 ? i64.store(address, i64.extendU(value as I32)) : width.store(address, value),
  };
}

const FLAGS: Record<FlagWord, I32> = {
  zero: c32(at.FLAG_ZR),
  sign: c32(at.FLAG_SR),
  carry: c32(at.FLAG_CV),
  auxiliary: c32(at.FLAG_AR),
};

export const stateBlock: Registers = {
  general: (index, bytes, high = false) => registerAt(c32(at.regAddress(index) + (high ? 1 : 0)), bytes),
  setLowWord: (index, value) => i64.store16(c32(at.regAddress(index)), value),
  vector: (index, half = 'low') => c32(at.xmmAddress(index) + (half === 'high' ? at.TO_YMM_HIGH : 0)),
  flag: (word, bytes) => widthOf(bytes).load(FLAGS[word]),
  setFlag: (word, value) => i64.store(FLAGS[word], value),
};

/** What an instruction takes beyond its one ns: whoever called the engine, or `step`, looks for it there. */
export const longer = (ns: I32): Stmt => i32.store(c32(at.DELAY), i32.add(i32.load(c32(at.DELAY)), ns));
