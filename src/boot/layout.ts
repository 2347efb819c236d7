// Every address the boot room chooses, with its reason. Low memory looks like a PC's after its BIOS: real stubs read the
// BIOS data area and the e820 table to find room for their trampoline, and expect the hole below 1 MiB.
//
//   0x00000 .. 0x00500   interrupt vectors (those of IRQs) and BIOS data area (0x40e and 0x413 are filled in)
//   0x01000 .. 0x02000   GDT
//   0x07000 .. 0x08000   stack at entry
//   0x10000 .. 0x11000   struct boot_params
//   0x20000 .. 0x30000   command line
//   0x30000 .. 0x90000   1:1 page tables for the 64-bit entry
//   0x90000 .. 0x9fc00   left alone: the stub puts its 32-bit trampoline below the EBDA, mostly at 0x9d000
//   0x9fc00 .. 0xa0000   EBDA, reserved
//   0xa0000 .. 0xf0000   video memory and option ROMs: no RAM
//   0xf0000 .. 0x100000  BIOS, reserved; the ACPI tables lie at its start, handlers of interrupts at 0xfb000, the SMBIOS
//                        tables in its last 16 KiB
//   0x100000 ..          RAM up to 3 GiB; then the hole for devices; the rest from 4 GiB on
import { PAGE_SIZE } from '../bits/address.ts';
import { InputError } from '../bits/errors.ts';
import { hex } from '../bits/hex.ts';
import { GIB, KIB, MIB } from '../bits/sizes.ts';

/** BIOS data area: segment of the EBDA, a word. paging_prepare() reads it to find the end of usable low memory. */
export const BDA_EBDA_SEGMENT = 0x40e;
/** BIOS data area: KiB of base memory, a word. Read beside the EBDA segment. */
export const BDA_BASE_MEMORY_KIB = 0x413;
/** Where RAM ends for an operating system: 639 KiB, as nearly every PC BIOS has it, 1 KiB of EBDA above. */
export const EBDA_START = 0x9fc00;
const CONVENTIONAL_END = 0xa0000;
/** The last 64 KiB below 1 MiB belong to the BIOS. The RSDP is their first byte, and the other ACPI tables follow it. */
export const BIOS_START = 0xf0000;
/** Real-mode handlers of hardware interrupts. */
export const BIOS_HANDLERS_START = 0xfb000;
export const SMBIOS_START = 0xfc000;
export const HIGH_MEMORY_START = 1 * MIB;
/** Devices (IOAPIC, LAPIC, flash) live between here and 4 GiB. */
export const MMIO_HOLE_START = 3 * GIB;
export const HIGH_RAM_START = 4 * GIB;

/** Where a bzImage goes that has no better address (code32_start as every kernel's header has it). */
export const TRADITIONAL_LOAD_ADDRESS = 0x100000;

/** What the loader itself needs: each area page-aligned, in the order the plain-RAM layout packs them. */
const AREA_SIZES = {
  gdt: PAGE_SIZE,
  /** Neither protocol promises a stack, but every loader leaves one; the stub sets up its own. */
  stack: PAGE_SIZE,
  boot_params: PAGE_SIZE,
  /** Room for the longest command line accepted and its NUL. */
  cmdline: 64 * KIB,
  /** 96 pages: PML5, PML4, and a page for each GiB mapped (see MAPPED_RAM_LIMIT). */
  page_tables: 384 * KIB,
} as const;

export type AreaName = keyof typeof AREA_SIZES;

/** What can be asked to be put elsewhere than the loader would put it. Modules go one behind the other. */
export const PLACE_NAMES = [
  'image',
  'initrd',
  'module',
  'boot_params',
  'cmdline',
  'page_tables',
  'stack',
  'gdt',
] as const;
export type PlaceName = (typeof PLACE_NAMES)[number];
export type Places = ReadonlyMap<PlaceName, number>;

export interface Range {
  readonly start: number;
  readonly size: number;
}
export type Areas = Readonly<Record<AreaName, Range>>;

/** The loader's areas, but for those that are asked to be elsewhere. */
export const movedAreas = (areas: Areas, places: Places | undefined): Areas =>
  areasAt((name) => places?.get(name) ?? areas[name].start);

const LOW_AREA_STARTS: Readonly<Record<AreaName, number>> = {
  gdt: 0x1000,
  stack: 0x7000,
  boot_params: 0x10000,
  cmdline: 0x20000,
  page_tables: 0x30000,
};

/** Longest command line that fits its area, without the NUL. */
export const CMDLINE_ROOM = AREA_SIZES.cmdline - 1;
/** RAM up to here is mapped 1:1 at the 64-bit entry; beyond it only what the loaded image needs. */
export const MAPPED_RAM_LIMIT = 64 * GIB;

/** The loader's areas on a PC, all in low memory. */
export function lowAreas(): Areas {
  return areasAt((name) => LOW_AREA_STARTS[name]);
}

/** The loader's areas packed from `base` on, for a machine where the image lies at 0. */
export function areasFrom(base: number): Areas {
  let next = alignUp(base, PAGE_SIZE);
  return areasAt((name) => {
    const start = next;
    next += AREA_SIZES[name];
    return start;
  });
}

function areasAt(startOf: (name: AreaName) => number): Areas {
  const names = Object.keys(AREA_SIZES) as AreaName[];
  return Object.fromEntries(names.map((name) => [name, { start: startOf(name), size: AREA_SIZES[name] }])) as Areas;
}

export const E820_RAM = 1;
const E820_RESERVED = 2;

export interface E820Entry extends Range {
  readonly type: typeof E820_RAM | typeof E820_RESERVED;
}

/** Less holds no kernel, and leaves no RAM above 1 MiB. */
const LEAST_MEMORY = 2 * MIB;
/** The hole must still fit below 2^52. */
const MOST_MEMORY = 2 ** 52 - 2 * GIB;

/** Throws an InputError for an amount of memory no machine here can have. */
export function checkMemorySize(bytes: number): void {
  if (!Number.isSafeInteger(bytes) || bytes % PAGE_SIZE !== 0) {
    throw new InputError(`memory must be a whole number of ${PAGE_SIZE}-byte pages, not ${bytes} bytes`);
  }
  if (bytes < LEAST_MEMORY) throw new InputError(`${bytes} bytes of memory are too few; at least 2 MiB are needed`);
  if (bytes > MOST_MEMORY) throw new InputError(`${hex(bytes)} bytes of memory are more than 52-bit addresses reach`);
}

/** The memory map the kernel is told, by address. `plainRam`: no hole below 1 MiB and no BIOS. */
export function e820Table(memoryBytes: number, plainRam: boolean): E820Entry[] {
  const low = plainRam
    ? [entry(0, HIGH_MEMORY_START, E820_RAM)]
    : [
        entry(0, EBDA_START, E820_RAM),
        entry(EBDA_START, CONVENTIONAL_END, E820_RESERVED),
        entry(BIOS_START, HIGH_MEMORY_START, E820_RESERVED),
      ];
  const lowEnd = Math.min(memoryBytes, MMIO_HOLE_START);
  const all = [...low, entry(HIGH_MEMORY_START, lowEnd, E820_RAM)];
  if (memoryBytes > lowEnd) all.push(entry(HIGH_RAM_START, HIGH_RAM_START + memoryBytes - lowEnd, E820_RAM));
  return plainRam ? mergeFirstTwo(all) : all;
}

const entry = (start: number, end: number, type: E820Entry['type']): E820Entry => ({ start, size: end - start, type });

/** On plain RAM the first MiB and what follows are one range. */
function mergeFirstTwo(all: readonly E820Entry[]): E820Entry[] {
  const [first, second, ...rest] = all;
  if (first === undefined || second === undefined) return [...all];
  return [{ start: first.start, size: first.size + second.size, type: E820_RAM }, ...rest];
}

/**
 * Where the machine has RAM chips: as the e820 table says, and the EBDA, which is RAM that the BIOS keeps. For whoever
 * assembles the machine.
 */
export function ramRanges(memoryBytes: number, plainRam: boolean): Range[] {
  const usable = e820Table(memoryBytes, plainRam).filter((e) => e.type === E820_RAM);
  return usable.map(({ start, size }) =>
    !plainRam && start === 0 ? { start, size: CONVENTIONAL_END } : { start, size },
  );
}

export const endOf = (range: Range): number => range.start + range.size;
export const overlap = (a: Range, b: Range): boolean => a.start < endOf(b) && b.start < endOf(a);
export const alignUp = (value: number, alignment: number): number => Math.ceil(value / alignment) * alignment;
export const alignDown = (value: number, alignment: number): number => Math.floor(value / alignment) * alignment;
