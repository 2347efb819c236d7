// Has the guest hung? Decided by guest time alone, so that it is the same in every run: execution is cut into windows;
// a window is idle when nothing new was decoded and nothing was printed in it, and the guest read and stored to exactly
// the same pages as in the window before. So many idle windows in a row are a hang. A decompressor keeps moving through
// memory (its checksum reads all of its output), a boot keeps reaching new code; a wild loop does neither.
// Two things only look like a hang. A guest that waits for time to pass (with PAUSE, by the time stamp counter, at a port)
// is given more guest time. A program that is no kernel (a memory test, a CPU test) may compute in the same pages for as
// long as it likes: for it a window is idle only where registers, memory and screen ended as they were.

import { PAGE_SIZE } from '../bits/address.ts';
import type { Fields } from '../bits/fields.ts';
import type { Plain } from '../bits/plain.ts';
import type { Context } from '../cpu/codeContext.ts';
import * as at from '../cpu/layout.ts';
import { isZero, StateHash } from '../machine/hash.ts';
import type { Machine } from '../machine/machine.ts';

/** Instructions in a window. */
export const HANG_WINDOW = 50_000_000n;
/** Idle windows in a row that make a hang. */
export const HANG_WINDOWS = 4;

/** Instructions in a window of a guest that waits: what a tick does once a second is to fall between the idle ones. */
export const WAIT_WINDOW = 10_000_000n;
/** Guest time in ns that a guest may wait in idle windows: a kernel, and a program. */
export const LONGEST_WAIT = { kernel: 350_000_000n, program: 10_000_000_000n } as const;

export const HANG_RULE = `in ${HANG_WINDOWS} stretches of ${HANG_WINDOW / 1_000_000n} million instructions each, no new code was reached, nothing was printed, and only the same pages were read and written`;

export const WAIT_RULE = `the guest did little but wait, for ${HANG_WINDOWS} stretches of ${WAIT_WINDOW / 1_000_000n} million instructions and more, in which no new code was reached, nothing was printed, and only the same pages were read and written`;

export const PROGRAM_RULE = `in ${HANG_WINDOWS} stretches of ${HANG_WINDOW / 1_000_000n} million instructions each, no new code was reached, nothing was printed, and registers and memory ended as they were`;

/** Characters that name each page of 1 GiB twice. */
const MOST_PAGES_TEXT = 2 ** 22;

/** Instructions decoded in a window that count as new code; code beside data that is written is decoded again and again. */
const NEW_CODE = 256;

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
  #pages = '';
  #contents = '';
  #decoded = 0;
  #printed = 0;
  #idle = 0;
  /** Guest time, and instructions retired, when the first of the idle windows began. */
  #since = 0n;
  #sinceRetired = 0n;

  /** @param program the guest is no kernel */
  constructor(machine: Machine, program = false) {
    this.#machine = machine;
    this.#program = program;
    this.#takePages();
  }

  save(): Plain {
    return {
      pages: this.#pages,
      contents: this.#contents,
      decoded: this.#decoded,
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
    this.#decoded = saved.number('decoded', 0, Number.MAX_SAFE_INTEGER);
    this.#printed = saved.number('printed', 0, Number.MAX_SAFE_INTEGER);
    this.#idle = saved.number('idle', 0, Number.MAX_SAFE_INTEGER);
    this.#since = saved.bigint('since', 0n, 1n << 63n);
    this.#sinceRetired = saved.bigint('sinceRetired', 0n, 1n << 63n);
  }

  /** To be called at the end of each window. @returns the rule by which it is a hang */
  endWindow(): string | undefined {
    const { now, engine } = this.#machine;
    if (this.#isIdle()) this.#idle++;
    else [this.#idle, this.#since, this.#sinceRetired] = [0, now, engine.retired];
    if (this.#idle < HANG_WINDOWS) return undefined;
    const longest = LONGEST_WAIT[this.#program ? 'program' : 'kernel'];
    if (this.#waits()) return now - this.#since >= longest ? WAIT_RULE : undefined;
    return this.#program ? PROGRAM_RULE : HANG_RULE;
  }

  /** Instructions in the window that begins. */
  get window(): bigint {
    return this.#waits() ? WAIT_WINDOW : HANG_WINDOW;
  }

  #isIdle(): boolean {
    const written = this.#takePages();
    const { decoded } = this.#machine.engine.code;
    const printed = this.#machine.console.length + this.#machine.screen.changes;
    const same = written.text === this.#pages && decoded - this.#decoded < NEW_CODE && printed === this.#printed;
    this.#pages = written.text;
    this.#decoded = decoded;
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
    return { pages, text: `${pages.join()}/${engine.takePages(at.PAGE_READ).join()}` };
  }
}
