// Does the guest get anywhere? Decided by guest time alone, so that it is the same in every run: execution is cut into
// windows; a window is idle when no new lines of code were taken (codeCache.ts) and nothing was printed in it, and the guest read and stored to
// exactly the same pages as in the window before. That proves nothing: a loop over memory that takes minutes looks the same.
// So idle windows only say when it pays to look whether the whole state repeats (repeats.ts), which is a hang; and where
// that is not to be seen for very long, the run ends as one that shows no progress.
// A program that is no kernel (a memory test, a CPU test) may compute in the same pages for as long as it likes: for it a
// window is idle only where registers, memory and screen ended as they were, and it is given up only where it waits.

import { PAGE_SIZE } from '../bits/address.ts';
import type { Fields } from '../bits/fields.ts';
import type { Plain } from '../bits/plain.ts';
import type { Context } from '../cpu/state/codeContext.ts';
import * as at from '../cpu/state/layout.ts';
import { isZero, StateHash } from '../machine/hash.ts';
import type { Machine } from '../machine/machine.ts';

/** Instructions in a window. */
export const HANG_WINDOW = 50_000_000n;
/** Instructions in a window of a guest that waits: what a tick does once a second is to fall between the idle ones. */
const WAIT_WINDOW = 10_000_000n;
/** Instructions in idle windows after which a kernel is given up: a few times what its longest silent loops take. */
export const HORIZON = 5_000_000_000n;
/** Guest time in ns that a guest may wait in idle windows. */
export const LONGEST_WAIT = 10_000_000_000n;

/** What may pass in idle windows: instructions of a guest that computes, guest time in ns of one that waits. */
export interface Patience {
  readonly horizon: bigint;
  readonly longestWait: bigint;
}
const PATIENCE: Patience = { horizon: HORIZON, longestWait: LONGEST_WAIT };

/** What was seen where no progress was. */
const IDLE = 'no new code was reached, nothing was printed, and only the same pages were read and written';

/** Characters that name each page of 1 GiB twice. */
const MOST_PAGES_TEXT = 2 ** 22;

/** Lines of code taken in a window that count as new code; code beside data that is written is taken again and again. */
const NEW_LINES = 32;

/** Pages of code in a row that hold nothing but zeros: 1 MiB of `add %al,(%rax)`. */
const ZERO_PAGES = 256;

export const ZEROS_RULE =
  'execution ran through 1 MiB of memory that holds nothing but zeros, which are instructions too (add %al,(%rax))';

/** Counts pages of zeros that are executed one after the other. A wild jump into unused memory goes on for gigabytes. */
export class ZeroRun {
  readonly #machine: Machine;
  #pages = 0;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  save(): Plain {
    return this.#pages;
  }

  /** Throws InputError. */
  restore(saved: Fields, name: string): void {
    this.#pages = saved.number(name, 0, ZERO_PAGES);
  }

  /** Takes a page of code that is about to run. @returns true where that makes it a hang */
  codePage(context: Context): boolean {
    const start = context.hostPage * PAGE_SIZE;
    const empty = isZero(this.#machine.memory.bytes.subarray(start, start + PAGE_SIZE));
    this.#pages = empty ? this.#pages + 1 : 0;
    return this.#pages >= ZERO_PAGES;
  }
}

export class ProgressWatch {
  readonly #machine: Machine;
  readonly #program: boolean;
  readonly #patience: Patience;
  #pages = '';
  #contents = '';
  #lines = 0;
  #printed = 0;
  #idle = 0;
  #written: readonly number[] = [];
  /** Guest time, and instructions retired, when the first of the idle windows began. */
  #since = 0n;
  #sinceRetired = 0n;

  /** @param program the guest is no kernel @param patience how long it is waited for */
  constructor(machine: Machine, program = false, patience: Patience = PATIENCE) {
    this.#machine = machine;
    this.#program = program;
    this.#patience = patience;
    this.#takePages();
  }

  save(): Plain {
    return {
      pages: this.#pages,
      contents: this.#contents,
      lines: this.#lines,
      printed: this.#printed,
      idle: this.#idle,
      since: this.#since,
      sinceRetired: this.#sinceRetired,
    };
  }

  /** Throws InputError. */
  restore(saved: Fields): void {
    this.#pages = saved.text('pages', MOST_PAGES_TEXT);
    this.#contents = saved.text('contents', 64);
    this.#lines = saved.number('lines', 0, Number.MAX_SAFE_INTEGER);
    this.#printed = saved.number('printed', 0, Number.MAX_SAFE_INTEGER);
    this.#idle = saved.number('idle', 0, Number.MAX_SAFE_INTEGER);
    this.#since = saved.bigint('since', 0n, 1n << 63n);
    this.#sinceRetired = saved.bigint('sinceRetired', 0n, 1n << 63n);
  }

  /** To be called at the end of each window. @returns what was seen for so long that it is no progress */
  endWindow(): string | undefined {
    const { now, engine } = this.#machine;
    if (this.#isIdle()) this.#idle++;
    else this.forgive();
    const instructions = engine.retired - this.#sinceRetired;
    const waited = now - this.#since;
    const { horizon, longestWait } = this.#patience;
    if (this.#waits() ? waited < longestWait : this.#program || instructions < horizon) return undefined;
    return `for ${instructionsText(instructions)}, ${secondsText(waited)} of guest time, ${IDLE}`;
  }

  /** It begins anew: what was idle so far does not count. */
  forgive(): void {
    [this.#idle, this.#since, this.#sinceRetired] = [0, this.#machine.now, this.#machine.engine.retired];
  }

  /** Idle windows in a row. */
  get idle(): number {
    return this.#idle;
  }

  /** Pages that were written in the window that has ended. */
  get written(): readonly number[] {
    return this.#written;
  }

  /** Instructions in the window that begins. */
  get window(): bigint {
    return this.#waits() ? WAIT_WINDOW : HANG_WINDOW;
  }

  #isIdle(): boolean {
    const written = this.#takePages();
    const { lines } = this.#machine.engine.code;
    const printed = this.#machine.console.length + this.#machine.screen.changes;
    const same = written.text === this.#pages && lines - this.#lines < NEW_LINES && printed === this.#printed;
    this.#pages = written.text;
    this.#lines = lines;
    this.#printed = printed;
    return this.#program ? same && this.#sameContents(written.pages) : same;
  }

  /** Did most of the guest time of the idle windows pass in instructions that wait? */
  #waits(): boolean {
    const { now, engine } = this.#machine;
    return now - this.#since > 2n * (engine.retired - this.#sinceRetired);
  }

  /** General registers and the pages written, as they are now. */
  #sameContents(pages: readonly number[]): boolean {
    const { bytes } = this.#machine.memory;
    const hash = new StateHash();
    hash.words(bytes.subarray(at.REGS, at.ZERO));
    for (const page of pages) hash.words(bytes.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE));
    const contents = hash.digest();
    const same = contents === this.#contents;
    this.#contents = contents;
    return same;
  }

  /** Pages written since the last call, and as one text these and the pages read. */
  #takePages(): { readonly pages: readonly number[]; readonly text: string } {
    const { engine } = this.#machine;
    const pages = engine.takePages(at.PAGE_WRITTEN);
    this.#written = pages;
    return { pages, text: `${pages.join()}/${engine.takePages(at.PAGE_READ).join()}` };
  }
}

const instructionsText = (count: bigint): string => `${count / 1_000_000n} million instructions`;
const secondsText = (ns: bigint): string => `${(Number(ns / 1_000_000n) / 1000).toFixed(1)} s`;
