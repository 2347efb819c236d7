// Has the guest hung? Decided by guest time alone, so that it is the same in every run: execution is cut into windows;
// a window is idle when nothing new was decoded and nothing was printed in it, and the guest read and stored to exactly
// the same pages as in the window before. So many idle windows in a row are a hang. A decompressor keeps moving through
// memory (its checksum reads all of its output), a boot keeps reaching new code; a wild loop does neither.

import { PAGE_SIZE } from '../bits/address.ts';
import type { Context } from '../cpu/codeCache.ts';
import * as at from '../cpu/layout.ts';
import { isZero } from '../machine/hash.ts';
import type { Machine } from '../machine/machine.ts';

/** Instructions in a window. */
export const HANG_WINDOW = 50_000_000n;
/** Idle windows in a row that make a hang. */
export const HANG_WINDOWS = 4;

export const HANG_RULE = `in ${HANG_WINDOWS} stretches of ${HANG_WINDOW / 1_000_000n} million instructions each, no new code was reached, nothing was printed, and only the same pages were read and written`;

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
  #pages = '';
  #decoded = 0;
  #printed = 0;
  #idle = 0;

  constructor(machine: Machine) {
    this.#machine = machine;
    this.#takePages();
  }

  /** To be called at the end of each window. @returns true for a hang */
  endWindow(): boolean {
    const pages = this.#takePages();
    const { decoded } = this.#machine.engine.code;
    const printed = this.#machine.console.length;
    const same = pages === this.#pages && decoded === this.#decoded && printed === this.#printed;
    this.#pages = pages;
    this.#decoded = decoded;
    this.#printed = printed;
    this.#idle = same ? this.#idle + 1 : 0;
    return this.#idle >= HANG_WINDOWS;
  }

  /** Pages written and read since the last call, as one text. */
  #takePages(): string {
    const { engine } = this.#machine;
    return `${engine.takePages(at.PAGE_WRITTEN).join()}/${engine.takePages(at.PAGE_READ).join()}`;
  }
}
