// Which mode the processor is in, and what follows for addresses.

import { CR0_PE, EFER_LMA } from '../../x86/control.ts';
import { FLAGS, IOPL_SHIFT } from '../../x86/flags.ts';
import type { Cpu } from '../state/cpu.ts';
import * as at from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';

export const isProtected = (state: CpuState): boolean => (state.u64(at.CR0) & CR0_PE) !== 0n;
/** IA-32e mode: 64-bit or compatibility. */
export const isLongActive = (state: CpuState): boolean => (state.u64(at.EFER) & EFER_LMA) !== 0n;
export const isVm86 = (state: CpuState): boolean => (state.u32(at.FLAGS_REST) & FLAGS.VM) !== 0;
export const iopl = (state: CpuState): number => (state.u32(at.FLAGS_REST) & FLAGS.IOPL) >> IOPL_SHIFT;

export const MASK16 = 0xffffn;
export const MASK32 = 0xffff_ffffn;
export const MASK64 = (1n << 64n) - 1n;

/** True where all bits from `bits`-1 up are equal. */
const isCanonicalFor = (address: bigint, bits: number): boolean => {
  // In the upper half, as a number: this is asked of every slot of every interrupt frame.
  const upper = Number(BigInt.asUintN(64, address) >> 32n);
  const top = upper >>> (bits - 33);
  return top === 0 || top === 0xffff_ffff >>> (bits - 33);
};

/** Canonical in the paging mode in force: 57 bits with CR4.LA57, else 48. */
export const isCanonical = (state: CpuState, address: bigint): boolean =>
  isCanonicalFor(address, 64 - state.u32(at.CANONICAL_SHIFT));

/**
 * Canonical for a base address held in an MSR or descriptor-table register: these are checked against the widest
 * linear address the processor supports, not the mode in force (SDM 3A 4.5.2).
 */
export const isCanonicalBase = (cpu: Cpu, address: bigint): boolean => isCanonicalFor(address, cpu.model.linearBits);

/**
 * Instruction pointer bits. In 16-bit code too it has 32: what runs on past 0xffff does not wrap (recorded from a
 * processor), it meets the segment's limit.
 */
export const codeMask = (state: CpuState): bigint => (state.mode64 ? MASK64 : MASK32);

/** Linear addresses are 32 bits wide outside IA-32e mode. */
export const linearMask = (state: CpuState): bigint => (isLongActive(state) ? MASK64 : MASK32);
