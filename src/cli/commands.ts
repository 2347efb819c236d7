import type { Command } from './command.ts';
import { audit } from './commands/audit.ts';
import { boot } from './commands/boot.ts';
import { diff } from './commands/diff.ts';
import { why } from './commands/why.ts';

/** Every command, in the order in which the help lists them. */
export const COMMANDS: readonly Command[] = [boot, why, audit, diff];
