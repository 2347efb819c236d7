import type { Command } from './command.ts';

/**
 * Every command by its name, in the order in which the help lists them. Each is loaded when it is asked for: what boots a
 * kernel takes longer to load than what only looks at one takes to answer.
 */
export const COMMANDS: Readonly<Record<string, () => Promise<Command>>> = {
  boot: async () => (await import('./commands/boot.ts')).boot,
  why: async () => (await import('./commands/why.ts')).why,
  audit: async () => (await import('./commands/audit.ts')).audit,
  diff: async () => (await import('./commands/diff.ts')).diff,
  info: async () => (await import('./commands/info.ts')).info,
  extract: async () => (await import('./commands/extract.ts')).extract,
  qemu: async () => (await import('./commands/qemu.ts')).qemu,
};

export const commandNames = (): readonly string[] => Object.keys(COMMANDS);

/** Undefined where there is no such command. */
export const findCommand = async (name: string): Promise<Command | undefined> =>
  Object.hasOwn(COMMANDS, name) ? COMMANDS[name]?.() : undefined;
