// Runs boots in stretches, so that whoever waits can show progress and stop.

import type { BootRun, Outcome } from '../run/run.ts';
import type { Tick } from './types.ts';

/** Instructions between two ticks: a second or two where each takes microseconds, as floating point and chips do. */
const STRETCH = 500_000n;

/** Runs to the outcome. */
export function* drive(run: BootRun, doing: string): Generator<Tick, Outcome> {
  for (;;) {
    const outcome = run.advance(STRETCH);
    if (outcome) return outcome;
    yield { doing, instructions: run.machine.engine.retired };
  }
}

/** Runs until so many instructions are retired, or to the outcome if that comes first. */
export function* driveUntil(run: BootRun, until: bigint, doing: string): Generator<Tick, Outcome | undefined> {
  while (run.machine.engine.retired < until) {
    const left = until - run.machine.engine.retired;
    const outcome = run.advance(left < STRETCH ? left : STRETCH);
    if (outcome) return outcome;
    yield { doing, instructions: run.machine.engine.retired };
  }
  return undefined;
}
