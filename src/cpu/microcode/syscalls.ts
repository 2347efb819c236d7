// The fast ways into and out of the kernel, and the segment bases that go with them (SDM 2B SYSCALL, SYSENTER, SWAPGS,
// RDFSBASE). CS and SS get fixed flat values; no descriptor is read.

import { Code, type Register } from 'iced-x86';
import { CR4_FSGSBASE, EFER_SCE } from '../../x86/control.ts';
import { ATTR_DB, ATTR_DPL_SHIFT, ATTR_G, ATTR_L, ATTR_P, ATTR_S, SELECTOR_MASK } from '../../x86/descriptors.ts';
import { DEFINED_FLAGS, FLAGS } from '../../x86/flags.ts';
import {
  MSR_FMASK,
  MSR_IA32_SYSENTER_CS,
  MSR_IA32_SYSENTER_EIP,
  MSR_IA32_SYSENTER_ESP,
  MSR_KERNEL_GS_BASE,
  MSR_LSTAR,
  MSR_STAR,
  msrSlot,
} from '../../x86/msr.ts';
import { GPR } from '../../x86/registers.ts';
import type { Cpu, Fault } from '../state/cpu.ts';
import * as at from '../state/layout.ts';
import { type CpuState, SEG } from '../state/state.ts';
import { isCanonical, isCanonicalBase, isLongActive, isProtected, MASK32 } from './modes.ts';
import { gp0, next, nextRip, readRegister, registerBytes, supervisorOnly, ud, writeRegister } from './operands.ts';
import type { Handler } from './result.ts';

const cell = (msr: number): number => at.msrAddress(msrSlot(msr));
const STAR = cell(MSR_STAR);
const LSTAR = cell(MSR_LSTAR);
const FMASK = cell(MSR_FMASK);
const KERNEL_GS_BASE = cell(MSR_KERNEL_GS_BASE);
const SYSENTER_CS = cell(MSR_IA32_SYSENTER_CS);
const SYSENTER_ESP = cell(MSR_IA32_SYSENTER_ESP);
const SYSENTER_EIP = cell(MSR_IA32_SYSENTER_EIP);

const FLAT = ATTR_G | ATTR_P | ATTR_S;
/** Code, readable, accessed: 64-bit or 32-bit. */
const codeAttributes = (level: number, long: boolean): number =>
  FLAT | 11 | (level << ATTR_DPL_SHIFT) | (long ? ATTR_L : ATTR_DB);
const stackAttributes = (level: number): number => FLAT | 3 | ATTR_DB | (level << ATTR_DPL_SHIFT);

/** Flat CS and SS of a level. */
const setFlat = (state: CpuState, level: number, long: boolean, cs: number, ss: number): void => {
  const flat = { base: 0n, limit: 0xffff_ffff };
  state.setSegment(SEG.CS, { ...flat, selector: cs, attributes: codeAttributes(level, long) });
  state.setSegment(SEG.SS, { ...flat, selector: ss, attributes: stackAttributes(level) });
  state.cpl = level;
};

const syscallEnabled = (cpu: Cpu): boolean => cpu.state.mode64 && (cpu.state.u64(at.EFER) & EFER_SCE) !== 0n;

export const syscall: Handler = (cpu, insn) => {
  const { state } = cpu;
  if (!syscallEnabled(cpu)) return ud('syscall-not-enabled');
  const { rflags } = state;
  state.setReg(GPR.RCX, nextRip(cpu, insn));
  state.setReg(GPR.R11, BigInt(rflags & ~FLAGS.RF));
  state.rflags = rflags & ~Number(state.u64(FMASK) & MASK32) & ~FLAGS.RF;
  const selector = Number((state.u64(STAR) >> 32n) & 0xffffn);
  // Only CS loses its RPL bits on the way (SDM 2B SYSCALL).
  setFlat(state, 0, true, selector & SELECTOR_MASK, selector + 8);
  state.rip = state.u64(LSTAR);
  cpu.modeChanged();
  return 'transfer';
};

/** RFLAGS bits that SYSRET takes from R11: all defined ones but RF and VM. */
const SYSRET_FLAGS = DEFINED_FLAGS & ~(FLAGS.RF | FLAGS.VM);

export const sysret: Handler = (cpu, insn) => {
  const { state } = cpu;
  if (!syscallEnabled(cpu)) return ud('syscall-not-enabled');
  const denied = supervisorOnly(cpu);
  if (denied) return denied;
  const long = insn.code === Code.Sysretq;
  const target = long ? state.reg(GPR.RCX) : state.reg(GPR.RCX) & MASK32;
  if (!isCanonical(state, target)) return gp0('sysret-target-not-canonical');
  const base = Number((state.u64(STAR) >> 48n) & 0xffffn);
  state.rflags = Number(state.reg(GPR.R11) & MASK32) & SYSRET_FLAGS;
  setFlat(state, 3, long, (base + (long ? 16 : 0)) | 3, (base + 8) | 3);
  state.rip = target;
  cpu.modeChanged();
  return 'transfer';
};

export const sysenter: Handler = (cpu) => {
  const { state } = cpu;
  const selector = Number(state.u64(SYSENTER_CS) & BigInt(SELECTOR_MASK));
  if (!isProtected(state) || selector === 0) return gp0('sysenter-not-available');
  const long = isLongActive(state);
  const mask = long ? (1n << 64n) - 1n : MASK32;
  state.rflags &= ~(FLAGS.VM | FLAGS.IF | FLAGS.RF);
  setFlat(state, 0, long, selector, selector + 8);
  state.setReg(GPR.RSP, state.u64(SYSENTER_ESP) & mask);
  state.rip = state.u64(SYSENTER_EIP) & mask;
  cpu.modeChanged();
  return 'transfer';
};

export const sysexit: Handler = (cpu, insn) => {
  const { state } = cpu;
  const selector = Number(state.u64(SYSENTER_CS) & BigInt(SELECTOR_MASK));
  if (!isProtected(state) || selector === 0 || state.cpl !== 0) return gp0('sysexit-not-available');
  const long = insn.code === Code.Sysexitq;
  const mask = long ? (1n << 64n) - 1n : MASK32;
  const rip = state.reg(GPR.RDX) & mask;
  const rsp = state.reg(GPR.RCX) & mask;
  if (long && !(isCanonical(state, rip) && isCanonical(state, rsp))) return gp0('sysexit-target-not-canonical');
  const cs = selector + (long ? 32 : 16);
  setFlat(state, 3, long, cs | 3, (cs + 8) | 3);
  state.setReg(GPR.RSP, rsp);
  state.rip = rip;
  cpu.modeChanged();
  return 'transfer';
};

const baseAddress = (index: typeof SEG.FS | typeof SEG.GS): number => at.segmentAddress(index) + at.SEG_BASE;

export const swapgs: Handler = (cpu, insn) => {
  const { state } = cpu;
  if (!state.mode64) return ud('undefined-opcode');
  const denied = supervisorOnly(cpu);
  if (denied) return denied;
  const gs = state.u64(baseAddress(SEG.GS));
  state.setU64(baseAddress(SEG.GS), state.u64(KERNEL_GS_BASE));
  state.setU64(KERNEL_GS_BASE, gs);
  return next(cpu, insn);
};

const fsgsbaseDenied = (cpu: Cpu): Fault | undefined =>
  cpu.state.mode64 && cpu.state.u64(at.CR4) & CR4_FSGSBASE ? undefined : ud('fsgsbase-not-enabled');

export const readBase =
  (index: typeof SEG.FS | typeof SEG.GS): Handler =>
  (cpu, insn) => {
    const denied = fsgsbaseDenied(cpu);
    if (denied) return denied;
    writeRegister(cpu.state, insn.op0Register, cpu.state.u64(baseAddress(index)));
    return next(cpu, insn);
  };

export const writeBase =
  (index: typeof SEG.FS | typeof SEG.GS): Handler =>
  (cpu, insn) => {
    const denied = fsgsbaseDenied(cpu);
    if (denied) return denied;
    const register: Register = insn.op0Register;
    const value = readRegister(cpu.state, register);
    if (registerBytes(register) === 8 && !isCanonicalBase(cpu, value)) return gp0('segment-base-not-canonical');
    cpu.state.setU64(baseAddress(index), value);
    return next(cpu, insn);
  };
