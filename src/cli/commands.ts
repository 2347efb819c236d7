// The commands there are, a row each.

import type { Command } from './command.ts';

export type Commands = Readonly<Record<string, () => Promise<Command>>>;

/**
 * Every command by its name, in the order in which the help lists them. Each is loaded when it is asked for: what boots a
 * kernel takes longer to load than what only looks at one takes to answer.
 */
export const COMMANDS: Commands = {
  boot: async () => (await import('./commands/boot.ts')).boot,
  why: async () => (await import('./commands/why.ts')).why,
  audit: async () => (await import('./commands/audit.ts')).audit,
  diff: async () => (await import('./commands/diff.ts')).diff,
  info: async () => (await import('./commands/info.ts')).info,
  extract: async () => (await import('./commands/extract.ts')).extract,
  qemu: async () => (await import('./commands/qemu.ts')).qemu,
};

/** Undefined where there is no such command. */
export const findCommand = async (name: string, commands: Commands): Promise<Command | undefined> =>
  Object.hasOwn(commands, name) ? commands[name]?.() : undefined;
