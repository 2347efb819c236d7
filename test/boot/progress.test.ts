// What is called a hang: windows as a guest would leave them, without one.
import { describe, expect, it } from 'vitest';
import {
  HANG_RULE,
  HANG_WINDOW,
  LONGEST_WAIT,
  PROGRAM_RULE,
  ProgressWatch,
  WAIT_RULE,
  WAIT_WINDOW,
} from '../../src/boot/progress.ts';
import * as at from '../../src/cpu/layout.ts';
import type { Machine } from '../../src/machine/machine.ts';

const PAGE = 8;

function guest(program: boolean) {
  const bytes = new Uint8Array(0x10000);
  const machine = {
    now: 0n,
    engine: { retired: 0n, code: { decoded: 1 }, takePages: () => [PAGE] },
    console: { length: 0 },
    screen: { changes: 0 },
    memory: { bytes },
  };
  const watch = new ProgressWatch(machine as unknown as Machine, program);
  /** @param ns guest time that the window takes @returns the rule, once there is one */
  const window = (ns: bigint, instructions: bigint, change?: () => void): string | undefined => {
    machine.now += ns;
    machine.engine.retired += instructions;
    change?.();
    return watch.endWindow();
  };
  /** Windows until there is a rule. */
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

describe('a kernel', () => {
  it('hangs where four windows are idle', () => {
    expect(guest(false).windows(HANG_WINDOW, 100)).toEqual([HANG_RULE, FIRST + 4]);
  });

  it('hangs although it counts in memory', () => {
    const { windows, add } = guest(false);
    const count = (): void => add(PAGE * 4096);
    expect(windows(HANG_WINDOW, 100, HANG_WINDOW, count)).toEqual([HANG_RULE, FIRST + 4]);
  });

  it('may wait for time to pass, but not for ever', () => {
    const perWindow = LONGEST_WAIT.kernel / 7n;
    expect(guest(false).windows(perWindow, 100, WAIT_WINDOW)).toEqual([WAIT_RULE, FIRST + 7]);
  });

  it('does not hang while it draws on its screen', () => {
    const { windows, machine } = guest(false);
    expect(windows(HANG_WINDOW, 100, HANG_WINDOW, () => machine.screen.changes++)[0]).toBeUndefined();
  });
});

describe('a program', () => {
  it('hangs where nothing changes at all', () => {
    expect(guest(true).windows(HANG_WINDOW, 100)).toEqual([PROGRAM_RULE, FIRST + 1 + 4]);
  });

  it('may compute in the same memory for as long as it likes', () => {
    const { windows, add } = guest(true);
    expect(windows(HANG_WINDOW, 1000, HANG_WINDOW, () => add(PAGE * 4096))[0]).toBeUndefined();
  });

  it('may wait for longer than a kernel', () => {
    const perWindow = LONGEST_WAIT.kernel;
    const [rule, count] = guest(true).windows(perWindow, 100, WAIT_WINDOW);
    expect([rule, count > LONGEST_WAIT.program / perWindow]).toEqual([WAIT_RULE, true]);
  });

  it('may compute in registers alone', () => {
    const { windows, add } = guest(true);
    expect(windows(HANG_WINDOW, 1000, HANG_WINDOW, () => add(at.REGS))[0]).toBeUndefined();
  });
});
