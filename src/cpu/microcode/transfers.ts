// Far jumps, far calls and far returns (SDM 2A CALL, JMP; 2B RET; 3A 5.8); task switches are in tasks.ts.

import { Code, type Instruction, OpKind } from 'iced-x86';
import { decodeGate, type Gate, SELECTOR_RPL, TYPE } from '../../x86/descriptors.ts';
import { GPR } from '../../x86/registers.ts';
import { VECTOR } from '../../x86/vectors.ts';
import { type AccessBytes, type Cpu, type Fault, fault, isFault } from '../state/cpu.ts';
import { SEG } from '../state/state.ts';
import { innerStack } from './innerStack.ts';
import { isLongActive, isProtected, isVm86 } from './modes.ts';
import { gp0, memoryPlace, nextRip, readAt } from './operands.ts';
import { commitReturn, prepareReturn } from './returns.ts';
import type { Handler, Microresult } from './result.ts';
import {
  addressSegment,
  checkCode,
  checkOffset,
  type Found,
  findDescriptor,
  isNull,
  loadCode,
  markAccessed,
  selectorError,
} from './selectors.ts';
import { currentStack, peekAll, pushAll, pushRoom, setStackPointer } from './stack.ts';
import { findTask, switchByInstruction } from './tasks.ts';

type FarTarget = { readonly selector: number; readonly offset: bigint; readonly bytes: AccessBytes };

const INDIRECT_BYTES = new Map<Code, AccessBytes>([
  [Code.Jmp_m1616, 2],
  [Code.Call_m1616, 2],
  [Code.Jmp_m1632, 4],
  [Code.Call_m1632, 4],
  [Code.Jmp_m1664, 8],
  [Code.Call_m1664, 8],
]);

/** The pointer an instruction names, in itself or in memory. */
const farTarget = (cpu: Cpu, insn: Instruction): FarTarget | Fault => {
  if (insn.op0Kind === OpKind.FarBranch16) {
    return { selector: insn.farBranchSelector, offset: BigInt(insn.farBranch16), bytes: 2 };
  }
  if (insn.op0Kind === OpKind.FarBranch32) {
    return { selector: insn.farBranchSelector, offset: BigInt(insn.farBranch32), bytes: 4 };
  }
  const bytes = INDIRECT_BYTES.get(insn.code) ?? 4;
  const place = memoryPlace(cpu, insn);
  const offset = readAt(cpu, place, 0, bytes);
  if (isFault(offset)) return offset;
  const selector = readAt(cpu, place, bytes, 2);
  return isFault(selector) ? selector : { selector: Number(selector), offset, bytes };
};

/** The return address a far call leaves: CS, then the offset of the next instruction. */
const returnAddress = (cpu: Cpu, insn: Instruction): bigint[] => [
  BigInt(cpu.state.segment(SEG.CS).selector),
  nextRip(cpu, insn),
];

const transferReal = (cpu: Cpu, insn: Instruction, target: FarTarget, isCall: boolean): Fault | Microresult => {
  const { state } = cpu;
  const stack = currentStack(state);
  const room = isCall ? pushRoom(cpu, stack, target.bytes, 2) : [];
  if (isFault(room)) return room;
  if (target.offset > BigInt(state.segment(SEG.CS).limit)) return gp0('far-target-beyond-limit');
  if (isCall) {
    const sp = pushAll(cpu, stack, target.bytes, returnAddress(cpu, insn));
    if (isFault(sp)) return sp;
    setStackPointer(state, stack, sp);
  }
  state.setSegment(SEG.CS, addressSegment(state, SEG.CS, target.selector));
  state.rip = target.offset;
  cpu.modeChanged();
  return 'transfer';
};

const enter = (cpu: Cpu, code: Found, level: number, offset: bigint): Microresult => {
  loadCode(cpu, code, level);
  cpu.state.rip = offset;
  cpu.modeChanged();
  return 'transfer';
};

/** Transfer within a level: optional push of the return address, then CS:RIP. Room comes before the offset (SDM 2A CALL). */
const sameLevel = (
  cpu: Cpu,
  insn: Instruction,
  code: Found,
  offset: bigint,
  callBytes: AccessBytes | undefined,
): Fault | Microresult => {
  const stack = currentStack(cpu.state);
  const room = callBytes === undefined ? [] : pushRoom(cpu, stack, callBytes, 2);
  if (isFault(room)) return room;
  const refused = checkOffset(cpu, code, offset) ?? markAccessed(cpu, code);
  if (refused) return refused;
  if (callBytes !== undefined) {
    const sp = pushAll(cpu, stack, callBytes, returnAddress(cpu, insn));
    if (isFault(sp)) return sp;
    setStackPointer(cpu.state, stack, sp);
  }
  return enter(cpu, code, cpu.state.cpl, offset);
};

/** A call gate to an inner level: the stack changes, legacy gates copy parameters. */
const innerLevel = (cpu: Cpu, insn: Instruction, code: Found, gate: Gate, bytes: AccessBytes): Fault | Microresult => {
  const { state } = cpu;
  const inner = innerStack(cpu, code.dpl, 0);
  if (isFault(inner)) return inner;
  const outer = currentStack(state);
  const parameters = peekAll(cpu, outer, bytes === 2 ? 2 : 4, bytes === 8 ? 0 : gate.parameters);
  if (isFault(parameters)) return parameters;
  const room = pushRoom(cpu, inner.stack, bytes, 4 + parameters.length);
  if (isFault(room)) return room;
  const refused = checkOffset(cpu, code, gate.offset) ?? markAccessed(cpu, code);
  if (refused) return refused;
  const sp = pushAll(cpu, inner.stack, bytes, [
    BigInt(state.segment(SEG.SS).selector),
    state.reg(GPR.RSP),
    ...parameters.reverse(),
    ...returnAddress(cpu, insn),
  ]);
  if (isFault(sp)) return sp;
  state.setSegment(SEG.SS, inner.segment);
  setStackPointer(state, inner.stack, sp);
  return enter(cpu, code, code.dpl, gate.offset);
};

/** The code a call gate leads to, checked for a call or a jump. */
const gateCode = (cpu: Cpu, gate: Gate, isCall: boolean): Found | Fault => {
  const { cpl } = cpu.state;
  if (isNull(gate.selector)) return gp0('gate-code-null');
  const code = findDescriptor(cpu, gate.selector);
  if (isFault(code)) return code;
  const error = selectorError(gate.selector);
  const reachable = isCall || code.isConforming ? code.dpl <= cpl : code.dpl === cpl;
  if (!code.isCode || !reachable) return fault('gate-code-not-reachable', VECTOR.GP, error);
  if (isLongActive(cpu.state) && (!code.long || code.big)) return fault('gate-code-not-64-bit', VECTOR.GP, error);
  return code.present ? code : fault('gate-code-not-present', VECTOR.NP, error);
};

const throughGate = (cpu: Cpu, insn: Instruction, found: Found, isCall: boolean): Fault | Microresult => {
  const { cpl } = cpu.state;
  const long = isLongActive(cpu.state);
  const error = selectorError(found.selector);
  const gate = decodeGate(found.low, long ? found.high : undefined);
  if (gate.dpl < cpl || (found.selector & SELECTOR_RPL) > gate.dpl) return fault('gate-privilege', VECTOR.GP, error);
  if (!gate.present) return fault('gate-not-present', VECTOR.NP, error);
  const code = gateCode(cpu, gate, isCall);
  if (isFault(code)) return code;
  const bytes = long ? 8 : gate.type === TYPE.CALL_GATE16 ? 2 : 4;
  if (isCall && !code.isConforming && code.dpl < cpl) return innerLevel(cpu, insn, code, gate, bytes);
  return sameLevel(cpu, insn, code, gate.offset, isCall ? bytes : undefined);
};

const throughTask = (cpu: Cpu, insn: Instruction, selector: number, isCall: boolean): Fault | Microresult => {
  const task = findTask(cpu, selector, 0);
  if (isFault(task)) return task;
  return switchByInstruction(cpu, { task, how: isCall ? 'call' : 'jump', returnRip: nextRip(cpu, insn) });
};

/** A task gate, or a TSS itself: the privilege needed is that of what the instruction names (SDM 3A 8.2.2, 8.2.5). */
const throughTaskDescriptor = (cpu: Cpu, insn: Instruction, found: Found, isCall: boolean): Fault | Microresult => {
  const error = selectorError(found.selector);
  if (found.dpl < cpu.state.cpl || found.dpl < (found.selector & SELECTOR_RPL))
    return fault('task-privilege', VECTOR.GP, error);
  if (found.type !== TYPE.TASK_GATE) return throughTask(cpu, insn, found.selector, isCall);
  if (!found.present) return fault('task-gate-not-present', VECTOR.NP, error);
  return throughTask(cpu, insn, decodeGate(found.low).selector, isCall);
};

const TASKS: readonly number[] = [TYPE.TASK_GATE, TYPE.TSS16_AVAILABLE, TYPE.TSS32_AVAILABLE];

const throughSystemDescriptor = (
  cpu: Cpu,
  insn: Instruction,
  target: FarTarget,
  named: Found,
  isCall: boolean,
): Fault | Microresult => {
  const { type } = named;
  const long = isLongActive(cpu.state);
  if (TASKS.includes(type) && !long) return throughTaskDescriptor(cpu, insn, named, isCall);
  const isGate = type === TYPE.CALL_GATE32 || (type === TYPE.CALL_GATE16 && !long);
  if (!isGate) return fault('far-target-no-gate', VECTOR.GP, selectorError(target.selector));
  const found = findDescriptor(cpu, target.selector, { wide: long });
  if (isFault(found)) return found;
  // The type field of the upper half has to be 0: its descriptor must not be usable by itself (SDM 3A 5.8.3.1).
  if ((found.high >> 40n) & 0x1fn) return fault('gate-upper-half', VECTOR.GP, selectorError(target.selector));
  return throughGate(cpu, insn, found, isCall);
};

const transferProtected = (cpu: Cpu, insn: Instruction, target: FarTarget, isCall: boolean): Fault | Microresult => {
  if (isNull(target.selector)) return gp0('far-target-null');
  const found = findDescriptor(cpu, target.selector);
  if (isFault(found)) return found;
  if (!found.isSegment) return throughSystemDescriptor(cpu, insn, target, found, isCall);
  const refused = checkCode(cpu, found, { cpl: cpu.state.cpl, how: 'direct' });
  return refused ?? sameLevel(cpu, insn, found, target.offset, isCall ? target.bytes : undefined);
};

const farTransfer =
  (isCall: boolean): Handler =>
  (cpu, insn) => {
    const target = farTarget(cpu, insn);
    if (isFault(target)) return target;
    const real = !isProtected(cpu.state) || isVm86(cpu.state);
    return (real ? transferReal : transferProtected)(cpu, insn, target, isCall);
  };

export const jmpFar: Handler = farTransfer(false);
export const callFar: Handler = farTransfer(true);

const RETURN_BYTES = new Map<Code, AccessBytes>([
  [Code.Retfw, 2],
  [Code.Retfw_imm16, 2],
  [Code.Retfd, 4],
  [Code.Retfd_imm16, 4],
  [Code.Retfq, 8],
  [Code.Retfq_imm16, 8],
]);

export const retFar: Handler = (cpu, insn) => {
  const { state } = cpu;
  const bytes = RETURN_BYTES.get(insn.code) ?? 4;
  const release = insn.opCount > 0 ? insn.immediate16 : 0;
  const stack = currentStack(state);
  const values = peekAll(cpu, stack, bytes, 2);
  if (isFault(values)) return values;
  const [rip = 0n, cs = 0n] = values;
  const selector = Number(cs & 0xffffn);
  if (!isProtected(state) || isVm86(state)) {
    if (rip > BigInt(state.segment(SEG.CS).limit)) return gp0('retf-target-beyond-limit');
    setStackPointer(state, stack, stack.sp + BigInt(2 * bytes + release));
    state.setSegment(SEG.CS, addressSegment(state, SEG.CS, selector));
    state.rip = rip;
    cpu.modeChanged();
    return 'transfer';
  }
  const prepared = prepareReturn(cpu, {
    stack,
    bytes,
    rip,
    selector,
    consumed: 2 * bytes,
    release,
    alwaysStack: false,
  });
  if (isFault(prepared)) return prepared;
  commitReturn(cpu, prepared);
  return 'transfer';
};
