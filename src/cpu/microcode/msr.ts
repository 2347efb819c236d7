// RDMSR and WRMSR over the table of x86/msr.ts.

import {
  absentMsr,
  findMsr,
  isApicMsr,
  type Msr,
  MSR_EFER,
  MSR_FS_BASE,
  MSR_GS_BASE,
  MISC_ENABLE_XD_DISABLE,
  MSR_IA32_MISC_ENABLE,
  MSR_IA32_MTRR_DEF_TYPE,
  MSR_IA32_TSC,
  MSR_IA32_TSC_ADJUST,
  msrSlot,
  validMemoryTypes,
} from '../../x86/msr.ts';
import { EFER_NXE } from '../../x86/control.ts';
import { GPR } from '../../x86/registers.ts';
import type { Cpu, Fault } from '../state/cpu.ts';
import * as at from '../state/layout.ts';
import { SEG, type SegmentIndex } from '../state/state.ts';
import { writeEfer } from './control.ts';
import { isCanonicalBase, MASK32 } from './modes.ts';
import { gp0, next, supervisorOnly } from './operands.ts';
import type { Handler } from './result.ts';

const TSC_ADJUST = at.msrAddress(msrSlot(MSR_IA32_TSC_ADJUST));

/** The time stamp counter as RDTSC gives it. */
export const readTsc = (cpu: Cpu): bigint => BigInt.asUintN(64, cpu.timestamp() + cpu.state.u64(TSC_ADJUST));

type Kept = { read(cpu: Cpu): bigint; write(cpu: Cpu, value: bigint): Fault | undefined };

const MISC_ENABLE = at.msrAddress(msrSlot(MSR_IA32_MISC_ENABLE));

/** Without execute-disable EFER.NXE is 0, whatever it was. */
const writeMiscEnable = (cpu: Cpu, value: bigint): undefined => {
  const { state } = cpu;
  state.setU64(MISC_ENABLE, value);
  const efer = state.u64(at.EFER);
  if (!(value & MISC_ENABLE_XD_DISABLE && efer & EFER_NXE)) return;
  state.setU64(at.EFER, efer & ~EFER_NXE);
  cpu.flushTlb(true);
  cpu.modeChanged();
};

const segmentBase = (index: SegmentIndex): Kept => ({
  read: (cpu) => cpu.state.segment(index).base,
  write(cpu, value) {
    cpu.state.setU64(at.segmentAddress(index) + at.SEG_BASE, value);
    return undefined;
  },
});

/** MSRs whose value is kept outside the slots. */
const KEPT_ELSEWHERE = new Map<number, Kept>([
  [MSR_EFER, { read: (cpu) => cpu.state.u64(at.EFER), write: writeEfer }],
  [MSR_IA32_MISC_ENABLE, { read: (cpu) => cpu.state.u64(MISC_ENABLE), write: writeMiscEnable }],
  [MSR_FS_BASE, segmentBase(SEG.FS)],
  [MSR_GS_BASE, segmentBase(SEG.GS)],
  [
    MSR_IA32_TSC,
    {
      read: readTsc,
      // A write moves IA32_TSC_ADJUST by as much (SDM 3B 17.17.3).
      write(cpu, value) {
        cpu.state.setU64(TSC_ADJUST, value - cpu.timestamp());
        return undefined;
      },
    },
  ],
]);

/** The MSR if this processor has it; one that neither table knows is reported. */
const lookUp = (cpu: Cpu, number: number, verb: string): Msr | undefined => {
  const msr = findMsr(number);
  if (msr !== undefined) return msr.feature === undefined || cpu.model.features.has(msr.feature) ? msr : undefined;
  if (absentMsr(number) === undefined) cpu.unimplemented(`${verb} 0x${number.toString(16)}`);
  return undefined;
};

const valueOf = (cpu: Cpu, msr: Msr): bigint => {
  const kept = KEPT_ELSEWHERE.get(msr.number);
  if (kept) return kept.read(cpu);
  return msr.slot === undefined ? msr.reset : cpu.state.u64(at.msrAddress(msr.slot));
};

/** @returns the value, or #GP(0) where there is no such MSR */
export const readMsr = (cpu: Cpu, number: number): bigint | Fault => {
  if (cpu.apic && isApicMsr(number)) return cpu.apic.readMsr(number) ?? gp0('apic-msr');
  const msr = lookUp(cpu, number, 'rdmsr');
  return msr === undefined ? gp0('no-such-msr') : valueOf(cpu, msr);
};

const MTRR_ONE_TYPE: ReadonlySet<number> = new Set([
  MSR_IA32_MTRR_DEF_TYPE,
  ...Array.from({ length: 8 }, (_, n) => 0x200 + 2 * n),
]);

const refuses = (cpu: Cpu, msr: Msr, value: bigint): boolean => {
  if (msr.writable === undefined) return true;
  if ((value ^ valueOf(cpu, msr)) & ~msr.writable) return true;
  if (msr.check === 'canonical') return !isCanonicalBase(cpu, value);
  // Base and default-type registers of the MTRRs name one type, in their low byte (SDM 3A 12.11.2).
  if (MTRR_ONE_TYPE.has(msr.number)) return !validMemoryTypes(msr, value & 0xffn);
  return msr.check === 'memory types' && !validMemoryTypes(msr, value);
};

/** @returns #GP(0) where there is no such MSR or it does not take this value */
export const writeMsr = (cpu: Cpu, number: number, value: bigint): Fault | undefined => {
  if (cpu.apic && isApicMsr(number)) return cpu.apic.writeMsr(number, value) ? undefined : gp0('apic-msr');
  const msr = lookUp(cpu, number, 'wrmsr');
  if (msr === undefined) return gp0('no-such-msr');
  if (refuses(cpu, msr, value)) return gp0('msr-value-refused');
  const kept = KEPT_ELSEWHERE.get(number);
  if (kept) return kept.write(cpu, value);
  if (msr.slot !== undefined) cpu.state.setU64(at.msrAddress(msr.slot), value);
  return undefined;
};

const DELAY = BigInt(at.MSR_NS - 1);

const number = (cpu: Cpu): number => Number(cpu.state.reg(GPR.RCX) & MASK32);

export const rdmsr: Handler = (cpu, insn) => {
  const denied = supervisorOnly(cpu);
  if (denied) return denied;
  const value = readMsr(cpu, number(cpu));
  if (typeof value !== 'bigint') return value;
  cpu.state.setReg(GPR.RAX, value & MASK32);
  cpu.state.setReg(GPR.RDX, value >> 32n);
  cpu.charge(DELAY);
  return next(cpu, insn);
};

export const wrmsr: Handler = (cpu, insn) => {
  const { state } = cpu;
  const value = ((state.reg(GPR.RDX) & MASK32) << 32n) | (state.reg(GPR.RAX) & MASK32);
  const refused = supervisorOnly(cpu) ?? writeMsr(cpu, number(cpu), value);
  if (refused) return refused;
  cpu.charge(DELAY);
  return next(cpu, insn);
};
