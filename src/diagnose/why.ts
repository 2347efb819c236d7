// The main job: boot, and if it dies say why, prove it, repair, and go on until it boots or a death is not explained.
// A generator: it yields between stretches of guest time, so that a front end can show progress and stop.

import { endedAsAsked, type Outcome, type RunConfig } from '../boot/run.ts';
import type { SymbolTable } from '../image/symbols.ts';
import { findPositionDependentReference } from './classes/positionDependentReference.ts';
import { drive } from './drive.ts';
import { endOf } from './progress.ts';
import { gatherEvidence } from './evidence.ts';
import { recordedBoot } from './recordedBoot.ts';
import type { Cause, Diagnosis, Suspicion, Tick } from './types.ts';

/** More causes than this in one image are not looked for. */
const MAX_CAUSES = 8;

export type WhyOptions = {
  readonly symbols?: SymbolTable | undefined;
  /** Load addresses at which a proof is made; with fewer than three nothing is called proved. Default: 3. */
  readonly addresses?: number | undefined;
  /** Told of each cause as soon as it is proved, and of the first outcome. */
  readonly onCause?: ((cause: Cause) => void) | undefined;
  readonly onFirst?: ((outcome: Outcome) => void) | undefined;
};

/** Throws InputError where image, options and machine do not go together. */
export function* diagnose(config: RunConfig, options: WhyOptions = {}): Generator<Tick, Diagnosis> {
  let { run, recorder } = recordedBoot(config);
  let outcome = yield* drive(run, 'booting');
  options.onFirst?.(outcome);
  const first = run.result();
  const causes: Cause[] = [];
  const suspicions: Suspicion[] = [];
  while (!endedAsAsked(outcome, config.until)) {
    const evidence = yield* gatherEvidence(run, outcome, options.symbols);
    const unsolved = { config, first, causes, suspicions, unexplained: evidence, last: run.result() };
    if (run.image.kind !== 'bzImage' || !recorder || causes.length >= MAX_CAUSES) return unsolved;
    const end = endOf(run, outcome);
    const dead = { config: run.config, image: run.image, outcome, end, evidence, recorder };
    const found = yield* findPositionDependentReference(dead, options);
    suspicions.push(...found.suspicions);
    if (!found.cause || !found.repaired) return unsolved;
    causes.push(found.cause);
    options.onCause?.(found.cause);
    ({ run, recorder } = found.repaired);
    outcome = yield* drive(run, 'going on with what was found repaired');
  }
  return { config, first, causes, suspicions, last: run.result(), unexplained: undefined };
}
