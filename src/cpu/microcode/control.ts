// Control registers and EFER: the legality rules between their bits, and what a change entails (SDM 3A 2.5, 4.1, 9.8.5).

import type { ReasonId } from '../../x86/reasons.ts';
import { OpKind, Register } from 'iced-x86';
import {
  CR0_CD,
  CR0_EM,
  CR0_ET,
  CR0_MP,
  CR0_NW,
  CR0_PDPTE_LOADING,
  CR0_PE,
  CR0_PG,
  CR0_TS,
  CR0_WP,
  CR0_WRITABLE,
  CR3_NOFLUSH,
  CR3_PCID_MASK,
  CR4_FLUSHING,
  CR4_LA57,
  CR4_PAE,
  CR4_PCIDE,
  CR4_PDPTE_LOADING,
  CR4_UMIP,
  cr4Allowed,
  EFER_LMA,
  EFER_LME,
  EFER_NXE,
  eferAllowed,
} from '../../x86/control.ts';
import { ATTR_L, ATTR_S, TYPE } from '../../x86/descriptors.ts';
import type { Feature } from '../../x86/features.ts';
import { MISC_ENABLE_XD_DISABLE, MSR_IA32_MISC_ENABLE, msrSlot } from '../../x86/msr.ts';
import { PDPTE_PAE_RESERVED, PTE_P } from '../../x86/paging.ts';
import { physAddr } from '../../bits/address.ts';
import { type Cpu, type Fault, isFault } from '../state/cpu.ts';
import * as at from '../state/layout.ts';
import { SEG } from '../state/state.ts';
import { isLongActive, MASK32 } from './modes.ts';
import {
  gp0,
  next,
  readOperand,
  readRegister,
  registerBytes,
  supervisorOnly,
  ud,
  writeOperand,
  writeRegister,
} from './operands.ts';
import type { Handler, Microresult } from './result.ts';

const MISC_ENABLE = at.msrAddress(msrSlot(MSR_IA32_MISC_ENABLE));

type Features = ReadonlySet<Feature>;
const allowed = new WeakMap<Features, { cr4: bigint; efer: bigint }>();
const allowedBits = (features: Features): { cr4: bigint; efer: bigint } => {
  const known = allowed.get(features);
  if (known) return known;
  const bits = { cr4: cr4Allowed(features), efer: eferAllowed(features) };
  allowed.set(features, bits);
  return bits;
};

const physicalMask = (cpu: Cpu): bigint => (1n << BigInt(cpu.model.physicalBits)) - 1n;

/** The four PDPTEs that CR3 points at under PAE paging; #GP(0) if one has a reserved bit set (SDM 3A 4.4.1). */
const fetchPdptes = (cpu: Cpu, cr3: bigint): bigint[] | Fault => {
  const table = Number(cr3 & 0xffff_ffe0n);
  const reserved = PDPTE_PAE_RESERVED | (((1n << 64n) - 1n) ^ physicalMask(cpu));
  const entries = [0, 8, 16, 24].map((offset) => cpu.readPhysical(physAddr(table + offset), 8));
  return entries.some((entry) => entry & PTE_P && entry & reserved) ? gp0('pdpte-reserved-bit') : entries;
};

/** Is this combination PAE paging (32-bit, not IA-32e)? */
const isPaePaging = (cr0: bigint, cr4: bigint, efer: bigint): boolean =>
  (cr0 & CR0_PG) !== 0n && (cr4 & CR4_PAE) !== 0n && (efer & EFER_LMA) === 0n;

const storePdptes = (cpu: Cpu, entries: readonly bigint[]): void => {
  for (const [n, entry] of entries.entries()) cpu.state.setU64(at.PDPTE0 + 8 * n, entry);
};

/** Why PG may not go from 0 to 1 with IA-32e mode enabled (SDM 3A 11.8.5). */
const longModeDenied = (cpu: Cpu): ReasonId | undefined => {
  const { state } = cpu;
  if ((state.u64(at.CR4) & CR4_PAE) === 0n) return 'long-mode-without-pae';
  if (state.segment(SEG.CS).attributes & ATTR_L) return 'long-mode-from-64-bit-code';
  const tss = state.segment(SEG.TR).attributes & (ATTR_S | 15);
  return tss === TYPE.TSS16_AVAILABLE || tss === TYPE.TSS16_BUSY ? 'long-mode-with-16-bit-tss' : undefined;
};

/**
 * Writes CR0 with all its rules: PG needs PE, NW needs CD, IA-32e mode is entered and left with PG.
 * @param value all 64 bits; reserved ones below bit 32 are ignored, above it they are #GP(0)
 */
export const writeCr0 = (cpu: Cpu, value: bigint): Fault | undefined => {
  const { state } = cpu;
  if (value >> 32n) return gp0('cr0-upper-half');
  const old = state.u64(at.CR0);
  const cr0 = (value & CR0_WRITABLE) | CR0_ET;
  const cr4 = state.u64(at.CR4);
  const changed = old ^ cr0;
  if (cr0 & CR0_PG && !(cr0 & CR0_PE)) return gp0('cr0-pg-without-pe');
  if (cr0 & CR0_NW && !(cr0 & CR0_CD)) return gp0('cr0-nw-without-cd');
  let efer = state.u64(at.EFER);
  if (changed & CR0_PG) {
    if (cr0 & CR0_PG) {
      const denied = efer & EFER_LME ? longModeDenied(cpu) : undefined;
      if (denied) return gp0(denied);
      if (efer & EFER_LME) efer |= EFER_LMA;
    } else {
      if (state.mode64) return gp0('cr0-pg-cleared-in-64-bit-mode');
      if (cr4 & CR4_PCIDE) return gp0('cr0-pg-cleared-with-pcide');
      efer &= ~EFER_LMA;
    }
  }
  if (isPaePaging(cr0, cr4, efer) && changed & CR0_PDPTE_LOADING) {
    const entries = fetchPdptes(cpu, state.u64(at.CR3));
    if (isFault(entries)) return entries;
    storePdptes(cpu, entries);
  }
  state.setU64(at.CR0, cr0);
  state.setU64(at.EFER, efer);
  if (changed & (CR0_PG | CR0_PE | CR0_WP)) cpu.flushTlb(true);
  cpu.modeChanged();
  return undefined;
};

/** Writes CR3: reserved bits, PDPTEs, and drops the translations that are not global. */
export const writeCr3 = (cpu: Cpu, value: bigint): Fault | undefined => {
  const { state } = cpu;
  const cr4 = state.u64(at.CR4);
  // Keeping translations is allowed, not asked for: we drop them either way.
  const cr3 = cr4 & CR4_PCIDE ? value & ~CR3_NOFLUSH : value;
  if (cr3 & ~physicalMask(cpu)) return gp0('cr3-reserved-bit');
  if (isPaePaging(state.u64(at.CR0), cr4, state.u64(at.EFER))) {
    const entries = fetchPdptes(cpu, cr3);
    if (isFault(entries)) return entries;
    storePdptes(cpu, entries);
  }
  state.setU64(at.CR3, cr3);
  cpu.flushTlb(false);
  return undefined;
};

/** CR4 rules that depend on more than the features. */
const cr4Conflict = (cpu: Cpu, cr4: bigint, changed: bigint): ReasonId | undefined => {
  const { state } = cpu;
  const long = isLongActive(state);
  if (long && !(cr4 & CR4_PAE)) return 'cr4-pae-cleared-in-long-mode';
  if (long && changed & CR4_LA57) return 'cr4-la57-changed-in-long-mode';
  if (!(changed & cr4 & CR4_PCIDE)) return undefined;
  if (!long) return 'cr4-pcide-outside-long-mode';
  return state.u64(at.CR3) & CR3_PCID_MASK ? 'cr4-pcide-with-pcid' : undefined;
};

/** Writes CR4: bits without their feature, PAE and LA57 in IA-32e mode, PCIDE's conditions (SDM 2B MOV to CR). */
export const writeCr4 = (cpu: Cpu, cr4: bigint): Fault | undefined => {
  const { state } = cpu;
  const changed = state.u64(at.CR4) ^ cr4;
  if (cr4 & ~allowedBits(cpu.model.features).cr4) return gp0('cr4-reserved-bit');
  const conflict = cr4Conflict(cpu, cr4, changed);
  if (conflict) return gp0(conflict);
  if (isPaePaging(state.u64(at.CR0), cr4, state.u64(at.EFER)) && changed & CR4_PDPTE_LOADING) {
    const entries = fetchPdptes(cpu, state.u64(at.CR3));
    if (isFault(entries)) return entries;
    storePdptes(cpu, entries);
  }
  state.setU64(at.CR4, cr4);
  if (changed & CR4_FLUSHING) cpu.flushTlb(true);
  cpu.modeChanged();
  return undefined;
};

/** Writes EFER: reserved bits, and LME only with paging off; LMA is ignored (SDM 3A 2.2.1). */
export const writeEfer = (cpu: Cpu, value: bigint): Fault | undefined => {
  const { state } = cpu;
  const old = state.u64(at.EFER);
  if (value & ~allowedBits(cpu.model.features).efer) return gp0('efer-reserved-bit');
  if (value & EFER_NXE && state.u64(MISC_ENABLE) & MISC_ENABLE_XD_DISABLE) return gp0('efer-nxe-disabled');
  if ((old ^ value) & EFER_LME && state.u64(at.CR0) & CR0_PG) return gp0('efer-lme-with-paging');
  const efer = (value & ~EFER_LMA) | (old & EFER_LMA);
  state.setU64(at.EFER, efer);
  if ((old ^ efer) & EFER_NXE) cpu.flushTlb(true);
  cpu.modeChanged();
  return undefined;
};

/** Task priority class: the local APIC's, where there is one (SDM 3A 11.8.6), else a register without effect. */
const writeCr8 = (cpu: Cpu, value: bigint): Fault | undefined => {
  if (value & ~15n) return gp0('cr8-reserved-bit');
  if (cpu.apic) cpu.apic.taskPriority = Number(value) << 4;
  cpu.state.setU64(at.CR8, value);
  return undefined;
};

const writeCr2 = (cpu: Cpu, value: bigint): undefined => {
  cpu.state.setU64(at.CR2, value);
  return undefined;
};

type ControlRegister = { address: number; write: (cpu: Cpu, value: bigint) => Fault | undefined };
const CONTROL_REGISTERS = new Map<Register, ControlRegister>([
  [Register.CR0, { address: at.CR0, write: writeCr0 }],
  [Register.CR2, { address: at.CR2, write: writeCr2 }],
  [Register.CR3, { address: at.CR3, write: writeCr3 }],
  [Register.CR4, { address: at.CR4, write: writeCr4 }],
  [Register.CR8, { address: at.CR8, write: writeCr8 }],
]);

export const movToControl: Handler = (cpu, insn) => {
  const register = CONTROL_REGISTERS.get(insn.op0Register);
  if (register === undefined) return ud('undefined-opcode');
  const denied = supervisorOnly(cpu) ?? register.write(cpu, readRegister(cpu.state, insn.op1Register));
  return denied ?? next(cpu, insn);
};

export const movFromControl: Handler = (cpu, insn) => {
  const register = CONTROL_REGISTERS.get(insn.op1Register);
  if (register === undefined) return ud('undefined-opcode');
  const denied = supervisorOnly(cpu);
  if (denied) return denied;
  if (cpu.apic && register.address === at.CR8) cpu.state.setU64(at.CR8, BigInt(cpu.apic.taskPriority >> 4));
  writeRegister(cpu.state, insn.op0Register, cpu.state.u64(register.address));
  return next(cpu, insn);
};

export const clts: Handler = (cpu, insn) => {
  const denied = supervisorOnly(cpu);
  if (denied) return denied;
  cpu.state.setU64(at.CR0, cpu.state.u64(at.CR0) & ~CR0_TS);
  cpu.modeChanged();
  return next(cpu, insn);
};

/** Loads PE, MP, EM and TS; PE can be set by it and not cleared. */
export const lmsw: Handler = (cpu, insn) => {
  const denied = supervisorOnly(cpu);
  if (denied) return denied;
  const value = readOperand(cpu, insn, 0, 2);
  if (isFault(value)) return value;
  const old = cpu.state.u64(at.CR0);
  const bits = (value & (CR0_PE | CR0_MP | CR0_EM | CR0_TS)) | (old & CR0_PE);
  return writeCr0(cpu, (old & ~(CR0_PE | CR0_MP | CR0_EM | CR0_TS)) | bits) ?? next(cpu, insn);
};

/** #GP(0) for SGDT, SIDT, SLDT, SMSW and STR under CR4.UMIP outside level 0. */
export const umipDenies = (cpu: Cpu): Fault | undefined =>
  cpu.state.cpl !== 0 && cpu.state.u64(at.CR4) & CR4_UMIP ? gp0('umip') : undefined;

/** A memory operand takes 16 bits, a register as many as it has. */
export const smsw: Handler = (cpu, insn): Fault | Microresult => {
  const denied = umipDenies(cpu);
  if (denied) return denied;
  const wide = insn.op0Kind === OpKind.Register && registerBytes(insn.op0Register) !== 2;
  const value = cpu.state.u64(at.CR0) & (wide ? MASK32 : 0xffffn);
  return writeOperand(cpu, insn, 0, 2, value) ?? next(cpu, insn);
};
