// The translation caches in the machine's memory as TypeScript handles them: clearing, dropping, and the fetch side, which
// only this side fills (the engine fills reads and writes itself; layout.ts says what an entry is). Also the flags kept of
// each host page, because changing them means that cached translations have to be looked up anew.

import type { PhysAddr } from '../../bits/address.ts';
import * as at from '../state/layout.ts';
import type { GuestMemory } from '../state/memory.ts';
import type { CpuState } from '../state/state.ts';

const PAGE_MASK = 0xfffn;
const pageTag = (linear: bigint): bigint => BigInt.asIntN(64, linear & ~PAGE_MASK);
const indexOf = (linear: bigint): number => Number((linear >> 12n) & BigInt(at.TLB_ENTRIES - 1)) * at.TLB_ENTRY_BYTES;

const regionOf = (linear: bigint, bits: bigint): number => Number((linear >> bits) & BigInt(at.REGION_COUNT - 1));

const TABLES = [at.TLB_READ, at.TLB_WRITE, at.TLB_FETCH];
/** The context that checks alignment is one more. */
const ENTRIES = (at.MMU_CONTEXTS + 1) * TABLES.length * at.TLB_ENTRIES;

export type SavedTranslation = {
  /** Number of the entry, of all tables. */
  readonly entry: number;
  /** Page of linear address. */
  readonly tag: bigint;
  /** For reads and writes a page of host memory, for fetches a code context, by its place among the live ones. */
  readonly value: number;
};

export type SavedTranslations = {
  readonly entries: readonly SavedTranslation[];
  /** LARGE_REGIONS and HUGE_REGIONS. */
  readonly regions: Uint8Array;
};

const isFetch = (entry: number): boolean => Math.floor(entry / at.TLB_ENTRIES) % TABLES.length === 2;

export class Translations {
  readonly #memory: GuestMemory;
  readonly #state: CpuState;
  /** Was anything put into the fetch table of the context that checks alignment? Nothing ever is into its others. */
  #aligned = true;
  /** Pages that could be stored to without setting PAGE_CHANGED when that was last taken. */
  #unnoticed: readonly number[] = [];

  constructor(memory: GuestMemory, state: CpuState) {
    this.#memory = memory;
    this.#state = state;
    this.clear();
  }

  clear(): void {
    // Any tag whose low 12 bits are not zero never matches.
    this.#memory.bytes.fill(1, at.TLB, at.TLB + at.MMU_CONTEXTS * at.TLB_SET_BYTES);
    this.#clearAligned();
    this.#memory.bytes.fill(0, at.LARGE_REGIONS, at.LARGE_REGIONS + at.REGION_COUNT);
    this.#memory.bytes.fill(0, at.HUGE_REGIONS, at.HUGE_REGIONS + at.REGION_COUNT);
  }

  /**
   * What is cached: it shows in what a guest sees that changed its page tables and told nobody.
   * @param contexts addresses of the live code contexts, and the place of each among them
   */
  save(contexts: ReadonlyMap<number, number>): SavedTranslations {
    const { view, bytes } = this.#memory;
    const entries: SavedTranslation[] = [];
    for (let entry = 0; entry < ENTRIES; entry++) {
      const address = at.TLB + entry * at.TLB_ENTRY_BYTES;
      if (view.getUint32(address, true) & 0xfff) continue;
      const cached = view.getUint32(address + 8, true);
      const hostPage = (view.getUint32(address, true) + cached) >>> 12;
      // An entry for a context that is gone finds no record, as no entry does.
      const value = isFetch(entry) ? contexts.get(cached) : hostPage;
      if (value !== undefined) entries.push({ entry, tag: view.getBigInt64(address, true), value });
    }
    return { entries, regions: bytes.slice(at.LARGE_REGIONS, at.HUGE_REGIONS + at.REGION_COUNT) };
  }

  /** @param contexts addresses of the code contexts, in the order that `save` was given */
  restore(saved: SavedTranslations, contexts: readonly number[]): void {
    const { view, bytes } = this.#memory;
    this.clear();
    this.#aligned = true;
    for (const { entry, tag, value } of saved.entries) {
      const address = at.TLB + entry * at.TLB_ENTRY_BYTES;
      const cached = isFetch(entry) ? (contexts[value] as number) : value * 4096 - Number(tag & 0xffff_ffffn);
      view.setBigInt64(address, tag & ~PAGE_MASK, true);
      view.setUint32(address + 8, cached >>> 0, true);
    }
    bytes.set(saved.regions, at.LARGE_REGIONS);
  }

  #clearAligned(): void {
    if (!this.#aligned) return;
    this.#aligned = false;
    const start = at.TLB + at.ALIGNED_CONTEXT;
    this.#memory.bytes.fill(1, start, start + at.TLB_SET_BYTES);
  }

  /** What is cached of one page, in every MMU context: all pieces of a large one (SDM 3A 4.10.4.1). */
  dropPage(linear: bigint): void {
    this.#clearAligned();
    if (this.#memory.bytes[at.HUGE_REGIONS + regionOf(linear, 30n)]) this.clear();
    else if (this.#memory.bytes[at.LARGE_REGIONS + regionOf(linear, 21n)]) this.#dropLarge(linear);
    else this.#dropSmall(linear);
  }

  /**
   * Every page of the 2 MiB around an address; they lie side by side in each table. What lies there of other regions goes with
   * them, and so nothing is left of the regions that share the flag.
   */
  #dropLarge(linear: bigint): void {
    const { bytes } = this.#memory;
    const first = indexOf(linear & ~0x1f_ffffn);
    for (let table = at.TLB; table < at.TLB + at.MMU_CONTEXTS * at.TLB_SET_BYTES; table += at.TLB_TABLE_BYTES) {
      bytes.fill(1, table + first, table + first + 512 * at.TLB_ENTRY_BYTES);
    }
    bytes[at.LARGE_REGIONS + regionOf(linear, 21n)] = 0;
  }

  #dropSmall(linear: bigint): void {
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
    if (this.#state.u32(at.MMU_CONTEXT) === at.ALIGNED_CONTEXT) this.#aligned = true;
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
    const pages = this.pagesWith(flag);
    for (const page of pages) bytes[at.PAGE_FLAGS + page] = (bytes[at.PAGE_FLAGS + page] as number) & ~flag;
    this.clear();
    return pages;
  }

  /** Host pages that can be stored to with nobody noticing: they have a write translation. Some twice. */
  #storable(): number[] {
    const { view } = this.#memory;
    const pages: number[] = [];
    for (let set = 0; set < at.MMU_CONTEXTS; set++) {
      const table = at.TLB + set * at.TLB_SET_BYTES + at.TLB_WRITE;
      for (let entry = table; entry < table + at.TLB_TABLE_BYTES; entry += at.TLB_ENTRY_BYTES) {
        const linear = view.getUint32(entry, true);
        if ((linear & 0xfff) === 0) pages.push((linear + view.getUint32(entry + 8, true)) >>> 12);
      }
    }
    return pages;
  }

  /** Host pages whose bytes may differ from what they were when this was last asked; others do not. Leaves translations alone. */
  takeChanged(): Set<number> {
    const { bytes } = this.#memory;
    const changed = this.changed();
    for (const page of changed)
      bytes[at.PAGE_FLAGS + page] = (bytes[at.PAGE_FLAGS + page] as number) & ~at.PAGE_CHANGED;
    this.#unnoticed = this.#storable();
    return changed;
  }

  /** As `takeChanged`, and goes on counting from where it was. */
  changed(): Set<number> {
    return new Set([...this.#unnoticed, ...this.pagesWith(at.PAGE_CHANGED)]);
  }

  /** Host pages that have a flag. Changes nothing. */
  pagesWith(flag: number): number[] {
    const { bytes } = this.#memory;
    const end = at.PAGE_FLAGS + ((at.RAM_BASE + this.#memory.touchedBytes) >>> 12);
    const pages: number[] = [];
    for (let where = at.PAGE_FLAGS + (at.RAM_BASE >>> 12); where < end; where++) {
      if ((bytes[where] ?? 0) & flag) pages.push(where - at.PAGE_FLAGS);
    }
    return pages;
  }
}
