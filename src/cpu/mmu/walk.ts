// A page walk told step by step, for people and for whoever asks why a page fault came. The walk that the processor does is
// generated code (paging.ts); this one reads the same tables by itself and changes nothing.

import { CR0_PG, CR0_WP, CR4_PAE, CR4_PSE, CR4_SMAP, CR4_SMEP, EFER_NXE } from '../../x86/control.ts';
import { FLAGS } from '../../x86/flags.ts';
import {
  PDPTE_PAE_RESERVED,
  PF_I,
  PF_U,
  PF_W,
  PTE_ADDRESS,
  PTE_NX,
  PTE_P,
  PTE_PS,
  PTE_RW,
  PTE_US,
} from '../../x86/paging.ts';
import type { ReasonId } from '../../x86/reasons.ts';
import * as at from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';

/** The structures by the manual's names (SDM 3A 4.2), from the one that CR3 leads to. */
export type TableName = 'PML5' | 'PML4' | 'PDPT' | 'PD' | 'PT';

export type WalkStep = {
  readonly table: TableName;
  /** Guest-physical address of the table; of PAE's PDPT the place that CR3 names, though its entries are registers. */
  readonly tableAddress: bigint;
  readonly index: number;
  /** The entry; all ones where there is no memory. */
  readonly entry: bigint;
  /** Whether the entry lies in RAM. */
  readonly inRam: boolean;
  /** Bits of it that are reserved and set. */
  readonly reserved: bigint;
};

export type Walk = {
  readonly steps: readonly WalkStep[];
  /** Where it leads; undefined where an entry stops it. */
  readonly physical?: bigint;
  /** Bytes that the last entry maps. */
  readonly pageBytes?: bigint;
};

/** The entry at a guest-physical address, little-endian; undefined outside RAM. */
export type EntryReader = (address: bigint, bytes: 4 | 8) => bigint | undefined;

const NAMES: readonly TableName[] = ['PT', 'PD', 'PDPT', 'PML4', 'PML5'];
const ALL_ONES = (1n << 64n) - 1n;

type Format = {
  readonly wide: boolean;
  readonly nxe: boolean;
  readonly pae: boolean;
  readonly beyondWidth: bigint;
  readonly pse: boolean;
  readonly hugePages: boolean;
};

/** The walk for a linear address by the paging mode in force; undefined where paging is off. */
export function walkOf(state: CpuState, linear: bigint, read: EntryReader): Walk | undefined {
  const levels = state.u32(at.PAGING_LEVELS);
  if ((state.u64(at.CR0) & CR0_PG) === 0n || levels === 0) return undefined;
  const format = formatOf(state, levels);
  const steps: WalkStep[] = [];
  let table = state.u64(at.CR3) & PTE_ADDRESS;
  for (let level = levels; level > 0; level--) {
    const step = levels === 3 && level === 3 ? pdpteStep(state, linear) : stepOf(format, level, table, linear, read);
    steps.push(step);
    const { entry } = step;
    if ((entry & PTE_P) === 0n || step.reserved !== 0n) return { steps };
    if (level === 1 || isLarge(format, level, entry)) return { steps, ...leafOf(format, level, entry, linear) };
    table = entry & (format.wide ? PTE_ADDRESS : 0xffff_f000n);
  }
  return { steps };
}

const formatOf = (state: CpuState, levels: number): Format => ({
  wide: levels >= 3,
  pae: levels === 3,
  nxe: (state.u64(at.EFER) & EFER_NXE) !== 0n && (state.u64(at.CR4) & CR4_PAE) !== 0n,
  beyondWidth: state.u64(at.RESERVED_PHYS_MASK),
  pse: (state.u64(at.CR4) & CR4_PSE) !== 0n,
  hugePages: state.u32(at.HAS_1G_PAGES) !== 0,
});

const shiftOf = ({ wide }: Format, level: number): bigint =>
  BigInt(wide ? 12 + 9 * (level - 1) : 12 + 10 * (level - 1));

const isLarge = (format: Format, level: number, entry: bigint): boolean => {
  if ((entry & PTE_PS) === 0n) return false;
  return format.wide ? level === 2 || (level === 3 && format.hugePages && !format.pae) : level === 2 && format.pse;
};

function stepOf(format: Format, level: number, table: bigint, linear: bigint, read: EntryReader): WalkStep {
  const bytes = format.wide ? 8 : 4;
  const index = Number((linear >> shiftOf(format, level)) & (format.wide ? 511n : 1023n));
  const found = read(table + BigInt(index * bytes), bytes);
  const entry = found ?? ALL_ONES;
  const reserved = (entry & PTE_P) === 0n ? 0n : reservedBits(format, level, entry);
  return { table: NAMES[level - 1] ?? 'PT', tableAddress: table, index, entry, inRam: found !== undefined, reserved };
}

/** PAE's four top entries are registers, checked when CR3 was loaded (SDM 3A 4.4.1). */
function pdpteStep(state: CpuState, linear: bigint): WalkStep {
  const index = Number((linear >> 30n) & 3n);
  const entry = state.u64(at.PDPTE0 + 8 * index);
  const tableAddress = state.u64(at.CR3) & 0xffff_ffe0n;
  const reserved = entry & PTE_P ? entry & PDPTE_PAE_RESERVED : 0n;
  return { table: 'PDPT', tableAddress, index, entry, inRam: true, reserved };
}

/** What has to be 0 in a present entry and is not (SDM 3A tables 4-4 to 4-20). */
function reservedBits(format: Format, level: number, entry: bigint): bigint {
  const large = isLarge(format, level, entry);
  if (!format.wide) return large ? entry & (1n << 21n) : 0n;
  let bits = entry & format.beyondWidth;
  if (!format.nxe) bits |= entry & PTE_NX;
  if (format.pae) bits |= entry & 0x7ff0_0000_0000_0000n;
  if (level > 1 && !large) bits |= entry & PTE_PS;
  if (large) bits |= entry & ((1n << shiftOf(format, level)) - 1n) & ~0x1fffn;
  return bits;
}

function leafOf(format: Format, level: number, entry: bigint, linear: bigint): Pick<Walk, 'physical' | 'pageBytes'> {
  const pageBytes = 1n << shiftOf(format, level);
  const offset = linear & (pageBytes - 1n);
  // PSE-36: bits 13 to 20 of a 4 MiB page's entry are address bits 32 to 39.
  const high = !format.wide && level === 2 ? ((entry >> 13n) & 0xffn) << 32n : 0n;
  const frame = (format.wide ? entry & PTE_ADDRESS : entry & 0xffff_f000n) & ~(pageBytes - 1n);
  return { physical: frame | high | offset, pageBytes };
}

/**
 * The check of SDM 3A 4.6 and 4.7 at which an access stops, by the walk and the access alone.
 * @param error the page fault's error code, which says what kind of access it was
 */
export function pageFaultReason(state: CpuState, walk: Walk, error: number): ReasonId {
  const last = walk.steps.at(-1);
  if (last !== undefined && (last.entry & PTE_P) === 0n) return 'page-not-present';
  if (last !== undefined && last.reserved !== 0n) return 'page-reserved-bit';
  const user = (error & PF_U) !== 0;
  const every = (bit: bigint): boolean =>
    walk.steps.every(({ table, entry }) => (table === 'PDPT' && isPae(state)) || (entry & bit) !== 0n);
  const userPage = every(PTE_US);
  if (user && !userPage) return 'page-supervisor-only';
  if (error & PF_I) return !user && userPage && state.u64(at.CR4) & CR4_SMEP ? 'smep' : 'page-no-execute';
  if (!user && userPage && state.u64(at.CR4) & CR4_SMAP && !alignmentFlag(state)) return 'smap';
  return error & PF_W && !every(PTE_RW) && (user || state.u64(at.CR0) & CR0_WP)
    ? 'page-not-writable'
    : 'by-instruction';
}

const isPae = (state: CpuState): boolean => state.u32(at.PAGING_LEVELS) === 3;
const alignmentFlag = (state: CpuState): boolean => (state.u32(at.FLAGS_REST) & FLAGS.AC) !== 0;
