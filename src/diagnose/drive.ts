// Boots of a diagnosis, driven with words for what each is for.

import { drive as driveRun } from '../run/drive.ts';
import type { BootRun, Outcome } from '../run/run.ts';
import type { Tick } from './types.ts';

/** Runs to the outcome, or until so many instructions are retired. */
export function* driveUntil(
  run: BootRun,
  until: bigint | undefined,
  doing: string,
): Generator<Tick, Outcome | undefined> {
  return yield* during(doing, driveRun(run, until === undefined ? {} : { until }));
}

/** Runs to the outcome. */
export function* drive(run: BootRun, doing: string): Generator<Tick, Outcome> {
  const outcome = yield* driveUntil(run, undefined, doing);
  if (outcome === undefined) throw new Error('every run has an end');
  return outcome;
}

/** Some work, with words for what it is for. */
function* during<T>(doing: string, work: Generator<{ readonly instructions: bigint }, T>): Generator<Tick, T> {
  for (;;) {
    const next = work.next();
    if (next.done) return next.value;
    yield { doing, instructions: next.value.instructions };
  }
}
