// Segment descriptors, gates and task-state segments as laid out in memory (SDM 3A 3.4.5, 5.8, 6.11, 6.14, 7.2).

/** Attributes: descriptor bits 40..55 shifted down, the form the state block keeps (limit bits 8-11 are zero in it). */
export const ATTR_ACCESSED = 1;
/** Writable for data, readable for code. */
export const ATTR_RW = 2;
/** Expand-down for data, conforming for code. */
export const ATTR_DC = 4;
export const ATTR_CODE = 8;
/** Code or data, not a system segment. */
export const ATTR_S = 0x10;
export const ATTR_DPL = 0x60;
export const ATTR_DPL_SHIFT = 5;
export const ATTR_P = 0x80;
export const ATTR_L = 0x2000;
export const ATTR_DB = 0x4000;
export const ATTR_G = 0x8000;
const ATTR_MASK = 0xf0ff;

/** System-segment and gate types (SDM 3A table 3-2). */
export const TYPE = {
  TSS16_AVAILABLE: 1,
  LDT: 2,
  TSS16_BUSY: 3,
  CALL_GATE16: 4,
  TASK_GATE: 5,
  INTERRUPT_GATE16: 6,
  TRAP_GATE16: 7,
  TSS32_AVAILABLE: 9,
  TSS32_BUSY: 11,
  CALL_GATE32: 12,
  INTERRUPT_GATE32: 14,
  TRAP_GATE32: 15,
} as const;
/** Makes an available TSS busy. */
export const TSS_BUSY_BIT = 2;

const TYPE_NAMES: Readonly<Record<number, string>> = {
  1: '16-bit TSS (available)',
  2: 'LDT',
  3: '16-bit TSS (busy)',
  4: '16-bit call gate',
  5: 'task gate',
  6: '16-bit interrupt gate',
  7: '16-bit trap gate',
  9: 'TSS (available)',
  11: 'TSS (busy)',
  12: 'call gate',
  14: 'interrupt gate',
  15: 'trap gate',
};
/** Name of a system type, "reserved type N" where the manual has none. */
export const systemTypeName = (type: number): string => TYPE_NAMES[type] ?? `reserved type ${type}`;

export type Descriptor = {
  /** Type field, bits 40-43. */
  readonly type: number;
  /** S: code or data. */
  readonly isSegment: boolean;
  readonly isCode: boolean;
  /** Readable code or any data. */
  readonly isReadable: boolean;
  readonly isWritableData: boolean;
  readonly isConforming: boolean;
  readonly dpl: number;
  readonly present: boolean;
  /** L: 64-bit code. */
  readonly long: boolean;
  /** D/B. */
  readonly big: boolean;
  /** Bits 40..55 shifted down without the limit bits. */
  readonly attributes: number;
  readonly base: bigint;
  /** Highest offset in bytes, granularity applied. */
  readonly limit: number;
};

/** @param low the first eight bytes @param high the second eight of a 16-byte system descriptor (base bits 32-63) */
export const decodeDescriptor = (low: bigint, high = 0n): Descriptor => {
  const upper = Number(low >> 32n);
  const lower = Number(low & 0xffff_ffffn);
  const attributes = (upper >>> 8) & ATTR_MASK;
  const rawLimit = (lower & 0xffff) | (upper & 0xf_0000);
  const code = (attributes & (ATTR_S | ATTR_CODE)) === (ATTR_S | ATTR_CODE);
  const data = (attributes & (ATTR_S | ATTR_CODE)) === ATTR_S;
  const base32 = BigInt(((lower >>> 16) | ((upper & 0xff) << 16) | (upper & 0xff00_0000)) >>> 0);
  const base = high === 0n ? base32 : base32 | ((high & 0xffff_ffffn) << 32n);
  return {
    type: attributes & 15,
    isSegment: (attributes & ATTR_S) !== 0,
    isCode: code,
    isReadable: data || (code && (attributes & ATTR_RW) !== 0),
    isWritableData: data && (attributes & ATTR_RW) !== 0,
    isConforming: code && (attributes & ATTR_DC) !== 0,
    dpl: (attributes & ATTR_DPL) >> ATTR_DPL_SHIFT,
    present: (attributes & ATTR_P) !== 0,
    long: (attributes & ATTR_L) !== 0,
    big: (attributes & ATTR_DB) !== 0,
    attributes,
    base,
    limit: attributes & ATTR_G ? ((rawLimit << 12) | 0xfff) >>> 0 : rawLimit,
  };
};

/**
 * Eight bytes of a segment descriptor.
 * @param attributes bits 40..55 shifted down, ATTR_ values; with ATTR_G `limit` has to be a whole number of pages less one
 */
export const encodeDescriptor = (base: number, limit: number, attributes: number): bigint => {
  const raw = attributes & ATTR_G ? limit >>> 12 : limit & 0xf_ffff;
  const upper = ((base >>> 16) & 0xff) | ((attributes & ATTR_MASK) << 8) | (raw & 0xf_0000) | (base & 0xff00_0000);
  const lower = (raw & 0xffff) | ((base & 0xffff) << 16);
  return (BigInt(upper >>> 0) << 32n) | BigInt(lower >>> 0);
};

export type Gate = {
  readonly type: number;
  /** True for code and data descriptors, which are no gates. */
  readonly isSegment: boolean;
  readonly dpl: number;
  readonly present: boolean;
  readonly selector: number;
  /** 16, 32 or 64 bits, as the gate's kind has them. */
  readonly offset: bigint;
  /** Interrupt stack table index, 1 to 7, or 0 (64-bit gates only). */
  readonly ist: number;
  /** Parameters a legacy call gate copies. */
  readonly parameters: number;
};

/** @param high the second eight bytes where the gate has 16 (IA-32e mode) */
export const decodeGate = (low: bigint, high?: bigint): Gate => {
  const upper = Number(low >> 32n);
  const lower = Number(low & 0xffff_ffffn);
  const type = (upper >>> 8) & 15;
  const offset = BigInt(((lower & 0xffff) | (type >= 8 ? upper & 0xffff_0000 : 0)) >>> 0);
  return {
    type,
    isSegment: ((upper >>> 12) & 1) === 1,
    dpl: (upper >>> 13) & 3,
    present: ((upper >>> 15) & 1) === 1,
    selector: lower >>> 16,
    offset: high ? offset | ((high & 0xffff_ffffn) << 32n) : offset,
    ist: high === undefined ? 0 : upper & 7,
    parameters: upper & 31,
  };
};

/** Eight or sixteen bytes of a gate as one or two quadwords; a second one only where `wide`. */
export const encodeGate = (
  gate: { type: number; dpl?: number; present?: boolean; selector: number; offset: bigint; ist?: number },
  wide: boolean,
): bigint[] => {
  const attributes = gate.type | ((gate.dpl ?? 0) << 5) | (gate.present === false ? 0 : 0x80);
  const low =
    (gate.offset & 0xffffn) |
    (BigInt(gate.selector) << 16n) |
    (BigInt(gate.ist ?? 0) << 32n) |
    (BigInt(attributes) << 40n) |
    (((gate.offset >> 16n) & 0xffffn) << 48n);
  return wide ? [low, (gate.offset >> 32n) & 0xffff_ffffn] : [low];
};

// Selectors.
export const SELECTOR_RPL = 3;
/** Table indicator: LDT. */
export const SELECTOR_TI = 4;
/** Index and TI, what an error code carries. */
export const SELECTOR_MASK = 0xfffc;

// Error codes of faults that name a selector or a gate (SDM 3A 6.13).
export const ERROR_EXT = 1;
export const ERROR_IDT = 2;

// Task-state segments.
export const TSS16 = { stack: (level: number) => 2 + 4 * level, spBytes: 2, ssOffset: 2 } as const;
export const TSS32 = { stack: (level: number) => 4 + 8 * level, spBytes: 4, ssOffset: 4 } as const;
export const TSS64 = { rsp: (level: number) => 4 + 8 * level, ist: (index: number) => 28 + 8 * index } as const;
/** u16 offset of the I/O permission bitmap, in 32- and 64-bit TSSs. */
export const TSS_IO_MAP_BASE = 0x66;

/** Where a task switch finds things in a task-state segment (SDM 3A figures 8-2 and 8-10). */
export type TaskLayout = {
  /** Instruction pointer; flags, eight registers and the segment selectors follow, each in a slot of `bytes`. */
  readonly rip: number;
  readonly bytes: 2 | 4;
  /** Segment registers kept: ES, CS, SS, DS, and FS and GS. */
  readonly segments: 4 | 6;
  readonly ldt: number;
  readonly cr3: number | undefined;
  /** Word whose bit 0 is T. */
  readonly trap: number | undefined;
  /** Smallest limit that will do. */
  readonly limit: number;
};
export const TASK16: TaskLayout = {
  ...{ rip: 0x0e, bytes: 2, segments: 4, ldt: 0x2a },
  ...{ cr3: undefined, trap: undefined, limit: 0x2b },
};
export const TASK32: TaskLayout = { rip: 0x20, bytes: 4, segments: 6, ldt: 0x60, cr3: 0x1c, trap: 0x64, limit: 0x67 };
