// The translation caches in the machine's memory as TypeScript handles them: clearing, dropping, and the fetch side, which
// only this side fills (the engine fills reads and writes itself; layout.ts says what an entry is). Also the flags kept of
// each host page, because changing them means that pages have to be looked at again.
//
// What a guest can tell of the caches is specified, and the same in every engine:
// - An access by a handler, and the fetch of an instruction, walks the tables where its page has no entry in the table of the
//   MMU context in force, and then has one, in place of whatever had that place. An instruction over two pages needs both.
//   A walk sets accessed bits, and the dirty bit where it writes (SDM 3A 4.8); an access that has an entry sets none.
// - Microcode walks at each access, and so does what reaches no RAM, and data where alignment is checked; none of it is kept.
// - Entries go by MOV CR3, INVLPG and their like, by changes of paging, and where the mode that code runs in changes.
// So no entry may come or go for a reason of the host's: watched pages, decoded code, how a run is cut. For these an entry
// is marked with TLB_LOOK.

import type { CodePage } from '../state/codeContext.ts';
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
  readonly physicalPage: number;
};

export type SavedTranslations = {
  readonly entries: readonly SavedTranslation[];
  /** LARGE_REGIONS and HUGE_REGIONS. */
  readonly regions: Uint8Array;
};

export const isFetchEntry = (entry: number): boolean => Math.floor(entry / at.TLB_ENTRIES) % TABLES.length === 2;
/** Its place among the entries for fetches. */
const fetchNumber = (entry: number): number =>
  Math.floor(entry / (TABLES.length * at.TLB_ENTRIES)) * at.TLB_ENTRIES + (entry % at.TLB_ENTRIES);

export class Translations {
  readonly #memory: GuestMemory;
  readonly #state: CpuState;
  /** Of each entry for fetches the page, on the host and in physical memory. */
  readonly #hostPages = new Uint32Array((at.MMU_CONTEXTS + 1) * at.TLB_ENTRIES);
  readonly #physicalPages = new Float64Array((at.MMU_CONTEXTS + 1) * at.TLB_ENTRIES);
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

  /** What is cached: it shows in what a guest sees that changed its page tables and told nobody. */
  save(): SavedTranslations {
    const { view, bytes } = this.#memory;
    const entries: SavedTranslation[] = [];
    for (let entry = 0; entry < ENTRIES; entry++) {
      const address = at.TLB + entry * at.TLB_ENTRY_BYTES;
      if (view.getUint32(address, true) & 0xfff & ~Number(at.TLB_LOOK)) continue;
      const physicalPage = isFetchEntry(entry)
        ? (this.#physicalPages[fetchNumber(entry)] as number)
        : view.getUint32(address + at.TLB_PHYSICAL, true);
      entries.push({ entry, tag: view.getBigInt64(address, true) & ~PAGE_MASK, physicalPage });
    }
    return { entries, regions: bytes.slice(at.LARGE_REGIONS, at.HUGE_REGIONS + at.REGION_COUNT) };
  }

  /** @param hostPageOf where a physical page that somebody has touched lies, or for code where nothing answers does */
  restore(saved: SavedTranslations, hostPageOf: (physicalPage: number) => number): void {
    const { view, bytes } = this.#memory;
    this.clear();
    this.#aligned = true;
    for (const { entry, tag, physicalPage } of saved.entries) {
      const address = at.TLB + entry * at.TLB_ENTRY_BYTES;
      const hostPage = hostPageOf(physicalPage);
      view.setBigInt64(address, (tag & ~PAGE_MASK) | at.TLB_LOOK, true);
      if (isFetchEntry(entry)) this.#setPage(fetchNumber(entry), { hostPage, physicalPage });
      else {
        view.setUint32(address + at.TLB_HOST, (hostPage * 4096 - Number(tag & 0xffff_f000n)) >>> 0, true);
        view.setUint32(address + at.TLB_PHYSICAL, physicalPage, true);
      }
    }
    bytes.set(saved.regions, at.LARGE_REGIONS);
  }

  #setPage(number: number, { hostPage, physicalPage }: CodePage): void {
    this.#hostPages[number] = hostPage;
    this.#physicalPages[number] = physicalPage;
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

  /** From now on every entry is looked at before it is used again. */
  lookAtAll(): void {
    const entries = new Int32Array(this.#memory.bytes.buffer, at.TLB, ENTRIES * (at.TLB_ENTRY_BYTES / 4));
    const look = Number(at.TLB_LOOK);
    for (let i = 0; i < entries.length; i += at.TLB_ENTRY_BYTES / 4) {
      const low = entries[i] as number;
      if ((low & 0xfff) === 0) entries[i] = low | look;
    }
  }

  /** As `lookAtAll`, for writes to a host page: it has begun to hold code. */
  lookAtWrites(hostPage: number): void {
    this.#lookIn(at.TLB_WRITE, (page) => page === hostPage);
  }

  /** As `lookAtAll`, for reads of some host pages and writes to others. */
  lookAtPages(reads: ReadonlySet<number>, writes: ReadonlySet<number>): void {
    if (reads.size > 0) this.#lookIn(at.TLB_READ, (page) => reads.has(page));
    if (writes.size > 0) this.#lookIn(at.TLB_WRITE, (page) => writes.has(page));
  }

  #lookIn(which: number, isOne: (hostPage: number) => boolean): void {
    const { view } = this.#memory;
    for (let set = 0; set < at.MMU_CONTEXTS; set++) {
      const table = at.TLB + set * at.TLB_SET_BYTES + which;
      for (let entry = table; entry < table + at.TLB_TABLE_BYTES; entry += at.TLB_ENTRY_BYTES) {
        const linear = view.getUint32(entry, true);
        if (linear & 0xfff) continue;
        const host = (linear + view.getUint32(entry + at.TLB_HOST, true)) >>> 0;
        if (isOne(host >>> 12)) view.setUint32(entry, linear | Number(at.TLB_LOOK), true);
      }
    }
  }

  #fetchEntry(linear: bigint): number {
    return at.TLB + this.#state.u32(at.MMU_CONTEXT) + at.TLB_FETCH + indexOf(linear);
  }

  /** Where the code at an address is, if that is cached. */
  fetched(linear: bigint): CodePage | undefined {
    const entry = this.#fetchEntry(linear);
    const tag = this.#memory.view.getBigInt64(entry, true);
    if ((tag & ~at.TLB_LOOK) !== pageTag(linear)) return undefined;
    const number = fetchNumber((entry - at.TLB) / at.TLB_ENTRY_BYTES);
    return { hostPage: this.#hostPages[number] as number, physicalPage: this.#physicalPages[number] as number };
  }

  /** What a walk for a fetch has found. */
  setFetch(linear: bigint, page: CodePage): void {
    const entry = this.#fetchEntry(linear);
    if (this.#state.u32(at.MMU_CONTEXT) === at.ALIGNED_CONTEXT) this.#aligned = true;
    this.#memory.view.setBigInt64(entry, pageTag(linear) | at.TLB_LOOK, true);
    this.#setPage(fetchNumber((entry - at.TLB) / at.TLB_ENTRY_BYTES), page);
  }

  /** Of an address that is `fetched`. @param context address of the page's code context */
  setContext(linear: bigint, context: number): void {
    const entry = this.#fetchEntry(linear);
    this.#memory.view.setBigInt64(entry, pageTag(linear), true);
    this.#memory.view.setUint32(entry + at.TLB_HOST, context, true);
  }

  /** Record of the code at an address, found as the engine itself looks targets up; 0 where it would leave for a miss. */
  record(linear: bigint): number {
    const { view } = this.#memory;
    const entry = this.#fetchEntry(linear);
    if (view.getBigInt64(entry, true) !== pageTag(linear)) return 0;
    const slots = view.getUint32(entry + at.TLB_HOST, true) + at.CTX_SLOTS;
    return view.getUint32(slots + 4 * Number(linear & PAGE_MASK), true);
  }

  /** Host pages that have a flag; clears it everywhere, so that accesses set it anew. */
  takePages(flag: number): number[] {
    const { bytes } = this.#memory;
    const pages = this.pagesWith(flag);
    for (const page of pages) bytes[at.PAGE_FLAGS + page] = (bytes[at.PAGE_FLAGS + page] as number) & ~flag;
    this.lookAtAll();
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
