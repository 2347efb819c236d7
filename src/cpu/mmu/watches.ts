// Watched pages: who wants to be told of accesses to which, and the flags that make the engine stop before one. A page is
// watched while anybody watches it. Pages are known by their physical address; a page of RAM that nobody has touched yet is
// watched from when it is touched, so that whether one is watched shows nowhere.

import { PAGE_SIZE } from '../../bits/address.ts';
import * as at from '../state/layout.ts';
import type { GuestMemory } from '../state/memory.ts';
import type { Translations } from './translations.ts';

const KINDS = [at.PAGE_WATCH_READ, at.PAGE_WATCH_WRITE];
const CHUNK_PAGES = at.CHUNK_BYTES / PAGE_SIZE;

/** What one observer watches: flags by physical page. */
export type Watching = Map<number, number>;

export class Watches {
  readonly #memory: GuestMemory;
  readonly #translations: Translations;
  #all: readonly Watching[] = [];
  /** Physical pages that somebody watches, by where they are on the host: two may be one page, as an alias. */
  readonly #physical = new Map<number, Set<number>>();
  /** Watches that are let pass: the flags of a host page while one instruction is stepped over. */
  readonly #lifted = new Map<number, number>();
  /** Flags set, of all host pages. */
  #flags = 0;

  constructor(memory: GuestMemory, translations: Translations) {
    this.#memory = memory;
    this.#translations = translations;
  }

  /** Is there nothing watched but one kind of access to one page? Then who passes it passes all there is. */
  get atMostOne(): boolean {
    return this.#flags <= 1;
  }

  /** @param flags PAGE_WATCH_READ, PAGE_WATCH_WRITE or both, of the pages of a physical range */
  watch(watching: Watching, address: number, length: number, flags: number): void {
    if (!this.#all.includes(watching)) this.#all = [...this.#all, watching];
    for (const page of pagesOf(address, length)) watching.set(page, (watching.get(page) ?? 0) | flags);
    this.#apply(pagesOf(address, length));
  }

  unwatch(watching: Watching, address: number, length: number, flags: number): void {
    const pages = pagesOf(address, length).filter((page) => watching.has(page));
    for (const page of pages) {
      const left = (watching.get(page) as number) & ~flags;
      if (left) watching.set(page, left);
      else watching.delete(page);
    }
    this.#apply(pages);
  }

  /** Lets go of everything. */
  remove(watching: Watching): void {
    const pages = [...watching.keys()];
    watching.clear();
    this.#all = this.#all.filter((each) => each !== watching);
    this.#apply(pages);
  }

  /** Does it watch a host page for any of these? */
  isFor(watching: Watching, hostPage: number, flags: number): boolean {
    return (this.#wantedBy(watching, hostPage) & flags) !== 0;
  }

  #wantedBy(watching: Watching, hostPage: number): number {
    let flags = 0;
    for (const page of this.#physical.get(hostPage) ?? []) flags |= watching.get(page) ?? 0;
    return flags;
  }

  /** A chunk of RAM has got its place on the host. */
  touched(chunk: number): void {
    if (this.#all.length === 0) return;
    const first = chunk * CHUNK_PAGES;
    const pages = Array.from({ length: CHUNK_PAGES }, (_, i) => first + i);
    this.#apply(pages.filter((page) => this.#all.some((watching) => watching.has(page))));
  }

  /** Memory has other contents, at other places of the host perhaps, and no page has a flag of a watch. */
  anew(): void {
    this.#physical.clear();
    this.#lifted.clear();
    this.#flags = 0;
    this.#apply(new Set(this.#all.flatMap((watching) => [...watching.keys()])));
  }

  /** Lets accesses of that kind to a host page pass, until `lower`. */
  lift(hostPage: number, flags: number): void {
    this.#lifted.set(hostPage, (this.#lifted.get(hostPage) ?? 0) | flags);
    this.#flag(hostPage);
  }

  lower(): void {
    const pages = [...this.#lifted.keys()];
    this.#lifted.clear();
    this.#set(pages);
  }

  #apply(pages: Iterable<number>): void {
    const hosts = new Set<number>();
    for (const page of pages) {
      const host = this.#memory.touchedHostOf(page * PAGE_SIZE);
      if (host === undefined) continue;
      const hostPage = host >>> 12;
      hosts.add(hostPage);
      const there = this.#physical.get(hostPage) ?? new Set();
      if (this.#all.some((watching) => watching.has(page))) this.#physical.set(hostPage, there.add(page));
      else if (there.delete(page) && there.size === 0) this.#physical.delete(hostPage);
    }
    this.#set(hosts);
  }

  /** Of what is watched from now on no cached translation is used unlooked at: every access takes the way that sees the flag. */
  #set(hostPages: Iterable<number>): void {
    const begun = { reads: new Set<number>(), writes: new Set<number>() };
    for (const hostPage of hostPages) {
      const fresh = this.#flag(hostPage);
      if (fresh & at.PAGE_WATCH_READ) begun.reads.add(hostPage);
      if (fresh & at.PAGE_WATCH_WRITE) begun.writes.add(hostPage);
    }
    this.#translations.lookAtPages(begun.reads, begun.writes);
  }

  /** @returns flags that it had not */
  #flag(hostPage: number): number {
    const { bytes } = this.#memory;
    const wanted = this.#all.reduce((flags, watching) => flags | this.#wantedBy(watching, hostPage), 0);
    const now = wanted & ~(this.#lifted.get(hostPage) ?? 0);
    const where = at.PAGE_FLAGS + hostPage;
    const before = (bytes[where] as number) & at.PAGE_WATCHES;
    bytes[where] = ((bytes[where] as number) & ~at.PAGE_WATCHES) | now;
    this.#flags += countOf(now) - countOf(before);
    return now & ~before;
  }
}

const countOf = (flags: number): number => KINDS.filter((kind) => flags & kind).length;

function pagesOf(address: number, length: number): number[] {
  const first = Math.floor(address / PAGE_SIZE);
  const count = Math.max(0, Math.ceil((address + length) / PAGE_SIZE) - first);
  return Array.from({ length: count }, (_, i) => first + i);
}
