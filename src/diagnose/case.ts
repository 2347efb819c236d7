// A boot that died, and all that is asked and remembered while its cause is looked for.

import type { Outcome, RunConfig } from '../run/run.ts';
import type { BzImage } from '../image/bzimage.ts';
import type { SymbolTable } from '../image/symbols.ts';
import type { End } from './progress.ts';
import type { DeathClass } from './classes/class.ts';
import type { Observed } from './observedBoot.ts';
import type { Aim, Work } from './trials.ts';
import type { Evidence } from './types.ts';

export type Case = Aim & {
  /** With what has been repaired before. Every trial is this with more changed in it. */
  readonly config: RunConfig;
  /** As it was booted, the earlier repairs made. */
  readonly image: BzImage;
  readonly outcome: Outcome;
  readonly end: End;
  readonly evidence: Evidence;
  /** What each class had observed in the boot that died. */
  readonly observed: Observed;
  readonly symbols: SymbolTable | undefined;
  /** Load addresses at which a proof is made. */
  readonly addresses: number;
  readonly work: Work;
  /** What is looked for. */
  readonly classes: readonly DeathClass[];
};
