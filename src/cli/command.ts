import type { Given } from '../options/row.ts';
import type { Io } from './io.ts';
import type { CommandUsage } from './usage.ts';

/** One word behind `firstlight`. */
export type Command = {
  readonly usage: CommandUsage;
  /** @returns the exit code; throws UsageError and InputError */
  run(given: Given, io: Io): Promise<number>;
  /** Reads its arguments by rules of its own, `run` is not called. @returns the exit code */
  raw?(args: readonly string[], io: Io): Promise<number>;
};
