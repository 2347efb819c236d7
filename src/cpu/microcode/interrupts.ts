// Software interrupts and IRET (SDM 2A INT n, IRET; 3A 6.4, 6.12).

import { Code, type Instruction } from 'iced-x86';
import { FLAGS } from '../../x86/flags.ts';
import { VECTOR } from '../../x86/vectors.ts';
import { type AccessBytes, type Cpu, type Fault, fault, isFault } from '../state/cpu.ts';
import * as at from '../state/layout.ts';
import { type CpuState, SEG } from '../state/state.ts';
import { breakpointsEnabled } from './breakpoints.ts';
import { deliver, type InterruptEvent } from './gates.ts';
import { iopl, isLongActive, isProtected, isVm86 } from './modes.ts';
import { gp0, memoryPlace, next, nextRip, readAt, readRegister, registerBytes } from './operands.ts';
import { commitReturn, prepareReturn } from './returns.ts';
import type { Handler, Microresult } from './result.ts';
import { addressSegment } from './selectors.ts';
import { heldTraps } from './shadow.ts';
import { currentStack, peekAll, type Stack, setStackPointer } from './stack.ts';
import { previousTask, switchByInstruction } from './tasks.ts';
import { returnToVm86 } from './vm86.ts';

const interrupt = (
  cpu: Cpu,
  insn: Instruction,
  vector: number,
  source: InterruptEvent['source'],
  dr6?: bigint,
): Fault | Microresult => {
  const told = dr6 ? { dr6 } : {};
  const outcome = deliver(cpu, { vector, source, trap: true, returnRip: nextRip(cpu, insn), ...told });
  if (outcome.kind === 'delivered') return 'transfer';
  return { ...outcome.fault, during: { vector, reason: outcome.reason } };
};

export const int: Handler = (cpu, insn) => {
  if (isVm86(cpu.state) && iopl(cpu.state) < 3) return gp0('vm86-needs-iopl-3');
  return interrupt(cpu, insn, insn.immediate8, 'software');
};
export const int3: Handler = (cpu, insn) => interrupt(cpu, insn, VECTOR.BP, 'software');
export const into: Handler = (cpu, insn) =>
  cpu.state.rflags & FLAGS.OF ? interrupt(cpu, insn, VECTOR.OF, 'software') : next(cpu, insn);
/**
 * ICEBP: a #DB that is not subject to the gate's DPL. What a load of SS before it held back is told by the same #DB.
 */
export const int1: Handler = (cpu, insn) => interrupt(cpu, insn, VECTOR.DB, 'exception', heldTraps(cpu.state));

/** BOUND: #BR where the signed index lies outside the pair of signed bounds in memory (SDM 2A). */
export const bound: Handler = (cpu, insn): Fault | Microresult => {
  const bytes = registerBytes(insn.op0Register);
  const bits = 8 * bytes;
  const place = memoryPlace(cpu, insn);
  const lower = readAt(cpu, place, 0, bytes);
  if (isFault(lower)) return lower;
  const upper = readAt(cpu, place, bytes, bytes);
  if (isFault(upper)) return upper;
  const index = BigInt.asIntN(bits, readRegister(cpu.state, insn.op0Register));
  const outside = index < BigInt.asIntN(bits, lower) || index > BigInt.asIntN(bits, upper);
  return outside ? fault('bound-exceeded', VECTOR.BR) : next(cpu, insn);
};

const BYTES = new Map<Code, AccessBytes>([
  [Code.Iretw, 2],
  [Code.Iretd, 4],
  [Code.Iretq, 8],
]);

/**
 * RFLAGS bits an IRET of this operand size may load. RF keeps instruction breakpoints from the next instruction; where
 * none is enabled it is left out, as nothing could see it.
 */
const loadable = (state: CpuState, bytes: AccessBytes): number => {
  let mask = FLAGS.CF | FLAGS.PF | FLAGS.AF | FLAGS.ZF | FLAGS.SF | FLAGS.TF | FLAGS.DF | FLAGS.OF | FLAGS.NT;
  if (bytes > 2) mask |= FLAGS.AC | FLAGS.ID;
  if (bytes > 2 && breakpointsEnabled(state)) mask |= FLAGS.RF;
  if (state.cpl <= iopl(state)) mask |= FLAGS.IF;
  if (state.cpl === 0) mask |= FLAGS.IOPL;
  if (state.cpl === 0 && bytes > 2) mask |= FLAGS.VIF | FLAGS.VIP;
  return mask;
};

const mergeFlags = (state: CpuState, image: bigint, mask: number): void => {
  state.rflags = (state.rflags & ~(mask | FLAGS.RF)) | (Number(image & 0xffff_ffffn) & mask);
};

const iretReal = (
  cpu: Cpu,
  stack: Stack,
  bytes: AccessBytes,
  [rip = 0n, cs = 0n, image = 0n]: readonly bigint[],
): Fault | Microresult => {
  const { state } = cpu;
  if (rip > BigInt(state.segment(SEG.CS).limit)) return gp0('iret-target-beyond-limit');
  mergeFlags(state, image, loadable(state, bytes));
  state.setSegment(SEG.CS, addressSegment(state, SEG.CS, Number(cs & 0xffffn)));
  setStackPointer(state, stack, stack.sp + BigInt(3 * bytes));
  state.rip = rip;
  cpu.modeChanged();
  return 'transfer';
};

/** NT asks for the previous task, before the stack is looked at; IA-32e mode has no tasks to go back to. */
const iretTask = (cpu: Cpu, insn: Instruction): Fault | Microresult => {
  if (isLongActive(cpu.state)) return gp0('iret-task-in-long-mode');
  const task = previousTask(cpu);
  return isFault(task) ? task : switchByInstruction(cpu, { task, how: 'return', returnRip: nextRip(cpu, insn) });
};

const entersVm86 = (state: CpuState, image: bigint): boolean =>
  !isLongActive(state) && state.cpl === 0 && (image & BigInt(FLAGS.VM)) !== 0n;

export const iret: Handler = (cpu, insn) => {
  const { state } = cpu;
  const bytes = BYTES.get(insn.code) ?? 8;
  // NMIs are taken again from here on, also where the IRET faults (SDM 3A 6.7.1, 3C 27.2.3).
  state.setU32(at.NMI_BLOCKED, 0);
  const vm86 = isVm86(state);
  if (vm86 && iopl(state) < 3) return gp0('vm86-needs-iopl-3');
  if (isProtected(state) && !vm86 && state.rflags & FLAGS.NT) return iretTask(cpu, insn);
  const stack = currentStack(state);
  const values = peekAll(cpu, stack, bytes, 3);
  if (isFault(values)) return values;
  if (!isProtected(state) || vm86) return iretReal(cpu, stack, bytes, values);
  const [rip = 0n, cs = 0n, image = 0n] = values;
  if (entersVm86(state, image)) return returnToVm86(cpu, stack, values);
  const prepared = prepareReturn(cpu, {
    stack,
    bytes,
    rip,
    selector: Number(cs & 0xffffn),
    consumed: 3 * bytes,
    release: 0,
    alwaysStack: state.mode64,
  });
  if (isFault(prepared)) return prepared;
  mergeFlags(state, image, loadable(state, bytes));
  commitReturn(cpu, prepared);
  return 'transfer';
};
