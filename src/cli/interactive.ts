// A terminal at the guest's serial port, with QEMU's keys: Ctrl-A x leaves, Ctrl-A Ctrl-A is one Ctrl-A for the guest. An
// idle guest skips from timer to timer; here it is held back to the wall clock, or a prompt would be days old in a minute.
// What is typed and when makes the run no pure function of its options; the machine's input log makes it one again.

import { InputError } from '../bits/errors.ts';
import { drive } from '../run/drive.ts';
import type { BootRun, RunConfig } from '../run/run.ts';
import type { InputPort } from '../machine/input.ts';
import { type Ended, nextSlice } from './drive.ts';
import type { Io, Keyboard } from './io.ts';
import type { Screen } from './screen.ts';

const CTRL_A = 0x01;
const LEAVE = 'x'.charCodeAt(0);

/** Takes the keys that are for us out of what is typed. */
export class EscapeKeys {
  #escaped = false;
  /** Ctrl-A x was typed. */
  left = false;

  /** @returns what is for the guest */
  take(typed: Uint8Array): Uint8Array {
    const passed: number[] = [];
    for (const byte of typed) {
      if (this.left) break;
      if (!this.#escaped && byte === CTRL_A) this.#escaped = true;
      else if (!this.#escaped) passed.push(byte);
      else {
        this.#escaped = false;
        this.left = byte === LEAVE;
        // Other keys behind a Ctrl-A do nothing, as with QEMU.
        if (byte === CTRL_A) passed.push(byte);
      }
    }
    return Uint8Array.from(passed);
  }
}

/** The terminal, its keys sent one by one from now on. Throws InputError where standard input is none. */
export function openKeyboard(io: Io): Keyboard {
  const keyboard = io.openKeyboard?.();
  if (keyboard) return keyboard;
  throw new InputError('--interactive needs a terminal, and standard input is none');
}

/** Instructions of a slice in which the guest slept: few, so that it sleeps no longer than a moment at a time. */
const IDLE_SLICE = 10_000;
const FIRST_SLICE = 1_000_000;
/** Longest wait in ms between two looks at what else may have happened. */
const LONGEST_WAIT = 250;

/** Holds guest time back to the wall clock; where the guest is slow, the clock waits for it. */
class Pace {
  readonly #io: Io;
  readonly #guest: () => bigint;
  #wallBase: number;
  #guestBase: bigint;

  constructor(io: Io, guest: () => bigint) {
    this.#io = io;
    this.#guest = guest;
    this.#wallBase = io.now();
    this.#guestBase = guest();
  }

  /** From here on both clocks count from zero. */
  restart(): void {
    this.#wallBase = this.#io.now();
    this.#guestBase = this.#guest();
  }

  /** ms that the guest is ahead. */
  ahead(): number {
    const ahead = Number(this.#guest() - this.#guestBase) / 1e6 - (this.#io.now() - this.#wallBase);
    if (ahead < 0) this.restart();
    return Math.max(0, ahead);
  }
}

/** The guest's /dev/console is the last console its command line names; the virtio console is a port of its own. */
function keyboardPort({ cmdline, extras = [] }: RunConfig): InputPort {
  const last = [...cmdline.matchAll(/(?:^|\s)console=(\S+)/g)].at(-1)?.[1];
  return last === 'hvc0' && extras.includes('virtio-console') ? 'hvc0' : 'com1';
}

/** Runs with a keyboard until there is an outcome, or until Ctrl-A x. Closes the keyboard, whatever happens. */
export async function driveInteractive(
  run: BootRun,
  io: Io,
  screen: Screen,
  keyboard: Keyboard,
): Promise<Ended | 'left'> {
  const { machine } = run;
  run.awaitInput();
  const keys = new EscapeKeys();
  const port = keyboardPort(run.config);
  const pace = new Pace(io, () => machine.now);
  let wake: (() => void) | undefined;
  // In raw mode Ctrl-C is a key; a signal comes from elsewhere.
  let interrupted = false;
  const ignore = io.onInterrupt(() => {
    interrupted = true;
    wake?.();
  });
  keyboard.onBytes = (typed) => {
    machine.type(keys.take(typed), port);
    // Whatever the guest was ahead by, it is not kept waiting with a key to answer.
    pace.restart();
    wake?.();
  };
  const wait = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  let slice = FIRST_SLICE;
  const going = drive(run, { piece: () => BigInt(slice) });
  try {
    for (;;) {
      const [started, elapsed, time] = [io.now(), machine.engine.elapsed, machine.now];
      const { done } = going.next();
      screen.flush();
      if (done) return 'outcome';
      const slept = machine.now - time > machine.engine.elapsed - elapsed;
      slice = slept ? IDLE_SLICE : nextSlice(slice, io.now() - started);
      const ahead = Math.min(pace.ahead(), LONGEST_WAIT);
      await (ahead >= 1 ? wait(ahead) : new Promise((turn) => setImmediate(turn)));
      if (interrupted) return 'interrupted';
      if (keys.left) return 'left';
      if (io.outputClosed()) return 'output-closed';
    }
  } finally {
    ignore();
    keyboard.close();
  }
}
