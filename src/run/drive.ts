// The one way to drive a run: a piece at a time, and after each piece whoever drives may show how far it is, wait for something
// else, stop, or leave it there. A generator serves front ends that wait (the terminal turns its event loop between pieces)
// and those that do not (`finish`). Where a run is cut does not show in it.

import type { Outcome } from './outcome.ts';
import type { BootRun, RunResult } from './run.ts';
import type { Stage } from './stages.ts';

/** How far something is. */
export type Going = {
  /** Retired in the run under way. */
  readonly instructions: bigint;
  readonly stage?: Stage;
  /** What the run under way is for, in words. */
  readonly doing?: string;
};

/** Instructions of a piece: a second or two where each takes microseconds, as floating point and chips do. */
export const PIECE = 500_000n;

export type Driving = {
  /** Retired instructions in all to stop at. */
  readonly until?: bigint;
  /** Instructions of the next piece; asked before each. */
  readonly piece?: () => bigint;
};

const FOREVER = 1n << 62n;

/**
 * Lets a run go on to its outcome, or to `until` if that comes first; tells of each piece but the one with the outcome.
 * @returns the outcome, or undefined where `until` came first
 */
export function* drive(
  run: BootRun,
  { until = FOREVER, piece = () => PIECE }: Driving = {},
): Generator<Going, Outcome | undefined> {
  const { engine } = run.machine;
  while (engine.retired < until) {
    const wanted = piece();
    const left = until - engine.retired;
    const outcome = run.advance(wanted < left ? wanted : left);
    if (outcome) return outcome;
    yield { instructions: engine.retired, stage: run.stages.current };
  }
  return undefined;
}

/** Does some work to its end at once. @param told how far it is, between pieces */
export function finish<G extends Going, T>(work: Generator<G, T>, told?: (going: G) => void): T {
  for (;;) {
    const next = work.next();
    if (next.done) return next.value;
    told?.(next.value);
  }
}

/** Instructions of a piece where nobody looks. */
const WHOLE = 1_000_000_000n;

/** Runs a boot to its outcome, at once. */
export function runToEnd(run: BootRun): RunResult {
  finish(drive(run, { piece: () => WHOLE }));
  return run.result();
}
