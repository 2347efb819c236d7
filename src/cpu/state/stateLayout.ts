// What a saved state's bytes mean: the places in the state block, and the sizes of what is specified beside it. Two versions
// of Firstlight that agree in this understand each other's states, whatever their engines are made of.

import { crc32 } from '../../bits/crc32.ts';
import { MSR_TABLE } from '../../x86/msr.ts';
import * as at from './layout.ts';

/** What lies in the same range of numbers and is no place in the state block: records, code contexts, codes of faults. */
const OTHERS = /^(?:REC|CTX|FAULT_|TLB|REGION_COUNT|SCRATCH|TO_)/;

/** What engines leave behind there is none of the state: `save` clears it. */
const isState = (place: number): boolean =>
  place >= at.REGS &&
  place <= at.STATE_END &&
  (place < at.FAULT_VECTOR || place >= at.SEGMENTS) &&
  place !== at.TSC_START;

/** By name: in which order a module has its exports is the business of whoever bundles it. */
const places = (): [string, number][] =>
  Object.entries(at)
    .flatMap(([name, value]): [string, number][] =>
      typeof value === 'number' && isState(value) && !OTHERS.test(name) ? [[name, value]] : [],
    )
    .sort(([a], [b]) => (a < b ? -1 : 1));

/** What lies in a place of several parts, and how much of what there is. */
const SHAPES: readonly (readonly [string, number])[] = [
  ['TO_YMM_HIGH', at.TO_YMM_HIGH],
  ['SEGMENT_STRIDE', at.SEGMENT_STRIDE],
  ['SEG_BASE', at.SEG_BASE],
  ['SEG_LIMIT', at.SEG_LIMIT],
  ['SEG_ATTRIBUTES', at.SEG_ATTRIBUTES],
  ['SEG_SELECTOR', at.SEG_SELECTOR],
  ['TLB_ENTRIES', at.TLB_ENTRIES],
  ['MMU_CONTEXTS', at.MMU_CONTEXTS],
  ['REGION_COUNT', at.REGION_COUNT],
  ['CHUNK_BYTES', at.CHUNK_BYTES],
  ['RAM_BASE', at.RAM_BASE],
  ['VOID_PAGE', at.VOID_PAGE],
  ['PAGE_WATCH_READ', at.PAGE_WATCH_READ],
  ['PAGE_WATCH_WRITE', at.PAGE_WATCH_WRITE],
  ['PAGE_WRITTEN', at.PAGE_WRITTEN],
  ['PAGE_FRESH', at.PAGE_FRESH],
  ['PAGE_READ', at.PAGE_READ],
  ['PAGE_ROM', at.PAGE_ROM],
];

const MSRS = MSR_TABLE.flatMap(({ number, slot }): [string, number][] =>
  slot === undefined ? [] : [[`MSR ${number.toString(16)}`, slot]],
);

/** One line for each: its name and its number. */
const layoutText = (): string =>
  [...places(), ...SHAPES, ...MSRS].map(([name, value]) => `${name} ${value}`).join('\n');

/** The same for layouts that are the same. */
export const layoutDigest = (): number => crc32(new TextEncoder().encode(layoutText()));
