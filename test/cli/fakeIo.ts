// A process to run the command line in: takes down what is written, and has a clock that moves by itself.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Command } from '../../src/cli/command.ts';
import { COMMANDS } from '../../src/cli/commands.ts';
import type { Signal } from '../../src/cli/exit.ts';
import type { Io, Output } from '../../src/cli/io.ts';
import { main } from '../../src/cli/program.ts';

export const sample = (name: string): string => fileURLToPath(new URL(`../../samples/built/${name}`, import.meta.url));
export const GOOD = sample('good.bzImage');
export const BAD = sample('bad.bzImage');

/** The good image with `jmp .` at its 64-bit entry: it never ends. */
export function endlessImage(): Uint8Array {
  const bytes = readFileSync(GOOD);
  const setupSize = (bytes.readUInt8(0x1f1) + 1) * 512;
  bytes.set([0xeb, 0xfe], setupSize + 0x200);
  return bytes;
}

export type FakeOptions = {
  /** Both streams are the same terminal. */
  readonly terminal?: boolean;
  readonly sameOutput?: boolean;
  readonly columns?: number;
  readonly env?: Record<string, string>;
  /** Ctrl-C comes as soon as somebody listens for it. */
  readonly interrupt?: boolean;
  /** It is another signal than Ctrl-C. */
  readonly signal?: Signal;
  readonly outputClosed?: boolean;
  /** ms by which the clock moves each time it is looked at; 10 where not given. */
  readonly clockStep?: number;
  /** A command in the place of the one of its name. */
  readonly command?: Command;
};

export type FakeIo = Io & {
  /** What was written, one character for each byte. */
  readonly written: { stdout: string; stderr: string; both: string };
  /** How many handlers wait for Ctrl-C. */
  listeners(): number;
};

export function fakeIo(options: FakeOptions = {}): FakeIo {
  const written = { stdout: '', stderr: '', both: '' };
  const handlers = new Set<() => void>();
  let clock = 0;
  const output = (name: 'stdout' | 'stderr'): Output => ({
    isTTY: options.terminal ?? false,
    columns: options.columns,
    write: (data) => {
      const text = typeof data === 'string' ? data : Buffer.from(data).toString('latin1');
      written[name] += text;
      written.both += text;
    },
  });
  return {
    stdout: output('stdout'),
    stderr: output('stderr'),
    sameOutput: options.sameOutput ?? options.terminal ?? false,
    env: options.env ?? {},
    now: () => (clock += options.clockStep ?? 10),
    outputClosed: () => options.outputClosed ?? false,
    onInterrupt: (handler) => {
      handlers.add(handler);
      if (options.interrupt) handler();
      return () => void handlers.delete(handler);
    },
    signal: () => options.signal,
    written,
    listeners: () => handlers.size,
  };
}

export type Said = { readonly code: number; readonly stdout: string; readonly stderr: string; readonly both: string };

/** Runs `firstlight ARGS`. */
export async function firstlight(args: readonly string[], options: FakeOptions = {}): Promise<Said> {
  const io = fakeIo(options);
  const { command } = options;
  const code = await main(args, io, command ? { ...COMMANDS, [command.usage.name]: async () => command } : COMMANDS);
  return { code, ...io.written };
}
