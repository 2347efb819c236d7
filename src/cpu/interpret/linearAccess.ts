// Guest memory as microcode accesses it: by linear address, across pages, RAM or device. Everything is translated before
// anything is read or written, so that a fault leaves nothing half done.

import type { PhysAddr } from '../../bits/address.ts';
import type { CodeCache } from '../decode/codeCache.ts';
import { type Access, type AccessBytes, type Fault, isFault } from '../state/cpu.ts';
import { ACCESS } from '../mmu/paging.ts';
import * as at from '../state/layout.ts';
import type { GuestMemory } from '../state/memory.ts';

export type DeviceBus = {
  /** Unsigned value of a device or unmapped address. */
  read(address: PhysAddr, size: AccessBytes): bigint;
  write(address: PhysAddr, size: AccessBytes, value: bigint): void;
  /** Does the device there depend on guest time or interrupts? The engine then comes to it with an exact count. */
  needsTime?(address: PhysAddr): boolean;
  /** How often nothing answered; a guest that does little else is stopped. */
  readonly emptyAccesses: number;
};

/** The walk's access argument. @param cpl implicit accesses are supervisor's whatever it is (SDM 3A 4.6) */
export const accessBits = (access: Access, cpl: number): number =>
  (access.write ? ACCESS.WRITE : 0) |
  (access.fetch ? ACCESS.FETCH : 0) |
  (access.implicit ? ACCESS.IMPLICIT : 0) |
  (access.peek ? ACCESS.PEEK : 0) |
  (cpl === 3 && !access.implicit ? ACCESS.USER : 0);

/** A piece of an access that does not cross a page. */
type Part = { readonly address: PhysAddr; readonly size: number };

const isAccess = (size: number): size is AccessBytes => size === 1 || size === 2 || size === 4 || size === 8;

export class LinearAccess {
  readonly #memory: GuestMemory;
  readonly #code: CodeCache;
  readonly #devices: DeviceBus;
  readonly #translate: (linear: bigint, access: Access) => PhysAddr | Fault;

  constructor(
    memory: GuestMemory,
    code: CodeCache,
    devices: DeviceBus,
    translate: (linear: bigint, access: Access) => PhysAddr | Fault,
  ) {
    this.#memory = memory;
    this.#code = code;
    this.#devices = devices;
    this.#translate = translate;
  }

  read(linear: bigint, size: AccessBytes, access: Access): bigint | Fault {
    const first = this.#translate(linear, access);
    if (isFault(first)) return first;
    const host = 4096 - (first % 4096) < size ? undefined : this.#memory.hostOf(first);
    if (host !== undefined) return this.#load(host, size);
    const parts = this.#parts(first, linear, size, access);
    if (isFault(parts)) return parts;
    let value = 0n;
    let shift = 0n;
    for (const part of parts) {
      value |= this.#readPart(part) << shift;
      shift += BigInt(8 * part.size);
    }
    return value;
  }

  write(linear: bigint, size: AccessBytes, value: bigint, access: Access): Fault | undefined {
    const writing = access.write ? access : { ...access, write: true };
    const first = this.#translate(linear, writing);
    if (isFault(first)) return first;
    const host = 4096 - (first % 4096) < size ? undefined : this.#memory.hostOf(first);
    if (host !== undefined) {
      this.#store(first, host, size, value);
      return undefined;
    }
    const parts = this.#parts(first, linear, size, writing);
    if (isFault(parts)) return parts;
    let rest = BigInt.asUintN(8 * size, value);
    for (const part of parts) {
      this.#writePart(part, BigInt.asUintN(8 * part.size, rest));
      rest >>= BigInt(8 * part.size);
    }
    return undefined;
  }

  readPhysical(address: PhysAddr, size: AccessBytes): bigint {
    return this.#readPart({ address, size });
  }

  /** @param first where the first byte is */
  #parts(first: PhysAddr, linear: bigint, size: AccessBytes, access: Access): Part[] | Fault {
    const here = Math.min(size, 4096 - (first % 4096));
    if (here === size) return [{ address: first, size }];
    const second = this.#translate(BigInt.asUintN(64, linear + BigInt(here)), access);
    if (isFault(second)) return second;
    return [
      { address: first, size: here },
      { address: second, size: size - here },
    ];
  }

  #readPart({ address, size }: Part): bigint {
    const host = this.#memory.hostOf(address);
    if (host === undefined && isAccess(size)) return this.#devices.read(address, size);
    let value = 0n;
    for (let i = size - 1; i >= 0; i--) {
      const byte =
        host === undefined
          ? this.#devices.read((address + i) as PhysAddr, 1)
          : BigInt(this.#memory.bytes[host + i] ?? 0);
      value = (value << 8n) | byte;
    }
    return value;
  }

  #writePart({ address, size }: Part, value: bigint): void {
    const host = this.#memory.hostOf(address);
    if (host !== undefined) this.#store(address, host, size, value);
    else if (isAccess(size)) this.#devices.write(address, size, value);
    else {
      for (let i = 0; i < size; i++)
        this.#devices.write((address + i) as PhysAddr, 1, (value >> BigInt(8 * i)) & 0xffn);
    }
  }

  /** Of RAM, within a page. */
  #load(host: number, size: AccessBytes): bigint {
    const { view } = this.#memory;
    if (size === 8) return view.getBigUint64(host, true);
    if (size === 4) return BigInt(view.getUint32(host, true));
    return BigInt(size === 2 ? view.getUint16(host, true) : view.getUint8(host));
  }

  #put(host: number, size: number, value: bigint): void {
    const { bytes, view } = this.#memory;
    if (size === 8) view.setBigUint64(host, value, true);
    else if (size === 4) view.setUint32(host, Number(value & 0xffff_ffffn), true);
    else for (let i = 0; i < size; i++) bytes[host + i] = Number((value >> BigInt(8 * i)) & 0xffn);
  }

  #store(address: PhysAddr, host: number, size: number, value: bigint): void {
    const { bytes } = this.#memory;
    const flags = at.PAGE_FLAGS + (host >>> 12);
    const old = bytes[flags] ?? 0;
    if (old & at.PAGE_ROM) return;
    this.#put(host, size, value);
    bytes[flags] = old | at.PAGE_STORED;
    this.#code.invalidate(host >>> 12);
    this.#memory.stored(address, size);
  }
}
