// Guest-physical space outside RAM: the VGA window is plain storage, chips have their windows, and
// everything else is empty. An empty address reads as all ones and swallows writes; each 64 KiB of it that is touched is
// named once.

import type { PhysAddr } from '../bits/address.ts';
import type { Fields } from '../bits/fields.ts';
import type { Plain } from '../bits/plain.ts';
import type { AccessBytes } from '../cpu/state/cpu.ts';
import type { DeviceBus } from '../cpu/interpret/linearAccess.ts';
import type { Device } from '../devices/device.ts';

export const VGA_START = 0xa0000;
const VGA_END = 0xc0000;
/** The text modes' window. */
export const VGA_TEXT = 0xb8000;

/** Where a chip's registers are in memory. */
export type DeviceWindow = {
  /** Undefined while the chip does not answer. */
  base(): number | undefined;
  readonly size: number;
  readonly device: Pick<Device, 'name' | 'read' | 'write'>;
  /** Guest time of an access in ns, beyond the one that each instruction takes. */
  readonly accessNs?: bigint;
};

/** Where the bus leads to beside its chips. */
export type BusWires = {
  /** Nothing answers there. */
  readonly empty: (address: number) => void;
  /** Before an access to a chip: how many ns it takes beyond the one of the instruction. */
  readonly charge: (ns: bigint) => void;
  /** By name of the chip. */
  readonly chip: (chip: string, write: boolean) => void;
};

export class MemoryBus implements DeviceBus {
  readonly vga = new Uint8Array(VGA_END - VGA_START);
  /** How often a byte of the text window has changed. */
  textChanges = 0;
  readonly #windows: DeviceWindow[] = [];
  readonly #wires: BusWires;
  #emptyAccesses = 0;

  constructor(wires: BusWires) {
    this.#wires = wires;
  }

  attach(window: DeviceWindow): void {
    this.#windows.push(window);
  }

  /** Accesses where nothing answers, so far. */
  get emptyAccesses(): number {
    return this.#emptyAccesses;
  }

  save(): Plain {
    return { vga: this.vga.slice(), textChanges: this.textChanges, emptyAccesses: this.#emptyAccesses };
  }

  /** Throws InputError. */
  restore(saved: Fields): void {
    const vga = saved.bytes('vga', this.vga.length);
    if (vga.length !== this.vga.length) throw saved.wrong('vga');
    this.vga.set(vga);
    this.textChanges = saved.number('textChanges', 0, Number.MAX_SAFE_INTEGER);
    this.#emptyAccesses = saved.number('emptyAccesses', 0, Number.MAX_SAFE_INTEGER);
  }

  /** Chips want the exact time; storage does not. */
  needsTime(address: PhysAddr): boolean {
    return this.#windowAt(address) !== undefined;
  }

  read(address: PhysAddr, size: AccessBytes): bigint {
    const window = this.#windowAt(address);
    if (window) {
      this.#delay(window);
      this.#wires.chip(window.device.name, false);
      return readDevice(window, address, size);
    }
    if (isVga(address, size)) return this.#readVga(address, size);
    this.#nothing(address);
    return (1n << BigInt(8 * size)) - 1n;
  }

  write(address: PhysAddr, size: AccessBytes, value: bigint): void {
    const window = this.#windowAt(address);
    if (window) {
      this.#delay(window);
      this.#wires.chip(window.device.name, true);
      writeDevice(window, address, size, value);
    } else if (isVga(address, size)) this.#writeVga(address, size, value);
    else this.#nothing(address);
  }

  #delay({ accessNs }: DeviceWindow): void {
    if (accessNs !== undefined) this.#wires.charge(accessNs);
  }

  #windowAt(address: number): DeviceWindow | undefined {
    for (const window of this.#windows) {
      const base = window.base();
      if (base !== undefined && address >= base && address < base + window.size) return window;
    }
    return undefined;
  }

  #nothing(address: number): void {
    this.#emptyAccesses++;
    this.#wires.empty(address);
  }

  #readVga(address: number, size: number): bigint {
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.vga[address - VGA_START + i] ?? 0xff);
    return value;
  }

  #writeVga(address: number, size: number, value: bigint): void {
    for (let i = 0; i < size; i++) {
      const byte = Number((value >> BigInt(8 * i)) & 0xffn);
      const place = address - VGA_START + i;
      if (this.vga[place] !== byte && place >= VGA_TEXT - VGA_START) this.textChanges++;
      this.vga[place] = byte;
    }
  }
}

const isVga = (address: number, size: number): boolean => address >= VGA_START && address + size <= VGA_END;

const LOW32 = 0xffff_ffffn;

/** Chips have a 32-bit bus: an access of 8 bytes is two. */
function readDevice(window: DeviceWindow, address: number, size: AccessBytes): bigint {
  const offset = address - (window.base() ?? 0);
  if (size !== 8) return BigInt(window.device.read(offset, size) >>> 0);
  const low = BigInt(window.device.read(offset, 4) >>> 0);
  return (BigInt(window.device.read(offset + 4, 4) >>> 0) << 32n) | low;
}

function writeDevice(window: DeviceWindow, address: number, size: AccessBytes, value: bigint): void {
  const offset = address - (window.base() ?? 0);
  window.device.write(offset, size === 8 ? 4 : size, Number(value & LOW32));
  if (size === 8) window.device.write(offset + 4, 4, Number(value >> 32n));
}
