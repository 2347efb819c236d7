// Guest-physical space outside RAM: the VGA window is plain storage (nobody looks at it), everything else is empty. An
// empty address reads as all ones and swallows writes; each 64 KiB of it that is touched is named once.

import type { PhysAddr } from '../bits/address.ts';
import type { AccessBytes } from '../cpu/cpu.ts';
import type { DeviceBus } from '../cpu/linearAccess.ts';

export const VGA_START = 0xa0000;
export const VGA_END = 0xc0000;

export class MemoryBus implements DeviceBus {
  readonly vga = new Uint8Array(VGA_END - VGA_START);
  readonly #empty: (address: number) => void;
  #emptyAccesses = 0;

  /** @param empty told of each access that nothing answers */
  constructor(empty: (address: number) => void) {
    this.#empty = empty;
  }

  /** Accesses where nothing answers, so far. */
  get emptyAccesses(): number {
    return this.#emptyAccesses;
  }

  read(address: PhysAddr, size: AccessBytes): bigint {
    if (!isVga(address, size)) {
      this.#emptyAccesses++;
      this.#empty(address);
      return (1n << BigInt(8 * size)) - 1n;
    }
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.vga[address - VGA_START + i] ?? 0xff);
    return value;
  }

  write(address: PhysAddr, size: AccessBytes, value: bigint): void {
    if (!isVga(address, size)) {
      this.#emptyAccesses++;
      this.#empty(address);
      return;
    }
    for (let i = 0; i < size; i++) this.vga[address - VGA_START + i] = Number((value >> BigInt(8 * i)) & 0xffn);
  }
}

const isVga = (address: number, size: number): boolean => address >= VGA_START && address + size <= VGA_END;
