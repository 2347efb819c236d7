// From arguments to an exit code. Everything that can go wrong ends here, as one line and a number.

import { existsSync } from 'node:fs';
import { InputError } from '../bits/errors.ts';
import { visible } from '../bits/visible.ts';
import { UsageError } from '../options/usageError.ts';
import type { Command } from './command.ts';
import { COMMANDS, type Commands, findCommand } from './commands.ts';
import { EXIT } from './exit.ts';
import { guarded, type Io } from './io.ts';
import { meant } from './nearest.ts';
import { helpText, readArguments } from './usage.ts';
import { version } from './version.ts';

/** Runs `firstlight` with these arguments. Throws nothing. @returns the exit code */
export async function main(args: readonly string[], process: Io, commands = COMMANDS): Promise<number> {
  const io = guarded(process);
  const command = await findCommand(args[0] ?? '', commands);
  try {
    return command ? await runCommand(command, args.slice(1), io) : await runGeneral(args, io, commands);
  } catch (error) {
    return failed(error, command, io);
  }
}

async function runCommand(command: Command, args: readonly string[], io: Io): Promise<number> {
  if (command.raw) return command.raw(args, io);
  // Whoever asks for help gets it, whatever else is wrong.
  if (asksForHelp(args)) return show(helpText(command.usage), io);
  return command.run(readArguments(command.usage, args), io);
}

function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return args.slice(0, end < 0 ? undefined : end).some((arg) => arg === '--help' || arg === '-h');
}

const GENERAL_OPTIONS = ['--help', '--version'];

async function runGeneral(args: readonly string[], io: Io, commands: Commands): Promise<number> {
  const [first, second] = args;
  if (first === '--version') return show(`firstlight ${version()}\n`, io);
  if (first === '--help' || first === '-h') return show(await generalHelp(commands), io);
  if (first === 'help')
    return show(
      second === undefined ? await generalHelp(commands) : helpText((await knownCommand(second, commands)).usage),
      io,
    );
  if (first === undefined) {
    io.stderr.write(await generalHelp(commands));
    return EXIT.usage;
  }
  if (first.startsWith('-')) throw new UsageError(`unknown option '${first}'${meant(first, GENERAL_OPTIONS)}`);
  throw existsSync(first)
    ? new UsageError(`'${first}' is no command; try 'firstlight boot ${first}'`)
    : unknownCommand(first, commands);
}

async function knownCommand(name: string, commands: Commands): Promise<Command> {
  const command = await findCommand(name, commands);
  if (command) return command;
  throw unknownCommand(name, commands);
}

function unknownCommand(name: string, commands: Commands): UsageError {
  const names = Object.keys(commands);
  return new UsageError(
    `there is no command '${name}'; there is ${names.join(', ')}${meant(name, [...names, 'help'])}`,
  );
}

function show(text: string, io: Io): number {
  io.stdout.write(text);
  return EXIT.reached;
}

async function generalHelp(commands: Commands): Promise<string> {
  const known = await Promise.all(Object.values(commands).map((load) => load()));
  const lines = known.map(
    ({ usage }) => `  firstlight ${`${usage.name} ${usage.operand}`.padEnd(23)} ${usage.summary}`,
  );
  return `Firstlight boots a Linux kernel image in a deterministic PC of its own, or looks it over
without running it.

${lines.join('\n')}
  firstlight help COMMAND            its options, one by one
  firstlight --version

Exit codes: 0 the stage or end asked for was reached, or nothing was found; 1 the guest
died, or there are findings or differences; 2 bad usage or unreadable input; 3 a limit.
`;
}

function failed(error: unknown, command: Command | undefined, io: Io): number {
  // A name or a message from elsewhere may contain line ends.
  const complain = (text: string): void => void io.stderr.write(`firstlight: ${visible(text.replace(/\s+/g, ' '))}\n`);
  if (error instanceof UsageError) {
    complain(`${error.message} (see 'firstlight ${command ? `${command.usage.name} ` : ''}--help')`);
    return EXIT.usage;
  }
  if (error instanceof InputError) {
    complain(error.message);
    return EXIT.usage;
  }
  const text = error instanceof Error ? error.message : String(error);
  complain(`internal error: ${text}; please report it (FIRSTLIGHT_DEBUG=1 shows more)`);
  if (io.env['FIRSTLIGHT_DEBUG'] === '1' && error instanceof Error) io.stderr.write(`${error.stack}\n`);
  return EXIT.internal;
}
