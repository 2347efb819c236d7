// Where a fuzzed guest has what, by physical address; the low 2 MiB are mapped to themselves wherever there is paging.

import type { Source } from './source.ts';

export const GDT = 0x1000;
export const IDT = 0x2000;
export const TSS = 0x3000;
/** Task-state segments to switch to, 256 bytes each, and a local descriptor table. */
export const OTHER_TSS = 0x4000;
export const LDT = 0x5000;
/** Where the next block of code is. */
export const COUNTER = 0x6000;
/** Pseudo-descriptors for LGDT and LIDT, and far pointers: 16 bytes each. */
export const POINTERS = 0x6800;
export const POINTER_COUNT = 16;
export const HANDLERS = 0x7000;
/** Stacks grow down from here. */
export const KERNEL_STACK = 0x9f00;
export const IST_STACK = 0xbf00;
export const USER_STACK = 0xdf00;
export const CODE = 0x10000;
export const CODE_BYTES = 0x4000;
/** Code comes in blocks; what faults goes on at the next. */
export const BLOCK = 64;
export const DATA = 0x20000;
export const DATA_BYTES = 0x8000;
export const TABLES = 0x30000;

export const RAM_END = 0x200_0000;
export const HIGH_RAM = 0x1_0000_0000;
export const HIGH_RAM_END = HIGH_RAM + 0x40_0000;

export const LOCAL_APIC = 0xfee0_0000;
export const IO_APIC = 0xfec0_0000;

/** Ranges that mean something to somebody. */
export const RANGES: readonly (readonly [start: number, length: number])[] = [
  [DATA, DATA_BYTES],
  [CODE, CODE_BYTES],
  [0, 0x1000],
  [GDT, 0x8000],
  [TABLES, 0x9000],
  [0xa0000, 0x20000],
  [0xc0000, 0x40000],
  [0x9f000, 0x2000],
  [RAM_END - 0x1000, 0x2000],
  [LOCAL_APIC, 0x1000],
  [IO_APIC, 0x1000],
  [0x8000_0000, 0x10000],
  [0xffff_f000, 0x1000],
];

export type Place = {
  /** An address below 4 GiB, most often of data. */
  address(random: Source): number;
};

/** Most in data; now and then anywhere, and at the edges of pages. */
export const somewhere: Place = {
  address(random) {
    const [start, length] = random.percent(75) ? [DATA, DATA_BYTES] : random.pick(RANGES);
    const offset = random.percent(30)
      ? ((random.below(length) | 0xfff) - random.below(16)) % length
      : random.below(length);
    return (start + offset) >>> 0;
  },
};

/** What devices, holes and edges have. */
export const anywhere: Place = {
  address(random) {
    const [start, length] = random.pick(RANGES);
    const offset = random.percent(40)
      ? ((random.below(length) | 0xfff) - random.below(18)) & 0xffff
      : random.below(length);
    return (start + offset) >>> 0;
  },
};
