// What is called no progress: real guests on a real machine, in windows that are short, so that a test is.
import { describe, expect, it } from 'vitest';
import type { Machine } from '../../src/machine/machine.ts';
import { HORIZON, LONGEST_WAIT, ProgressWatch } from '../../src/run/progress.ts';
import { BootRun } from '../../src/run/run.ts';
import { db, dword, type Item, x86 } from '../support/assembler.ts';
import { configOf, elfGuest } from '../support/guest.ts';

const { add, dec, inc, jmp, jne, mov, out, pause } = x86;

const WINDOW = 20_000n;
const WINDOWS = 10;
const PATIENCE = { horizon: BigInt(WINDOWS) * WINDOW, longestWait: 1_000_000n };
/** Memory that is none of the code's. */
const DATA = 0x1300000;
const SCREEN = 0xb8000;

/** A guest and its watch. `windows` runs it until it is given up, or for so many windows. */
function watched(code: readonly Item[], program = false) {
  const { machine } = new BootRun(configOf(elfGuest(code)));
  const watch = new ProgressWatch(machine, program, PATIENCE);
  const windows = (most: number): [seen: string | undefined, count: number] => {
    for (let count = 1; count <= most; count++) {
      go(machine, WINDOW);
      const seen = watch.endWindow();
      if (seen !== undefined) return [seen, count];
    }
    return [undefined, most];
  };
  return { watch, windows };
}

function go(machine: Machine, instructions: bigint): void {
  const end = machine.engine.retired + instructions;
  while (machine.engine.retired < end) expect(machine.run(end)).toBeUndefined();
}

/** Between two turns of a loop. */
const DELAY = [mov('ecx', 5000), '@wait', dec('ecx'), jne('@wait'), jmp('@again')] as const;
const SPINS = ['@again', jmp('@again')] as const;
/** Straight code of one byte an instruction, as many as run in `windows` windows. */
const straight = (windows: number): readonly Item[] => [
  db(...new Uint8Array(Number(WINDOW) * windows).fill(0x90)),
  ...SPINS,
];
const COUNTS = ['@again', inc(dword(DATA)), jmp('@again')] as const;
const FILLS = [mov('edi', DATA), '@again', mov(dword('rdi'), 1), add('rdi', 4096), ...DELAY] as const;
const DRAWS = ['@again', inc(dword(SCREEN)), ...DELAY] as const;
const PRINTS = [mov('dx', 0x3f8), mov('al', 0x61), '@again', out('dx', 'al'), ...DELAY] as const;
/** PAUSE takes 40 ns of guest time: these wait. */
const PAUSES = ['@again', pause(), jmp('@again')] as const;
const PAUSES_COUNTING = ['@again', pause(), inc('eax'), jmp('@again')] as const;
const PAUSES_STORING = ['@again', pause(), inc(dword(DATA)), jmp('@again')] as const;

/** The first window is one with new code. */
const FIRST = 1;

describe('a guest', () => {
  it('that is idle is counted idle, window by window', () => {
    const { watch, windows } = watched(SPINS);
    windows(FIRST);
    expect(watch.idle).toBe(0);
    windows(3);
    expect(watch.idle).toBe(3);
  });

  it('that goes on to code it has not run before is not idle, and is when that is over', () => {
    const { watch, windows } = watched(straight(3));
    for (let i = 0; i < 3; i++) {
      windows(1);
      expect(watch.idle).toBe(0);
    }
    windows(FIRST + 2);
    expect(watch.idle).toBeGreaterThanOrEqual(2);
  });

  it.each([
    ['stores to other pages than before', FILLS],
    ['draws on its screen', DRAWS],
    ['prints', PRINTS],
  ])('that %s is not idle', (_what, code) => {
    const { watch, windows } = watched(code);
    windows(4);
    expect(watch.idle).toBe(0);
  });
});

describe('a kernel', () => {
  it.each([
    ['spins', SPINS],
    ['counts in memory', COUNTS],
  ])('gets nowhere where it %s beyond the horizon', (_what, code) => {
    const { windows } = watched(code);
    expect(windows(100)).toEqual([
      expect.stringMatching(/^for 0 million instructions, 0\.0 s of guest time, no new code was reached/),
      FIRST + WINDOWS,
    ]);
  });

  it('is waited for through thousands of millions of instructions', () => {
    expect([HORIZON, LONGEST_WAIT]).toEqual([5_000_000_000n, 10_000_000_000n]);
  });

  it.each([
    ['does nothing else', PAUSES, 3],
    ['counts meanwhile', PAUSES_STORING, 4],
  ])('may wait for time to pass, but not for ever, where it %s', (_what, code, windows) => {
    expect(watched(code).windows(100)).toEqual([expect.stringMatching(/no new code/), FIRST + windows]);
  });

  it('begins anew where it is forgiven', () => {
    const { watch, windows } = watched(SPINS);
    expect(windows(FIRST + WINDOWS - 1)[0]).toBeUndefined();
    watch.forgive();
    expect(windows(100)[1]).toBe(WINDOWS);
  });
});

describe('a program', () => {
  it('may compute for as long as it likes', () => {
    expect(watched(SPINS, true).windows(5 * WINDOWS)[0]).toBeUndefined();
  });

  it('may wait, but not for ever', () => {
    expect(watched(PAUSES, true).windows(100)[1]).toBeLessThan(WINDOWS);
  });

  it.each([
    ['memory changes', PAUSES_STORING],
    ['registers change', PAUSES_COUNTING],
  ])('may wait for longer where %s', (_what, code) => {
    expect(watched(code, true).windows(2 * WINDOWS)[0]).toBeUndefined();
  });
});
