// Any moment of a run can be gone to, and is there what it was the first time.
import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/bits/errors.ts';
import { physAddr } from '../../src/bits/address.ts';
import { finish } from '../../src/run/drive.ts';
import { BootRun } from '../../src/run/run.ts';
import { type Moment, Timeline, type TimelineOptions } from '../../src/run/timeline.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { random } from '../support/random.ts';
import { restlessGuest } from './snapshotGuest.ts';

const END = 15_000n;
const [RCX, RSI, RDI] = [1, 6, 7];

/** All by which two runs could be told apart. */
const facts = ({ machine, stages }: BootRun) => ({
  hash: machine.stateHash(),
  retired: machine.engine.retired,
  now: machine.now,
  lines: machine.engine.code.lines,
  console: machine.console.text,
  unimplemented: machine.unimplemented,
  stages: [...stages.reached],
});

const advanced = (run: BootRun, to: bigint): BootRun => {
  run.advance(to - run.machine.engine.retired);
  return run;
};

const seek = (timeline: Timeline, moment: Moment): void => finish(timeline.seek(moment));

/** Random instruction counts below END, in no order. */
function moments(count: number): bigint[] {
  const from = random(5n);
  return Array.from({ length: count }, () => BigInt(from.below(Number(END))));
}

/** What a run is at these counts, each stopped there once. */
function stoppedAt(counts: readonly bigint[]): Map<bigint, ReturnType<typeof facts>> {
  const run = new BootRun(restlessGuest());
  const sorted = [...counts].sort((a, b) => Number(a - b));
  return new Map(sorted.map((count) => [count, facts(advanced(run, count))]));
}

/** A run up to END with a checkpoint every 1500 instructions. */
function recorded(options: TimelineOptions = {}): Timeline {
  const timeline = new Timeline(new BootRun(restlessGuest()), { shortest: 1_500n, longest: 1_500n, ...options });
  finish(timeline.record(END));
  return timeline;
}

describe('a moment of a run', () => {
  const counts = moments(24);
  const known = stoppedAt([...counts, END]);

  it('is what the run was when it was stopped there, in whatever order moments are gone to', () => {
    const timeline = recorded();
    for (const count of counts) {
      seek(timeline, { instructions: count });
      expect(facts(timeline.run), `at ${count}`).toEqual(known.get(count));
    }
    expect(facts(advanced(timeline.run, END))).toEqual(known.get(END));
  });

  it('is the same in a run that is forked from it, and the first one stays where it is', () => {
    const timeline = recorded();
    for (const count of counts.slice(0, 5)) {
      const fork = finish(timeline.fork(count));
      expect(facts(fork), `at ${count}`).toEqual(known.get(count));
      expect(facts(advanced(fork, END))).toEqual(known.get(END));
    }
    expect(facts(timeline.run)).toEqual(known.get(END));
  });

  it('is the same to whoever looks around in the past with a run of its own', () => {
    const timeline = recorded();
    const beside = timeline.beside();
    for (const count of counts.slice(0, 5)) {
      seek(beside, { instructions: count });
      expect(facts(beside.run), `at ${count}`).toEqual(known.get(count));
    }
    expect(facts(timeline.run)).toEqual(known.get(END));
  });
});

describe('checkpoints', () => {
  it('stay within their bytes, by leaving out what lies far back and close together', () => {
    const counts = moments(12);
    const known = stoppedAt(counts);
    const roomy = recorded({ shortest: 300n, longest: 300n });
    const mostBytes = Math.round(roomy.bytes / 2);
    const timeline = recorded({ mostBytes, shortest: 300n, longest: 300n });
    expect(timeline.bytes).toBeLessThanOrEqual(mostBytes);
    expect(timeline.marks.length).toBeLessThan(roomy.marks.length);
    const gaps = timeline.marks.slice(1).map((mark, i) => mark - (timeline.marks[i] as bigint));
    const half = gaps.length >> 1;
    expect(most(gaps.slice(0, half))).toBeGreaterThan(most(gaps.slice(half)));
    for (const count of counts) {
      seek(timeline, { instructions: count });
      expect(facts(timeline.run), `at ${count}`).toEqual(known.get(count));
      expect(timeline.bytes).toBeLessThanOrEqual(mostBytes);
    }
  });

  it('stand on the way to a moment that was gone to', () => {
    const timeline = recorded({ shortest: 2_000n, longest: 40_000n });
    const before = timeline.marks.length;
    seek(timeline, { instructions: 14_000n });
    expect(timeline.marks).toContain(13_800n);
    expect(timeline.marks.length).toBeGreaterThan(before);
  });

  it('are not needed where none has room: nothing is kept, and that is said', () => {
    const timeline = recorded({ mostBytes: 1000 });
    expect(timeline.marks).toEqual([]);
    expect(() => seek(timeline, { instructions: 5n })).toThrow(InputError);
  });
});

const most = (values: readonly bigint[]): number => Math.max(...values.map(Number));

describe('a moment inside a repeated string instruction', () => {
  /** The first instruction count at which a piece of some elements of REP MOVSB is next, in the middle of a run. */
  const before = piece(8_000n);

  it('is the state between two iterations, with the instruction pointer on it and the count of retired ones as it was', () => {
    const timeline = recorded();
    seek(timeline, { instructions: before });
    const { machine } = timeline.run;
    const { state } = machine.engine;
    const [rip, rcx, rsi, rdi] = [state.rip, state.reg(RCX), state.reg(RSI), state.reg(RDI)];
    const [now, flags] = [machine.now, state.rflags];
    const source = machine.memory.read(physAddr(Number(rsi)), 4);
    seek(timeline, { instructions: before, iterations: 3 });
    expect([state.rip, state.reg(RCX), state.reg(RSI), state.reg(RDI)]).toEqual([rip, rcx - 3n, rsi + 3n, rdi + 3n]);
    expect([machine.engine.retired, machine.now, state.rflags]).toEqual([before, now, flags]);
    expect(machine.memory.read(physAddr(Number(rdi)), 3)).toEqual(source.slice(0, 3));
  });

  it('is left by going to another one, which is what it ever was', () => {
    const counts = [before, before + 1n, before + 700n];
    const known = stoppedAt(counts);
    const timeline = recorded();
    for (const count of counts) {
      seek(timeline, { instructions: before, iterations: 2 });
      seek(timeline, { instructions: count });
      expect(facts(timeline.run)).toEqual(known.get(count));
    }
  });

  it('is refused where the piece is not so long, or the instruction repeats nothing', () => {
    const timeline = recorded();
    expect(() => seek(timeline, { instructions: before, iterations: 9000 })).toThrow(InputError);
    expect(() => seek(timeline, { instructions: before + 6n, iterations: 1 })).toThrow(InputError);
  });
});

/** Where from a count on the guest's REP MOVSB stands at a piece of more than 100 elements that is not its last. */
function piece(from: bigint): bigint {
  const run = advanced(new BootRun(restlessGuest()), from);
  const { engine, memory } = run.machine;
  for (;;) {
    const { state } = engine;
    const [rcx, rsi, rdi] = [state.reg(RCX), state.reg(RSI), state.reg(RDI)].map(Number) as [number, number, number];
    const isRep = memory.read(physAddr(Number(state.rip)), 2).join() === '243,164';
    if (isRep && rcx > 5000 && rsi % 4096 < 3900 && rdi % 4096 < 3900) return engine.retired;
    run.advance(1n);
  }
}

describe('the pages that a checkpoint holds', () => {
  it('are also those that only a page walk changed', () => {
    const { engine, memory } = new BootRun(restlessGuest()).machine;
    const before = memory.bytes.slice();
    engine.takeChanged();
    engine.translate(0x3_0000_0000n, { write: true });
    engine.translate(0x3000_0000n, { write: true });
    const differ = new Set<number>();
    for (let i = at.RAM_BASE; i < before.length; i++) if (before[i] !== memory.bytes[i]) differ.add(i >>> 12);
    expect(differ.size).toBeGreaterThan(0);
    expect(engine.changed()).toEqual(differ);
  });
});
