// Lets a run go on in slices, and looks up between them: at Ctrl-C, at closed pipes, at the progress line. The length of
// a slice follows the wall clock; the run itself does not notice where it is cut.

import type { BootRun } from '../run/run.ts';
import { countText } from '../report/numbers.ts';
import type { Io } from './io.ts';
import type { Screen } from './screen.ts';

/** Wall-clock ms between two looks. */
const SLICE_MS = 60;
const FIRST_SLICE = 1_000_000;
const SHORTEST_SLICE = 10_000;
const LONGEST_SLICE = 1_000_000_000;
/** What is much slower than it was (an accessed chip, floating point) must not keep a whole slice from looking up. */
const PIECE = 500_000;
const SLOW_MS = 1000;
/** A slice grows by no more than this at once: the first ones are slow because the engine is still being compiled. */
const GROWTH = 4;

export type Ended = 'outcome' | 'interrupted' | 'output-closed';

/** Instructions for the next slice. @param elapsed ms that the last one of `slice` instructions took */
export function nextSlice(slice: number, elapsed: number): number {
  const wanted = slice * Math.min(GROWTH, SLICE_MS / Math.max(elapsed, 1));
  return Math.round(Math.min(LONGEST_SLICE, Math.max(SHORTEST_SLICE, wanted)));
}

/** Runs until there is an outcome, or until nobody wants it any more. */
export async function drive(run: BootRun, io: Io, screen: Screen, showProgress: boolean): Promise<Ended> {
  let interrupted = false;
  const ignore = io.onInterrupt(() => {
    interrupted = true;
  });
  const speed = new Speed(io.now(), run.machine.engine.retired);
  let slice = FIRST_SLICE;
  try {
    for (;;) {
      const started = io.now();
      const done = advanceInPieces(run, slice, () => io.now() - started > SLOW_MS);
      const ended = io.now();
      screen.flush();
      if (run.outcome) return 'outcome';
      slice = nextSlice(done, ended - started);
      speed.note(run.machine.engine.retired, ended);
      if (showProgress) screen.progress(progressText(run, speed));
      // Signals and stream errors are told of only when the event loop turns.
      await new Promise((turn) => setImmediate(turn));
      if (interrupted) return 'interrupted';
      if (io.outputClosed()) return 'output-closed';
    }
  } finally {
    ignore();
    screen.clearProgress();
  }
}

/** @returns how many of the instructions were run, fewer where there is an outcome or it takes too long */
function advanceInPieces(run: BootRun, instructions: number, tooLong: () => boolean): number {
  let done = 0;
  while (done < instructions) {
    const piece = Math.min(PIECE, instructions - done);
    done += piece;
    if (run.advance(BigInt(piece)) || tooLong()) break;
  }
  return done;
}

/** Instructions a second over about the last second. */
export class Speed {
  #instructions: bigint;
  #since: number;
  perSecond = 0;

  /** @param instructions those before `now` */
  constructor(now: number, instructions = 0n) {
    this.#since = now;
    this.#instructions = instructions;
  }

  note(instructions: bigint, now: number): void {
    const elapsed = now - this.#since;
    if (this.perSecond !== 0 && elapsed < 1000) return;
    this.perSecond = (Number(instructions - this.#instructions) * 1000) / Math.max(elapsed, 1);
    this.#instructions = instructions;
    this.#since = now;
  }
}

function progressText(run: BootRun, speed: Speed): string {
  const millions = Math.round(speed.perSecond / 1e6);
  return `${countText(run.machine.engine.retired)} instructions, ${millions} M/s, stage ${run.stages.current}`;
}
