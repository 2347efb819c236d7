// Is the end of a boot one that needs no diagnosis? Where it was to go, a power-off that the guest wanted, or the end of
// all that a kernel can do without a root file system that nobody gave it.

import { namesIn } from '../run/cmdline.ts';
import { endedAsAsked, type Outcome, type RunConfig } from '../run/run.ts';

export type WellEnded = 'as-asked' | 'powered-off' | 'no-root';

/** What a kernel says that looked for its first program, or for what to find it on, and found none (init/do_mounts.c, init/main.c). */
const FOUND_NO_ROOT = /VFS: Unable to mount root fs|No (?:working )?init found/;

type Given = Pick<RunConfig, 'until' | 'initrd' | 'disks' | 'cmdline'>;

/** Undefined for an end that is to be explained. */
export function wellEnded(outcome: Outcome, config: Given): WellEnded | undefined {
  if (endedAsAsked(outcome, config.until)) return 'as-asked';
  // A kernel that has said its first line and switches off does so on purpose; a panic is another outcome.
  if (outcome.kind === 'powered-off' && (outcome.stage === 'banner' || outcome.stage === 'init')) return 'powered-off';
  if (outcome.kind === 'panic' && FOUND_NO_ROOT.test(outcome.message) && !hasRoot(config)) return 'no-root';
  return undefined;
}

function hasRoot({ initrd, disks = [], cmdline }: Given): boolean {
  return initrd !== undefined || disks.length > 0 || namesIn(cmdline).has('root');
}
