// The main job: boot, and if it dies say why, prove it, repair, and go on until it boots or a death is not explained.
// A generator: it yields between stretches of guest time, so that a front end can show progress and stop.

import { InputError } from '../bits/errors.ts';
import type { Boot } from '../boot/linux.ts';
import type { Outcome, RunConfig, RunResult } from '../boot/run.ts';
import type { SymbolTable } from '../image/symbols.ts';
import { findPositionDependentReference } from './classes/positionDependentReference.ts';
import { drive } from './drive.ts';
import { wellEnded } from './ending.ts';
import { otherEntries } from './entries.ts';
import { endOf } from './progress.ts';
import { gatherEvidence } from './evidence.ts';
import { isMute, MUTE_LIMIT, spokenConfig } from './mute.ts';
import { type RecordedBoot, recordedBoot } from './recordedBoot.ts';
import type { Cause, Diagnosis, OtherEntry, Spoken, Suspicion, Tick, WayDiagnosis } from './types.ts';

/** More causes than this in one image are not looked for. */
const MAX_CAUSES = 8;

export type WhyOptions = {
  readonly symbols?: SymbolTable | undefined;
  /** Load addresses at which a proof is made; with fewer than three nothing is called proved. Default: 3. */
  readonly addresses?: number | undefined;
  /** Boot a silent guest again with words that make it speak. Default: false. */
  readonly speak?: boolean | undefined;
  /** Try the other ways into an image that passes. Default: false. */
  readonly otherEntries?: boolean | undefined;
  /** Told of each cause as soon as it is proved, and of the first outcome. */
  readonly onCause?: ((cause: Cause) => void) | undefined;
  readonly onFirst?: ((first: RunResult) => void) | undefined;
  /** Told of a boot with words that make the guest speak, when it has ended. */
  readonly onSpoken?: ((spoken: Spoken) => void) | undefined;
  /** Told of another entry when it is tried: what comes next is about it. */
  readonly onEntry?: ((config: RunConfig, boot: Boot) => void) | undefined;
};

/** Throws InputError where image, options and machine do not go together. */
export function* diagnose(config: RunConfig, options: WhyOptions = {}): Generator<Tick, Diagnosis> {
  const given = yield* diagnoseWay(config, options);
  const lives = wellEnded(given.last.outcome, given.spoken?.config ?? config) !== undefined;
  const isWanted = options.otherEntries === true && lives && given.causes.length === 0;
  return { ...given, entries: isWanted ? yield* tryEntries(given, options) : [] };
}

/** How it is entered is all that differs. */
function* tryEntries({ config }: WayDiagnosis, options: WhyOptions): Generator<Tick, OtherEntry[]> {
  const entries: OtherEntry[] = [];
  for (const other of otherEntries(config, recordedBoot(config).run.image)) {
    try {
      const { run } = recordedBoot(other);
      options.onEntry?.(other, run.boot);
      entries.push(yield* diagnoseWay(other, options));
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      entries.push({ config: other, refusal: error.message });
    }
  }
  return entries;
}

/** One way into the image. */
function* diagnoseWay(config: RunConfig, options: WhyOptions): Generator<Tick, WayDiagnosis> {
  let boot: RecordedBoot = recordedBoot(config);
  let outcome: Outcome = yield* bootOnce(boot, config, options.speak === true);
  const first = boot.run.result();
  options.onFirst?.(first);
  const spoken = options.speak === true ? yield* speak(boot, config) : undefined;
  if (spoken !== undefined) {
    options.onSpoken?.(spoken.told);
    boot = spoken.boot;
    outcome = spoken.told.result.outcome;
  }
  const causes: Cause[] = [];
  const suspicions: Suspicion[] = [];
  const so = { config, first, causes, suspicions, spoken: spoken?.told };
  while (wellEnded(outcome, boot.run.config) === undefined) {
    const { run, recorder } = boot;
    const evidence = yield* gatherEvidence(run, outcome, options.symbols);
    const unsolved = { ...so, unexplained: evidence, last: run.result() };
    if (run.image.kind !== 'bzImage' || !recorder || causes.length >= MAX_CAUSES) return unsolved;
    const end = endOf(run, outcome);
    const { maxInstructions } = config;
    const dead = { config: { ...run.config, maxInstructions }, image: run.image, outcome, end, evidence, recorder };
    const found = yield* findPositionDependentReference(dead, options);
    suspicions.push(...found.suspicions);
    if (!found.cause || !found.repaired) return unsolved;
    causes.push(found.cause);
    options.onCause?.(found.cause);
    boot = found.repaired;
    outcome = yield* drive(boot.run, 'going on with what was found repaired');
  }
  return { ...so, last: boot.run.result(), unexplained: undefined };
}

/** To its end; a guest that cannot be heard not to the instruction limit, if it can be made to speak. */
function* bootOnce({ run }: RecordedBoot, config: RunConfig, mayBeMute: boolean): Generator<Tick, Outcome> {
  const { until, untilText, maxInstructions } = config;
  const isShort = mayBeMute && maxInstructions > MUTE_LIMIT && spokenConfig(run.config, run.image) !== undefined;
  if (isShort) run.goOn(until, MUTE_LIMIT, untilText);
  const outcome = yield* drive(run, 'booting');
  if (outcome.kind !== 'instruction-limit' || !isShort || isMute(run)) return outcome;
  run.goOn(until, maxInstructions, untilText);
  return yield* drive(run, 'booting');
}

type SpokenBoot = { readonly boot: RecordedBoot; readonly told: Spoken };

/** Undefined where it has spoken, or nothing is known that would make it. */
function* speak({ run }: RecordedBoot, config: RunConfig): Generator<Tick, SpokenBoot | undefined> {
  if (wellEnded(run.result().outcome, config) !== undefined || !isMute(run)) return undefined;
  const spoken = spokenConfig(config, run.image);
  if (spoken === undefined) return undefined;
  const boot = recordedBoot(spoken);
  yield* drive(boot.run, 'booting with words that make it speak');
  return { boot, told: { config: spoken, result: boot.run.result() } };
}
