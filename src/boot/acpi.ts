// The ACPI tables that firmware would leave (ACPI 6.4, chapter 5), built for one place in memory. They lie in the BIOS area
// below 1 MiB, which the e820 table reserves, so the search of E0000h..FFFFFh finds the RSDP too; boot_params says where
// it is. The machine is no hardware-reduced one: PM1 registers, PM timer and SCI are those of devices/acpiPm.ts, the
// reset register is that of devices/reset.ts. A machine without a local APIC has no MADT: then kernels use the PIC.
import { putU16, putU32, putU64 } from '../bits/cursor.ts';
import { ACPI_PM, SLP_TYP_S5 } from '../devices/acpiPm.ts';
import { HPET_BASE, HPET_ID, HPET_SIZE } from '../devices/hpet.ts';
import { IO_APIC_BASE } from '../devices/ioApic.ts';
import { PCI_SLOTS } from '../devices/pci/mechanism.ts';
import { pciRoute } from '../devices/pci/space.ts';
import { IRQ, PORTS } from '../devices/ports.ts';
import {
  type Aml,
  ARG0,
  busNumbers,
  device,
  eisaId,
  giveBack,
  ifTrue,
  integer,
  ioPorts,
  ioWindow,
  isaIrq,
  memoryAt,
  memoryWindow,
  method,
  name,
  named,
  packageOf,
  resources,
  scope,
  store,
  string,
} from './aml.ts';
import { alignUp, MMIO_HOLE_START } from './layout.ts';

/** IA32_APIC_BASE after power-on. */
const LOCAL_APIC_BASE = 0xfee0_0000;

export type AcpiTables = {
  readonly bytes: Uint8Array;
  /** Guest-physical address of the RSDP: the first byte. */
  readonly rsdp: number;
};

const OEM_ID = 'FIRSTL';
const OEM_TABLE_ID = 'FIRSTLIT';
const CREATOR_ID = 'FLIT';
const HEADER_SIZE = 36;
const CHECKSUM = 9;

const putText = (bytes: Uint8Array, offset: number, text: string): void =>
  bytes.set(new TextEncoder().encode(text), offset);

/** Makes the bytes add up to zero. */
function putChecksum(bytes: Uint8Array, offset: number, length = bytes.length): void {
  bytes[offset] = 0;
  const sum = bytes.subarray(0, length).reduce((total, byte) => total + byte, 0);
  bytes[offset] = -sum & 0xff;
}

/** A system description table: the common header (5.2.6) and what follows it. */
function table(signature: string, revision: number, content: Uint8Array | Aml): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE + content.length);
  putText(bytes, 0, signature);
  putU32(bytes, 4, bytes.length);
  bytes[8] = revision;
  putText(bytes, 10, OEM_ID);
  putText(bytes, 16, OEM_TABLE_ID);
  putU32(bytes, 24, 1);
  putText(bytes, 28, CREATOR_ID);
  putU32(bytes, 32, 1);
  bytes.set(content, HEADER_SIZE);
  putChecksum(bytes, CHECKSUM);
  return bytes;
}

// RSDP and the tables of tables -----------------------------------------------------------------------------------------

const RSDP_SIZE = 36;
const RSDP_SIZE_V1 = 20;

/** 5.2.5.3: two checksums, the first over what ACPI 1.0 knew. */
function rsdp(rsdt: number, xsdt: number): Uint8Array {
  const bytes = new Uint8Array(RSDP_SIZE);
  putText(bytes, 0, 'RSD PTR ');
  putText(bytes, 9, OEM_ID);
  bytes[15] = 2;
  putU32(bytes, 16, rsdt);
  putU32(bytes, 20, RSDP_SIZE);
  putU64(bytes, 24, BigInt(xsdt));
  putChecksum(bytes, 8, RSDP_SIZE_V1);
  putChecksum(bytes, 32);
  return bytes;
}

function rsdt(tables: readonly number[]): Uint8Array {
  const content = new Uint8Array(4 * tables.length);
  tables.forEach((address, index) => putU32(content, 4 * index, address));
  return table('RSDT', 1, content);
}

function xsdt(tables: readonly number[]): Uint8Array {
  const content = new Uint8Array(8 * tables.length);
  tables.forEach((address, index) => putU64(content, 8 * index, BigInt(address)));
  return table('XSDT', 1, content);
}

// FADT and FACS ---------------------------------------------------------------------------------------------------------

/** FADT of ACPI 2.0 (revision 3). */
const FADT_SIZE = 244;
const FADT = {
  FIRMWARE_CTRL: 36,
  DSDT: 40,
  Preferred_PM_Profile: 45,
  SCI_INT: 46,
  PM1a_EVT_BLK: 56,
  PM1a_CNT_BLK: 64,
  PM_TMR_BLK: 76,
  PM1_EVT_LEN: 88,
  PM1_CNT_LEN: 89,
  PM_TMR_LEN: 91,
  P_LVL2_LAT: 96,
  P_LVL3_LAT: 98,
  CENTURY: 108,
  IAPC_BOOT_ARCH: 109,
  Flags: 112,
  RESET_REG: 116,
  RESET_VALUE: 128,
  X_FIRMWARE_CTRL: 132,
  X_DSDT: 140,
  X_PM1a_EVT_BLK: 148,
  X_PM1a_CNT_BLK: 172,
  X_PM_TMR_BLK: 208,
} as const;

const PROFILE_DESKTOP = 1;
/** Latencies above these say: no C2, no C3. */
const NO_C2 = 0x0fff;
const NO_C3 = 0x0fff;
const CMOS_CENTURY = 0x32;
const LEGACY_DEVICES = 1 << 0;
const HAS_8042 = 1 << 1;
const NO_VGA = 1 << 2;
const WBINVD = 1 << 0;
const PROC_C1 = 1 << 2;
/** No fixed power button, no fixed sleep button, no fixed RTC wake. */
const PWR_BUTTON = 1 << 4;
const SLP_BUTTON = 1 << 5;
const FIX_RTC = 1 << 6;
const TMR_VAL_EXT = 1 << 8;
const RESET_REG_SUP = 1 << 10;
/** RST_CPU with SYS_RST: a hard reset. */
const RESET_HARD = 0x06;

/** 5.2.3.2: a register in port space. @param accessSize 1 byte, 2 word, 3 dword */
function putGenericAddress(bytes: Uint8Array, offset: number, port: number, bits: number, accessSize: number): void {
  const SYSTEM_IO = 1;
  bytes.set([SYSTEM_IO, bits, 0, accessSize], offset);
  putU64(bytes, offset + 4, BigInt(port));
}

function fadt(facs: number, dsdt: number): Uint8Array {
  const bytes = new Uint8Array(FADT_SIZE);
  const { base } = PORTS.acpiPm;
  putU32(bytes, FADT.FIRMWARE_CTRL, facs);
  putU32(bytes, FADT.DSDT, dsdt);
  bytes[FADT.Preferred_PM_Profile] = PROFILE_DESKTOP;
  putU16(bytes, FADT.SCI_INT, IRQ.sci);
  putU32(bytes, FADT.PM1a_EVT_BLK, base + ACPI_PM.PM1_EVT_BLK);
  putU32(bytes, FADT.PM1a_CNT_BLK, base + ACPI_PM.PM1_CNT_BLK);
  putU32(bytes, FADT.PM_TMR_BLK, base + ACPI_PM.PM_TMR_BLK);
  bytes[FADT.PM1_EVT_LEN] = ACPI_PM.PM1_EVT_LEN;
  bytes[FADT.PM1_CNT_LEN] = ACPI_PM.PM1_CNT_LEN;
  bytes[FADT.PM_TMR_LEN] = ACPI_PM.PM_TMR_LEN;
  putU16(bytes, FADT.P_LVL2_LAT, NO_C2);
  putU16(bytes, FADT.P_LVL3_LAT, NO_C3);
  bytes[FADT.CENTURY] = CMOS_CENTURY;
  putU16(bytes, FADT.IAPC_BOOT_ARCH, LEGACY_DEVICES | HAS_8042 | NO_VGA);
  putU32(bytes, FADT.Flags, WBINVD | PROC_C1 | PWR_BUTTON | SLP_BUTTON | FIX_RTC | TMR_VAL_EXT | RESET_REG_SUP);
  putGenericAddress(bytes, FADT.RESET_REG, PORTS.resetControl.base, 8, 1);
  bytes[FADT.RESET_VALUE] = RESET_HARD;
  putU64(bytes, FADT.X_DSDT, BigInt(dsdt));
  putGenericAddress(bytes, FADT.X_PM1a_EVT_BLK, base + ACPI_PM.PM1_EVT_BLK, 8 * ACPI_PM.PM1_EVT_LEN, 2);
  putGenericAddress(bytes, FADT.X_PM1a_CNT_BLK, base + ACPI_PM.PM1_CNT_BLK, 8 * ACPI_PM.PM1_CNT_LEN, 2);
  putGenericAddress(bytes, FADT.X_PM_TMR_BLK, base + ACPI_PM.PM_TMR_BLK, 8 * ACPI_PM.PM_TMR_LEN, 3);
  return table('FACP', 3, bytes.subarray(HEADER_SIZE));
}

const FACS_SIZE = 64;
const FACS_ALIGNMENT = 64;

/** 5.2.10: no waking vector, the global lock free. The one table without a common header. */
function facs(): Uint8Array {
  const bytes = new Uint8Array(FACS_SIZE);
  putText(bytes, 0, 'FACS');
  putU32(bytes, 4, FACS_SIZE);
  bytes[32] = 1;
  return bytes;
}

// MADT ------------------------------------------------------------------------------------------------------------------

const PCAT_COMPAT = 1;
const ACTIVE_HIGH_LEVEL = 0x0d;
const dword = (value: number): number[] => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff);

/** One processor, one I/O APIC, beside the 8259A pair. The timer is input 2 there, the SCI active high. */
function madt(): Uint8Array {
  return table('APIC', 3, [
    ...dword(LOCAL_APIC_BASE),
    ...dword(PCAT_COMPAT),
    ...[0, 8, 0, 0, ...dword(1)],
    ...[1, 12, 0, 0, ...dword(IO_APIC_BASE), ...dword(0)],
    ...[2, 10, 0, IRQ.timer, ...dword(2), 0, 0],
    ...[2, 10, 0, IRQ.sci, ...dword(IRQ.sci), ACTIVE_HIGH_LEVEL, 0],
    ...[4, 6, 0xff, 0, 0, 1],
  ]);
}

// HPET ------------------------------------------------------------------------------------------------------------------

/** A write of a comparator takes effect this many ticks later at least. */
const HPET_MINIMUM_TICK = 128;

/** IA-PC HPET specification 1.0a, 3.2.4. */
function hpet(): Uint8Array {
  const SYSTEM_MEMORY = 0;
  return table('HPET', 1, [
    ...dword(HPET_ID),
    ...[SYSTEM_MEMORY, 64, 0, 0, ...dword(HPET_BASE), ...dword(0)],
    ...[0, HPET_MINIMUM_TICK & 0xff, HPET_MINIMUM_TICK >> 8, 0],
  ]);
}

// DSDT ------------------------------------------------------------------------------------------------------------------

/** \_S5: SLP_TYP for PM1a and PM1b control. */
const S5 = name('\\_S5', packageOf([integer(SLP_TYP_S5), integer(SLP_TYP_S5), integer(0), integer(0)]));

/** A device on the board that is known by its PNP id, at fixed ports. */
const boardDevice = (of: string, id: string, ...where: readonly Aml[]): Aml =>
  device(of, [name('_HID', eisaId(id)), name('_CRS', resources(...where))]);

const { pic8259, pit8254, i8042, cmos, com1, pciConfig } = PORTS;

const BOARD: readonly Aml[] = [
  boardDevice('PIC', 'PNP0000', ioPorts(pic8259.base, 2), ioPorts(0xa0, 2), isaIrq(IRQ.cascade)),
  boardDevice('TIMR', 'PNP0100', ioPorts(pit8254.base, 4), isaIrq(IRQ.timer)),
  boardDevice('RTC', 'PNP0B00', ioPorts(cmos.base, 2), isaIrq(IRQ.rtc)),
  boardDevice('KBD', 'PNP0303', ioPorts(i8042.base, 1), ioPorts(0x64, 1), isaIrq(IRQ.keyboard)),
  boardDevice('MOU', 'PNP0F13', isaIrq(IRQ.mouse)),
];

const SERIAL_PORT = device('COM1', [
  name('_HID', eisaId('PNP0501')),
  name('_UID', integer(1)),
  name('_CRS', resources(ioPorts(com1.base, 8), isaIrq(IRQ.com1))),
]);

/** 5.8.1: the system says which interrupt model it uses; 0 is the 8259A pair, which is what is meant until then. */
const INTERRUPT_MODEL = '\\PICM';
const PIC_METHOD = [
  ...name(INTERRUPT_MODEL, integer(0)),
  ...method('\\_PIC', 1, [store(ARG0, named(INTERRUPT_MODEL))]),
];

/** 6.2.13: for INTA of every slot the input it is wired to. No device of this machine has another pin. */
const routes = (input: (slot: number) => number): Aml =>
  packageOf(
    Array.from({ length: PCI_SLOTS - 1 }, (_, i) => i + 1).map((slot) =>
      packageOf([integer(slot * 0x1_0000 + 0xffff), integer(0), integer(0), integer(input(slot))]),
    ),
  );

const ROUTING: readonly Aml[] = [
  name(
    'RPIC',
    routes((slot) => pciRoute(slot).irq),
  ),
  name(
    'RAPI',
    routes((slot) => pciRoute(slot).gsi),
  ),
  method('_PRT', 0, [ifTrue(named(INTERRUPT_MODEL), [giveBack(named('RAPI'))]), giveBack(named('RPIC'))]),
];

/** The host bridge passes on all ports but its own, the video window, and the hole below the I/O APIC. */
const HOST_BRIDGE = device('PCI0', [
  name('_HID', eisaId('PNP0A03')),
  name('_UID', integer(0)),
  name(
    '_CRS',
    resources(
      busNumbers({ first: 0, last: 0xff }),
      ioPorts(pciConfig.base, 8),
      ioWindow({ first: 0, last: pciConfig.base - 1 }),
      ioWindow({ first: pciConfig.base + 8, last: 0xffff }),
      memoryWindow({ first: 0xa_0000, last: 0xb_ffff }),
      memoryWindow({ first: MMIO_HOLE_START, last: IO_APIC_BASE - 1 }),
    ),
  ),
  ...ROUTING,
  ...BOARD,
  SERIAL_PORT,
]);

const EVENT_TIMER = device('HPET', [
  name('_HID', eisaId('PNP0103')),
  name('_UID', integer(0)),
  name('_CRS', resources(memoryAt(HPET_BASE, HPET_SIZE))),
]);

const PROCESSOR = device('CPU0', [name('_HID', string('ACPI0007')), name('_UID', integer(0))]);

const dsdt = (): Uint8Array =>
  table('DSDT', 2, [...S5, ...PIC_METHOD, ...scope('\\_SB', [PROCESSOR, EVENT_TIMER, HOST_BRIDGE])]);

// All of it -------------------------------------------------------------------------------------------------------------

/**
 * @param base guest-physical address of the first byte, the RSDP; a multiple of 64
 * @param apic the machine has a local APIC and an I/O APIC
 */
export function acpiTables(base: number, apic: boolean): AcpiTables {
  const parts: { readonly at: number; readonly bytes: Uint8Array }[] = [];
  let next = base + RSDP_SIZE;
  const place = (bytes: Uint8Array, alignment = 16): number => {
    const at = alignUp(next, alignment);
    parts.push({ at, bytes });
    next = at + bytes.length;
    return at;
  };
  const facsAt = place(facs(), FACS_ALIGNMENT);
  const dsdtAt = place(dsdt());
  const listed = [place(fadt(facsAt, dsdtAt)), ...(apic ? [place(madt())] : []), place(hpet())];
  const pointer = rsdp(place(rsdt(listed)), place(xsdt(listed)));
  const bytes = new Uint8Array(next - base);
  for (const part of [{ at: base, bytes: pointer }, ...parts]) bytes.set(part.bytes, part.at - base);
  return { bytes, rsdp: base };
}
