// What firmware has done to memory, processor and chips before it hands over, and no boot protocol mentions: its tables and
// data, the memory types (SDM 3A 12.11, "Memory Type Range Registers"), and a timer that ticks.
import { putU16 } from '../bits/cursor.ts';
import { KIB } from '../bits/sizes.ts';
import * as at from '../cpu/state/layout.ts';
import type { CpuState } from '../cpu/state/state.ts';
import type { Machine } from '../machine/machine.ts';
import { MSR_IA32_MTRR_DEF_TYPE, msrByName, msrSlot } from '../x86/msr.ts';
import { acpiTables } from './acpi.ts';
import { BIOS_VECTORS, biosHandlers, interruptVectors } from './interruptVectors.ts';
import {
  BDA_BASE_MEMORY_KIB,
  BDA_EBDA_SEGMENT,
  BIOS_HANDLERS_START,
  BIOS_START,
  EBDA_START,
  HIGH_RAM_START,
  MMIO_HOLE_START,
  type Range,
  SMBIOS_START,
} from './layout.ts';
import type { ImageOptions, Part } from './protocol.ts';
import { smbiosTables } from './smbios.ts';

/** Tables: in low memory, where there is a PC's. Memory types: of the processor. Chips: clock and interrupt controllers. */
export type FirmwarePart = 'tables' | 'memory-types' | 'chips';
/** All that a PC's BIOS does. */
export const PC_FIRMWARE: readonly FirmwarePart[] = ['tables', 'memory-types', 'chips'];

type Firmware = Pick<ImageOptions, 'memoryBytes' | 'plainRam' | 'apic' | 'processor'>;

/** What it has in memory; nothing where there is plain RAM. */
export function firmwareTables(options: Firmware): readonly Part[] {
  if (options.plainRam) return [];
  const part = (name: Part['name'], start: number, bytes: Uint8Array): Part => ({
    name,
    start,
    size: bytes.length,
    bytes,
  });
  return [
    part('bios_data_area', BDA_EBDA_SEGMENT, biosData()),
    part('interrupt_vectors', 0, interruptVectors()),
    part('bios_handlers', BIOS_HANDLERS_START, biosHandlers()),
    part('acpi_tables', BIOS_START, acpiTables(BIOS_START, options.apic ?? false).bytes),
    part('smbios_tables', SMBIOS_START, smbiosTables(SMBIOS_START, options)),
  ];
}

/** The two words of the BIOS data area that stubs read; the rest of it is zero. */
function biosData(): Uint8Array {
  const bytes = new Uint8Array(BDA_BASE_MEMORY_KIB + 2 - BDA_EBDA_SEGMENT);
  putU16(bytes, 0, EBDA_START >> 4);
  putU16(bytes, BDA_BASE_MEMORY_KIB - BDA_EBDA_SEGMENT, EBDA_START / KIB);
  return bytes;
}

const BDA: Range = { start: 0x400, size: 0x100 };

/** Of that, what a program may not lie in. */
export function firmwareKeeps(options: Firmware): readonly Range[] {
  if (options.plainRam) return [];
  return [BDA, { start: BIOS_START, size: acpiTables(BIOS_START, options.apic ?? false).bytes.length }];
}

/** Where a program finds the ACPI tables. */
export const rsdpOf = ({ plainRam }: Firmware): number | undefined => (plainRam ? undefined : BIOS_START);

const UNCACHEABLE = 0n;
const WRITE_PROTECTED = 5n;
const WRITE_BACK = 6n;
const MTRR_ENABLE = 1n << 11n;
const FIXED_ENABLE = 1n << 10n;
const VALID = 1n << 11n;
/** Address bits of a mask: MAXPHYADDR is 40 (x86/models.ts). */
const ADDRESS_BITS = (1n << 40n) - 1n;

/** A fixed-range register holds eight types, one in each byte. */
const eight = (type: bigint): bigint => type * 0x0101_0101_0101_0101n;

/** The 32-bit hole, a power of two in size and aligned to it, as one variable range. */
const HOLE_MASK = ADDRESS_BITS & ~BigInt(HIGH_RAM_START - MMIO_HOLE_START - 1);

const FIXED: readonly (readonly [name: string, type: bigint])[] = [
  ['64K_00000', WRITE_BACK],
  ['16K_80000', WRITE_BACK],
  // Video memory.
  ['16K_A0000', UNCACHEABLE],
  ...Array.from({ length: 8 }, (_, n): [string, bigint] => [
    `4K_${(0xc0000 + n * 0x8000).toString(16).toUpperCase()}`,
    WRITE_PROTECTED,
  ]),
];

/** RAM write-back, the device hole and video memory uncacheable, ROM write-protected. */
export function setMemoryTypes(state: CpuState): void {
  const set = (number: number, value: bigint): void => state.setU64(at.msrAddress(msrSlot(number)), value);
  for (const [name, type] of FIXED) {
    const msr = msrByName(`IA32_MTRR_FIX${name}`);
    if (msr) set(msr.number, eight(type));
  }
  set(0x200, BigInt(MMIO_HOLE_START) | UNCACHEABLE);
  set(0x201, HOLE_MASK | VALID);
  set(MSR_IA32_MTRR_DEF_TYPE, MTRR_ENABLE | FIXED_ENABLE | WRITE_BACK);
}

const PIC1 = 0x20;
const PIC2 = 0xa0;
const PIT_COUNTER_0 = 0x40;
const PIT_CONTROL = 0x43;
/** Counter 0, both bytes, mode 2, binary; a count of 0 is 65,536: the 18.2 Hz of a PC's clock. */
const CLOCK = 0x34;
const ICW1_CASCADED_WITH_ICW4 = 0x11;
const ICW4_8086 = 0x01;
/** Unmasked are the inputs that a BIOS has a handler for and this PC a chip: timer, keyboard, cascade; clock, mouse, FPU. */
const BIOS_MASKS = [0xf8, 0xce] as const;

/**
 * The 8254 ticks and the 8259A pair passes its ticks on, as every PC BIOS leaves them (SeaBIOS does these very writes): who
 * enables interrupts before it has set up a table of its own and the 8259A gets vector 8 within 55 ms.
 */
const CHIPS: readonly (readonly [port: number, value: number])[] = [
  [PIT_CONTROL, CLOCK],
  [PIT_COUNTER_0, 0],
  [PIT_COUNTER_0, 0],
  // The clock's first edge was served long ago: initialization forgets it.
  [PIC1, ICW1_CASCADED_WITH_ICW4],
  [PIC2, ICW1_CASCADED_WITH_ICW4],
  [PIC1 + 1, BIOS_VECTORS[0]],
  [PIC2 + 1, BIOS_VECTORS[1]],
  [PIC1 + 1, 1 << 2],
  [PIC2 + 1, 2],
  [PIC1 + 1, ICW4_8086],
  [PIC2 + 1, ICW4_8086],
  [PIC1 + 1, BIOS_MASKS[0]],
  [PIC2 + 1, BIOS_MASKS[1]],
];

/** Clock and interrupt controllers. */
export const setUpChips = (machine: Machine): void => machine.presetPorts(CHIPS);
