// What x87 instructions have in common: whether they may start, what the control word asks of the arithmetic, and how
// exceptions, masked or not, are noted (SDM 1 8.4 to 8.7).

import { type Instruction, Register } from 'iced-x86';
import { CR0_EM, CR0_NE, CR0_TS } from '../../../x86/control.ts';
import { VECTOR } from '../../../x86/vectors.ts';
import { type Cpu, type Fault, fault, isFault } from '../../state/cpu.ts';
import {
  defaultNan,
  F80,
  type FloatContext,
  type FloatFlags,
  noFlags,
  type Rounding,
  x87Nan,
} from '../../float/softFloat.ts';
import * as at from '../../state/layout.ts';
import type { CpuState } from '../../state/state.ts';
import { linearMask } from '../modes.ts';
import { type MemoryPlace, next, nm } from '../operands.ts';
import type { Microresult } from '../result.ts';
import * as regs from './registers.ts';
import { FSW } from './registers.ts';

const MF = fault('x87-pending', VECTOR.MF);

/** Real indefinite, the QNaN that masked invalid operations give. */
export const INDEFINITE = defaultNan(F80);

/** x87 instructions and FXSAVE need CR0.EM and CR0.TS clear (SDM 3A table 2-2). */
export const x87Denied = (cpu: Cpu): Fault | undefined => {
  const cr0 = cpu.state.u64(at.CR0);
  if (cr0 & CR0_EM) return nm('x87-emulated');
  return cr0 & CR0_TS ? nm('task-switched') : undefined;
};

/** A pending unmasked exception, reported by waiting instructions. */
export const pending = (cpu: Cpu): Fault | undefined => {
  if (!(regs.statusWord(cpu.state) & FSW.ES)) return undefined;
  if (!(cpu.state.u64(at.CR0) & CR0_NE)) cpu.unimplemented('x87 error reported through IRQ 13 (CR0.NE = 0)');
  return MF;
};

/** May a waiting instruction start? */
export const ready = (cpu: Cpu): Fault | undefined => x87Denied(cpu) ?? pending(cpu);

/** FCW.PC: 24, (reserved), 53, 64 bits of significand. */
const PRECISIONS = [24, 64, 53, 64] as const;

/** How to compute by the control word. Precision control is for add, subtract, multiply, divide and square root only. */
export const contextOf = (state: CpuState, precisionControl = false): FloatContext => {
  const control = regs.controlWord(state);
  const context: FloatContext = {
    rounding: ((control >> 10) & 3) as Rounding,
    flags: noFlags(),
    underflowUnmasked: !(control & FSW.UE),
    overflowUnmasked: !(control & FSW.OE),
    nan: x87Nan,
  };
  if (precisionControl) context.precision = PRECISIONS[(control >> 8) & 3] ?? 64;
  return context;
};

/** Exceptions as bits of the status word; C1 says that the last rounding went away from zero. */
export const statusOf = (flags: FloatFlags): number =>
  (flags.invalid ? FSW.IE : 0) |
  (flags.denormal ? FSW.DE : 0) |
  (flags.divideByZero ? FSW.ZE : 0) |
  (flags.overflow ? FSW.OE : 0) |
  (flags.underflow ? FSW.UE : 0) |
  (flags.inexact ? FSW.PE : 0) |
  (flags.roundedUp ? FSW.C1 : 0);

/** Found before anything is computed: unmasked, they leave operands and stack as they are (SDM 1 8.6). */
const BEFORE = FSW.IE | FSW.DE | FSW.ZE;
/** Results for memory are not stored after these either. */
const BEFORE_STORE = BEFORE | FSW.OE | FSW.UE;

export const STACK_UNDERFLOW = FSW.IE | FSW.SF;
export const STACK_OVERFLOW = FSW.IE | FSW.SF | FSW.C1;

/** Does an unmasked exception keep the result from its register? */
export const withheld = (state: CpuState, status: number): boolean => (status & BEFORE & ~regs.masks(state)) !== 0;
export const storeWithheld = (state: CpuState, status: number): boolean =>
  (status & BEFORE_STORE & ~regs.masks(state)) !== 0;

/**
 * Sets the exceptions' flags and C1 (other condition codes where `codes` names them); says whether the result may be
 * delivered. An unmasked exception found before computing hides what computing would have found.
 */
export const raise = (cpu: Cpu, insn: Instruction, status: number, codes = 0): boolean => {
  const { state } = cpu;
  const held = withheld(state, status);
  const kept = status & FSW.SF ? BEFORE | FSW.SF | FSW.C1 : BEFORE;
  const seen = held ? status & kept : status;
  const old = regs.statusWord(state) & ~(FSW.C1 | codes);
  regs.setStatusWord(state, old | seen);
  if (status & 0x3f & ~regs.masks(state)) regs.setLastOpcode(state, opcodeOf(cpu, insn));
  return !held;
};

/** Prefixes that an x87 instruction may have; REX is looked at apart. */
const PREFIXES: ReadonlySet<number> = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65, 0x66, 0x67, 0xf0, 0xf2, 0xf3]);

/** FOP, read where the instruction stands; only exceptions are worth it (SDM 1 8.1.9.1). */
const opcodeOf = (cpu: Cpu, insn: Instruction): number => {
  const { state } = cpu;
  const start = state.u64(at.CODE_BASE) + state.rip;
  const byte = (n: number): number => {
    const value = cpu.readLinear((start + BigInt(n)) & linearMask(state), 1, { fetch: true });
    return isFault(value) ? 0 : Number(value);
  };
  let n = 0;
  while (n < insn.length - 2 && (PREFIXES.has(byte(n)) || (byte(n) & 0xf8) !== 0xd8)) n++;
  return ((byte(n) & 7) << 8) | byte(n + 1);
};

/** Notes where the instruction and its operand are, and goes on to the next one. */
export const done = (cpu: Cpu, insn: Instruction, place?: MemoryPlace): Microresult => {
  regs.setInstructionPointer(cpu.state, cpu.state.rip);
  if (place !== undefined) regs.setDataPointer(cpu.state, place.offset);
  return next(cpu, insn);
};

/** Number of the stack register that operand 0 or 1 names. */
export const stackOperand = (insn: Instruction, operand: 0 | 1): number => insn.opRegister(operand) - Register.ST0;
