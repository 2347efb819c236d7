// Moments of a run that are kept in memory. Each holds what is small (the tree that a snapshot has, the flags of pages) and
// of RAM only the pages that were written since the checkpoint before it: what a page held at one is its newest version there
// or before. Which pages were written, the engine says (PAGE_CHANGED). A checkpoint that is dropped leaves its versions to
// the next one, unless that has newer ones. Together they stay within a limit of bytes; those are dropped first that are
// close to their neighbours for how long ago they are, so that they stand thick near now and thin far back.

import { PAGE_SIZE } from '../bits/address.ts';
import { Fields } from '../bits/fields.ts';
import type { Plain } from '../bits/plain.ts';
import * as at from '../cpu/state/layout.ts';
import { isZero } from '../machine/hash.ts';
import { PagePool, samePage, type Slot, ZERO } from './pagePool.ts';
import type { BootRun } from './run.ts';

type Piece = { readonly at: number; readonly bytes: Uint8Array };

export type Checkpoint = {
  /** Instructions retired. */
  readonly at: bigint;
  /** Chunks of RAM touched by then, of those in `#chunks`. */
  readonly chunks: number;
  /** PAGE_FLAGS of their pages. */
  readonly flags: Uint8Array;
  readonly saved: Plain;
  /** Memories of chips. */
  readonly pieces: readonly (readonly Piece[])[];
  /** Bytes of all of these. */
  readonly size: number;
  /** By host page: what differs from the checkpoint before. */
  readonly pages: Map<number, Slot>;
};

const FIRST_PAGE = at.RAM_BASE >>> 12;
const CHUNK_PAGES = at.CHUNK_BYTES / PAGE_SIZE;
/** Two checkpoints closer than this are no better than one, whenever it was. */
const CLOSE = 65_536;
/** What an object or an entry of a map takes on the host, about. */
const ENTRY_BYTES = 48;

export class Checkpoints {
  readonly #limit: number;
  readonly #pool = new PagePool();
  /** Oldest first; the first one holds all pages that are not zero. */
  readonly #all: Checkpoint[] = [];
  /** Every chunk that was touched by the latest of them, in order. */
  #chunks: readonly number[] = [];
  /** The one that the run was at when the engine was last asked for changed pages. */
  #base: Checkpoint | undefined;

  /** @param limit bytes that they may take together */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get all(): readonly Checkpoint[] {
    return this.#all;
  }

  get bytes(): number {
    const rest = this.#all.reduce((sum, { size, pages }) => sum + size + pages.size * ENTRY_BYTES, 0);
    return this.#pool.bytes + rest;
  }

  /** The latest one at or before so many instructions. */
  before(instructions: bigint): Checkpoint | undefined {
    const behind = this.#all.findIndex((each) => each.at > instructions);
    return this.#all.at(behind < 0 ? -1 : behind - 1 < 0 ? this.#all.length : behind - 1);
  }

  /**
   * Keeps where the run stands, between two calls of `advance`; unless that is kept already, or there is no room. It came
   * there from a checkpoint: from the one it was last restored to, or the one taken last.
   */
  take(run: BootRun): void {
    const { retired } = run.machine.engine;
    const previous = this.before(retired);
    if (previous?.at === retired || !this.#sameLayout(run)) return;
    const next = this.#all[previous ? this.#all.indexOf(previous) + 1 : 0];
    const changed = previous ? this.#differing(run, previous) : filledPages(run);
    // A page that was changed and changed back is no version of the next one, and has to be one now.
    const kept = next && previous ? changed.filter((page) => !next.pages.has(page)) : [];
    const state = stateOf(run);
    const need = state.size + (changed.length + kept.length) * (PAGE_SIZE + ENTRY_BYTES);
    if (!this.#makeRoom(need, retired, [previous, next])) return;
    if (next && previous) for (const page of kept) next.pages.set(page, this.#copyOf(page, previous));
    const { bytes } = run.machine.memory;
    const pages = new Map(changed.map((page) => [page, this.#keep(pageAt(bytes, page))]));
    const checkpoint = { at: retired, ...state, pages };
    this.#all.splice(next ? this.#all.indexOf(next) : this.#all.length, 0, checkpoint);
    const { touchedChunks } = run.machine.memory;
    if (touchedChunks.length > this.#chunks.length) this.#chunks = [...touchedChunks];
    run.machine.engine.takeChanged();
    this.#base = checkpoint;
  }

  /** Whoever watches a page that nobody has touched touches it: then RAM lies in another order on the host. */
  #sameLayout({ machine: { memory } }: BootRun): boolean {
    const { touchedChunks } = memory;
    return this.#chunks.every((chunk, i) => i >= touchedChunks.length || chunk === touchedChunks[i]);
  }

  #keep(page: Uint8Array): Slot {
    return isZero(page) ? ZERO : this.#pool.keep(page);
  }

  #copyOf(page: number, checkpoint: Checkpoint): Slot {
    const slot = this.#version(page, checkpoint);
    return slot === ZERO ? ZERO : this.#pool.keep(this.#pool.at(slot));
  }

  /** Pages that hold something else than at an earlier checkpoint. */
  #differing(run: BootRun, checkpoint: Checkpoint): number[] {
    const { engine, memory } = run.machine;
    return [...engine.changed()].filter(
      (page) => page >= FIRST_PAGE && !this.#holds(pageAt(memory.bytes, page), page, checkpoint),
    );
  }

  #holds(now: Uint8Array, page: number, checkpoint: Checkpoint): boolean {
    const slot = this.#version(page, checkpoint);
    return slot === ZERO ? isZero(now) : samePage(now, this.#pool.at(slot));
  }

  /** What a page held at a checkpoint. */
  #version(page: number, checkpoint: Checkpoint): Slot {
    for (let i = this.#all.indexOf(checkpoint); i >= 0; i--) {
      const slot = (this.#all[i] as Checkpoint).pages.get(page);
      if (slot !== undefined) return slot;
    }
    return ZERO;
  }

  // Room ----------------------------------------------------------------------------------------------------------------

  /** @returns whether there is room for so many bytes more, with others dropped as need be */
  #makeRoom(need: number, now: bigint, neighbours: readonly (Checkpoint | undefined)[]): boolean {
    const keep = new Set([this.#all[0], this.#base, this.#all.at(-1), ...neighbours]);
    while (this.bytes + need > this.#limit) {
      const worst = this.#leastWorth(now, keep);
      if (worst === undefined) return false;
      this.#drop(worst);
    }
    return true;
  }

  /** The one that stands closest between its neighbours, measured by how far it is from now. */
  #leastWorth(now: bigint, keep: ReadonlySet<Checkpoint | undefined>): Checkpoint | undefined {
    let least = Number.POSITIVE_INFINITY;
    let found: Checkpoint | undefined;
    for (let i = 1; i + 1 < this.#all.length; i++) {
      const [before, each, after] = this.#all.slice(i - 1, i + 2) as [Checkpoint, Checkpoint, Checkpoint];
      if (keep.has(each)) continue;
      const distance = Math.abs(Number(now - each.at)) + CLOSE;
      const worth = Number(after.at - before.at) / distance;
      if (worth < least) [least, found] = [worth, each];
    }
    return found;
  }

  #drop(checkpoint: Checkpoint): void {
    const index = this.#all.indexOf(checkpoint);
    const next = this.#all[index + 1] as Checkpoint;
    for (const [page, slot] of checkpoint.pages) {
      if (next.pages.has(page)) this.#pool.forget(slot);
      else next.pages.set(page, slot);
    }
    this.#all.splice(index, 1);
  }

  // Going back ------------------------------------------------------------------------------------------------------------

  /**
   * Takes a run of the same configuration to a checkpoint.
   * @param other not the run that they are taken of: all of its memory is laid anew
   */
  restore(run: BootRun, checkpoint: Checkpoint, other = false): void {
    const { memory, engine } = run.machine;
    const whole = other || !this.#sameLayout(run);
    const pages = whole ? this.#everyPage(checkpoint) : this.#between(run, checkpoint);
    if (whole) memory.forgetTouched();
    memory.setTouched(this.#chunks.slice(0, checkpoint.chunks));
    const end = FIRST_PAGE + checkpoint.chunks * CHUNK_PAGES;
    for (const page of pages) if (page >= FIRST_PAGE && page < end) this.#lay(memory.bytes, page, checkpoint);
    // What is decoded is said elsewhere; who watches what now, those say who do.
    const flags = checkpoint.flags.map((each) => each & ~(at.PAGE_CODE | at.PAGE_CHANGED | at.PAGE_WATCHES));
    memory.bytes.set(flags, at.PAGE_FLAGS + FIRST_PAGE);
    for (const [chip, of] of checkpoint.pieces.entries()) run.machine.chips[chip]?.bulk?.restore(of);
    run.restore(new Fields(copied(checkpoint.saved), 'a checkpoint'));
    engine.takeChanged();
    if (!other) this.#base = checkpoint;
  }

  #lay(bytes: Uint8Array, page: number, checkpoint: Checkpoint): void {
    const slot = this.#version(page, checkpoint);
    const start = page * PAGE_SIZE;
    if (slot === ZERO) bytes.fill(0, start, start + PAGE_SIZE);
    else bytes.set(this.#pool.at(slot), start);
  }

  #everyPage(checkpoint: Checkpoint): Set<number> {
    const upTo = this.#all.slice(0, this.#all.indexOf(checkpoint) + 1);
    return new Set(upTo.flatMap(({ pages }) => [...pages.keys()]));
  }

  /** Pages that may differ between where the run stands and a checkpoint. */
  #between(run: BootRun, checkpoint: Checkpoint): Set<number> {
    const base = this.#base as Checkpoint;
    const [from, to] = [this.#all.indexOf(base), this.#all.indexOf(checkpoint)].sort((a, b) => a - b) as [
      number,
      number,
    ];
    const pages = run.machine.engine.changed();
    for (const each of this.#all.slice(from + 1, to + 1)) for (const page of each.pages.keys()) pages.add(page);
    return pages;
  }
}

const pageAt = (bytes: Uint8Array, page: number): Uint8Array =>
  bytes.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE);

/** Host pages of guest RAM that hold anything. */
function filledPages({ machine: { memory } }: BootRun): number[] {
  const count = memory.touchedBytes / PAGE_SIZE;
  return Array.from({ length: count }, (_, i) => FIRST_PAGE + i).filter((page) => !isZero(pageAt(memory.bytes, page)));
}

/** What a checkpoint holds beside pages. */
function stateOf(run: BootRun): Pick<Checkpoint, 'chunks' | 'flags' | 'saved' | 'pieces' | 'size'> {
  const { memory, chips } = run.machine;
  const chunks = memory.touchedChunks.length;
  const start = at.PAGE_FLAGS + FIRST_PAGE;
  const flags = memory.bytes.slice(start, start + chunks * CHUNK_PAGES);
  const saved = run.save();
  const pieces = chips.map(({ bulk }) =>
    [...(bulk?.pieces() ?? [])].map((piece) => ({ at: piece.at, bytes: piece.bytes.slice() })),
  );
  const inChips = pieces.flat().reduce((sum, { bytes }) => sum + bytes.length + ENTRY_BYTES, 0);
  return { chunks, flags, saved, pieces, size: flags.length + sizeOf(saved) + inChips };
}

/** Bytes that plain data takes on the host, about. */
function sizeOf(value: Plain): number {
  if (typeof value === 'string') return ENTRY_BYTES + 2 * value.length;
  if (value instanceof Uint8Array) return ENTRY_BYTES + value.length;
  if (typeof value !== 'object' || value === null) return 8;
  return Object.values(value).reduce((sum: number, each: Plain) => sum + 8 + sizeOf(each), ENTRY_BYTES);
}

/** Whoever is given it may keep it and change it. */
function copied(value: Plain): Plain {
  if (value instanceof Uint8Array) return value.slice();
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(copied);
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, copied(each)]));
}
