// Some iterations of a repeated string instruction, where the engine does a whole piece at once. The count register is made
// as small as is wanted for one instruction, and is then what it would be (SDM 2B REP).

import { type Instruction, Mnemonic } from 'iced-x86';
import { STRING_MOVES } from '../code/facts.ts';
import { stringAddressBits } from '../cpu/decode/operands.ts';
import type { Engine } from '../cpu/interpret/engine.ts';
import { isFault } from '../cpu/state/cpu.ts';
import { FLAGS } from '../cpu/state/state.ts';
import { GPR } from '../x86/registers.ts';

const { RCX } = GPR;
const STRINGS = new Set([
  ...STRING_MOVES.keys(),
  ...[Mnemonic.Stosb, Mnemonic.Stosw, Mnemonic.Stosd, Mnemonic.Stosq],
  ...[Mnemonic.Lodsb, Mnemonic.Lodsw, Mnemonic.Lodsd, Mnemonic.Lodsq],
  ...[Mnemonic.Insb, Mnemonic.Insw, Mnemonic.Insd, Mnemonic.Outsb, Mnemonic.Outsw, Mnemonic.Outsd],
]);
const COMPARES = new Set([
  ...[Mnemonic.Scasb, Mnemonic.Scasw, Mnemonic.Scasd, Mnemonic.Scasq],
  ...[Mnemonic.Cmpsb, Mnemonic.Cmpsw, Mnemonic.Cmpsd, Mnemonic.Cmpsq],
]);

/**
 * Does so many iterations of the repeated string instruction that is next, and stays on it; neither counts nor takes guest time.
 * SCAS and CMPS leave the flags alone until they are done (SDM 2B REP).
 * @returns false where the next instruction is none, or does not come to so many before it counts as one; the state is then
 * of no moment
 */
export function iterate(engine: Engine, iterations: number): boolean {
  const insn = engine.currentInstruction();
  if (isFault(insn)) return false;
  const repeated = repeatOf(insn);
  insn.free();
  return repeated !== undefined && iterateFor(engine, BigInt(iterations), repeated);
}

type Repeated = {
  /** Of the count register. */
  readonly bits: number;
  /** What ZF is while a comparison goes on; undefined where the instruction compares nothing. */
  readonly zf: boolean | undefined;
};

function repeatOf(insn: Instruction): Repeated | undefined {
  const bits = stringAddressBits(insn);
  const compares = COMPARES.has(insn.mnemonic);
  if (bits === undefined || !(compares || STRINGS.has(insn.mnemonic))) return undefined;
  if (!insn.hasRepPrefix && !insn.hasRepnePrefix) return undefined;
  return { bits, zf: compares ? !insn.hasRepnePrefix : undefined };
}

function iterateFor(engine: Engine, iterations: bigint, { bits, zf }: Repeated): boolean {
  const { state, retired, elapsed } = engine;
  const { rip, rflags } = state;
  const count = state.reg(RCX);
  const left = BigInt.asUintN(bits, count) - iterations;
  if (left <= 0n) return false;
  const above = bits === 16 ? count - BigInt.asUintN(16, count) : 0n;
  state.setReg(RCX, above + iterations);
  engine.run(retired + 1n);
  const whole = engine.retired === retired + 1n && BigInt.asUintN(bits, state.reg(RCX)) === 0n;
  const goesOn = zf === undefined || zf === ((state.rflags & FLAGS.ZF) !== 0);
  engine.charge(elapsed + (engine.retired - retired) - engine.elapsed);
  engine.retired = retired;
  state.setReg(RCX, above + left);
  state.rip = rip;
  if (zf !== undefined) state.rflags = rflags;
  return whole && goesOn;
}
