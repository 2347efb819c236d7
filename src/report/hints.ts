// What a guest said it lacks, and how it is given: only where the guest says so itself and it was not given.

import type { Outcome, RunConfig, RunResult } from '../boot/run.ts';
import { wellEnded } from '../diagnose/ending.ts';

/** Of `firstlight boot`; `why` takes --initrd. */
const ROOT_HINT =
  'An initrd (--initrd FILE; boot also has --run COMMAND, which makes one), or a disk (boot --disk FILE, with root=/dev/vda in --append), lets it go on to user space.';
const XEN_WANTS_DOM0 = 'dom0 kernel not specified';
const XEN_HINT =
  "It was given no kernel for Xen's first domain; --module gives one, as in --module 'vmlinuz vmlinuz root=/dev/xvda' (Xen takes the first word of its text for a name).";

export function hintLines(config: RunConfig, outcome: Outcome, { console }: Pick<RunResult, 'console'>): string[] {
  const noRoot = wellEnded(outcome, config) === 'no-root' ? [ROOT_HINT] : [];
  const noDom0 = console.includes(XEN_WANTS_DOM0) && !config.modules?.length ? [XEN_HINT] : [];
  return [...noRoot, ...noDom0];
}
