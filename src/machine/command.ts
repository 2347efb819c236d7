// What a machine has besides where one command is run in it: serial ports that carry nothing but what the command writes
// to its stdout (COM2) and stderr (COM3), and what /init says of its end (COM4). The console is the kernel's alone.

import type { Fields } from '../bits/fields.ts';
import type { Plain } from '../bits/plain.ts';
import type { InterruptLine, Unimplemented } from '../devices/device.ts';
import { createUart16550, type Uart16550 } from '../devices/uart16550.ts';
import { Console } from './console.ts';

const CHANNELS = { stdout: 'com2', stderr: 'com3', control: 'com4' } as const;
export type Channel = keyof typeof CHANNELS;

export type CommandPorts = Readonly<Record<Channel, Console>> & {
  readonly uarts: Readonly<Record<Channel, Uart16550>>;
};

/** A line that /init writes, and nobody else has a reason to write there. */
export const STATUS_LINE = 'status ';

/** @param told of each byte that a channel carries */
export function createCommandPorts(
  lines: Readonly<Record<Channel, InterruptLine>>,
  unimplemented: Unimplemented,
  told: (byte: number, channel: Channel) => void,
): CommandPorts {
  const consoleOf = (channel: Channel): Console => new Console((byte) => told(byte, channel));
  const consoles = { stdout: consoleOf('stdout'), stderr: consoleOf('stderr'), control: consoleOf('control') };
  const uart = (channel: Channel): Uart16550 =>
    createUart16550({
      name: CHANNELS[channel],
      interrupt: lines[channel],
      transmit: (byte) => consoles[channel].write(byte),
      unimplemented,
    });
  return { ...consoles, uarts: { stdout: uart('stdout'), stderr: uart('stderr'), control: uart('control') } };
}

/** The command's status as a shell says it, 0 to 255; undefined where it has not ended. */
export function commandStatus({ control }: CommandPorts): number | undefined {
  const told = control.text
    .split('\n')
    .filter((line) => line.startsWith(STATUS_LINE))
    .at(-1);
  const status = told?.slice(STATUS_LINE.length).trim() ?? '';
  return /^\d{1,3}$/.test(status) ? Number(status) & 0xff : undefined;
}

/** Two chips on one line, which is asserted while either asks. */
export function sharedLine(line: InterruptLine): [InterruptLine, InterruptLine] {
  const levels = [false, false];
  const input =
    (index: number): InterruptLine =>
    (level) => {
      levels[index] = level;
      line(levels.includes(true));
    };
  return [input(0), input(1)];
}

export const saveCommand = ({ stdout, stderr, control }: CommandPorts): Plain => ({
  stdout: stdout.save(),
  stderr: stderr.save(),
  control: control.save(),
});

/** Throws InputError. */
export function restoreCommand({ stdout, stderr, control }: CommandPorts, saved: Fields): void {
  stdout.restore(saved.object('stdout'));
  stderr.restore(saved.object('stderr'));
  control.restore(saved.object('control'));
}
