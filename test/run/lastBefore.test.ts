// "The last time before this moment that ...", held against a run that was stepped through and looked at between any two
// instructions.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { physAddr } from '../../src/bits/address.ts';
import { finish } from '../../src/run/drive.ts';
import type { Sought } from '../../src/run/lookout.ts';
import { BootRun, type RunConfig } from '../../src/run/run.ts';
import { type Moment, Timeline } from '../../src/run/timeline.ts';
import { random } from '../support/random.ts';
import { restlessGuest } from './snapshotGuest.ts';

const END = 2_500;
const [RDX, RSP, RDI, R10, R13] = [2, 4, 7, 10, 13];
const COM1 = 0x3f8;
const HANDLED = [RDX, RSP, RDI, R10, R13];

type Stood = {
  readonly rip: bigint;
  readonly registers: ReadonlyMap<number, bigint>;
  readonly code: readonly number[];
};

/** Where a run stands before each of its instructions. */
function stepped(): Stood[] {
  const run = new BootRun(restlessGuest());
  const { engine, memory } = run.machine;
  const { state } = engine;
  return Array.from({ length: END + 1 }, () => {
    const code = [...memory.read(physAddr(Number(state.rip)), 2)];
    const stood = { rip: state.rip, registers: new Map(HANDLED.map((index) => [index, state.reg(index)])), code };
    run.advance(1n);
    return stood;
  });
}

const steps = stepped();
const registerAt = (count: number, index: number): bigint => steps[count]?.registers.get(index) ?? 0n;

/** The last count below `end` for which something holds of the step from it. */
function lastStep(end: number, holds: (count: number) => boolean): number | undefined {
  for (let count = end - 1; count >= 0; count--) if (holds(count)) return count;
  return undefined;
}

const moment = (count: number | undefined): Moment | undefined =>
  count === undefined ? undefined : { instructions: BigInt(count) };

const from = random(11n);
const ends = Array.from({ length: 6 }, () => 200 + from.below(END - 200));

describe('the last time before a moment', () => {
  const timeline = new Timeline(new BootRun(restlessGuest()), { shortest: 400n, longest: 400n });
  finish(timeline.record(BigInt(END)));
  const ask = (end: number | Moment, sought: Sought): Moment | undefined =>
    finish(timeline.lastBefore(typeof end === 'number' ? { instructions: BigInt(end) } : end, sought));

  it('that an instruction was next', () => {
    const linear = steps[1_000]?.rip as bigint;
    for (const end of ends)
      expect(ask(end, { kind: 'executed', linear })).toEqual(
        moment(lastStep(end, (count) => steps[count]?.rip === linear)),
      );
    expect(ask(END, { kind: 'executed', linear: 0x1234n })).toBeUndefined();
  });

  it.each([
    ['a count in memory that is added', R10],
    ['one that an interrupt handler counts', R13],
    ['the stack pointer, which interrupts move too', RSP],
  ])('that a register came to hold something else: %s', (_name, register) => {
    const changes = (count: number): boolean => registerAt(count, register) !== registerAt(count + 1, register);
    const deep = lastStep(END, (count) => registerAt(count + 1, RSP) < registerAt(count, RSP) - 16n) as number;
    for (const end of [...ends, deep + 1, deep + 2])
      expect(ask(end, { kind: 'register', register })).toEqual(moment(lastStep(end, changes)));
  });

  it('that a register came to hold one value', () => {
    const to = registerAt(600, R13);
    const comes = (count: number): boolean => registerAt(count, R13) !== to && registerAt(count + 1, R13) === to;
    const found = lastStep(END, comes);
    expect(found).toBeDefined();
    expect(ask(END, { kind: 'register', register: R13, to })).toEqual(moment(found));
  });

  it('that a byte was stored by a repeated string instruction, with the iterations before', () => {
    const isRep = (count: number): boolean => steps[count]?.code.join() === '243,164';
    const moves = (count: number): number => Number(registerAt(count + 1, RDI) - registerAt(count, RDI));
    for (const end of ends) {
      const some = lastStep(end, (count) => isRep(count) && moves(count) > 8) as number;
      const [first, behind] = [Number(registerAt(some, RDI)), Number(registerAt(some + 1, RDI))];
      const address = first + ((behind - first) >> 1);
      const covers = (count: number): boolean =>
        isRep(count) && registerAt(count, RDI) <= address && address < registerAt(count + 1, RDI);
      const count = lastStep(end, covers) as number;
      const found = ask(end, { kind: 'written', address: physAddr(address), length: 1 });
      expect(found).toEqual({ instructions: BigInt(count), iterations: address - Number(registerAt(count, RDI)) });
      // Between two iterations: what the next one stores is not stored yet.
      expect(ask(found as Moment, { kind: 'written', address: physAddr(address - 1), length: 1 })).toEqual({
        instructions: BigInt(count),
        iterations: address - 1 - Number(registerAt(count, RDI)),
      });
    }
  });

  it('that a byte was stored by a piece of one, and not yet where that piece has still to come', () => {
    const isRep = (count: number): boolean => steps[count]?.code.join() === '243,164';
    const page = (address: bigint): bigint => address >> 12n;
    const between = steps.flatMap((_, count) => {
      const [now, next] = [registerAt(count, RDI), registerAt(count + 1, RDI)];
      return isRep(count) && isRep(count + 1) && page(now) === page(next) && count > 100 ? [count + 1] : [];
    });
    expect(between.length).toBeGreaterThan(3);
    for (const end of between.slice(0, 4)) {
      const address = registerAt(end, RDI) + 1n;
      const covers = (count: number): boolean =>
        isRep(count) && registerAt(count, RDI) <= address && address < registerAt(count + 1, RDI);
      const found = ask(end, { kind: 'written', address: physAddr(Number(address)), length: 1 });
      expect(found?.instructions).toBe(moment(lastStep(end, covers))?.instructions);
    }
  });

  it('that a byte was stored by the frame of an interrupt', () => {
    const deep = (count: number): boolean => registerAt(count + 1, RSP) < registerAt(count, RSP) - 16n;
    const first = lastStep(END, deep) as number;
    const frame = registerAt(first + 1, RSP);
    const stores = (count: number): boolean => deep(count) && registerAt(count + 1, RSP) === frame;
    for (const end of [END, ...ends]) {
      const found = ask(end, { kind: 'written', address: physAddr(Number(frame)), length: 8 });
      expect(found).toEqual(moment(lastStep(end, stores)));
    }
  });

  it('that a port was written to', () => {
    const outs = (count: number): boolean => steps[count]?.code[0] === 0xee && registerAt(count, RDX) === BigInt(COM1);
    expect(lastStep(END, outs)).toBeDefined();
    for (const end of ends)
      expect(ask(end, { kind: 'port', port: COM1, write: true })).toEqual(moment(lastStep(end, outs)));
    expect(ask(END, { kind: 'port', port: COM1, write: false })).toBeUndefined();
  });

  it('that an exception came: the one that a boot died of', () => {
    const image = new Uint8Array(readFileSync('samples/built/bad.bzImage'));
    const config: RunConfig = { ...restlessGuest(), image, until: 'banner' };
    const dying = new Timeline(new BootRun(config), { shortest: 10_000n });
    finish(dying.record(1_000_000n));
    const { outcome } = dying.run;
    if (outcome?.kind !== 'triple-fault') throw new Error('it lives');
    const { instructions } = outcome;
    const vector = outcome.chain[0]?.vector as number;
    const last = (end: bigint, which: number): Moment | undefined =>
      finish(dying.lastBefore({ instructions: end }, { kind: 'fault', vector: which }));
    expect(last(instructions + 1n, vector)).toEqual({ instructions });
    expect(last(instructions, vector)).toBeUndefined();
    expect(last(instructions + 1n, vector + 1)).toBeUndefined();
  });
});
