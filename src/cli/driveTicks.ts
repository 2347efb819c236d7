// Lets a diagnosis go on, and looks up between its ticks: at Ctrl-C, at closed pipes, at the progress line.

import type { Tick } from '../diagnose/types.ts';
import { countText } from '../report/numbers.ts';
import { type Ended, Speed } from './drive.ts';
import type { Io } from './io.ts';
import type { Screen } from './screen.ts';

export type Driven<T> = {
  readonly ended: Ended;
  /** The last tick seen. */
  readonly last: Tick | undefined;
  /** What came out, where it came to that. */
  readonly result?: T;
};

/** Runs until there is a result, or until nobody wants it any more. */
export async function driveTicks<T>(
  work: Generator<Tick, T>,
  io: Io,
  screen: Screen,
  showProgress: boolean,
): Promise<Driven<T>> {
  let interrupted = false;
  const ignore = io.onInterrupt(() => {
    interrupted = true;
  });
  const progress = new Progress(io);
  let last: Tick | undefined;
  try {
    for (;;) {
      const next = work.next();
      if (next.done) return { ended: 'outcome', last, result: next.value };
      last = next.value;
      const text = progress.text(last);
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

/** The text of the progress line. The count starts anew with each boot. */
class Progress {
  readonly #io: Io;
  #speed: Speed;
  #instructions = 0n;

  constructor(io: Io) {
    this.#io = io;
    this.#speed = new Speed(io.now());
  }

  text({ doing, instructions }: Tick): string {
    const now = this.#io.now();
    if (instructions < this.#instructions) this.#speed = new Speed(now);
    else this.#speed.note(instructions, now);
    this.#instructions = instructions;
    return `${doing}: ${countText(instructions)} instructions, ${Math.round(this.#speed.perSecond / 1e6)} M/s`;
  }
}
