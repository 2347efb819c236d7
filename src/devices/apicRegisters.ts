// The registers of a local APIC (SDM 3A 11.4.1, table 11-1; x2APIC: table 11-6) and the bits in them. Facts only.

/** Registers: MMIO offset / 16, and x2APIC MSR less 0x800. */
export const REG = {
  id: 0x02,
  version: 0x03,
  tpr: 0x08,
  ppr: 0x0a,
  eoi: 0x0b,
  ldr: 0x0d,
  dfr: 0x0e,
  svr: 0x0f,
  isr: 0x10,
  tmr: 0x18,
  irr: 0x20,
  esr: 0x28,
  icrLow: 0x30,
  icrHigh: 0x31,
  lvtTimer: 0x32,
  lvtThermal: 0x33,
  lvtPerf: 0x34,
  lvtLint0: 0x35,
  lvtLint1: 0x36,
  lvtError: 0x37,
  initialCount: 0x38,
  currentCount: 0x39,
  divide: 0x3e,
  selfIpi: 0x3f,
} as const;

/** Integrated APIC, six LVT entries. */
export const VERSION = 0x0005_0014;

/** LVT entries from REG.lvtTimer on: bits that software may write (figure 11-8). */
export const LVT_WRITABLE = [0x7_00ff, 0x1_07ff, 0x1_07ff, 0x1_a7ff, 0x1_a7ff, 0x1_00ff] as const;
export const LVT_MASKED = 0x1_0000;
export const TIMER = 0;
export const LINT0 = 3;
export const LINT1 = 4;
export const ERROR = 5;

export const SVR_ENABLE = 0x100;
export const SVR_WRITABLE = 0x3ff;
export const ESR_SEND_ILLEGAL = 0x20;
export const ESR_RECEIVE_ILLEGAL = 0x40;
export const ESR_ILLEGAL_REGISTER = 0x80;
export const LOWEST_VECTOR = 16;

/** Delivery modes of messages, ICR, LVT and redirection entries. */
export const DELIVERY = { fixed: 0, lowest: 1, smi: 2, nmi: 4, init: 5, startUp: 6, extInt: 7 } as const;

export const ICR_LOGICAL = 0x800;
export const ICR_ASSERT = 0x4000;
export const ICR_WRITABLE = 0xc_cfff;
export const SHORTHAND = { none: 0, self: 1, all: 2, others: 3 } as const;

export const BASE_BSP = 0x100n;
export const BASE_EXTD = 0x400n;
export const BASE_ENABLE = 0x800n;
export const BASE_ADDRESS = 0xff_ffff_f000n;
export const APIC_BASE_DEFAULT = 0xfee0_0000;

/** x2APIC: what can be read and written (table 11-6), beside ISR, TMR and IRR, which are read-only. */
export const X2_READABLE: ReadonlySet<number> = new Set([
  ...[REG.id, REG.version, REG.tpr, REG.ppr, REG.ldr, REG.svr, REG.esr, REG.icrLow, REG.initialCount],
  ...[REG.lvtTimer, REG.lvtThermal, REG.lvtPerf, REG.lvtLint0, REG.lvtLint1, REG.lvtError],
  ...[REG.currentCount, REG.divide],
]);
export const X2_RESERVED = new Map<number, bigint>(
  (
    [
      [REG.tpr, 0xffn],
      [REG.eoi, 0n],
      [REG.svr, BigInt(SVR_WRITABLE)],
      [REG.esr, 0n],
      [REG.icrLow, 0xffff_ffff_0000_0000n | BigInt(ICR_WRITABLE)],
      ...LVT_WRITABLE.map((mask, n) => [REG.lvtTimer + n, BigInt(mask | 0x5000)] as const),
      [REG.initialCount, 0xffff_ffffn],
      [REG.divide, 0xbn],
      [REG.selfIpi, 0xffn],
    ] as const
  ).map(([register, allowed]) => [register, ~allowed]),
);

/** A message on the interrupt bus. */
export type ApicMessage = {
  readonly vector: number;
  /** One of DELIVERY. */
  readonly mode: number;
  readonly destination: number;
  readonly logical: boolean;
  readonly level: boolean;
};
