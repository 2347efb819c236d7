// What becomes of a run: where it was to stop, how it can end, and whether that is what was asked for.

import type { FaultLink } from '../cpu/microcode/delivery.ts';
import type { ResetSource } from '../devices/device.ts';
import type { Stage } from './stages.ts';

/** Where a run is to stop: at a stage, or where the guest itself ends it. */
export type Goal = Stage | 'end';

/** How a run ended, without what is said of every end. */
export type OutcomeBody =
  | { readonly kind: 'stage-reached' }
  /** What `untilText` waited for was printed or shown. */
  | { readonly kind: 'text-seen'; readonly text: string }
  | { readonly kind: 'triple-fault'; readonly chain: readonly FaultLink[] }
  /** The guest switched the machine off, through ACPI. */
  | { readonly kind: 'powered-off' }
  /** The guest ended the run through the debug-exit port; `code` is what QEMU would exit with, (value << 1) | 1. */
  | { readonly kind: 'debug-exit'; readonly value: number; readonly code: number }
  | { readonly kind: 'reset'; readonly source: ResetSource }
  /** HLT with interrupts off, or with nothing left that could interrupt. */
  | { readonly kind: 'halt'; readonly rip: bigint; readonly interruptsEnabled: boolean }
  /** It is shown, by `rule`, that the guest will do nothing else any more. */
  | { readonly kind: 'hang'; readonly rip: bigint; readonly rule: string }
  /** Nothing has come of a long run, which proves nothing; `seen` says what was there and for how long. */
  | { readonly kind: 'no-progress'; readonly rip: bigint; readonly seen: string }
  /** `callTrace`: what the kernel printed of it, innermost frame first. */
  | { readonly kind: 'panic'; readonly message: string; readonly callTrace: readonly string[] }
  /** The guest touched more RAM than a run is given, whatever RAM the machine has, or swept through empty addresses. */
  | { readonly kind: 'memory-limit'; readonly rip: bigint }
  | { readonly kind: 'instruction-limit'; readonly rip: bigint };

export type Outcome = OutcomeBody & {
  /** The last stage reached. */
  readonly stage: Stage;
  readonly instructions: bigint;
  /** Guest time in ns. */
  readonly guestTime: bigint;
};

/** Of an outcome, what says whether it was the one wanted. */
export type Ending = Pick<Outcome, 'kind'> & { readonly stage?: Stage; readonly code?: number };

/** As isa-debug-exit has it, in 32 bits. */
export const exitCode = (value: number): number => ((value << 1) | 1) >>> 0;

/**
 * Did the run come to where it was to stop? A guest that was to end it has done so by switching off, or by a reset from
 * user space; before that nobody has asked for a reset.
 */
export function endedAsAsked(outcome: Ending, until: Goal): boolean {
  if (outcome.kind === 'stage-reached' || outcome.kind === 'text-seen') return true;
  if (outcome.kind === 'debug-exit') return outcome.code === exitCode(0);
  if (until !== 'end') return false;
  return outcome.kind === 'powered-off' || (outcome.kind === 'reset' && outcome.stage === 'init');
}
