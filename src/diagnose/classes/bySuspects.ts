// How a class whose suspects are repaired by one change each finds its causes: each suspect is tried, likeliest first; what
// brings the boot to a later stage is proved at several load addresses and in several modes, and changes that are as wrong as
// what was given may not do the same.

import type { What } from '../../run/interventions/table.ts';
import type { Case } from '../case.ts';
import { repairedBoots, WANTED_ADDRESSES } from '../proof.ts';
import { changed } from '../repair.ts';
import { bootBeyond, type Tried, tryBoot } from '../trials.ts';
import type { Cause, ProofBoot, Suspicion, Tick } from '../types.ts';
import type { Found } from './class.ts';

export type Suspect<S> = {
  readonly of: S;
  /** For progress lines: what is tried. */
  readonly doing: string;
  /** What repairs it, wherever the image is loaded. */
  readonly repair: readonly What[];
  /** Changes in its place that repair nothing, with words for each. One at least. */
  readonly wrong: readonly { readonly text: string; readonly change: readonly What[] }[];
};

export type SuspectProof = {
  readonly held: boolean;
  readonly boots: readonly ProofBoot[];
  readonly controls: readonly { readonly text: string; readonly boot: ProofBoot }[];
};

type Tell<S, C, U> = {
  readonly cause: (suspect: S, proof: SuspectProof) => C;
  readonly suspicion: (suspect: S, proof: SuspectProof) => U;
};

/** Suspects that are tried at most. */
const MAX_TRIES = 24;
/** Instructions that a wrong change gets beyond what the right one took. */
const MORE = 50_000_000n;

/** @param suspects likeliest first */
export function* findBySuspects<S, C extends Cause, U extends Suspicion>(
  dead: Case,
  suspects: readonly Suspect<S>[],
  tell: Tell<S, C, U>,
): Generator<Tick, Found<C, U>> {
  const suspicions: U[] = [];
  for (const [i, suspect] of suspects.entries()) {
    if (i >= MAX_TRIES || dead.work.isOver) {
      dead.work.leave(suspects.length - i);
      break;
    }
    const tried = yield* tryBoot(dead, changed(dead.config, ...suspect.repair), suspect.doing);
    // Another death alone proves nothing: any change to a wild run may move its end.
    if (!tried.passed || tried.next !== undefined) continue;
    const proof = yield* proofOf(dead, suspect, tried);
    if (proof.held) return { cause: tell.cause(suspect.of, proof), suspicions, repaired: tried };
    suspicions.push(tell.suspicion(suspect.of, proof));
  }
  return { cause: undefined, suspicions, repaired: undefined };
}

function* proofOf<S>(dead: Case, { repair, wrong }: Suspect<S>, tried: Tried): Generator<Tick, SuspectProof> {
  const room = tried.boot.instructions + tried.boot.instructions / 2n + MORE;
  const controls: SuspectProof['controls'][number][] = [];
  for (const { text, change } of wrong) {
    const aim = { dead, next: undefined, room };
    const doing = `booting with another change: ${text}`;
    const { boot } = yield* bootBeyond(changed(dead.config, ...change), 'wrong-value', aim, doing);
    controls.push({ text, boot });
    if (boot.passed) break;
  }
  const repaired = yield* repairedBoots(dead, tried, (config) => changed(config, ...repair));
  const everywhere = repaired.addresses >= WANTED_ADDRESSES && repaired.boots.every(({ passed }) => passed);
  const held = everywhere && controls.length > 0 && controls.every(({ boot }) => !boot.passed);
  return { held, boots: repaired.boots, controls };
}
