// Lets a run or a diagnosis go on in slices, and looks up between them: at Ctrl-C, at closed pipes, at the progress line.
// The length of a slice follows the wall clock; what is driven does not notice where it is cut.

import type { BootRun } from '../run/run.ts';
import { drive as driveRun, type Going, PIECE } from '../run/drive.ts';
import { countText } from '../report/numbers.ts';
import type { Io } from './io.ts';
import type { Screen } from './screen.ts';

/** Wall-clock ms between two looks. */
const SLICE_MS = 60;
const FIRST_SLICE = 1_000_000;
const SHORTEST_SLICE = 10_000;
const LONGEST_SLICE = 1_000_000_000;
/** What is much slower than it was (an accessed chip, floating point) must not keep a whole slice from looking up. */
const SLOW_MS = 1000;
/** A slice grows by no more than this at once: the first ones are slow because the engine is still being compiled. */
const GROWTH = 4;

export type Ended = 'outcome' | 'interrupted' | 'output-closed';

export type Driven<G extends Going, T> = {
  readonly ended: Ended;
  /** How far it was when it was last seen. */
  readonly last: G | undefined;
  /** What came out, where it came to that. */
  readonly result?: T;
};

/** Instructions for the next slice. @param elapsed ms that the last one of `slice` instructions took */
export function nextSlice(slice: number, elapsed: number): number {
  const wanted = slice * Math.min(GROWTH, SLICE_MS / Math.max(elapsed, 1));
  return Math.round(Math.min(LONGEST_SLICE, Math.max(SHORTEST_SLICE, wanted)));
}

/** Runs until there is an outcome, or until nobody wants it any more. */
export const drive = async (run: BootRun, io: Io, screen: Screen, showProgress: boolean): Promise<Ended> =>
  (await driveWork(driveRun(run), io, screen, showProgress, run.machine.engine.retired)).ended;

/**
 * Goes on until there is a result, or until nobody wants it any more.
 * @param begins instructions that were retired before
 */
export async function driveWork<G extends Going, T>(
  work: Generator<G, T>,
  io: Io,
  screen: Screen,
  showProgress: boolean,
  begins = 0n,
): Promise<Driven<G, T>> {
  let interrupted = false;
  const ignore = io.onInterrupt(() => {
    interrupted = true;
  });
  const meter = new Meter(io.now(), begins);
  let slice = FIRST_SLICE;
  let last: G | undefined;
  try {
    for (;;) {
      const started = io.now();
      const { next, done, seen } = pieces(work, slice, () => io.now() - started > SLOW_MS);
      const ended = io.now();
      screen.flush();
      last = seen ?? last;
      if (next.done) return { ended: 'outcome', last, result: next.value };
      slice = nextSlice(done, ended - started);
      const text = meter.text(next.value, ended);
      if (showProgress) screen.progress(text);
      // Signals and stream errors are told of only when the event loop turns.
      await new Promise((turn) => setImmediate(turn));
      if (interrupted) return { ended: 'interrupted', last };
      if (io.outputClosed()) return { ended: 'output-closed', last };
    }
  } finally {
    ignore();
    screen.clearProgress();
  }
}

type Pieces<G, T> = {
  readonly next: IteratorResult<G, T>;
  /** Instructions, each piece taken for a whole one. */
  readonly done: number;
  readonly seen: G | undefined;
};

/** So many instructions, a piece at a time; fewer where it ends or takes too long. */
function pieces<G, T>(work: Generator<G, T>, instructions: number, tooLong: () => boolean): Pieces<G, T> {
  let seen: G | undefined;
  for (let done = Number(PIECE); ; done += Number(PIECE)) {
    const next = work.next();
    if (next.done) return { next, done, seen };
    seen = next.value;
    if (done >= instructions || tooLong()) return { next, done, seen };
  }
}

/** The progress line, with instructions a second over about the last second. */
class Meter {
  #instructions: bigint;
  #since: number;
  #perSecond = 0;

  /** @param instructions those before `now` */
  constructor(now: number, instructions: bigint) {
    this.#since = now;
    this.#instructions = instructions;
  }

  text(going: Going, now: number): string {
    this.#note(going.instructions, now);
    const doing = going.doing === undefined ? '' : `${going.doing}: `;
    const stage = going.stage === undefined ? '' : `, stage ${going.stage}`;
    return `${doing}${countText(going.instructions)} instructions, ${Math.round(this.#perSecond / 1e6)} M/s${stage}`;
  }

  /** Where the count is less than it was, another run has begun. */
  #note(instructions: bigint, now: number): void {
    const elapsed = now - this.#since;
    if (instructions < this.#instructions) this.#perSecond = 0;
    else if (this.#perSecond !== 0 && elapsed < 1000) return;
    else this.#perSecond = (Number(instructions - this.#instructions) * 1000) / Math.max(elapsed, 1);
    this.#since = now;
    this.#instructions = instructions;
  }
}
