// A boot in which each class of deaths has what it wants observed. That costs next to nothing, so every boot of a diagnosis
// is one, and none has to be run again to find the suspects.

import { BootRun, type RunConfig } from '../run/run.ts';
import type { DeathClass } from './classes/class.ts';

/** What was observed, by the name of the class. */
export type Observed = ReadonlyMap<string, unknown>;

export type ObservedBoot = { readonly run: BootRun; readonly observed: Observed };

/** Throws InputError as BootRun does. */
export function observedBoot(config: RunConfig, classes: readonly DeathClass[]): ObservedBoot {
  const run = new BootRun(config);
  return { run, observed: new Map(classes.map(({ name, observe }) => [name, observe?.(run)])) };
}
