// Model-specific registers (SDM 4, table 2-2): which exist, where their value lives and what may be written to them.
// An MSR that is in neither table here is unknown to us, which the microcode says aloud before it raises #GP.

import type { Feature } from './features.ts';

/** Index of a plain 8-byte cell in the processor's state block, 0 to 239. */
export type MsrSlot = number;

export const MSR_IA32_TSC = 0x10;
export const MSR_IA32_APIC_BASE = 0x1b;
export const MSR_IA32_TSC_ADJUST = 0x3b;
const MSR_IA32_BIOS_UPDT_TRIG = 0x79;
export const MSR_IA32_SYSENTER_CS = 0x174;
export const MSR_IA32_SYSENTER_ESP = 0x175;
export const MSR_IA32_SYSENTER_EIP = 0x176;
export const MSR_IA32_MISC_ENABLE = 0x1a0;
export const MSR_IA32_DEBUGCTL = 0x1d9;
export const MSR_IA32_PAT = 0x277;
export const MSR_IA32_MTRR_DEF_TYPE = 0x2ff;
export const MSR_IA32_TSC_DEADLINE = 0x6e0;
/** x2APIC registers: MMIO offset / 16 above it. */
export const MSR_X2APIC = 0x800;
export const MSR_EFER = 0xc000_0080;
export const MSR_STAR = 0xc000_0081;
export const MSR_LSTAR = 0xc000_0082;
const MSR_CSTAR = 0xc000_0083;
export const MSR_FMASK = 0xc000_0084;
export const MSR_FS_BASE = 0xc000_0100;
export const MSR_GS_BASE = 0xc000_0101;
export const MSR_KERNEL_GS_BASE = 0xc000_0102;
export const MSR_TSC_AUX = 0xc000_0103;

/** IA32_MISC_ENABLE (SDM 4 table 2-2): CPUID tells of no basic leaf above 2. */
export const MISC_ENABLE_LIMIT_CPUID = 1n << 22n;
/** IA32_MISC_ENABLE: execute-disable is not there, for CPUID, EFER and paging. */
export const MISC_ENABLE_XD_DISABLE = 1n << 34n;
/** Those two, fast strings, and what switches on thermal control (3), SpeedStep (16), MONITOR (18), xTPR messages (23). */
const MISC_ENABLE_WRITABLE =
  [0, 3, 16, 18, 23].reduce((bits, bit) => bits | (1n << BigInt(bit)), 0n) |
  MISC_ENABLE_LIMIT_CPUID |
  MISC_ENABLE_XD_DISABLE;

/** What a write is checked for beyond reserved bits; failing is #GP(0). */
export type MsrCheck = 'canonical' | 'memory types';

export type Msr = {
  readonly number: number;
  readonly name: string;
  /** Where plain storage lives; absent for MSRs whose value is kept elsewhere or is constant. */
  readonly slot?: MsrSlot;
  /** Value after RESET, or for ever where nothing is writable. */
  readonly reset: bigint;
  /** Bits that WRMSR may change; a write that would change another one is #GP(0). Undefined: WRMSR is always #GP(0). */
  readonly writable?: bigint;
  readonly check?: MsrCheck;
  /** There only on processors with this feature. */
  readonly feature?: Feature;
};

const ALL = (1n << 64n) - 1n;
const LOW32 = 0xffff_ffffn;
/** Address bits 12..39: MAXPHYADDR is 40 (models.ts). */
const PAGE_OF_40_BITS = 0xff_ffff_f000n;

/**
 * Machine-check banks. Nothing here can fail, so there is no unit with errors to report; with banks, software could find out that
 * theirs do not record any.
 */
const MCA_BANKS = 0;

type Row = Omit<Msr, 'slot'>;
const row = (number: number, name: string, rest: Partial<Row> = {}): Row => ({ number, name, reset: 0n, ...rest });

/** Kept in the MSR slots of the state block, in this order. New rows go to the end: the slots are part of saved states. */
const STORED: readonly Row[] = [
  row(MSR_IA32_TSC_ADJUST, 'IA32_TSC_ADJUST', { writable: ALL, feature: 'TSC_ADJUST' }),
  row(MSR_IA32_SYSENTER_CS, 'IA32_SYSENTER_CS', { writable: LOW32, feature: 'SEP' }),
  row(MSR_IA32_SYSENTER_ESP, 'IA32_SYSENTER_ESP', { writable: ALL, check: 'canonical', feature: 'SEP' }),
  row(MSR_IA32_SYSENTER_EIP, 'IA32_SYSENTER_EIP', { writable: ALL, check: 'canonical', feature: 'SEP' }),
  row(MSR_STAR, 'IA32_STAR', { writable: ALL, feature: 'SYSCALL' }),
  row(MSR_LSTAR, 'IA32_LSTAR', { writable: ALL, check: 'canonical', feature: 'SYSCALL' }),
  row(MSR_CSTAR, 'IA32_CSTAR', { writable: ALL, check: 'canonical', feature: 'SYSCALL' }),
  row(MSR_FMASK, 'IA32_FMASK', { writable: LOW32, feature: 'SYSCALL' }),
  row(MSR_KERNEL_GS_BASE, 'IA32_KERNEL_GS_BASE', { writable: ALL, check: 'canonical', feature: 'LM' }),
  // Not gated by RDTSCP: RDPID and the MSR come with either.
  row(MSR_TSC_AUX, 'IA32_TSC_AUX', { writable: LOW32, feature: 'RDTSCP' }),
  row(MSR_IA32_PAT, 'IA32_PAT', {
    reset: 0x0007_0406_0007_0406n,
    writable: ALL,
    check: 'memory types',
    feature: 'PAT',
  }),
  // Fast strings on, BTS and PEBS not available.
  row(MSR_IA32_MISC_ENABLE, 'IA32_MISC_ENABLE', { reset: 0x1801n, writable: MISC_ENABLE_WRITABLE }),
  // Microcode revision: software writes 0, runs CPUID, and reads what the processor left in bits 32-63. We have none.
  row(0x8b, 'IA32_BIOS_SIGN_ID', { writable: ALL }),
  // Single-step on branches (BTF); there are no branch records.
  row(MSR_IA32_DEBUGCTL, 'IA32_DEBUGCTL', { writable: 2n }),
  row(MSR_IA32_MTRR_DEF_TYPE, 'IA32_MTRR_DEF_TYPE', { writable: 0xcffn, feature: 'MTRR' }),
  ...Array.from({ length: 8 }, (_, n) => [
    row(0x200 + 2 * n, `IA32_MTRR_PHYSBASE${n}`, { writable: PAGE_OF_40_BITS | 0xffn, feature: 'MTRR' }),
    row(0x201 + 2 * n, `IA32_MTRR_PHYSMASK${n}`, { writable: PAGE_OF_40_BITS | 0x800n, feature: 'MTRR' }),
  ]).flat(),
  ...[
    [0x250, '64K_00000'],
    [0x258, '16K_80000'],
    [0x259, '16K_A0000'],
    ...Array.from({ length: 8 }, (_, n) => [0x268 + n, `4K_${(0xc0000 + n * 0x8000).toString(16).toUpperCase()}`]),
  ].map(([number, name]) =>
    row(number as number, `IA32_MTRR_FIX${name}`, { writable: ALL, check: 'memory types', feature: 'MTRR' }),
  ),
  // Machine checks (SDM 3B 17.3): RIPV, EIPV and MCIP; a control register a bank. Nothing ever goes wrong here.
  row(0x17a, 'IA32_MCG_STATUS', { writable: 7n, feature: 'MCA' }),
  row(0x17b, 'IA32_MCG_CTL', { writable: ALL, feature: 'MCA' }),
  ...Array.from({ length: MCA_BANKS }, (_, n) =>
    row(0x400 + 4 * n, `IA32_MC${n}_CTL`, { writable: ALL, feature: 'MCA' }),
  ),
];

/** Kept elsewhere in the state, computed, or constant. `writable` undefined: read-only. */
const OTHER: readonly Row[] = [
  row(MSR_IA32_TSC, 'IA32_TIME_STAMP_COUNTER', { writable: ALL, feature: 'TSC' }),
  row(0x17, 'IA32_PLATFORM_ID'),
  // Bootstrap processor, local APIC disabled at its usual address: of a processor without one. Else it is the chip's.
  row(MSR_IA32_APIC_BASE, 'IA32_APIC_BASE', { reset: 0xfee0_0100n, writable: 0n }),
  // Microcode updates are taken and do nothing.
  row(MSR_IA32_BIOS_UPDT_TRIG, 'IA32_BIOS_UPDT_TRIG', { writable: ALL }),
  // So many banks, and IA32_MCG_CTL.
  row(0x179, 'IA32_MCG_CAP', { reset: BigInt(MCA_BANKS) | 0x100n, feature: 'MCA' }),
  // No error is ever in them, and software may only clear them (SDM 3B 17.3.2.2 to 17.3.2.4).
  ...Array.from({ length: MCA_BANKS }, (_, n) =>
    ['STATUS', 'ADDR', 'MISC'].map((name, i) =>
      row(0x401 + 4 * n + i, `IA32_MC${n}_${name}`, { writable: 0n, feature: 'MCA' }),
    ),
  ).flat(),
  // Eight variable ranges, fixed ranges, write combining.
  row(0xfe, 'IA32_MTRRCAP', { reset: 0x508n, feature: 'MTRR' }),
  // Nothing is speculated here, so none of these leaks exist: RDCL_NO, SKIP_L1DFL_VMENTRY, SSB_NO, MDS_NO,
  // PSCHANGE_MC_NO, TAA_NO, SBDR_SSDP_NO, FBSDP_NO, PSDP_NO, BHI_NO, PBRSB_NO, GDS_NO, RFDS_NO, ITS_NO.
  row(0x10a, 'IA32_ARCH_CAPABILITIES', {
    reset: [0, 3, 4, 5, 6, 8, 13, 14, 15, 20, 24, 26, 27, 62].reduce((bits, bit) => bits | (1n << BigInt(bit)), 0n),
    feature: 'ARCH_CAPABILITIES',
  }),
  // XSAVES has no state component of its own here (CPUID leaf 0xD, subleaf 1).
  row(0xda0, 'IA32_XSS', { writable: 0n, feature: 'XSAVES' }),
  row(MSR_EFER, 'IA32_EFER', { writable: ALL, feature: 'SYSCALL' }),
  row(MSR_FS_BASE, 'IA32_FS_BASE', { writable: ALL, check: 'canonical', feature: 'LM' }),
  row(MSR_GS_BASE, 'IA32_GS_BASE', { writable: ALL, check: 'canonical', feature: 'LM' }),
];

/** Every MSR there is on some model. */
export const MSR_TABLE: readonly Msr[] = [...STORED.map((entry, slot): Msr => ({ ...entry, slot })), ...OTHER];

const BY_NUMBER = new Map(MSR_TABLE.map((msr) => [msr.number, msr]));
const BY_NAME = new Map(MSR_TABLE.map((msr) => [msr.name, msr]));

export const findMsr = (number: number): Msr | undefined => BY_NUMBER.get(number);

/** Slot of a stored MSR by its number; asking for another one is a mistake of ours. */
export const msrSlot = (number: number): MsrSlot => {
  const slot = BY_NUMBER.get(number)?.slot;
  if (slot === undefined) throw new RangeError(`MSR 0x${number.toString(16)} has no slot`);
  return slot;
};

/** Is it one that the local APIC keeps, where there is one? */
export const isApicMsr = (number: number): boolean =>
  number === MSR_IA32_APIC_BASE ||
  number === MSR_IA32_TSC_DEADLINE ||
  (number >= MSR_X2APIC && number <= MSR_X2APIC + 0xff);

export const msrByName = (name: string): Msr | undefined => BY_NAME.get(name);

/**
 * MSRs that kernels probe and that rightly do not exist on any model here, as CPUID says: #GP, and no word about it.
 * [first, last, what]
 */
const ABSENT: readonly (readonly [number, number, string])[] = [
  [0x33, 0x33, 'TEST_CTRL'],
  [0x34, 0x34, 'SMI_COUNT'],
  [0x35, 0x35, 'CORE_THREAD_COUNT'],
  [0x3a, 0x3a, 'IA32_FEATURE_CONTROL'],
  [0x48, 0x4b, 'IA32_SPEC_CTRL, IA32_PRED_CMD'],
  [0x4e, 0x4f, 'PPIN'],
  [0xc1, 0xc8, 'IA32_PMC'],
  [0xce, 0xcf, 'PLATFORM_INFO, IA32_CORE_CAPABILITIES'],
  [0xe1, 0xe1, 'IA32_UMWAIT_CONTROL'],
  [0xe7, 0xe8, 'IA32_MPERF, IA32_APERF'],
  [0x10b, 0x10b, 'IA32_FLUSH_CMD'],
  [0x122, 0x123, 'IA32_TSX_CTRL, IA32_MCU_OPT_CTRL'],
  [0x140, 0x140, 'MISC_FEATURES_ENABLES'],
  [0x186, 0x18d, 'IA32_PERFEVTSEL'],
  [0x198, 0x199, 'IA32_PERF_STATUS, IA32_PERF_CTL'],
  [0x19a, 0x19c, 'thermal monitor'],
  [0x1a2, 0x1a4, 'TEMPERATURE_TARGET, prefetch control'],
  [0x1aa, 0x1ad, 'turbo'],
  [0x1b0, 0x1b2, 'IA32_ENERGY_PERF_BIAS, package thermal'],
  [0x280, 0x29f, 'IA32_MC_CTL2'],
  [0x345, 0x345, 'IA32_PERF_CAPABILITIES'],
  [0x38d, 0x390, 'fixed counters'],
  [0x400 + 4 * MCA_BANKS, 0x47f, 'IA32_MC'],
  [0x480, 0x492, 'IA32_VMX'],
  [0x606, 0x65f, 'RAPL'],
  [0x6a0, 0x6a8, 'CET'],
  [MSR_IA32_TSC_DEADLINE, MSR_IA32_TSC_DEADLINE, 'IA32_TSC_DEADLINE'],
  [0x770, 0x777, 'HWP'],
  [MSR_X2APIC, MSR_X2APIC + 0xff, 'x2APIC'],
  [0x4000_0000, 0x4000_01ff, 'Hyper-V'],
  [0x4b56_4d00, 0x4b56_4dff, 'KVM'],
  [0xc000_00e7, 0xc000_0104, 'AMD'],
  [0xc001_0000, 0xc001_1fff, 'AMD'],
];

/** Name of the family of MSRs that rightly do not exist here, or undefined: then the number is unknown to us. */
export const absentMsr = (number: number): string | undefined =>
  ABSENT.find(([first, last]) => number >= first && number <= last)?.[2];

/** Memory types a PAT or MTRR byte may name (SDM 3A table 12-10); 7 (UC-) only in the PAT. */
const MTRR_TYPES = new Set([0, 1, 4, 5, 6]);
export const validMemoryTypes = (msr: Msr, value: bigint): boolean => {
  for (let shift = 0n; shift < 64n; shift += 8n) {
    const type = Number((value >> shift) & 0xffn);
    if (!MTRR_TYPES.has(type) && !(type === 7 && msr.number === MSR_IA32_PAT)) return false;
  }
  return true;
};
