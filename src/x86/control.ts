// Control registers and EFER: bit names, and which bits may be set at all (SDM 3A 2.5). The rules between bits
// (PG needs PE, and so on) are in cpu/microcode/control.ts.

import type { Feature } from './features.ts';

export const CR0_PE = 1n << 0n;
export const CR0_MP = 1n << 1n;
export const CR0_EM = 1n << 2n;
export const CR0_TS = 1n << 3n;
export const CR0_ET = 1n << 4n;
export const CR0_NE = 1n << 5n;
export const CR0_WP = 1n << 16n;
export const CR0_AM = 1n << 18n;
export const CR0_NW = 1n << 29n;
export const CR0_CD = 1n << 30n;
export const CR0_PG = 1n << 31n;
/** Reserved bits below bit 32 ignore what is written to them; ET is fixed at one. */
export const CR0_WRITABLE = CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG;

export const CR3_PWT = 1n << 3n;
export const CR3_PCD = 1n << 4n;
/** With CR4.PCIDE: keep the translations of the PCID being loaded. Never stored. */
export const CR3_NOFLUSH = 1n << 63n;
export const CR3_PCID_MASK = 0xfffn;

export const CR4_VME = 1n << 0n;
export const CR4_PVI = 1n << 1n;
export const CR4_TSD = 1n << 2n;
export const CR4_DE = 1n << 3n;
export const CR4_PSE = 1n << 4n;
export const CR4_PAE = 1n << 5n;
export const CR4_MCE = 1n << 6n;
export const CR4_PGE = 1n << 7n;
export const CR4_PCE = 1n << 8n;
export const CR4_OSFXSR = 1n << 9n;
export const CR4_OSXMMEXCPT = 1n << 10n;
export const CR4_UMIP = 1n << 11n;
export const CR4_LA57 = 1n << 12n;
export const CR4_VMXE = 1n << 13n;
export const CR4_SMXE = 1n << 14n;
export const CR4_FSGSBASE = 1n << 16n;
export const CR4_PCIDE = 1n << 17n;
export const CR4_OSXSAVE = 1n << 18n;
export const CR4_SMEP = 1n << 20n;
export const CR4_SMAP = 1n << 21n;
export const CR4_PKE = 1n << 22n;
export const CR4_CET = 1n << 23n;

/** Bits whose change drops every translation, the global ones too (SDM 3A 4.10.4.1). */
export const CR4_FLUSHING = CR4_PSE | CR4_PAE | CR4_PGE | CR4_LA57 | CR4_PCIDE | CR4_SMEP | CR4_SMAP | CR4_PKE;
/** A change of these reloads the PDPTEs under PAE paging (SDM 3A 4.4.1). */
export const CR0_PDPTE_LOADING = CR0_PG | CR0_CD | CR0_NW;
export const CR4_PDPTE_LOADING = CR4_PAE | CR4_PGE | CR4_PSE | CR4_SMEP;

/** A CR4 bit is reserved unless its feature is there. */
const CR4_BY_FEATURE: readonly (readonly [bigint, Feature])[] = [
  [CR4_VME | CR4_PVI, 'VME'],
  [CR4_TSD, 'TSC'],
  [CR4_DE, 'DE'],
  [CR4_PSE, 'PSE'],
  [CR4_PAE, 'PAE'],
  [CR4_MCE, 'MCE'],
  [CR4_PGE, 'PGE'],
  [CR4_OSFXSR, 'FXSR'],
  [CR4_OSXMMEXCPT, 'SSE'],
  [CR4_UMIP, 'UMIP'],
  [CR4_LA57, 'LA57'],
  [CR4_FSGSBASE, 'FSGSBASE'],
  [CR4_PCIDE, 'PCID'],
  [CR4_OSXSAVE, 'XSAVE'],
  [CR4_SMEP, 'SMEP'],
  [CR4_SMAP, 'SMAP'],
  [CR4_PKE, 'PKU'],
];

/** CR4 bits that can be set on a processor with these features; setting any other is #GP(0). */
export const cr4Allowed = (features: ReadonlySet<Feature>): bigint =>
  // PCE has no CPUID bit: every processor with RDPMC has it.
  CR4_BY_FEATURE.reduce((mask, [bits, feature]) => (features.has(feature) ? mask | bits : mask), CR4_PCE);

export const EFER_SCE = 1n << 0n;
export const EFER_LME = 1n << 8n;
export const EFER_LMA = 1n << 10n;
export const EFER_NXE = 1n << 11n;

/** EFER bits that WRMSR may set; LMA is read-only and what is written to it is ignored. */
export const eferAllowed = (features: ReadonlySet<Feature>): bigint =>
  (features.has('SYSCALL') ? EFER_SCE : 0n) |
  (features.has('LM') ? EFER_LME | EFER_LMA : 0n) |
  (features.has('NX') ? EFER_NXE : 0n);

// Debug registers (SDM 3B 17.2).
export const DR6_FIXED_ONES = 0xffff_0ff0n;
/** B0-B3, BD, BS, BT. */
export const DR6_WRITABLE = 0xe00fn;
/** B0 to B3. */
export const DR6_BREAKPOINTS = 0xfn;
export const DR6_BD = 1n << 13n;
export const DR6_BS = 1n << 14n;
export const DR6_BT = 1n << 15n;
export const DR7_FIXED_ONES = 0x400n;
/** Everything but the fixed bits 10 (one), 11, 12, 14 and 15 (zero). */
export const DR7_WRITABLE = 0xffff_23ffn;
export const DR7_GD = 1n << 13n;
/** IA32_DEBUGCTL: RFLAGS.TF traps behind branches only; any #DB clears it (SDM 3B 18.4.3). */
export const DEBUGCTL_BTF = 2n;
/** L0 G0 .. L3 G3. */
export const DR7_ENABLES = 0xffn;
