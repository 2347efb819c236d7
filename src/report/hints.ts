// What a guest said it lacks, and how it is given: only where the guest says so itself and it was not given.

import type { Outcome, RunConfig, RunResult } from '../run/run.ts';
import { wellEnded } from '../diagnose/ending.ts';
import { HINTS, type HintId } from '../words/hints.ts';

/** What a kernel says that was started without the modules it needs. */
const WITHOUT_MODULES: readonly { readonly says: string; readonly hint: HintId }[] = [
  { says: 'dom0 kernel not specified', hint: 'no-first-domain' },
  { says: 'No bootstrap code loaded with the kernel', hint: 'no-bootstrap' },
];

export function hintLines(config: RunConfig, outcome: Outcome, { console }: Pick<RunResult, 'console'>): string[] {
  const noRoot = wellEnded(outcome, config) === 'no-root' ? [HINTS['no-root']] : [];
  const lacking = config.modules?.length ? [] : WITHOUT_MODULES.filter(({ says }) => console.includes(says));
  return [...noRoot, ...lacking.map(({ hint }) => HINTS[hint])];
}
