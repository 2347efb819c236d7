// Guest-physical memory: RAM ranges backed by 64 KiB chunks of one WebAssembly memory, handed out when first touched.
// Everything that is not RAM belongs to the machine's device bus. Addresses are checked: a host read of an address
// without RAM gives undefined, never garbage.

import { InputError } from '../../bits/errors.ts';
import { PAGE_SIZE, type PhysAddr } from '../../bits/address.ts';
import * as at from './layout.ts';

/** A range of RAM; start and size are multiples of 64 KiB except where it ends inside the first MiB. */
export type RamRange = { readonly start: number; readonly end: number };

const WASM_PAGE = 65536;
const GROW_PAGES = 512; // 32 MiB at a time
const MAX_PAGES = 65536; // wasm32

/**
 * Bytes of RAM that a guest may touch, whatever it was given. Kernels touch some 100 MiB on their way; a wild store that
 * sweeps through gigabytes ends here instead of taking the host's memory.
 */
const MOST_TOUCHED = 2 ** 30;

/** What whoever caches something of memory has to hear of. */
export type MemoryWires = {
  /** The host itself wrote to a page of host memory: decoded code is to be dropped. */
  readonly hostWrote: (hostPage: number) => void;
  /** A chunk has got its place in host memory. */
  readonly touched: (chunk: number) => void;
  /** Microcode or a chip has stored to bytes of RAM within a page. */
  readonly stored: (address: number, size: number) => void;
};

export class GuestMemory {
  readonly wasm: WebAssembly.Memory;
  readonly ranges: readonly RamRange[];
  #next = at.RAM_BASE;
  readonly #touched: number[] = [];
  /** Chunks that are seen instead of RAM of their own. */
  readonly #aliases = new Set<number>();
  #u8: Uint8Array;
  #view: DataView;
  readonly #wires: MemoryWires[] = [];

  /** @param ranges RAM, in chunks of 64 KiB (a range's last part of a chunk is rounded down) */
  constructor(ranges: readonly RamRange[]) {
    this.wasm = new WebAssembly.Memory({ initial: at.RAM_BASE / WASM_PAGE + GROW_PAGES, maximum: MAX_PAGES });
    this.ranges = ranges;
    this.#u8 = new Uint8Array(this.wasm.buffer);
    this.#view = new DataView(this.wasm.buffer);
    for (const range of ranges) this.#open(range);
  }

  #open(range: RamRange): void {
    const first = Math.ceil(range.start / at.CHUNK_BYTES);
    const last = Math.floor(Math.min(range.end, at.PHYS_LIMIT) / at.CHUNK_BYTES);
    for (let chunk = first; chunk < last; chunk++) {
      this.#view.setUint32(at.CHUNK_TABLE + 4 * chunk, at.CHUNK_UNTOUCHED, true);
    }
  }

  /** To be called once by each engine that runs on this memory. */
  connect(wires: MemoryWires): void {
    this.#wires.push(wires);
  }

  /** Bytes of the whole memory; do not keep it across anything that may touch a new chunk. */
  get bytes(): Uint8Array {
    return this.#u8;
  }
  get view(): DataView {
    return this.#view;
  }

  /** More RAM was touched than MOST_TOUCHED, or than the host has: the machine has to stop. */
  full = false;

  /** Gives a chunk its host memory. Called by the engine and by host accesses. @returns its host address, 0 where there is no room */
  touchChunk(chunk: number): number {
    const host = this.#next;
    const end = host + at.CHUNK_BYTES;
    if (end > at.RAM_BASE + MOST_TOUCHED || (end > this.#u8.length && !this.#grow())) {
      this.full = true;
      return 0;
    }
    this.#next = end;
    this.#touched.push(chunk);
    this.#view.setUint32(at.CHUNK_TABLE + 4 * chunk, host, true);
    for (const wires of this.#wires) wires.touched(chunk);
    return host;
  }

  #grow(): boolean {
    const pages = this.wasm.buffer.byteLength / WASM_PAGE;
    try {
      this.wasm.grow(Math.min(GROW_PAGES, MAX_PAGES - pages));
    } catch {
      return false;
    }
    this.#u8 = new Uint8Array(this.wasm.buffer);
    this.#view = new DataView(this.wasm.buffer);
    return true;
  }

  /** Host address of a guest-physical byte, or undefined where there is no RAM (or none left to give). */
  hostOf(address: number): number | undefined {
    if (!(address >= 0 && address < at.PHYS_LIMIT)) return undefined;
    const chunk = Math.floor(address / at.CHUNK_BYTES);
    const entry = this.#view.getUint32(at.CHUNK_TABLE + 4 * chunk, true);
    if (entry === at.CHUNK_NONE) return undefined;
    const host = entry === at.CHUNK_UNTOUCHED ? this.touchChunk(chunk) : entry;
    return host === 0 ? undefined : host + (address % at.CHUNK_BYTES);
  }

  /**
   * From now on the RAM at [from, from + size) is that at [to, to + size): one set of bytes seen at two addresses, as no PC
   * has it. Addresses and size are multiples of CHUNK_BYTES. Throws InputError where not all of both is RAM, or where what
   * is hidden was touched before. To be called again where RAM has been laid anew.
   */
  alias(from: number, to: number, size: number): void {
    if ([from, to, size].some((value) => value % at.CHUNK_BYTES !== 0) || (from < to + size && to < from + size)) {
      throw new InputError('memory can be seen at a second address in whole, separate pieces of 64 KiB only');
    }
    for (let offset = 0; offset < size; offset += at.CHUNK_BYTES) {
      const chunk = (from + offset) / at.CHUNK_BYTES;
      const hidden = this.#view.getUint32(at.CHUNK_TABLE + 4 * chunk, true);
      const isFree = hidden === at.CHUNK_UNTOUCHED || this.#aliases.has(chunk);
      const host = this.hostOf(to + offset);
      if (!isFree || host === undefined) {
        throw new InputError('memory can be seen at a second address only where both are RAM and one is unused');
      }
      this.#aliases.add(chunk);
      this.#view.setUint32(at.CHUNK_TABLE + 4 * chunk, host, true);
    }
  }

  /** Is every byte of it RAM? */
  isRam(address: number, length: number): boolean {
    return this.ranges.some((range) => address >= range.start && address + length <= range.end);
  }

  /** Guest bytes as the host wants them written, e.g. by a boot loader. All of it must be RAM (our bug otherwise). */
  write(address: PhysAddr, data: Uint8Array): void {
    let done = 0;
    while (done < data.length) {
      const length = Math.min(data.length - done, PAGE_SIZE - ((address + done) % PAGE_SIZE));
      const host = this.hostOf(address + done);
      if (host === undefined && this.full)
        throw new InputError('what is to be loaded is more than this machine can hold');
      if (host === undefined) throw new Error(`host write outside RAM at 0x${(address + done).toString(16)}`);
      this.#u8.set(data.subarray(done, done + length), host);
      const flags = at.PAGE_FLAGS + (host >>> 12);
      this.#u8[flags] = (this.#u8[flags] as number) | at.PAGE_CHANGED;
      for (const wires of this.#wires) wires.hostWrote(host >>> 12);
      done += length;
    }
  }

  /** Microcode or a chip has stored to bytes of RAM within a page: whoever watches it is told. */
  stored(address: number, size: number): void {
    for (const wires of this.#wires) wires.stored(address, size);
  }

  /** A copy of guest bytes; bytes where there is no RAM read as 0xff. Touches nothing. */
  read(address: PhysAddr, length: number): Uint8Array {
    const out = new Uint8Array(length).fill(0xff);
    let done = 0;
    while (done < length) {
      const part = Math.min(length - done, PAGE_SIZE - ((address + done) % PAGE_SIZE));
      const host = this.#peek(address + done);
      if (host === 0) out.fill(0, done, done + part);
      else if (host !== undefined) out.set(this.#u8.subarray(host, host + part), done);
      done += part;
    }
    return out;
  }

  /** As hostOf, but undefined too where nobody has touched it yet. Touches nothing. */
  touchedHostOf(address: number): number | undefined {
    return this.#peek(address) || undefined;
  }

  /** As hostOf, but an untouched chunk gives 0 (all zeros) and stays untouched. */
  #peek(address: number): number | undefined {
    if (!(address >= 0 && address < at.PHYS_LIMIT)) return undefined;
    const entry = this.#view.getUint32(at.CHUNK_TABLE + 4 * Math.floor(address / at.CHUNK_BYTES), true);
    if (entry === at.CHUNK_NONE) return undefined;
    return entry === at.CHUNK_UNTOUCHED ? 0 : entry + (address % at.CHUNK_BYTES);
  }

  /** Every touched chunk, lowest address first: guest-physical address and a view of its bytes. */
  *touched(): Generator<{ address: number; bytes: Uint8Array }> {
    for (const chunk of [...this.#touched].sort((a, b) => a - b)) {
      const entry = this.#view.getUint32(at.CHUNK_TABLE + 4 * chunk, true);
      yield { address: chunk * at.CHUNK_BYTES, bytes: this.#u8.subarray(entry, entry + at.CHUNK_BYTES) };
    }
  }

  /** Numbers of the chunks that were touched, in that order: it says where each is on the host. */
  get touchedChunks(): readonly number[] {
    return this.#touched;
  }

  /** As if nobody had touched anything: all is zero again, without flags. */
  forgetTouched(): void {
    for (const chunk of this.#touched) this.#view.setUint32(at.CHUNK_TABLE + 4 * chunk, at.CHUNK_UNTOUCHED, true);
    this.#u8.fill(0, at.RAM_BASE, this.#next);
    this.#u8.fill(0, at.PAGE_FLAGS, at.PAGE_FLAGS + (this.#next >>> 12));
    this.#next = at.RAM_BASE;
    this.#touched.length = 0;
  }

  /**
   * As if exactly these chunks had been touched, in that order: what others held is forgotten, and more is touched. One of the
   * two lists begins with the other. Throws InputError where there is no room.
   */
  setTouched(chunks: readonly number[]): void {
    for (const chunk of this.#touched.slice(chunks.length)) {
      this.#view.setUint32(at.CHUNK_TABLE + 4 * chunk, at.CHUNK_UNTOUCHED, true);
    }
    const kept = Math.min(this.#next, at.RAM_BASE + chunks.length * at.CHUNK_BYTES);
    this.#u8.fill(0, kept, this.#next);
    this.#u8.fill(0, at.PAGE_FLAGS + (kept >>> 12), at.PAGE_FLAGS + (this.#next >>> 12));
    this.#next = kept;
    this.#touched.length = Math.min(this.#touched.length, chunks.length);
    this.full = false;
    for (const chunk of chunks.slice(this.#touched.length)) this.takeChunk(chunk);
  }

  /** Touches a chunk that is RAM and that nobody has touched. @returns its host address. Throws InputError for others. */
  takeChunk(chunk: number): number {
    const entry = chunk < at.CHUNK_COUNT ? this.#view.getUint32(at.CHUNK_TABLE + 4 * chunk, true) : at.CHUNK_NONE;
    const host = entry === at.CHUNK_UNTOUCHED ? this.touchChunk(chunk) : 0;
    if (host === 0) throw new InputError('its memory is not that of its machine');
    return host;
  }

  /** Bytes of guest RAM in use on the host. */
  get touchedBytes(): number {
    return this.#next - at.RAM_BASE;
  }
}
