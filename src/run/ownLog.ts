// What a kernel says where nobody listens. Every Linux keeps what it prints in a log of its own in memory, so its first
// line and a panic can be read there, when the console has stayed without them for a while. Of one that is heard on the
// console nothing is read.

import type { Fields } from '../bits/fields.ts';
import type { Plain } from '../bits/plain.ts';
import type { Machine } from '../machine/machine.ts';
import { physAddr } from '../bits/address.ts';
import { searchFor } from '../image/search.ts';
import { PANIC } from './panic.ts';
import { BANNER } from './stages.ts';

/** Instructions between two looks: each takes some 30 ms for each text in what a Debian kernel has touched at the handoff. */
export const LOG_LOOK = 250_000_000n;
/** How long a first line may be in the log before it counts: a console that comes late prints all that was logged. */
export const LOG_GRACE = 500_000_000n;
/** Copies of a text that a kernel's image has; beyond that memory is no kernel's. */
const MOST_KNOWN = 64;
const LONGEST_LINE = 1024;
/** What stands before the text in the last line of a panic. */
const PANIC_END = '---[ end ';
const AT_MOST = 0x7e;
const SPACE = 0x20;

const TEXTS = { banner: `${BANNER} `, panic: PANIC } as const;
type Text = keyof typeof TEXTS;
const SEARCHES: Readonly<Record<Text, ReturnType<typeof searchFor>>> = {
  banner: searchFor(new TextEncoder().encode(TEXTS.banner)),
  panic: searchFor(new TextEncoder().encode(TEXTS.panic)),
};

const lookAfter = (retired: bigint): bigint => (retired / LOG_LOOK + 1n) * LOG_LOOK;

export type LogSeen = {
  /** It has said its first line, a while ago or before its end. */
  readonly banner: boolean;
  /** How its panic begins. */
  readonly panic: string | undefined;
};

export class OwnLog {
  readonly #machine: Machine;
  /** Where the texts stood when the kernel began to run: in its image. Undefined before. */
  #known: readonly number[] | undefined;
  /** The count of instructions at which each was first seen to have been logged. */
  #bannerSince: bigint | undefined;
  #panicSince: bigint | undefined;
  #nextLook = 0n;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  /** To be called when the kernel is about to run its first instruction. */
  begin(): void {
    this.#known = [...this.#places('banner'), ...this.#places('panic')];
    this.#nextLook = lookAfter(this.#machine.engine.retired);
  }

  /** The kernel is heard on the console: nothing more is looked for. */
  stop(): void {
    this.#known = undefined;
  }

  /** Where the machine is to be left next, in instructions; undefined where there is nothing to wait for. */
  get nextStop(): bigint | undefined {
    return this.#known && this.#nextLook;
  }

  /** To be called when the machine was left. @returns undefined where it was no time to look */
  after(): LogSeen | undefined {
    const { retired } = this.#machine.engine;
    if (this.#known === undefined || retired < this.#nextLook) return undefined;
    this.#nextLook = lookAfter(retired);
    const panic = this.#panic();
    if (this.#logged('banner') !== undefined) this.#bannerSince ??= retired;
    if (panic !== undefined) this.#panicSince ??= retired;
    return {
      banner: this.#bannerSince !== undefined && retired - this.#bannerSince >= LOG_GRACE,
      // It may be about to print that too.
      panic: this.#panicSince !== undefined && this.#panicSince < retired ? panic : undefined,
    };
  }

  /** At the end of a run nothing more will be printed. @returns undefined where the kernel has not begun, or is heard */
  atEnd(): LogSeen | undefined {
    if (this.#known === undefined) return undefined;
    return { banner: this.#logged('banner') !== undefined, panic: this.#panic() };
  }

  save(): Plain {
    return {
      known: this.#known === undefined ? undefined : [...this.#known],
      bannerSince: this.#bannerSince,
      panicSince: this.#panicSince,
      nextLook: this.#nextLook,
    };
  }

  /** Throws InputError. */
  restore(saved: Fields): void {
    const { retired } = this.#machine.engine;
    const count = (name: string): bigint | undefined => (saved.has(name) ? saved.bigint(name, 0n, retired) : undefined);
    this.#known = saved.has('known') ? saved.numbers('known', 2 * MOST_KNOWN, 0, Number.MAX_SAFE_INTEGER) : undefined;
    this.#bannerSince = count('bannerSince');
    this.#panicSince = count('panicSince');
    this.#nextLook = saved.bigint('nextLook', 0n, retired + LOG_LOOK);
  }

  #panic(): string | undefined {
    const at = this.#logged('panic');
    return at === undefined ? undefined : this.#line(at);
  }

  /** Where a text stands that was not there before, and that somebody filled in. */
  #logged(text: Text): number | undefined {
    const known = new Set(this.#known);
    const isNew = (at: number): boolean => !known.has(at) && !this.#line(at).includes('%s');
    return this.#places(text).find((at) => isNew(at) && !this.#isEnd(at));
  }

  /** "---[ end Kernel panic - not syncing: ... ]---", of which it is a part. */
  #isEnd(at: number): boolean {
    const before = this.#machine.memory.read(physAddr(Math.max(0, at - PANIC_END.length)), PANIC_END.length);
    return String.fromCharCode(...before) === PANIC_END;
  }

  #line(at: number): string {
    const bytes = this.#machine.memory.read(physAddr(at), LONGEST_LINE);
    const end = bytes.findIndex((byte) => byte < SPACE || byte > AT_MOST);
    return String.fromCharCode(...bytes.subarray(0, end < 0 ? LONGEST_LINE : end));
  }

  /** Guest-physical addresses of a text in all memory that was ever touched, lowest first. */
  #places(text: Text): number[] {
    const places: number[] = [];
    let before: Chunk | undefined;
    for (const chunk of this.#machine.memory.touched()) {
      if (before && before.address + before.bytes.length === chunk.address)
        places.push(...acrossSeam(before, chunk, text));
      places.push(...placesIn(chunk, text));
      if (places.length > MOST_KNOWN) return places.slice(0, MOST_KNOWN);
      before = chunk;
    }
    return places;
  }
}

type Chunk = { readonly address: number; readonly bytes: Uint8Array };

function placesIn({ address, bytes }: Chunk, text: Text): number[] {
  const search = SEARCHES[text];
  const places: number[] = [];
  for (let at = search(bytes); at >= 0 && places.length <= MOST_KNOWN; at = search(bytes, at + 1))
    places.push(address + at);
  return places;
}

/** Places that begin in one piece of memory and end in the next. */
function acrossSeam(a: Chunk, b: Chunk, text: Text): number[] {
  const most = TEXTS[text].length - 1;
  const seam = new Uint8Array(2 * most);
  seam.set(a.bytes.subarray(a.bytes.length - most));
  seam.set(b.bytes.subarray(0, most), most);
  return placesIn({ address: b.address - most, bytes: seam }, text);
}
