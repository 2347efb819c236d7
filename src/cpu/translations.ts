// The translation caches in the machine's memory as TypeScript handles them: clearing, dropping, and the fetch side, which
// only this side fills (the engine fills reads and writes itself; layout.ts says what an entry is). Also the flags kept of
// each host page, because changing them means that cached translations have to be looked up anew.

import type { PhysAddr } from '../bits/address.ts';
import * as at from './layout.ts';
import type { GuestMemory } from './memory.ts';
import type { CpuState } from './state.ts';

const PAGE_MASK = 0xfffn;
const pageTag = (linear: bigint): bigint => BigInt.asIntN(64, linear & ~PAGE_MASK);
const indexOf = (linear: bigint): number => Number((linear >> 12n) & BigInt(at.TLB_ENTRIES - 1)) * at.TLB_ENTRY_BYTES;

export class Translations {
  readonly #memory: GuestMemory;
  readonly #state: CpuState;

  constructor(memory: GuestMemory, state: CpuState) {
    this.#memory = memory;
    this.#state = state;
    this.clear();
  }

  clear(): void {
    // Any tag whose low 12 bits are not zero never matches.
    this.#memory.bytes.fill(1, at.TLB, at.TLB + at.MMU_CONTEXTS * at.TLB_SET_BYTES);
  }

  /** What is cached of one page, in every MMU context. */
  dropPage(linear: bigint): void {
    for (let set = 0; set < at.MMU_CONTEXTS; set++) {
      for (const table of [at.TLB_READ, at.TLB_WRITE, at.TLB_FETCH]) {
        const entry = at.TLB + set * at.TLB_SET_BYTES + table + indexOf(linear);
        this.#memory.view.setBigInt64(entry, at.TLB_EMPTY, true);
      }
    }
  }

  /** Every write translation to a host page: it has begun to hold code, and is written by the slow path only. */
  dropWrites(hostPage: number): void {
    const { view } = this.#memory;
    for (let set = 0; set < at.MMU_CONTEXTS; set++) {
      const table = at.TLB + set * at.TLB_SET_BYTES + at.TLB_WRITE;
      for (let entry = table; entry < table + at.TLB_TABLE_BYTES; entry += at.TLB_ENTRY_BYTES) {
        const linear = view.getUint32(entry, true);
        if (linear & 0xfff) continue;
        if ((linear + view.getUint32(entry + 8, true)) >>> 12 === hostPage) view.setBigInt64(entry, at.TLB_EMPTY, true);
      }
    }
  }

  #fetchEntry(linear: bigint): number {
    return at.TLB + this.#state.u32(at.MMU_CONTEXT) + at.TLB_FETCH + indexOf(linear);
  }

  /** @param context address of the page's code context */
  setFetch(linear: bigint, context: number): void {
    const entry = this.#fetchEntry(linear);
    this.#memory.view.setBigInt64(entry, pageTag(linear), true);
    this.#memory.view.setUint32(entry + 8, context, true);
  }

  /** Record of the code at an address, found as the engine itself looks targets up; 0 where it would leave for a miss. */
  record(linear: bigint): number {
    const { view } = this.#memory;
    const entry = this.#fetchEntry(linear);
    if (view.getBigInt64(entry, true) !== pageTag(linear)) return 0;
    const slots = view.getUint32(entry + 8, true) + at.CTX_SLOTS;
    return view.getUint32(slots + 4 * Number(linear & PAGE_MASK), true);
  }

  /** Sets or clears flags of the pages of a physical range. */
  flagPages(address: PhysAddr, length: number, flags: number, on: boolean): void {
    for (let page = Math.floor(address / 4096); page * 4096 < address + length; page++) {
      const host = this.#memory.hostOf(page * 4096);
      if (host === undefined) continue;
      const where = at.PAGE_FLAGS + (host >>> 12);
      const old = this.#memory.bytes[where] ?? 0;
      this.#memory.bytes[where] = on ? old | flags : old & ~flags;
    }
    this.clear();
  }

  /** Host pages that have a flag; clears it everywhere, so that accesses set it anew. */
  takePages(flag: number): number[] {
    const { bytes } = this.#memory;
    const end = at.PAGE_FLAGS + ((at.RAM_BASE + this.#memory.touchedBytes) >>> 12);
    const pages: number[] = [];
    for (let where = at.PAGE_FLAGS + (at.RAM_BASE >>> 12); where < end; where++) {
      const value = bytes[where] ?? 0;
      if (!(value & flag)) continue;
      bytes[where] = value & ~flag;
      pages.push(where - at.PAGE_FLAGS);
    }
    this.clear();
    return pages;
  }
}
