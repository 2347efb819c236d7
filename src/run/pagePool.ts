// Versions of pages of memory that are kept: slots of 4 KiB in slabs of 1 MiB, so that tens of thousands of them cost the
// host nothing but their bytes.

import { PAGE_SIZE } from '../bits/address.ts';

/** Where a version is kept; ZERO needs no place. */
export type Slot = number;
/** A page that holds nothing but zeros. */
export const ZERO: Slot = -1;

const SLAB_PAGES = 256;

export class PagePool {
  readonly #slabs: Uint8Array[] = [];
  readonly #free: Slot[] = [];
  #used = 0;

  /** Bytes of the versions that are kept. */
  get bytes(): number {
    return this.#used * PAGE_SIZE;
  }

  /** Keeps a copy. @param page PAGE_SIZE bytes */
  keep(page: Uint8Array): Slot {
    if (this.#free.length === 0) this.#grow();
    const slot = this.#free.pop() as Slot;
    this.at(slot).set(page);
    this.#used++;
    return slot;
  }

  #grow(): void {
    const first = this.#slabs.length * SLAB_PAGES;
    this.#slabs.push(new Uint8Array(SLAB_PAGES * PAGE_SIZE));
    for (let slot = first + SLAB_PAGES - 1; slot >= first; slot--) this.#free.push(slot);
  }

  /** The bytes of a version that has a place. */
  at(slot: Slot): Uint8Array {
    const slab = this.#slabs[Math.floor(slot / SLAB_PAGES)];
    if (slab === undefined) throw new Error('no page is kept there');
    const start = (slot % SLAB_PAGES) * PAGE_SIZE;
    return slab.subarray(start, start + PAGE_SIZE);
  }

  forget(slot: Slot): void {
    if (slot === ZERO) return;
    this.#free.push(slot);
    this.#used--;
  }
}

/** Are they the same, word by word? @param a PAGE_SIZE bytes, aligned to 4, as `b` */
export function samePage(a: Uint8Array, b: Uint8Array): boolean {
  const words = new Int32Array(a.buffer, a.byteOffset, PAGE_SIZE >>> 2);
  const others = new Int32Array(b.buffer, b.byteOffset, PAGE_SIZE >>> 2);
  for (let i = 0; i < words.length; i++) if (words[i] !== others[i]) return false;
  return true;
}
