// What the command line needs of the process around it, as a plain object, so that tests can stand in for it.

import { fstatSync, writeSync } from 'node:fs';
import process from 'node:process';
import { visibleLines } from '../bits/visible.ts';
import { EXIT, type Signal, SIGNALS } from './exit.ts';
import { writeReason } from './writeReasons.ts';

/** A stream as far as it is used here; process.stdout is one. */
export type Output = {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(data: string | Uint8Array): unknown;
  /** The same without the guard of `guarded`, for control sequences of our own. */
  readonly raw?: Output;
};

/** A terminal in raw mode: each key as it is typed, Ctrl-C too. */
export type Keyboard = {
  /** Told of what is typed. */
  onBytes: ((bytes: Uint8Array) => void) | undefined;
  /** The terminal is again what it was. May be called twice. */
  close(): void;
};

export type Io = {
  readonly stdout: Output;
  readonly stderr: Output;
  /** Both end in the same terminal, file or pipe, so that what one leaves unfinished the other must finish. */
  readonly sameOutput: boolean;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Wall clock in ms, for pace and display only: no result may depend on it. */
  now(): number;
  /** Has whoever read stdout or stderr gone away? */
  outputClosed(): boolean;
  /** Calls `handler` at the next Ctrl-C, SIGTERM or SIGHUP; a second one ends the process. @returns takes the handler back */
  onInterrupt(handler: () => void): () => void;
  /** The signal that called a handler last. */
  signal(): Signal | undefined;
  /** Puts the terminal at standard input into raw mode. Undefined where it is none. */
  openKeyboard?(): Keyboard | undefined;
};

/** The real thing. From here on a closed pipe is a fact to be asked for instead of an exception. */
export function processIo(): Io {
  let closed = false;
  let signal: Signal | undefined;
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      // A terminal that has been closed gives EIO.
      if (error.code !== 'EPIPE' && error.code !== 'EIO') giveUp(stream === process.stdout, error.code);
      closed = true;
    });
  }
  return {
    stdout: process.stdout,
    stderr: process.stderr,
    sameOutput: isSameFile(1, 2),
    env: process.env,
    now: () => performance.now(),
    outputClosed: () => closed,
    onInterrupt: (handler) => {
      const names = Object.keys(SIGNALS) as Signal[];
      const called = (name: Signal): void => {
        signal = name;
        takeBack();
        handler();
      };
      const takeBack = (): void => names.forEach((name) => void process.removeListener(name, called));
      for (const name of names) process.on(name, called);
      return takeBack;
    },
    signal: () => signal,
    openKeyboard: terminalKeyboard,
  };
}

/**
 * Does work that asks for signals itself, but not at once: one that comes before that does not end the process without a
 * word. It is seen when the event loop turns.
 */
export async function uninterrupted<T>(io: Io, work: () => Promise<T>): Promise<T> {
  const done = io.onInterrupt(() => undefined);
  try {
    return await work();
  } finally {
    done();
  }
}

/** A full disk, say: there is nobody to go on for. @param canSay the other stream may still take a line */
function giveUp(canSay: boolean, code = 'unknown error'): never {
  try {
    if (canSay) writeSync(2, `firstlight: cannot write to standard output: ${writeReason(code)}\n`);
  } catch {
    // Then it is not said.
  }
  process.exit(EXIT.usage);
}

function terminalKeyboard(): Keyboard | undefined {
  const { stdin } = process;
  if (!stdin.isTTY) return undefined;
  const restore = (): void => void stdin.setRawMode(false);
  const read = (bytes: Uint8Array): void => keyboard.onBytes?.(bytes);
  const keyboard: Keyboard = {
    onBytes: undefined,
    close: () => {
      restore();
      stdin.pause();
      stdin.removeListener('data', read);
      process.removeListener('exit', restore);
    },
  };
  process.on('exit', restore);
  stdin.setRawMode(true);
  stdin.on('data', read);
  stdin.resume();
  return keyboard;
}

function isSameFile(a: number, b: number): boolean {
  try {
    const [first, second] = [fstatSync(a), fstatSync(b)];
    return first.dev === second.dev && first.ino === second.ino;
  } catch {
    // One of them is closed; then nothing can get mixed up.
    return false;
  }
}

/** Nothing in a text that is written may act on a terminal: names of files and words of guests stand in it. Bytes pass. */
export const guarded = (io: Io): Io => ({ ...io, stdout: guard(io.stdout), stderr: guard(io.stderr) });

const guard = (output: Output): Output => ({
  get isTTY() {
    return output.isTTY;
  },
  get columns() {
    return output.columns;
  },
  write: (data) => output.write(typeof data === 'string' ? visibleLines(data) : data),
  raw: output,
});
