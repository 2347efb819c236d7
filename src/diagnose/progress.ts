// Has a changed boot come past the death of the unchanged one? Living on is no sign of it: a change that only delays a death,
// or keeps the boot busy elsewhere, does that too.

import type { BootRun, Outcome } from '../run/run.ts';
import { STAGES, type Stage } from '../run/stages.ts';

const later = (stage: Stage, than: Stage): boolean => STAGES.indexOf(stage) > STAGES.indexOf(than);

/** Reached a later stage than the one in which the unchanged boot died, or all that was asked for. */
export const hasPassed = (run: BootRun, death: Outcome): boolean =>
  later(run.stages.current, death.stage) || run.outcome?.kind === 'stage-reached';

/** Where a boot ended, so that two ends can be compared whatever the load address. */
export type End = { readonly kind: Outcome['kind']; readonly vector: number | undefined; readonly place: bigint };

/** Room behind what the file holds in which the stub's own memory lies. */
const BEHIND = 16 * 2 ** 20;

/** @param run whose outcome it is */
export function endOf(run: BootRun, outcome: Outcome): End {
  const [first] = outcome.kind === 'triple-fault' ? outcome.chain : [];
  const rip = first?.rip ?? ('rip' in outcome ? outcome.rip : undefined);
  return { kind: outcome.kind, vector: first?.vector, place: rip === undefined ? -1n : placeOf(run, rip) };
}

/** Relative to the stub's copy that it lies in, if it lies in one. */
function placeOf(run: BootRun, rip: bigint): bigint {
  const size = run.rules.stub?.protectedMode.size ?? 0;
  const copy = [...run.stages.copies].reverse().find((start) => rip >= start && rip < start + size + BEHIND);
  return copy === undefined ? rip : rip - BigInt(copy);
}

export const sameEnd = (a: End, b: End): boolean => a.kind === b.kind && a.vector === b.vector && a.place === b.place;

/** Ends that only say how long was waited. */
export const LIMITS: ReadonlySet<Outcome['kind']> = new Set(['instruction-limit', 'memory-limit', 'no-progress']);

/**
 * Did a changed boot die of something else: later than the unchanged one, and elsewhere or otherwise? Then that death was
 * passed, and another one met; alone it proves nothing, since a change to a wild run may move its end.
 * @param unchanged how the unchanged boot ended in the same machine
 */
export function diedElsewhere(run: BootRun, unchanged: Outcome, unchangedEnd: End): boolean {
  const { outcome } = run;
  if (outcome === undefined || LIMITS.has(outcome.kind) || unchanged.kind === 'stage-reached') return false;
  return outcome.instructions > unchanged.instructions && !sameEnd(endOf(run, outcome), unchangedEnd);
}
