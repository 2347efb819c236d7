// The load bias of what a culprit means, in another machine than the one it was met in: found by running.

import { BootRun, type Outcome, type RunConfig } from '../run/run.ts';
import { ReferenceRecorder } from '../record/references.ts';
import { driveUntil } from './drive.ts';
import type { Change } from './repair.ts';
import type { Tick } from './types.ts';

/** Instructions beyond the death's that a run gets to come to the culprit. */
const MARGIN = 5_000_000n;

/** Instructions between two looks whether it was met. */
const STRETCH = 50_000n;

/** Undefined where it was not met. Throws InputError as BootRun does. */
export function* biasIn(
  config: RunConfig,
  { executed, bias }: Change,
  death: Outcome,
): Generator<Tick, bigint | undefined> {
  const run = new BootRun(config);
  const { stub } = run.rules;
  if (stub === undefined) return undefined;
  const recorder = new ReferenceRecorder(run, stub, (r) => r.constant === executed.reference.constant);
  const isOwn = bias === executed.runtime - executed.link;
  const found = (): bigint | undefined => {
    const here = [...recorder.executed.values()].find((other) => other.fileOffset === executed.fileOffset);
    if (here === undefined) return undefined;
    const own = here.runtime - here.link;
    // Where another copy of the stub is meant than the one that runs, it is that one here too.
    return isOwn ? own : run.stages.destinations.map(BigInt).find((copy) => copy !== own);
  };
  const until = death.instructions + MARGIN;
  // No further than it has to: what a sick image does behind its fault may be slow.
  while (found() === undefined && run.machine.engine.retired < until) {
    if (yield* driveUntil(run, run.machine.engine.retired + STRETCH, 'finding where the stub runs')) break;
  }
  return found();
}
