// Three one-register devices that software uses to talk to whoever watches the machine: the POST code display
// (0x80), the debug console of Bochs and QEMU (0xe9) and QEMU's isa-debug-exit (0xf4). None needs an interrupt.

import type { AccessSize, Device } from './device.ts';
import { adoptState, byteWide, copyState } from './device.ts';

/** What a read of the debug console port gives: how software finds out that it is there. */
const DEBUG_CONSOLE_PRESENT = 0xe9;

export type PostCode = Device & {
  /** The last value written; undefined before the first. */
  last(): number | undefined;
  /** Writes so far. Linux's I/O delays are among them. */
  count(): number;
};

/** POST code display at offset 0. */
export const createPostCode = (): PostCode => {
  const name = 'postCode';
  let s = { value: 0, count: 0 };
  return {
    name,
    ...byteWide(
      (offset) => (offset === 0 ? s.value : 0xff),
      (offset, value) => {
        if (offset === 0) s = { value, count: s.count + 1 };
      },
    ),
    last: () => (s.count === 0 ? undefined : s.value),
    count: () => s.count,
    state: () => copyState(s),
    restore: (state) => {
      s = adoptState(name, s, state);
    },
    reset: () => {
      s = { value: 0, count: 0 };
    },
  };
};

/** Debug console at offset 0: each byte written goes to `output`. */
export const createDebugConsole = (options: { readonly output: (byte: number) => void }): Device => ({
  name: 'debugConsole',
  ...byteWide(
    (offset) => (offset === 0 ? DEBUG_CONSOLE_PRESENT : 0xff),
    (offset, value) => {
      if (offset === 0) options.output(value);
    },
  ),
  state: () => ({}),
  restore: () => {},
  reset: () => {},
});

const sized = (value: number, size: AccessSize): number =>
  size === 4 ? value >>> 0 : value & (size === 1 ? 0xff : 0xffff);

/** isa-debug-exit, four ports wide: a write ends the run; QEMU would leave with the status (value << 1) | 1. Reads as 0. */
export const createDebugExit = (options: { readonly exit: (value: number) => void }): Device => ({
  name: 'debugExit',
  read: () => 0,
  write: (_offset, size, value) => options.exit(sized(value, size)),
  state: () => ({}),
  restore: () => {},
  reset: () => {},
});
