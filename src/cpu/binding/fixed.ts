// The static binding: the operands of one decoded instruction as constants, and no record anywhere. The code made of it
// runs over the state block and the memory layout that all engines share, by the module's functions (memory.ts); it says
// by a status how it ended. For whoever makes code of instructions that are known before they run.

import { call64, type Expr, i32, i64, type I64, ret, type Stmt } from '../../wasm/code.ts';
import type { ModuleBuilder } from '../../wasm/module.ts';
import type { Binding, Host, Operands, Register, Registers, Shared, Slot } from '../semantics/emission.ts';
import { Emitter } from '../semantics/emitter.ts';
import type { Handler } from '../semantics/handler.ts';
import * as at from '../state/layout.ts';
import type { Bytes } from '../state/width.ts';
import * as rec from './recordLayout.ts';
import { longer, stateBlock } from './stateBlock.ts';

const c32 = i32.const;
const c64 = i64.const;

/** An instruction's operands, each where a decoder's plan has it (decode/decode.ts); registers are named by their place in the state block, ZERO is none. */
export type FixedInstruction = {
  /** As the record's field has it: index scale, segment register, address size. */
  readonly addressing: number;
  readonly reg1: number;
  readonly reg2: number;
  /** Of the memory operand; else `base` is the third register. */
  readonly base: number;
  readonly index: number;
  /** Displacement, second immediate, or instruction pointer of what follows. */
  readonly disp: bigint;
  /** Immediate, return address, or place of one more vector register. */
  readonly imm: bigint;
  /** Of a direct branch. */
  readonly branch?: { readonly target: bigint; readonly returnTo: bigint | undefined };
};

/** How the code of an instruction ended: what its function gives back. */
export const ENDED = {
  NEXT: 0,
  /** FAULT_VECTOR says which; nothing has been changed. */
  FAULT: 1,
  MICRO: 2,
  /** To the instruction pointer in TARGET. */
  JUMP: 3,
  AGAIN: 4,
  /** What is no instruction is not counted. */
  UNCOUNTED_NEXT: 5,
  UNCOUNTED_JUMP: 6,
  PROBE: 7,
} as const;

const REGISTERS_END = at.regAddress(16);

const isVector = (address: number): boolean =>
  address % 16 === 0 && ((address >= at.XMM && address < at.XMM_END) || (address >= at.ST0 && address < at.XMM));

/** Number in its type; only its low bytes count, and all of 8. */
const constant = <T extends 'i32' | 'i64'>(type: T, value: bigint): Expr<T> =>
  (type === 'i32' ? c32(Number(BigInt.asIntN(32, value))) : c64(BigInt.asIntN(64, value))) as Expr<
    'i32' | 'i64'
  > as Expr<T>;

/**
 * @param registers where they are: not in the state block where the code keeps them elsewhere
 * @throws where a definition asks for an operand that the instruction does not have
 */
export function fixedOperands(insn: FixedInstruction, registers: Registers, shared: Shared): Operands {
  const { addressing, branch, disp, imm } = insn;
  const placeOf: Record<Slot, number> = { first: insn.reg1, second: insn.reg2, third: insn.base, last: Number(imm) };
  const general = (place: number, bytes: Bytes): Register => {
    const offset = place - at.REGS;
    if (place < at.REGS || place >= REGISTERS_END || offset % 8 > 1) throw new Error(`no general register at ${place}`);
    return registers.general(offset >> 3, bytes, offset % 8 === 1);
  };
  const part = (place: number): I64 | undefined => (place === at.ZERO ? undefined : (general(place, 8).read() as I64));
  const sum = (): I64 => {
    const index = part(insn.index);
    const scaled = index && i64.shl(index, c64(addressing & rec.ADDRESSING_SCALE));
    const parts = [part(insn.base), scaled].filter((one) => one !== undefined);
    return parts.reduceRight((total, one) => i64.add(one, total), constant('i64', disp));
  };
  const mask = addressing & rec.ADDRESSING_32 ? 0xffffffffn : addressing & rec.ADDRESSING_16 ? 0xffffn : -1n;
  const offset = (): I64 => (mask === -1n ? sum() : i64.and(sum(), c64(mask)));
  const segment = c32((addressing >> rec.ADDRESSING_SEGMENT_SHIFT) & 7);
  return {
    register: (slot, bytes) => general(placeOf[slot], bytes),
    vector: (slot) => {
      const place = placeOf[slot];
      if (!isVector(place)) throw new Error(`no vector register at ${place}`);
      return c32(place);
    },
    immediate: (place, type, bytes) => constant(type, BigInt.asUintN(8 * bytes, place === 'first' ? imm : disp)),
    flatAddress: sum,
    offset,
    linear: (bytes, write) => call64(shared.segmentedLinear, segment, offset(), c32(bytes), c32(write ? 1 : 0)),
    addressMask: () => c64(mask),
    segment: () => segment,
    target: () => constant('i64', branch?.target ?? disp),
    returnAddress: () => constant('i64', branch?.returnTo ?? imm),
  };
}

/** Of code that is a function of its own. The time is not known in it, and whoever keeps it drops it when the code of the guest changes. */
export function fixedHost(operands: Operands): Host {
  const ended = (how: number): Stmt => ret(c32(how));
  const jump = (target: I64, how: number): Stmt => [i64.store(c32(at.TARGET), target), ended(how)];
  return {
    next: () => ended(ENDED.NEXT),
    fault: () => ended(ENDED.FAULT),
    branch: () => jump(operands.target(), ENDED.JUMP),
    lookup: (target) => jump(target, ENDED.JUMP),
    delay: longer,
    timeToGo: () => undefined,
    again: () => ended(ENDED.AGAIN),
    micro: () => ended(ENDED.MICRO),
    linked: () => jump(operands.target(), ENDED.UNCOUNTED_JUMP),
    crossing: () => ended(ENDED.UNCOUNTED_NEXT),
    probe: () => ended(ENDED.PROBE),
  };
}

/** () -> one of ENDED: does one instruction. */
export function defineFixed(module: ModuleBuilder, handler: Handler, insn: FixedInstruction, shared: Shared): number {
  return module.function([], ['i32'], (fn) => {
    const operands = fixedOperands(insn, stateBlock, shared);
    const binding: Binding = { registers: stateBlock, operands, host: fixedHost(operands) };
    const e = new Emitter(fn, shared, binding);
    handler.build(e);
    return [e.code, c32(ENDED.NEXT).code];
  });
}
