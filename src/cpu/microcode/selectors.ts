// Descriptors behind selectors, and the checks each kind of segment register makes when it is loaded
// (SDM 3A 3.4, 5.2 to 5.8).

import {
  ATTR_ACCESSED,
  ATTR_DB,
  ATTR_DPL,
  ATTR_G,
  ATTR_P,
  ATTR_S,
  type Descriptor,
  decodeDescriptor,
  SELECTOR_MASK,
  SELECTOR_RPL,
  SELECTOR_TI,
} from '../../x86/descriptors.ts';
import { VECTOR } from '../../x86/vectors.ts';
import { type Cpu, type Fault, fault, isFault } from '../state/cpu.ts';
import * as at from '../state/layout.ts';
import { type CpuState, SEG, type Segment, type SegmentIndex } from '../state/state.ts';
import { isCanonical, isLongActive, isProtected, isVm86, linearMask, MASK32 } from './modes.ts';

export const IMPLICIT = { implicit: true } as const;
export const IMPLICIT_WRITE = { implicit: true, write: true } as const;

/** What the hidden part holds after a null selector was loaded: not present, so that every access faults. */
export const NULL_SEGMENT = (selector: number): Segment => ({ selector, attributes: 0, base: 0n, limit: 0 });

export const isNull = (selector: number): boolean => (selector & SELECTOR_MASK) === 0;

/** A descriptor with where it was found. */
export type Found = Descriptor & {
  readonly selector: number;
  /** Linear address of the descriptor. */
  readonly address: bigint;
  readonly low: bigint;
  readonly high: bigint;
};

export type Lookup = {
  /** Vector of the fault where the selector is outside its table; #GP unless said otherwise. */
  readonly vector?: number;
  /** EXT bit for the error code. */
  readonly ext?: number;
  /** The descriptor has 16 bytes (system descriptors in IA-32e mode). */
  readonly wide?: boolean;
};

/** The error code that names a selector. */
export const selectorError = (selector: number, ext = 0): number => (selector & SELECTOR_MASK) | ext;

const tableOf = (state: CpuState, selector: number): { base: bigint; limit: number } | undefined => {
  if ((selector & SELECTOR_TI) === 0) return state.table(at.GDTR);
  const ldt = state.segment(SEG.LDTR);
  return ldt.attributes & ATTR_P ? ldt : undefined;
};

/** Reads the descriptor a selector names; the caller has dealt with null selectors. */
export const findDescriptor = (cpu: Cpu, selector: number, lookup: Lookup = {}): Found | Fault => {
  const { state } = cpu;
  const table = tableOf(state, selector);
  const offset = selector & 0xfff8;
  if (table === undefined || offset + (lookup.wide ? 15 : 7) > table.limit) {
    return fault('selector-beyond-table', lookup.vector ?? VECTOR.GP, selectorError(selector, lookup.ext));
  }
  const address = (table.base + BigInt(offset)) & linearMask(state);
  const low = cpu.readLinear(address, 8, IMPLICIT);
  if (isFault(low)) return low;
  const high = lookup.wide ? cpu.readLinear((address + 8n) & linearMask(state), 8, IMPLICIT) : 0n;
  if (isFault(high)) return high;
  // Onto the fresh object: a copy of it costs more than all else here.
  return Object.assign(decodeDescriptor(low, high), { selector, address, low, high });
};

/** Sets the accessed bit in memory, as every load of a segment register does. */
export const markAccessed = (cpu: Cpu, found: Found): Fault | undefined => {
  if (found.type & ATTR_ACCESSED) return undefined;
  const access = ((found.low >> 40n) & 0xffn) | 1n;
  return cpu.writeLinear((found.address + 5n) & linearMask(cpu.state), 1, access, IMPLICIT_WRITE);
};

/** The hidden part from a descriptor, under the selector's own RPL unless another is given. */
export const segmentFrom = (found: Found, rpl = found.selector & SELECTOR_RPL): Segment => ({
  selector: (found.selector & ~SELECTOR_RPL) | rpl,
  attributes: found.isSegment ? found.attributes | ATTR_ACCESSED : found.attributes,
  base: found.base,
  limit: found.limit,
});

/** Real mode: the base follows the selector, limit and default size stay as they were ("unreal mode"). SDM 3B 21.1.1 */
const realSegment = (state: CpuState, index: SegmentIndex, selector: number): Segment => {
  const { attributes, limit } = state.segment(index);
  return {
    selector,
    attributes: (attributes & (ATTR_DB | ATTR_G)) | ATTR_P | ATTR_S | 3,
    base: BigInt(selector) << 4n,
    limit,
  };
};

/** Virtual-8086 mode: every segment is writable data of level 3 and 64 KiB (SDM 3A 21.2). */
export const vm86Segment = (selector: number): Segment => ({
  selector,
  attributes: ATTR_P | ATTR_S | ATTR_DPL | 3,
  base: BigInt(selector) << 4n,
  limit: 0xffff,
});

/** A segment where selectors are 8086 addresses: in real and in virtual-8086 mode. */
export const addressSegment = (state: CpuState, index: SegmentIndex, selector: number): Segment =>
  isVm86(state) ? vm86Segment(selector) : realSegment(state, index, selector);

/** Loads CS from a checked descriptor and changes the privilege level to `cpl`. */
export const loadCode = (cpu: Cpu, found: Found, cpl: number): void => {
  cpu.state.setSegment(SEG.CS, segmentFrom(found, cpl));
  cpu.state.cpl = cpl;
};

export type CodeCheck = {
  readonly ext?: number;
  /** Level the code will run at where that is not CPL: far returns check against the selector's RPL. */
  readonly cpl: number;
  /** 'direct' far jumps and calls, 'return' for RETF and IRET. */
  readonly how: 'direct' | 'return';
};

/**
 * Checks that a descriptor is code that can be entered without a gate; its presence too.
 * SDM 2A JMP, CALL; 2B RET, IRET.
 */
export const checkCode = (cpu: Cpu, found: Found, { ext = 0, cpl, how }: CodeCheck): Fault | undefined => {
  const error = selectorError(found.selector, ext);
  const rpl = found.selector & SELECTOR_RPL;
  if (!found.isCode) return fault('code-segment-not-code', VECTOR.GP, error);
  if (isLongActive(cpu.state) && found.long && found.big) return fault('code-segment-long-and-big', VECTOR.GP, error);
  const level = how === 'return' ? rpl : cpl;
  if (found.isConforming ? found.dpl > level : found.dpl !== level) return fault('code-segment-dpl', VECTOR.GP, error);
  if (how === 'direct' && !found.isConforming && rpl > cpl) return fault('code-segment-rpl', VECTOR.GP, error);
  return found.present ? undefined : fault('code-segment-not-present', VECTOR.NP, error);
};

/** Is the offset one that code in this segment can run at? #GP(0) if not. */
export const checkOffset = (cpu: Cpu, found: Descriptor, offset: bigint, ext = 0): Fault | undefined => {
  const ok =
    isLongActive(cpu.state) && found.long
      ? isCanonical(cpu.state, offset)
      : offset <= MASK32 && Number(offset) <= found.limit;
  return ok ? undefined : fault('target-offset-not-executable', VECTOR.GP, ext);
};

/** Checks a stack segment against the level it will serve. @param vector #TS where the selector came from a TSS */
export const checkStackSegment = (
  cpu: Cpu,
  selector: number,
  cpl: number,
  vector: number = VECTOR.GP,
  ext = 0,
): Found | Fault => {
  const error = selectorError(selector, ext);
  if (isNull(selector)) return fault('stack-segment-null', vector, ext);
  const found = findDescriptor(cpu, selector, { vector, ext });
  if (isFault(found)) return found;
  if ((selector & SELECTOR_RPL) !== cpl) return fault('stack-segment-rpl', vector, error);
  if (!found.isWritableData) return fault('stack-segment-not-writable', vector, error);
  if (found.dpl !== cpl) return fault('stack-segment-dpl', vector, error);
  return found.present ? found : fault('stack-segment-not-present', VECTOR.SS, error);
};

const loadStackSelector = (cpu: Cpu, selector: number): Fault | Segment => {
  const { state } = cpu;
  const { cpl } = state;
  // 64-bit mode runs without a stack segment below level 3.
  if (isNull(selector) && state.mode64 && cpl !== 3 && (selector & SELECTOR_RPL) === cpl) return NULL_SEGMENT(selector);
  const found = checkStackSegment(cpu, selector, cpl);
  if (isFault(found)) return found;
  return markAccessed(cpu, found) ?? segmentFrom(found);
};

const loadDataSelector = (cpu: Cpu, selector: number): Fault | Segment => {
  if (isNull(selector)) return NULL_SEGMENT(selector);
  const found = findDescriptor(cpu, selector);
  if (isFault(found)) return found;
  const error = selectorError(selector);
  if (!found.isReadable) return fault('data-segment-not-readable', VECTOR.GP, error);
  const weakest = Math.max(cpu.state.cpl, selector & SELECTOR_RPL);
  if (!found.isConforming && weakest > found.dpl) return fault('data-segment-privilege', VECTOR.GP, error);
  if (!found.present) return fault('data-segment-not-present', VECTOR.NP, error);
  return markAccessed(cpu, found) ?? segmentFrom(found);
};

/** What loading a selector into ES, SS, DS, FS or GS gives, nothing stored yet (SDM 2B MOV). */
export const prepareSegment = (cpu: Cpu, index: SegmentIndex, selector: number): Fault | Segment => {
  if (!isProtected(cpu.state) || isVm86(cpu.state)) return addressSegment(cpu.state, index, selector);
  return index === SEG.SS ? loadStackSelector(cpu, selector) : loadDataSelector(cpu, selector);
};
