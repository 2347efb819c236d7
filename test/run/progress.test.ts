// What is called no progress: windows as a guest would leave them, without one.
import { describe, expect, it } from 'vitest';
import { HANG_WINDOW, HORIZON, LONGEST_WAIT, ProgressWatch, WAIT_WINDOW } from '../../src/run/progress.ts';
import * as at from '../../src/cpu/state/layout.ts';
import type { Machine } from '../../src/machine/machine.ts';

const PAGE = 8;

function guest(program: boolean) {
  const bytes = new Uint8Array(0x10000);
  const machine = {
    now: 0n,
    engine: { retired: 0n, code: { lines: 1 }, takePages: () => [PAGE] },
    console: { length: 0 },
    screen: { changes: 0 },
    memory: { bytes },
  };
  const watch = new ProgressWatch(machine as unknown as Machine, program);
  /** @param ns guest time that the window takes @returns what was seen, once that is no progress */
  const window = (ns: bigint, instructions: bigint, change?: () => void): string | undefined => {
    machine.now += ns;
    machine.engine.retired += instructions;
    change?.();
    return watch.endWindow();
  };
  /** Windows until there is something. */
  const windows = (
    ns: bigint,
    most: number,
    instructions = HANG_WINDOW,
    change?: () => void,
  ): [string | undefined, number] => {
    for (let count = 1; count <= most; count++) {
      const rule = window(ns, instructions, change);
      if (rule !== undefined) return [rule, count];
    }
    return [undefined, most];
  };
  const add = (place: number): void => void (bytes[place] = (bytes[place] ?? 0) + 1);
  return { machine, add, windows };
}

/** The first window is one with new code. */
const FIRST = 1;

const IDLE = Number(HORIZON / HANG_WINDOW);
const seen = (million: number, seconds: string) =>
  expect.stringMatching(new RegExp(`^for ${million} million instructions, ${seconds} s of guest time, no new code`));

describe('a kernel', () => {
  it('gets nowhere where it is idle for thousands of millions of instructions', () => {
    expect(guest(false).windows(HANG_WINDOW, 1000)).toEqual([seen(5000, '5\\.0'), FIRST + IDLE]);
  });

  it('may be idle for three thousand million', () => {
    expect(guest(false).windows(HANG_WINDOW, FIRST + 60)[0]).toBeUndefined();
  });

  it('gets nowhere although it counts in memory', () => {
    const { windows, add } = guest(false);
    const count = (): void => add(PAGE * 4096);
    expect(windows(HANG_WINDOW, 1000, HANG_WINDOW, count)[1]).toBe(FIRST + IDLE);
  });

  it('may wait for time to pass, but not for ever', () => {
    const perWindow = LONGEST_WAIT / 7n;
    expect(guest(false).windows(perWindow, 100, WAIT_WINDOW)).toEqual([seen(80, '11\\.4\\d*'), FIRST + 8]);
  });

  it('gets on while it draws on its screen', () => {
    const { windows, machine } = guest(false);
    expect(windows(HANG_WINDOW, 1000, HANG_WINDOW, () => machine.screen.changes++)[0]).toBeUndefined();
  });
});

describe('a program', () => {
  it('may compute for as long as it likes', () => {
    expect(guest(true).windows(HANG_WINDOW, 1000)[0]).toBeUndefined();
  });

  it('may wait, but not for ever', () => {
    expect(guest(true).windows(LONGEST_WAIT / 7n, 100, WAIT_WINDOW)[1]).toBeLessThan(12);
  });

  it('may wait for longer where memory changes', () => {
    const { windows, add } = guest(true);
    expect(windows(LONGEST_WAIT, 100, WAIT_WINDOW, () => add(PAGE * 4096))[0]).toBeUndefined();
  });

  it('may wait for longer where registers change', () => {
    const { windows, add } = guest(true);
    expect(windows(LONGEST_WAIT, 100, WAIT_WINDOW, () => add(at.REGS))[0]).toBeUndefined();
  });
});
