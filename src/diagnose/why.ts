// The main job: boot, and if it dies say why, prove it, repair, and go on until it boots or a death is not explained.
// A generator: it yields between stretches of guest time, so that a front end can show progress and stop.

import { InputError } from '../bits/errors.ts';
import type { Boot } from '../boot/protocol.ts';
import { BootRun, endedAsAsked, type Outcome, type RunConfig, type RunResult } from '../run/run.ts';
import type { SymbolTable } from '../image/symbols.ts';
import type { Case } from './case.ts';
import type { DeathClass, Found } from './classes/class.ts';
import { CLASSES } from './classes/table.ts';
import { drive } from './drive.ts';
import { wellEnded } from './ending.ts';
import { otherEntries } from './entries.ts';
import { endOf } from './progress.ts';
import { gatherEvidence } from './evidence.ts';
import { isMute, MUTE_LIMIT, muteLimit, spokenConfig } from './mute.ts';
import { type ObservedBoot, observedBoot } from './observedBoot.ts';
import { WANTED_ADDRESSES } from './proof.ts';
import { Work } from './trials.ts';
import type { Cause, Diagnosis, OtherEntry, Spoken, Suspicion, Tick, WayDiagnosis } from './types.ts';

/** More causes than this in one image are not looked for. */
const MAX_CAUSES = 8;

export type WhyOptions = {
  readonly symbols?: SymbolTable | undefined;
  /** Load addresses at which a proof is made; with fewer than three nothing is called proved. Default: 3. */
  readonly addresses?: number | undefined;
  /** The classes of deaths that are looked for. Default: all. */
  readonly classes?: readonly DeathClass[] | undefined;
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
  for (const other of otherEntries(config, new BootRun(config).image)) {
    try {
      options.onEntry?.(other, new BootRun(other).boot);
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
  const { classes = CLASSES } = options;
  const { given, spoken } = yield* bootHeard(config, classes, options.speak === true);
  const first = given.run.result();
  options.onFirst?.(first);
  if (spoken !== undefined) options.onSpoken?.(spoken.told);
  let boot: ObservedBoot = spoken?.boot ?? given;
  let outcome: Outcome = boot.run.result().outcome;
  const causes: Cause[] = [];
  const suspicions: Suspicion[] = [];
  const so = { config, first, causes, suspicions, spoken: spoken?.told };
  while (wellEnded(outcome, boot.run.config) === undefined) {
    const { run, observed } = boot;
    const evidence = yield* gatherEvidence(run, outcome, options.symbols);
    const unsolved = { ...so, unexplained: evidence, last: run.result() };
    // A program that is no kernel may go on for ever in good health, as a memory test does.
    const goesOn = outcome.kind === 'instruction-limit' && !run.rules.isKernel;
    const { stub } = run.rules;
    if (stub === undefined || goesOn || causes.length >= MAX_CAUSES) return unsolved;
    const dead: Case = {
      config: { ...run.config, maxInstructions: config.maxInstructions },
      image: stub,
      outcome,
      end: endOf(run, outcome),
      evidence,
      observed,
      symbols: options.symbols,
      addresses: options.addresses ?? WANTED_ADDRESSES,
      work: new Work(outcome),
      classes,
    };
    const found = yield* findCause(dead);
    suspicions.push(...found.suspicions);
    if (!found.cause || !found.repaired) return { ...unsolved, untried: dead.work.untried };
    causes.push(found.cause);
    options.onCause?.(found.cause);
    boot = found.repaired;
    outcome = yield* drive(boot.run, 'going on with what was found repaired');
  }
  return { ...so, last: boot.run.result(), unexplained: undefined };
}

/** The first class that proves a cause has it. */
function* findCause(dead: Case): Generator<Tick, Found> {
  const suspicions: Suspicion[] = [];
  for (const each of dead.classes) {
    const found = yield* each.find(dead);
    suspicions.push(...found.suspicions);
    if (found.cause && found.repaired) return { ...found, suspicions };
  }
  return { cause: undefined, suspicions, repaired: undefined };
}

/** The boot as it was given, and where that says nothing the one with words. */
type Heard = { readonly given: ObservedBoot; readonly spoken: SpokenBoot | undefined };
type SpokenBoot = { readonly boot: ObservedBoot; readonly told: Spoken };

/**
 * To its end; but a guest that cannot be heard only as far as the one that can be, and a little further: what is silent
 * may go on for ever.
 */
function* bootHeard(config: RunConfig, classes: readonly DeathClass[], maySpeak: boolean): Generator<Tick, Heard> {
  const given = observedBoot(config, classes);
  const { run } = given;
  const { until, untilText, maxInstructions } = config;
  const words = maySpeak ? spokenConfig(config, run.image) : undefined;
  const isShort = words !== undefined && maxInstructions > MUTE_LIMIT;
  if (isShort) run.goOn(until, MUTE_LIMIT, untilText);
  const outcome = yield* drive(run, 'booting');
  const isHeard = words === undefined || endedAsAsked(outcome, until) || !isMute(run);
  const spoken = isHeard ? undefined : yield* speak(words, classes);
  if (!isShort || outcome.kind !== 'instruction-limit') return { given, spoken };
  const enough = spoken === undefined ? maxInstructions : muteLimit(spoken.told.result.outcome, maxInstructions);
  run.goOn(until, enough, untilText);
  const later = yield* drive(run, 'booting');
  return { given, spoken: wellEnded(later, config) === undefined ? spoken : undefined };
}

function* speak(config: RunConfig, classes: readonly DeathClass[]): Generator<Tick, SpokenBoot> {
  const boot = observedBoot(config, classes);
  yield* drive(boot.run, 'booting with words that make it speak');
  return { boot, told: { config, result: boot.run.result() } };
}
