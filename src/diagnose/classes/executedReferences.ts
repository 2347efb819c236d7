// What is observed for position-dependent references: the executed instructions that carry what may be an address.

import type { BzImage } from '../../image/bzimage.ts';
import { type ExecutedReference, ReferenceRecorder } from '../../record/references.ts';
import type { BootRun } from '../../run/run.ts';
import { likelihood, rangesOf } from '../likelihood.ts';
import type { Observed } from '../observedBoot.ts';
import type { Cause, ReferenceCause, ReferenceSuspicion, Suspicion } from '../types.ts';

export const NAME = 'position-dependent-reference';

/** Undefined where there is no stub. */
export function recordReferences(run: BootRun): ReferenceRecorder | undefined {
  const { stub } = run.rules;
  if (stub === undefined) return undefined;
  const ranges = rangesOf(stub);
  return new ReferenceRecorder(run, stub, (reference) => likelihood(reference, ranges) > 0);
}

/** Likeliest first, and among equals the one executed last. */
export function ranked(observed: Observed, image: BzImage): ExecutedReference[] {
  const recorder = observed.get(NAME) as ReferenceRecorder | undefined;
  const ranges = rangesOf(image);
  const score = (executed: ExecutedReference): number => likelihood(executed.reference, ranges);
  return [...(recorder?.executed.values() ?? [])].sort((a, b) => score(b) - score(a) || Number(b.last - a.last));
}

/** Those of this class, of causes or suspicions. */
export const referenceCauses = (causes: readonly Cause[]): readonly ReferenceCause[] =>
  causes.filter((cause): cause is ReferenceCause => cause.class === NAME);
export const referenceSuspicions = (suspicions: readonly Suspicion[]): readonly ReferenceSuspicion[] =>
  suspicions.filter((suspicion): suspicion is ReferenceSuspicion => suspicion.class === NAME);
