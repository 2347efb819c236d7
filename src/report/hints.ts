// What a guest said it lacks, and how it is given: only where the guest says so itself and it was not given.

import type { Outcome, RunConfig, RunResult } from '../run/run.ts';
import { wellEnded } from '../diagnose/ending.ts';

/** Of `firstlight boot`; `why` takes --initrd. */
const ROOT_HINT =
  'An initrd (--initrd FILE; boot also has --run COMMAND, which makes one), or a disk (boot --disk FILE, with root=/dev/vda in --append), lets it go on to user space.';
/** What a kernel says that was started without the modules it needs, and what these are. */
const WITHOUT_MODULES: readonly { readonly says: string; readonly hint: string }[] = [
  {
    says: 'dom0 kernel not specified',
    hint: "It was given no kernel for Xen's first domain; --module gives one, as in --module 'vmlinuz vmlinuz root=/dev/xvda' (Xen takes the first word of its text for a name).",
  },
  {
    says: 'No bootstrap code loaded with the kernel',
    hint: 'It was given none of the programs that Mach starts first; each is a module (--module).',
  },
];

export function hintLines(config: RunConfig, outcome: Outcome, { console }: Pick<RunResult, 'console'>): string[] {
  const noRoot = wellEnded(outcome, config) === 'no-root' ? [ROOT_HINT] : [];
  const lacking = config.modules?.length ? [] : WITHOUT_MODULES.filter(({ says }) => console.includes(says));
  return [...noRoot, ...lacking.map(({ hint }) => hint)];
}
