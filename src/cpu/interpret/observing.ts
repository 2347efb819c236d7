// What can be observed of a processor that runs, and by whom: any number of observers, each told of what it asked for
// itself. Without any the engine runs as it is built; what is looked for is looked for by flags of pages and by records
// before instructions, which go with the last one who wants them.

import type { Instruction } from 'iced-x86';
import type { PhysAddr } from '../../bits/address.ts';
import type { CodeCache } from '../decode/codeCache.ts';
import { type ProbeAt, Probes, Probing } from '../decode/probes.ts';
import type { Translations } from '../mmu/translations.ts';
import { type Watching, Watches } from '../mmu/watches.ts';
import type { Context } from '../state/codeContext.ts';
import type { Fault } from '../state/cpu.ts';
import type { GuestMemory } from '../state/memory.ts';
import * as at from '../state/layout.ts';
import { Entry, Observers } from '../state/observers.ts';

/** An access to a watched page, before it happens. */
export type Watched = {
  readonly address: PhysAddr;
  /** Bytes; 0 for a string instruction's block. */
  readonly size: number;
  readonly write: boolean;
  /** Instructions retired before the one that makes the access. */
  readonly at: bigint;
};

/** A store by other than an instruction of the engine, when it has happened. */
export type Stored = {
  readonly address: PhysAddr;
  readonly size: number;
  /** Instructions retired before the one that it belongs to. */
  readonly at: bigint;
};

/** An instruction that was asked for, before it runs. */
export type Reached = {
  readonly linear: bigint;
  /** Instructions retired before it. */
  readonly at: bigint;
};

/** A callback may read and change whatever it likes, and stop the engine. */
export type Observer = {
  /**
   * An access to a page that its observation watches, just before the instruction that makes it is run. What reads and
   * writes the same bytes is one access, a write; microcode and chips are not seen here.
   */
  access?(watched: Watched): void;
  /** A store by microcode (an exception's frame among others) or by a chip to a page that its observation watches for writes. */
  stored?(stored: Stored): void;
  /** An exception, before it is delivered. */
  fault?(fault: Fault): void;
  /** An instruction that its observation probes or that it chose, before it runs; RIP points at it. */
  instruction?(reached: Reached): void;
  /** Does it want to be told of that instruction? Asked when it is decoded, and whenever it is decoded anew. */
  choose?(insn: Instruction, context: Context): boolean;
  /** A new context: a page of code is about to be run for the first time as it now is. */
  code?(context: Context): void;
  /** Each instruction, before it runs, and again where it comes to an exception; slow while anybody wants that. */
  step?(): void;
  /** Microcode (IRET, SYSRET, SYSEXIT, far transfers) has ended at CPL 3; the next instruction has not run. */
  userMode?(): void;
};

/** One observer's hold on what it observes. */
export class Observation {
  readonly #observing: Observing;
  readonly #entry: ObserverEntry;
  readonly #undo: (() => void)[] = [];

  constructor(observing: Observing, entry: ObserverEntry) {
    this.#observing = observing;
    this.#entry = entry;
  }

  #held(): ObserverEntry {
    if (this.#entry.gone) throw new Error('an observation that was disposed of watches nothing');
    return this.#entry;
  }

  /** Watches the pages of a physical range. @param flags PAGE_WATCH_READ, PAGE_WATCH_WRITE or both */
  watch(address: PhysAddr, length: number, flags: number): void {
    this.#observing.watches.watch(this.#held().watching, address, length, flags);
  }

  /** Lets go of them; they stay watched for others. */
  unwatch(address: PhysAddr, length: number, flags: number): void {
    this.#observing.watches.unwatch(this.#held().watching, address, length, flags);
  }

  /** Wants to be told of the instruction there, now and whatever will be there. */
  probe(at: ProbeAt): void {
    this.#observing.probe(this.#held(), at, true);
  }

  /** Wants to be told of it no longer; where it would choose that by itself, it is not asked again. */
  unprobe(at: ProbeAt): void {
    this.#observing.probe(this.#held(), at, false);
  }

  /** What else is to be done when it is disposed of. @returns itself */
  with(undo: () => void): this {
    this.#undo.push(undo);
    return this;
  }

  /** Lets go of everything; it is told of nothing more. Once is enough, twice does no harm. */
  dispose(): void {
    if (this.#entry.gone) return;
    this.#observing.remove(this.#entry);
    for (const undo of this.#undo) undo();
  }
}

class ObserverEntry extends Entry<Observer> {
  readonly watching: Watching = new Map();
  readonly probing: Probing;

  constructor(observer: Observer, last: boolean) {
    super(observer, last);
    this.probing = new Probing(observer.choose && ((insn, context) => observer.choose?.(insn, context) ?? false));
  }
}

export class Observing {
  readonly watches: Watches;
  readonly probes = new Probes();
  readonly #observers = new Observers<Observer, ObserverEntry>();
  readonly #memory: GuestMemory;
  readonly #code: () => CodeCache;
  /** Does anybody want to be told of each instruction, of user mode? */
  steps = false;
  userModes = false;
  storesSeen = false;

  constructor(memory: GuestMemory, translations: Translations, code: () => CodeCache) {
    this.#memory = memory;
    this.#code = code;
    this.watches = new Watches(memory, translations);
  }

  add(observer: Observer, last: boolean): Observation {
    const entry = this.#observers.add(new ObserverEntry(observer, last));
    this.#changed();
    if (entry.probing.asks) this.probes.add(entry.probing, this.#code().contexts());
    return new Observation(this, entry);
  }

  remove(entry: ObserverEntry): void {
    this.#observers.remove(entry);
    this.#changed();
    this.watches.remove(entry.watching);
    this.probes.remove(entry.probing, (address) => this.#code().contextAt(address));
  }

  #changed(): void {
    this.steps = this.#observers.has('step');
    this.userModes = this.#observers.has('userMode');
    this.storesSeen = this.#observers.has('stored');
  }

  probe({ probing }: ObserverEntry, at: ProbeAt, on: boolean): void {
    if (on) probing.add(at);
    else probing.remove(at);
    this.probes.add(probing, this.#code().contexts());
    this.probes.changed(at, this.#code().contexts(), this.#memory);
  }

  tell: Observers<Observer, ObserverEntry>['tell'] = (kind, args) => this.#observers.tell(kind, args);

  /** @param flag PAGE_WATCH_READ or PAGE_WATCH_WRITE */
  tellAccess(watched: Watched, hostPage: number, flag: number): void {
    this.#observers.tell('access', [watched], ({ watching }) => this.watches.isFor(watching, hostPage, flag));
  }

  tellStore(stored: Stored, hostPage: number): void {
    this.#observers.tell('stored', [stored], ({ watching }) =>
      this.watches.isFor(watching, hostPage, at.PAGE_WATCH_WRITE),
    );
  }

  /** @param place of the record that stopped the engine */
  tellInstruction(place: number, reached: Reached): void {
    const by = this.probes.wanted(place);
    this.#observers.tell('instruction', [reached], ({ probing }) => by.includes(probing));
  }
}
