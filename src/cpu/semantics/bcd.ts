// AAA AAS AAM AAD DAA DAS (SDM 2; not in 64-bit mode) and XLAT. Flags that the manual leaves undefined: OF is cleared;
// SF, ZF and PF of AAA and AAS follow AL; AF and CF of AAM and AAD are cleared.

import { call64, type I32, type I64, i32, i64, select } from '../../wasm/code.ts';
import { GPR } from '../../x86/registers.ts';
import { VECTOR } from '../../x86/vectors.ts';
import type { Operand } from './emission.ts';
import type { Emitter } from './emitter.ts';
import { widthOf } from '../state/width.ts';
import { readAF, readCF, setAuxiliary, setCarryOverflow, setResultFlags } from './flags.ts';
import type { Definition, Handler } from './handler.ts';

const { RAX, RBX } = GPR;
const c32 = i32.const;
const BYTE = widthOf(1);

const plain = (name: string, effect: (e: Emitter) => void): Definition => ({ name, shapes: [''], sizes: [1], effect });

const read = (e: Emitter, operand: Operand): I32 => e.let(operand.read()) as I32;
const digitTooBig = (e: Emitter, al: I32): I32 => i32.or(i32.gtU(i32.and(al, c32(15)), c32(9)), readAF(e));

function setFlags(e: Emitter, al: I32, af: I32, cf: I32): void {
  setResultFlags(e, BYTE, al);
  setAuxiliary(e, af);
  setCarryOverflow(e, cf, c32(0));
}

/** AAA and AAS: AX moves by 0x106 or -0x106 where AL's digit has to be adjusted. */
const adjustAscii = (name: string, amount: number): Definition =>
  plain(name, (e) => {
    const ax = e.fixed(RAX, 2);
    const old = read(e, ax);
    const adjust = e.let(digitTooBig(e, old));
    const moved = e.let(i32.add(old, select(adjust, c32(amount), c32(0))));
    ax.write(i32.and(moved, c32(0xff0f)));
    setFlags(e, i32.and(moved, c32(15)), adjust, adjust);
  });

/** DAA and DAS. The low digit's own borrow counts for DAS; for DAA a carry out of it implies the high digit's. */
const adjustDecimal = (name: 'daa' | 'das'): Definition =>
  plain(name, (e) => {
    const al = e.fixed(RAX, 1);
    const old = read(e, al);
    const low = e.let(digitTooBig(e, old));
    const high = e.let(i32.or(i32.gtU(old, c32(0x99)), readCF(e)));
    const amount = i32.add(select(low, c32(6), c32(0)), select(high, c32(0x60), c32(0)));
    const result = e.let(BYTE.narrow((name === 'daa' ? i32.add : i32.sub)(old, amount)));
    const borrow = name === 'das' ? i32.and(low, i32.ltU(old, c32(6))) : c32(0);
    const carry = e.let(i32.or(high, borrow));
    al.write(result);
    setFlags(e, result as I32, low, carry);
  });

const AAM: Definition = {
  name: 'aam',
  shapes: ['i'],
  sizes: [1],
  effect: (e, s) => {
    const base = read(e, s);
    e.faultWhen(i32.eqz(base), VECTOR.DE);
    const al = read(e, e.fixed(RAX, 1));
    const digit = e.let(i32.remU(al, base));
    e.fixed(RAX, 2).write(i32.or(i32.shl(i32.divU(al, base), c32(8)), digit));
    setFlags(e, digit, c32(0), c32(0));
  },
};

const AAD: Definition = {
  name: 'aad',
  shapes: ['i'],
  sizes: [1],
  effect: (e, s) => {
    const ah = e.fixedHigh(RAX).read() as I32;
    const al = e.fixed(RAX, 1).read() as I32;
    const sum = e.let(i32.and(i32.add(al, i32.mul(ah, s.read() as I32)), c32(255)));
    e.fixed(RAX, 2).write(sum);
    setFlags(e, sum, c32(0), c32(0));
  },
};

/** AL = the byte at (R/E)BX + AL, in any mode. */
const XLAT: Handler = {
  key: 'xlatb g8',
  build: (e) => {
    const al = e.fixed(RAX, 1);
    const index = i64.extendU(al.read() as I32);
    const offset = i64.and(i64.add(e.fixed(RBX, 8).read() as I64, index), e.addressMask());
    const linear = e.let(call64(e.shared.segmentedLinear, e.segment(), offset, c32(1), c32(0)));
    e.checkFault();
    al.write(e.load(linear, 1));
    e.next();
  },
};

export const bcd: readonly Definition[] = [
  adjustAscii('aaa', 0x106),
  adjustAscii('aas', -0x106),
  adjustDecimal('daa'),
  adjustDecimal('das'),
  AAM,
  AAD,
];
export const bcdHandlers: readonly Handler[] = [XLAT];
