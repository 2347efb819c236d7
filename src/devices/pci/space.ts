// The configuration space of a PCI function: 256 bytes, of which a mask says what the guest may write (PCI 2.1,
// chapter 6). And what every function of this machine has in common, seen from the configuration mechanism.

import type { AccessSize } from '../device.ts';
import { zeros } from '../device.ts';

export const PCI_VENDOR_ID = 0x00;
export const PCI_COMMAND = 0x04;
export const PCI_STATUS = 0x06;
export const PCI_CLASS_REVISION = 0x08;
export const PCI_CACHE_LINE_SIZE = 0x0c;
export const PCI_LATENCY_TIMER = 0x0d;
export const PCI_BASE_ADDRESS_0 = 0x10;
export const PCI_SUBSYSTEM_VENDOR_ID = 0x2c;
export const PCI_CAPABILITY_LIST = 0x34;
export const PCI_INTERRUPT_LINE = 0x3c;
export const PCI_INTERRUPT_PIN = 0x3d;
export const PCI_HEADER_END = 0x40;

export const COMMAND_IO = 0x001;
export const COMMAND_MEMORY = 0x002;
export const COMMAND_MASTER = 0x004;
export const COMMAND_INTX_DISABLE = 0x400;
export const STATUS_INTERRUPT = 0x08;
export const STATUS_CAP_LIST = 0x10;

export const CAP_ID_VENDOR = 0x09;
export const CAP_ID_MSIX = 0x11;

const PCI_SPACE_SIZE = 256;

export type ByteRow = readonly [register: number, bytes: readonly number[]];

/** Little-endian. */
export const u16 = (value: number): number[] => [value & 0xff, (value >>> 8) & 0xff];
export const u32 = (value: number): number[] => [...u16(value), ...u16(value >>> 16)];

/** 256 bytes: the rows, and zeros. */
export const spaceOf = (rows: readonly ByteRow[]): number[] => {
  const bytes = zeros(PCI_SPACE_SIZE);
  for (const [register, values] of rows) bytes.splice(register, values.length, ...values);
  return bytes;
};

/** What a bus gives where nobody drives it. */
export const allOnes = (size: AccessSize): number => (size === 4 ? 0xffff_ffff : size === 2 ? 0xffff : 0xff);

export const readSpace = (space: readonly number[], register: number, size: number): number => {
  let value = 0;
  for (let i = 0; i < size; i++) value |= (space[register + i] ?? 0xff) << (8 * i);
  return value >>> 0;
};

/** Changes the bits that `writable` has. */
export const writeSpace = (
  space: number[],
  writable: readonly number[],
  register: number,
  size: number,
  value: number,
): void => {
  for (let at = register; at < register + size && at < PCI_SPACE_SIZE; at++) {
    const mask = writable[at] ?? 0;
    const byte = (value >>> (8 * (at - register))) & 0xff;
    space[at] = ((space[at] ?? 0) & ~mask) | (byte & mask);
  }
};

/** A function on bus 0, as configuration accesses come to it: inside one doubleword, at any size. */
export type PciFunction = {
  readConfig(register: number, size: AccessSize): number;
  writeConfig(register: number, size: AccessSize, value: number): void;
};

const FIRST_PCI_GSI = 16;

/**
 * How the board routes INTA of a slot: to one of four lines, as slots of a board are swizzled. Each line comes to an
 * input of its own at the I/O APIC, and, shared by two, to an input of the 8259A pair.
 */
export const pciRoute = (slot: number): { readonly line: number; readonly gsi: number; readonly irq: number } => {
  const line = slot & 3;
  return { line, gsi: FIRST_PCI_GSI + line, irq: 10 + (line & 1) };
};
