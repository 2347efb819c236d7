// Interrupt flag, halting, RFLAGS on the stack, and the instructions that drop cached translations.

import { Code } from 'iced-x86';
import { CR4_PCIDE } from '../../x86/control.ts';
import { DEFINED_FLAGS, FLAGS } from '../../x86/flags.ts';
import { type AccessBytes, type Cpu, type Fault, isFault } from '../state/cpu.ts';
import * as at from '../state/layout.ts';
import { iopl, isCanonical, isCanonicalBase, isVm86, linearMask } from './modes.ts';
import { gp0, linearAddress, memoryPlace, next, readAt, readRegister, supervisorOnly, ud } from './operands.ts';
import type { Handler, Microresult } from './result.ts';
import { SEG } from '../state/state.ts';
import { shadowOfSti } from './shadow.ts';
import { currentStack, peek, pushAll, setStackPointer } from './stack.ts';

const setInterruptFlag = (cpu: Cpu, on: boolean): void => {
  const flags = cpu.state.u32(at.FLAGS_REST);
  cpu.state.setU32(at.FLAGS_REST, on ? flags | FLAGS.IF : flags & ~FLAGS.IF);
};

/** CLI and STI need CPL <= IOPL; there are no virtual interrupts (VME, PVI). */
const interruptFlagDenied = (cpu: Cpu): Fault | undefined =>
  cpu.state.cpl > iopl(cpu.state) ? gp0('interrupt-flag-privilege') : undefined;

export const cli: Handler = (cpu, insn) => {
  const denied = interruptFlagDenied(cpu);
  if (denied) return denied;
  setInterruptFlag(cpu, false);
  return next(cpu, insn);
};

/** Interrupts are taken only after the instruction that follows STI. */
export const sti: Handler = (cpu, insn) => {
  const denied = interruptFlagDenied(cpu);
  if (denied) return denied;
  if (!(cpu.state.u32(at.FLAGS_REST) & FLAGS.IF)) shadowOfSti(cpu.state);
  setInterruptFlag(cpu, true);
  return next(cpu, insn);
};

export const hlt: Handler = (cpu, insn) => {
  const denied = supervisorOnly(cpu);
  if (denied) return denied;
  cpu.state.setU32(at.HALTED, 1);
  return next(cpu, insn);
};

const FLAG_BYTES = new Map<Code, AccessBytes>([
  [Code.Pushfw, 2],
  [Code.Pushfd, 4],
  [Code.Pushfq, 8],
  [Code.Popfw, 2],
  [Code.Popfd, 4],
  [Code.Popfq, 8],
]);

export const pushf: Handler = (cpu, insn) => {
  const { state } = cpu;
  if (isVm86(state) && iopl(state) < 3) return gp0('vm86-needs-iopl-3');
  const stack = currentStack(state);
  const image = BigInt(state.rflags & ~(FLAGS.RF | FLAGS.VM));
  const bytes = FLAG_BYTES.get(insn.code) ?? 8;
  const sp = pushAll(cpu, stack, bytes, [bytes === 2 ? image & 0xffffn : image]);
  if (isFault(sp)) return sp;
  setStackPointer(state, stack, sp);
  return next(cpu, insn);
};

/** Bits POPF may change: IOPL at level 0 only, IF where CPL <= IOPL (SDM 2B POPF, table 4-16). */
const popfMask = (cpu: Cpu, bytes: AccessBytes): number => {
  let mask = DEFINED_FLAGS & ~(FLAGS.RF | FLAGS.VM | FLAGS.VIF | FLAGS.VIP);
  if (bytes === 2) mask &= 0xffff;
  if (cpu.state.cpl !== 0) mask &= ~FLAGS.IOPL;
  if (cpu.state.cpl > iopl(cpu.state)) mask &= ~FLAGS.IF;
  return mask;
};

export const popf: Handler = (cpu, insn): Fault | Microresult => {
  const { state } = cpu;
  if (isVm86(state) && iopl(state) < 3) return gp0('vm86-needs-iopl-3');
  const bytes = FLAG_BYTES.get(insn.code) ?? 8;
  const stack = currentStack(state);
  const value = peek(cpu, stack, 0, bytes);
  if (isFault(value)) return value;
  const mask = popfMask(cpu, bytes);
  const old = state.rflags;
  state.rflags = (old & ~(mask | FLAGS.RF)) | (Number(value & 0xffff_ffffn) & mask);
  setStackPointer(state, stack, stack.sp + BigInt(bytes));
  if ((old ^ state.rflags) & FLAGS.AC) cpu.modeChanged();
  return next(cpu, insn);
};

/** STAC and CLAC. */
export const setAlignmentFlag =
  (on: boolean): Handler =>
  (cpu, insn) => {
    if (cpu.state.cpl !== 0) return ud('smap-flag-privilege');
    const flags = cpu.state.u32(at.FLAGS_REST);
    cpu.state.setU32(at.FLAGS_REST, on ? flags | FLAGS.AC : flags & ~FLAGS.AC);
    cpu.modeChanged();
    return next(cpu, insn);
  };

/** A non-canonical address is no fault for INVLPG, and there is nothing to drop. */
export const invlpg: Handler = (cpu, insn) => {
  const denied = supervisorOnly(cpu);
  if (denied) return denied;
  const { state } = cpu;
  const { segment, offset } = memoryPlace(cpu, insn);
  const usesBase = !state.mode64 || segment === SEG.FS || segment === SEG.GS;
  const base = usesBase ? state.segment(segment).base : 0n;
  const linear = (base + offset) & linearMask(state);
  if (isCanonical(state, linear)) cpu.flushPage(linear);
  return next(cpu, insn);
};

/** INVPCID: translations are not kept by PCID here, so dropping all is always enough (SDM 2A INVPCID). */
export const invpcid: Handler = (cpu, insn) => {
  const denied = supervisorOnly(cpu);
  if (denied) return denied;
  const { state } = cpu;
  const type = readRegister(state, insn.op0Register);
  const place = memoryPlace(cpu, insn);
  const low = readAt(cpu, place, 0, 8);
  if (isFault(low)) return low;
  const linear = readAt(cpu, place, 8, 8);
  if (isFault(linear)) return linear;
  const pcid = low & 0xfffn;
  const needsPcid = type < 2n;
  if (type > 3n || low >> 12n) return gp0('invpcid-type-or-pcid');
  if (needsPcid && pcid !== 0n && !(state.u64(at.CR4) & CR4_PCIDE)) return gp0('invpcid-pcid-without-pcide');
  if (type === 0n && !isCanonicalBase(cpu, linear)) return gp0('invpcid-address-not-canonical');
  // Types 0, 1 and 3 spare global translations; type 2 does not.
  cpu.flushTlb(type === 2n);
  return next(cpu, insn);
};

/** CLFLUSH, CLFLUSHOPT, CLWB: no cache to write back, but the address is checked as for a byte that is read (SDM 2A). */
export const flushLine: Handler = (cpu, insn) => {
  const { segment, offset } = memoryPlace(cpu, insn);
  const linear = linearAddress(cpu, segment, offset, 1, false);
  if (isFault(linear)) return linear;
  const physical = cpu.translate(linear, {});
  return isFault(physical) ? physical : next(cpu, insn);
};

/** INVD, WBINVD: there are no caches. */
export const cacheControl: Handler = (cpu, insn) => supervisorOnly(cpu) ?? next(cpu, insn);
