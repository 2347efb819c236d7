// Exit codes, as `firstlight --help` lists them.

import type { Ending } from '../run/outcome.ts';
import { type CommandResult, endedAsAsked, type Goal } from '../run/run.ts';

/** What ends a run from outside, and the exit code by it: 128 + its number, as shells report it. */
export const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;
export type Signal = keyof typeof SIGNALS;

export type Stopped = { readonly text: string; readonly code: number };

/** What ended a run from outside, in words, and the exit code by it. */
export function stoppedBy(signal: Signal = 'SIGINT'): Stopped {
  return { text: `stopped by ${signal === 'SIGINT' ? 'Ctrl-C' : signal}`, code: SIGNALS[signal] };
}

export const EXIT = {
  reached: 0,
  died: 1,
  /** Of an audit; notes alone are clean. */
  clean: 0,
  findings: 1,
  /** Usage, or input that cannot be used. */
  usage: 2,
  limit: 3,
  /** A bug of ours: EX_SOFTWARE of sysexits.h. */
  internal: 70,
  /** 128 + SIGPIPE: whoever read our output has gone. */
  outputClosed: 141,
} as const;

/** What a run was given is used up; it may be alive. */
const LIMITS: ReadonlySet<Ending['kind']> = new Set(['instruction-limit', 'memory-limit', 'no-progress']);

/** Did the guest end the run itself, as it was asked to? */
export const isOwnEnd = (outcome: Ending, until: Goal): boolean =>
  (outcome.kind === 'powered-off' || outcome.kind === 'reset') && endedAsAsked(outcome, until);

export type Ended = { readonly outcome: Ending; readonly command?: Pick<CommandResult, 'status'> | undefined };

/**
 * @param until where the run was to stop; a stage by default
 * @param asGuest a guest that ends the run through the debug-exit port chooses the code, as with QEMU
 */
export function exitCodeOf({ outcome, command }: Ended, until: Goal = 'banner', asGuest = false): number {
  if (asGuest && outcome.kind === 'debug-exit') return (outcome.code ?? 0) & 0xff;
  // A command that was cut short has no status to pass on.
  if (command !== undefined && isOwnEnd(outcome, until)) return command.status ?? EXIT.died;
  if (endedAsAsked(outcome, until)) return EXIT.reached;
  return LIMITS.has(outcome.kind) ? EXIT.limit : EXIT.died;
}
