// A boot that remembers which absolute references it executed. Recording costs next to nothing, so every boot of a
// diagnosis does it, and none has to be run again to find the candidates.

import { BootRun, type RunConfig } from '../run/run.ts';
import type { BzImage } from '../image/bzimage.ts';
import { type ExecutedReference, ReferenceRecorder } from '../record/references.ts';
import { likelihood, rangesOf } from './likelihood.ts';

export type RecordedBoot = { readonly run: BootRun; readonly recorder: ReferenceRecorder | undefined };

/** Throws InputError as BootRun does. */
export function recordedBoot(config: RunConfig): RecordedBoot {
  const run = new BootRun(config);
  const { stub } = run.rules;
  if (stub === undefined) return { run, recorder: undefined };
  const ranges = rangesOf(stub);
  const recorder = new ReferenceRecorder(run, stub, (reference) => likelihood(reference, ranges) > 0);
  return { run, recorder };
}

/** Likeliest first, and among equals the one executed last. */
export function ranked(recorder: ReferenceRecorder, image: BzImage): ExecutedReference[] {
  const ranges = rangesOf(image);
  const score = (executed: ExecutedReference): number => likelihood(executed.reference, ranges);
  return [...recorder.executed.values()].sort((a, b) => score(b) - score(a) || Number(b.last - a.last));
}
