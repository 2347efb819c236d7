// Several instructions that are to blame together: a link without -pie fixes every address that goes through the GOT, a
// compiler without -fPIE each one it writes. All that the audit finds in the image are repaired at once, executed or not, so
// that what is proved does not depend on the way a boot takes; what it is unsure of, or does not see, is added death by death.

import type { BootRun } from '../../run/run.ts';
import type { BzImage } from '../../image/bzimage.ts';
import { farFrom } from '../controls.ts';
import { fixedAtLink } from '../fixedAtLink.ts';
import { rangesOf } from '../likelihood.ts';
import { endOf, sameEnd } from '../progress.ts';
import { type Change, changeOf, relocatedIn } from '../repair.ts';
import { type Tried, tryRepair } from '../trials.ts';
import type { Tick } from '../types.ts';
import type { Case } from '../case.ts';
import { ranked } from './executedReferences.ts';

/** Boots in which an instruction more is repaired, at most. */
const MAX_TRIES = 40;

export type Several = {
  /** The first was executed. */
  readonly changes: readonly Change[];
  readonly tried: Tried;
};

/** What the audit finds and is not repaired yet, with the bias each has where it runs. None where the image is as it should be. */
export function fixedChanges({ config, image, observed }: Pick<Case, 'config' | 'image' | 'observed'>): Change[] {
  const executed = ranked(observed, image);
  const done = new Set(relocatedIn(config));
  const met = new Map(executed.map((reference) => [reference.fileOffset, reference]));
  return fixedAtLink(image).flatMap((reference): Change[] => {
    if (done.has(Number(reference.link) + reference.reference.offset)) return [];
    const known = met.get(reference.fileOffset);
    const bias = known ? known.runtime - known.link : biasNear(image, executed, reference.link);
    const { first, last, times } = known ?? reference;
    const change = changeOf({ ...reference, runtime: reference.link + bias, first, last, times }, bias);
    return change === undefined ? [] : [change];
  });
}

/** Of what was not executed: that of the part of the stub it stands in. */
function biasNear(image: BzImage, executed: ReturnType<typeof ranked>, link: bigint): bigint {
  const { headEnd } = rangesOf(image);
  const near = executed.find((other) => other.link < headEnd === link < headEnd) ?? executed[0];
  return near === undefined ? 0n : near.runtime - near.link;
}

/** @param fixed may be empty where others of the image have been repaired before  @returns undefined where the boot does not come to a later stage so */
export function* repairSeveral(dead: Case, fixed: readonly Change[]): Generator<Tick, Several | undefined> {
  const { image, work } = dead;
  const added: Change[] = [];
  let tried = yield* tryRepair(dead, fixed);
  let tries = 0;
  let candidates = candidatesBeside(
    fixed,
    fixed.length > 0 && tried.run.outcome ? { image, observed: tried.observed } : dead,
  );
  while (!isLater(tried)) {
    const now: BootRun = tried.run;
    let further: { readonly change: Change; readonly tried: Tried } | undefined;
    for (const [i, change] of candidates.entries()) {
      if (tries++ >= MAX_TRIES || work.isOver) {
        work.leave(candidates.length - i);
        return undefined;
      }
      const again = yield* tryRepair(dead, [...fixed, ...added, change]);
      if (!isLater(again) && !cameFurther(again.run, now)) continue;
      if (yield* anyHelps(dead, [...fixed, ...added], change, again)) continue;
      further = { change, tried: again };
      break;
    }
    if (further === undefined) return undefined;
    added.push(further.change);
    tried = further.tried;
    candidates = candidatesBeside([...fixed, ...added], { image, observed: tried.observed });
  }
  const needed = yield* withoutTheNeedless(dead, fixed, added);
  const changes = executedFirst([...needed, ...fixed]);
  if (changes === undefined) return undefined;
  return needed.length === added.length ? { changes, tried } : { changes, tried: yield* tryRepair(dead, changes) };
}

/** Another end, and later. A bound that is right now and another that is not yet may make a loop of it that has none. */
function cameFurther(run: BootRun, before: BootRun): boolean {
  const [now, then] = [run.outcome, before.outcome];
  if (now === undefined || then === undefined || now.instructions <= then.instructions) return false;
  return !sameEnd(endOf(run, now), endOf(before, then));
}

/** Does a value in its place that is no address of the stub bring the boot just as far? Then it is a size or a limit. */
function* anyHelps(dead: Case, repaired: readonly Change[], change: Change, helped: Tried): Generator<Tick, boolean> {
  const [far] = farFrom([change]) ?? [];
  if (far === undefined) return false;
  const tried = yield* tryRepair(dead, [...repaired, far]);
  if (isLater(tried)) return true;
  const [there, then] = [tried.run.outcome, helped.run.outcome];
  return there !== undefined && then !== undefined && sameEnd(endOf(tried.run, there), endOf(helped.run, then));
}

/** Came to a later stage, and not only to another death. */
const isLater = ({ passed, next }: Tried): boolean => passed && next === undefined;

/** Instructions that were executed, hold what may be an address, and are not among those repaired; likeliest first. */
export function candidatesBeside(
  changes: readonly Change[],
  { image, observed }: Pick<Case, 'image' | 'observed'>,
): Change[] {
  const known = new Set(changes.map(({ executed }) => executed.fileOffset));
  return ranked(observed, image).flatMap((executed) => {
    const bias = executed.runtime - executed.link;
    const change = bias === 0n || known.has(executed.fileOffset) ? undefined : changeOf(executed, bias);
    return change === undefined ? [] : [change];
  });
}

/** What was added and without which, all else repaired, the boot passes too, only looked like one of them. */
function* withoutTheNeedless(
  dead: Case,
  fixed: readonly Change[],
  added: readonly Change[],
): Generator<Tick, Change[]> {
  let needed = [...added];
  for (const one of added) {
    const rest = needed.filter((change) => change !== one);
    const without = yield* tryRepair(dead, [...fixed, ...rest]);
    if (isLater(without)) needed = rest;
  }
  return needed;
}

/** The likeliest of those that were executed stands for all. Undefined where none was. */
function executedFirst(changes: readonly Change[]): Change[] | undefined {
  const first = changes.find(({ executed }) => executed.times > 0);
  return first && [first, ...changes.filter((change) => change !== first)];
}
