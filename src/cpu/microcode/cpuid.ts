// CPUID and the instructions that tell time, number the processor or draw random bits.

import { type Instruction } from 'iced-x86';
import { CR4_PCE, CR4_TSD } from '../../x86/control.ts';
import { FLAGS, STATUS_FLAGS } from '../../x86/flags.ts';
import { MSR_IA32_MISC_ENABLE, MSR_TSC_AUX, msrSlot } from '../../x86/msr.ts';
import { GPR } from '../../x86/registers.ts';
import type { Cpu, Fault } from '../state/cpu.ts';
import * as at from '../state/layout.ts';
import { MASK32 } from './modes.ts';
import { gp0, next, writeRegister } from './operands.ts';
import { readTsc } from './msr.ts';
import type { Handler } from './result.ts';

const TSC_AUX = at.msrAddress(msrSlot(MSR_TSC_AUX));
const MISC_ENABLE = at.msrAddress(msrSlot(MSR_IA32_MISC_ENABLE));

const CPUID_DELAY = BigInt(at.CPUID_NS - 1);

const setPair = (cpu: Cpu, value: bigint): void => {
  cpu.state.setReg(GPR.RAX, value & MASK32);
  cpu.state.setReg(GPR.RDX, value >> 32n);
};

export const cpuid: Handler = (cpu, insn) => {
  const { state } = cpu;
  const leaf = Number(state.reg(GPR.RAX) & MASK32);
  const subleaf = Number(state.reg(GPR.RCX) & MASK32);
  const { eax, ebx, ecx, edx } = cpu.model.cpuid(leaf, subleaf, {
    cr4: state.u64(at.CR4),
    apicEnabled: cpu.apic?.enabled,
    miscEnable: state.u64(MISC_ENABLE),
    xcr0: state.u64(at.XCR0),
  });
  state.setReg(GPR.RAX, BigInt(eax));
  state.setReg(GPR.RBX, BigInt(ebx));
  state.setReg(GPR.RCX, BigInt(ecx));
  state.setReg(GPR.RDX, BigInt(edx));
  cpu.charge(CPUID_DELAY);
  return next(cpu, insn);
};

/** CR4.TSD keeps the counter from levels 1 to 3. */
const tscDenied = (cpu: Cpu): Fault | undefined =>
  cpu.state.cpl !== 0 && cpu.state.u64(at.CR4) & CR4_TSD ? gp0('tsd') : undefined;

/** As in the engine's own RDTSC. */
const DELAY = BigInt(at.RDTSC_NS - 1);

export const rdtsc: Handler = (cpu, insn) => {
  const denied = tscDenied(cpu);
  if (denied) return denied;
  setPair(cpu, readTsc(cpu));
  cpu.charge(DELAY);
  return next(cpu, insn);
};

export const rdtscp: Handler = (cpu, insn) => {
  const denied = tscDenied(cpu);
  if (denied) return denied;
  setPair(cpu, readTsc(cpu));
  cpu.state.setReg(GPR.RCX, cpu.state.u64(TSC_AUX) & MASK32);
  cpu.charge(DELAY);
  return next(cpu, insn);
};

/** There are no performance counters, so every index is out of range. */
export const rdpmc: Handler = (cpu) => {
  if (cpu.state.cpl === 0 || cpu.state.u64(at.CR4) & CR4_PCE) cpu.unimplemented('rdpmc');
  return gp0('rdpmc-index');
};

export const rdpid: Handler = (cpu, insn) => {
  writeRegister(cpu.state, insn.op0Register, cpu.state.u64(TSC_AUX) & MASK32);
  return next(cpu, insn);
};

/** RDRAND and RDSEED always succeed: CF = 1, the other status flags 0. */
export const random: Handler = (cpu, insn: Instruction) => {
  writeRegister(cpu.state, insn.op0Register, cpu.random());
  cpu.state.rflags = (cpu.state.rflags & ~STATUS_FLAGS) | FLAGS.CF;
  return next(cpu, insn);
};
