// Delivery of interrupts and exceptions through the interrupt vector table of real mode and the IDT (SDM 3A 6.12, 6.14,
// 20.1.4; 2A INT n). What happens when delivery itself faults is in delivery.ts.

import { DEBUGCTL_BTF, DR6_BREAKPOINTS, DR7_GD } from '../../x86/control.ts';
import { decodeGate, ERROR_EXT, ERROR_IDT, type Gate, systemTypeName, TYPE } from '../../x86/descriptors.ts';
import { FLAGS } from '../../x86/flags.ts';
import { MSR_IA32_DEBUGCTL, msrSlot } from '../../x86/msr.ts';
import { describePageFault } from '../../x86/paging.ts';
import { GPR } from '../../x86/registers.ts';
import { exceptionText, VECTOR, vectorInfo } from '../../x86/vectors.ts';
import { type Cpu, type Fault, fault, isFault } from '../state/cpu.ts';
import * as at from '../state/layout.ts';
import { type CpuState, SEG } from '../state/state.ts';
import { innerStack, longStack } from './innerStack.ts';
import { isLongActive, isProtected, isVm86, linearMask, MASK16 } from './modes.ts';
import {
  checkOffset,
  type Found,
  findDescriptor,
  IMPLICIT,
  isNull,
  loadCode,
  markAccessed,
  addressSegment,
  selectorError,
} from './selectors.ts';
import { currentStack, flatStack, pushAll, pushInto, pushRoom, type Stack, setStackPointer } from './stack.ts';
import { checkTaskRip, findTask, switchTask } from './tasks.ts';
import { dropVm86Segments, vm86Frame } from './vm86.ts';

const DEBUGCTL = at.msrAddress(msrSlot(MSR_IA32_DEBUGCTL));

export type InterruptEvent = {
  readonly vector: number;
  /** Error code, for the vectors that push one. */
  readonly error?: number;
  /** exception: raised by the processor (INT1 too); software: INT n, INT3, INTO; external: a device. */
  readonly source: 'exception' | 'software' | 'external';
  /** For CR2. */
  readonly address?: bigint;
  /** Offset that the handler returns to. */
  readonly returnRip: bigint;
  /** A trap reports the instruction after the one that caused it. */
  readonly trap?: boolean;
  /** Bits to set in DR6. */
  readonly dr6?: bigint;
};

export type Delivery =
  | { readonly kind: 'delivered' }
  | {
      readonly kind: 'failed';
      /** The exception that delivery met. */
      readonly fault: Fault;
      /** Why, in words. */
      readonly reason: string;
      /** Met behind a task switch: it is the new task's, at its instruction pointer. */
      readonly switched?: true;
    };

type Failure = Extract<Delivery, { kind: 'failed' }>;

const DELIVERED: Delivery = { kind: 'delivered' };
const failed = (fault: Fault, reason: string): Failure => ({ kind: 'failed', fault, reason });
const isFailure = (value: object): value is Failure => 'reason' in value;

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;

/** A fault met on the way, told with what was being done. */
const failedDoing = (met: Fault, doing: string): Failure => {
  const text = exceptionText(met.vector, met.error);
  if (met.vector !== VECTOR.PF) return failed(met, `${doing}: ${text}`);
  return failed(met, `${doing}: ${text} at ${hex(met.address ?? 0n)}, ${describePageFault(met.error ?? 0)}`);
};

/** EXT: the event was not asked for by the program. */
const extOf = (event: InterruptEvent): number => (event.source === 'software' ? 0 : ERROR_EXT);

/** RFLAGS as pushed: faults set RF so that returning does not hit the same instruction breakpoint (SDM 3B 17.3.1.1). */
const flagsImage = (state: CpuState, event: InterruptEvent): bigint => {
  const isFaultClass = event.source === 'exception' && !event.trap;
  return BigInt(isFaultClass ? state.rflags | FLAGS.RF : state.rflags);
};

/** What raising the exception does to registers, whether or not it can be delivered. */
const recordCause = (state: CpuState, event: InterruptEvent): void => {
  if (event.source !== 'exception') return;
  if (event.vector === VECTOR.PF && event.address !== undefined) state.setU64(at.CR2, event.address);
  if (event.vector !== VECTOR.DB) return;
  const dr6 = at.DR0 + 8 * 6;
  const dr7 = at.DR0 + 8 * 7;
  // B0 to B3 tell of this exception; the other bits stay until software clears them (SDM 3B 18.2.3).
  if (event.dr6 !== undefined) state.setU64(dr6, (state.u64(dr6) & ~DR6_BREAKPOINTS) | event.dr6);
  state.setU64(dr7, state.u64(dr7) & ~DR7_GD);
  state.setU64(DEBUGCTL, state.u64(DEBUGCTL) & ~DEBUGCTL_BTF);
};

const enter = (cpu: Cpu, rip: bigint, clear: number): Delivery => {
  const { state } = cpu;
  state.rip = rip;
  state.setU32(at.FLAGS_REST, state.u32(at.FLAGS_REST) & ~clear);
  state.setU32(at.HALTED, 0);
  state.setU32(at.INTERRUPT_SHADOW, 0);
  cpu.modeChanged();
  return DELIVERED;
};

/** Real mode: a table of CS:IP, three words pushed, no error code (SDM 3B 21.1.4). */
const deliverReal = (cpu: Cpu, event: InterruptEvent): Delivery => {
  const { state } = cpu;
  const table = state.table(at.IDTR);
  const { vector } = event;
  if (4 * vector + 3 > table.limit) {
    const reason = `interrupt table limit ${hex(table.limit)}: no vector ${vector}`;
    return failed(fault('ivt-limit', VECTOR.GP, errorOfGate(event)), reason);
  }
  const entry = cpu.readLinear((table.base + BigInt(4 * vector)) & linearMask(state), 4, IMPLICIT);
  if (isFault(entry)) return failedDoing(entry, `reading vector ${vector} of the interrupt table`);
  const stack = currentStack(state);
  const cs = BigInt(state.segment(SEG.CS).selector);
  const sp = pushAll(cpu, stack, 2, [flagsImage(state, event) & MASK16, cs, event.returnRip & MASK16]);
  if (isFault(sp)) return failedDoing(sp, 'pushing the interrupt frame');
  setStackPointer(state, stack, sp);
  state.setSegment(SEG.CS, addressSegment(state, SEG.CS, Number(entry >> 16n)));
  return enter(cpu, entry & MASK16, FLAGS.IF | FLAGS.TF | FLAGS.AC | FLAGS.RF);
};

/** Error code that names a gate of the IDT. */
const errorOfGate = (event: InterruptEvent): number => event.vector * 8 + ERROR_IDT + extOf(event);

const readGate = (cpu: Cpu, event: InterruptEvent, long: boolean): Gate | Failure => {
  const { state } = cpu;
  const { vector } = event;
  const table = state.table(at.IDTR);
  const bytes = long ? 16 : 8;
  if (vector * bytes + bytes - 1 > table.limit) {
    return failed(
      fault('idt-limit', VECTOR.GP, errorOfGate(event)),
      `IDT limit ${hex(table.limit)}: no gate ${vector}`,
    );
  }
  const address = (table.base + BigInt(vector * bytes)) & linearMask(state);
  const low = cpu.readLinear(address, 8, IMPLICIT);
  if (isFault(low)) return failedDoing(low, `reading gate ${vector} at ${hex(address)}`);
  const high = long ? cpu.readLinear((address + 8n) & linearMask(state), 8, IMPLICIT) : undefined;
  if (isFault(high)) return failedDoing(high, `reading gate ${vector} at ${hex(address + 8n)}`);
  return decodeGate(low, high);
};

const LONG_GATES: readonly number[] = [TYPE.INTERRUPT_GATE32, TYPE.TRAP_GATE32];
const LEGACY_GATES: readonly number[] = [...LONG_GATES, TYPE.INTERRUPT_GATE16, TYPE.TRAP_GATE16, TYPE.TASK_GATE];

/** Type, privilege and presence of the gate, in the manual's order. */
const checkGate = (cpu: Cpu, event: InterruptEvent, gate: Gate, long: boolean): Failure | undefined => {
  const error = errorOfGate(event);
  // Said only where it is needed: most deliveries succeed.
  const name = (): string => `gate ${event.vector}`;
  if (gate.isSegment || !(long ? LONG_GATES : LEGACY_GATES).includes(gate.type)) {
    const kind = gate.isSegment ? 'a segment descriptor' : `a ${systemTypeName(gate.type)}`;
    return failed(fault('idt-gate-type', VECTOR.GP, error), `${name()} is ${kind}`);
  }
  if (event.source === 'software' && gate.dpl < cpu.state.cpl) {
    return failed(
      fault('idt-gate-privilege', VECTOR.GP, error),
      `${name()} has DPL ${gate.dpl}, the program runs at ${cpu.state.cpl}`,
    );
  }
  return gate.present ? undefined : failed(fault('idt-gate-not-present', VECTOR.NP, error), `${name()} not present`);
};

/** The handler's code segment, checked. */
const handlerCode = (cpu: Cpu, event: InterruptEvent, gate: Gate, long: boolean): Found | Failure => {
  const ext = extOf(event);
  const { selector } = gate;
  const where = (): string => `gate ${event.vector}: code selector ${hex(selector)}`;
  if (isNull(selector)) return failed(fault('handler-code-null', VECTOR.GP, ext), `${where()} is null`);
  const code = findDescriptor(cpu, selector, { ext });
  if (isFault(code)) return failedDoing(code, where());
  const error = selectorError(selector, ext);
  if (!code.isCode) return failed(fault('handler-code-not-code', VECTOR.GP, error), `${where()} is not code`);
  if (code.dpl > cpu.state.cpl) {
    return failed(
      fault('handler-code-dpl', VECTOR.GP, error),
      `${where()} has DPL ${code.dpl}, below the interrupted level ${cpu.state.cpl}`,
    );
  }
  if (isVm86(cpu.state) && (code.isConforming || code.dpl !== 0)) {
    return failed(
      fault('handler-vm86-level', VECTOR.GP, error),
      `${where()} does not leave virtual-8086 mode for level 0`,
    );
  }
  if (!code.present) return failed(fault('handler-code-not-present', VECTOR.NP, error), `${where()} not present`);
  if (long && (!code.long || code.big))
    return failed(fault('handler-not-64-bit', VECTOR.GP, error), `${where()} is not 64-bit code`);
  return code;
};

/** The handler's first instruction, looked at once there is room for the frame (SDM 2A INT n). */
const checkEntry = (cpu: Cpu, event: InterruptEvent, gate: Gate, code: Found): Failure | undefined => {
  const outside = checkOffset(cpu, code, gate.offset, extOf(event));
  if (outside) return failed(outside, `gate ${event.vector}: offset ${hex(gate.offset)} cannot be executed`);
  const marked = markAccessed(cpu, code);
  return marked && failedDoing(marked, `gate ${event.vector}: setting the accessed bit of ${hex(gate.selector)}`);
};

/** Stack of the handler: the current one, the inner level's, or one of the interrupt stack table. */
const handlerStack = (cpu: Cpu, event: InterruptEvent, gate: Gate, level: number, long: boolean) => {
  const { state } = cpu;
  const ext = extOf(event);
  if (level < state.cpl) return innerStack(cpu, level, ext, gate.ist);
  if (!long) return { stack: currentStack(state, ext), segment: undefined };
  const stack = gate.ist === 0 ? flatStack(state.reg(GPR.RSP), {}, ext) : longStack(cpu, level, gate.ist, ext);
  return isFault(stack) ? stack : { stack, segment: undefined };
};

/** Data segments (from virtual-8086 mode), SS:SP (where it is switched, and always in long mode), flags, CS:IP and the error code. */
const frame = (cpu: Cpu, event: InterruptEvent, withStack: boolean): bigint[] => {
  const { state } = cpu;
  const selector = (index: typeof SEG.CS | typeof SEG.SS): bigint => BigInt(state.segment(index).selector);
  const values = [flagsImage(state, event), selector(SEG.CS), event.returnRip];
  if (withStack) values.unshift(selector(SEG.SS), state.reg(GPR.RSP));
  if (isVm86(state)) values.unshift(...vm86Frame(state));
  if (event.source === 'exception' && vectorInfo(event.vector).errorCode) values.push(BigInt(event.error ?? 0));
  return values;
};

/** Pushes an exception's error code on the new task's stack. */
const pushError = (cpu: Cpu, event: InterruptEvent, bytes: 2 | 4): Fault | undefined => {
  if (event.source !== 'exception' || !vectorInfo(event.vector).errorCode) return undefined;
  const stack = currentStack(cpu.state, extOf(event));
  const sp = pushAll(cpu, stack, bytes, [BigInt(event.error ?? 0)]);
  if (isFault(sp)) return sp;
  setStackPointer(cpu.state, stack, sp);
  return undefined;
};

/** A task gate: the handler is a task of its own (SDM 3A 6.12.2; 2A INT n, TASK-GATE). */
const deliverToTask = (cpu: Cpu, event: InterruptEvent, gate: Gate): Delivery => {
  const where = `task gate ${event.vector}: TSS ${hex(gate.selector)}`;
  const ext = extOf(event);
  const task = findTask(cpu, gate.selector, ext);
  if (isFault(task)) return failedDoing(task, where);
  const flags = Number(flagsImage(cpu.state, event));
  const switched = switchTask(cpu, { task, how: 'call', returnRip: event.returnRip, flags, ext });
  if (isFault(switched)) return failedDoing(switched, where);
  cpu.state.setU32(at.HALTED, 0);
  const met = switched.fault ?? pushError(cpu, event, switched.bytes) ?? checkTaskRip(cpu, ext) ?? switched.trap;
  return met ? { ...failedDoing(met, `${where}, before its first instruction`), switched: true } : DELIVERED;
};

const deliverProtected = (cpu: Cpu, event: InterruptEvent): Delivery => {
  const { state } = cpu;
  const long = isLongActive(state);
  const gate = readGate(cpu, event, long);
  if (isFailure(gate)) return gate;
  const refused = checkGate(cpu, event, gate, long);
  if (refused) return refused;
  if (gate.type === TYPE.TASK_GATE) return deliverToTask(cpu, event, gate);
  const code = handlerCode(cpu, event, gate, long);
  if (isFailure(code)) return code;
  const level = code.isConforming ? state.cpl : code.dpl;
  const inner = handlerStack(cpu, event, gate, level, long);
  if (isFault(inner)) return failedDoing(inner, `taking the stack for level ${level} from the TSS`);
  const bytes = long ? 8 : gate.type & 8 ? 4 : 2;
  const stack: Stack = long ? { ...inner.stack, sp: inner.stack.sp & ~15n } : inner.stack;
  const values = frame(cpu, event, long || inner.segment !== undefined);
  const room = pushRoom(cpu, stack, bytes, values.length);
  if (isFault(room)) return failedDoing(room, `pushing the interrupt frame below ${hex(stack.sp)}`);
  const closed = checkEntry(cpu, event, gate, code);
  if (closed) return closed;
  const sp = pushInto(cpu, stack, bytes, values, room);
  if (isFault(sp)) return failedDoing(sp, `pushing the interrupt frame below ${hex(stack.sp)}`);
  if (isVm86(state)) dropVm86Segments(state);
  if (inner.segment) state.setSegment(SEG.SS, inner.segment);
  setStackPointer(state, stack, sp);
  loadCode(cpu, code, level);
  const masks = gate.type === TYPE.INTERRUPT_GATE32 || gate.type === TYPE.INTERRUPT_GATE16 ? FLAGS.IF : 0;
  return enter(cpu, gate.offset, masks | FLAGS.TF | FLAGS.NT | FLAGS.RF | FLAGS.VM);
};

/**
 * Delivers one interrupt or exception. On failure the result names the exception that was met, and nothing has changed
 * but CR2, DR6 and accessed bits, unless a task switch came before (`switched`).
 */
export const deliver = (cpu: Cpu, event: InterruptEvent): Delivery => {
  recordCause(cpu.state, event);
  return isProtected(cpu.state) ? deliverProtected(cpu, event) : deliverReal(cpu, event);
};
