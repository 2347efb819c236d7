// Guest-physical space outside RAM: the VGA window is plain storage (nobody looks at it), chips have their windows, and
// everything else is empty. An empty address reads as all ones and swallows writes; each 64 KiB of it that is touched is
// named once.

import type { PhysAddr } from '../bits/address.ts';
import type { AccessBytes } from '../cpu/cpu.ts';
import type { DeviceBus } from '../cpu/linearAccess.ts';
import type { Device } from '../devices/device.ts';

export const VGA_START = 0xa0000;
export const VGA_END = 0xc0000;

/** Where a chip's registers are in memory. */
export type DeviceWindow = {
  /** Undefined while the chip does not answer. */
  base(): number | undefined;
  readonly size: number;
  readonly device: Pick<Device, 'read' | 'write'>;
};

export class MemoryBus implements DeviceBus {
  readonly vga = new Uint8Array(VGA_END - VGA_START);
  readonly #windows: DeviceWindow[] = [];
  readonly #empty: (address: number) => void;
  #emptyAccesses = 0;

  /** @param empty told of each access that nothing answers */
  constructor(empty: (address: number) => void) {
    this.#empty = empty;
  }

  attach(window: DeviceWindow): void {
    this.#windows.push(window);
  }

  /** Accesses where nothing answers, so far. */
  get emptyAccesses(): number {
    return this.#emptyAccesses;
  }

  /** Chips want the exact time; storage does not. */
  needsTime(address: PhysAddr): boolean {
    return this.#windowAt(address) !== undefined;
  }

  read(address: PhysAddr, size: AccessBytes): bigint {
    if (isVga(address, size)) return this.#readVga(address, size);
    const window = this.#windowAt(address);
    if (window) return readDevice(window, address, size);
    this.#nothing(address);
    return (1n << BigInt(8 * size)) - 1n;
  }

  write(address: PhysAddr, size: AccessBytes, value: bigint): void {
    const window = this.#windowAt(address);
    if (window) writeDevice(window, address, size, value);
    else if (isVga(address, size)) this.#writeVga(address, size, value);
    else this.#nothing(address);
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
    this.#empty(address);
  }

  #readVga(address: number, size: number): bigint {
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.vga[address - VGA_START + i] ?? 0xff);
    return value;
  }

  #writeVga(address: number, size: number, value: bigint): void {
    for (let i = 0; i < size; i++) this.vga[address - VGA_START + i] = Number((value >> BigInt(8 * i)) & 0xffn);
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
