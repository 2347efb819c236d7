// What the state hash is made of. Its parts are told apart, so that where two states differ it can be said in what.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { PhysAddr } from '../../src/bits/address.ts';
import { hashOf, type Hashed, partsOf, type StatePart } from '../../src/machine/hash.ts';
import { Machine } from '../../src/machine/machine.ts';
import { BootRun } from '../../src/run/run.ts';
import { runToEnd } from '../../src/run/drive.ts';
import { cpuModel, withApic } from '../../src/x86/models.ts';
import { sample } from '../cli/fakeIo.ts';

const machine = (): Machine =>
  new Machine({ model: withApic(cpuModel('max')), ram: [{ start: 0, end: 0x20000 }], seed: 0 });

const differing = (a: Machine, b: Machine): StatePart[] => {
  const [first, second] = [a.stateParts(), b.stateParts()];
  return (Object.keys(first) as StatePart[]).filter((part) => first[part] !== second[part]);
};

describe('the parts of a state', () => {
  it.each<[string, (changed: Machine) => void, StatePart[]]>([
    ['nothing', () => undefined, []],
    ['a register', ({ engine }) => engine.state.setReg(3, 1n), ['processors']],
    ['a byte of RAM', ({ memory }) => memory.write(0x1234 as PhysAddr, Uint8Array.of(1)), ['memory']],
    ['a byte of RAM that is written as it was', ({ memory }) => memory.write(0x1234 as PhysAddr, Uint8Array.of(0)), []],
    ['a register of a chip', ({ engine }) => engine.ports.out(0x3ff, 1, 0x55), ['time', 'chips']],
  ])('that differ by %s', (_, change, parts) => {
    const [same, changed] = [machine(), machine()];
    change(changed);
    expect(differing(same, changed).filter((part) => part !== 'time')).toEqual(parts.filter((part) => part !== 'time'));
    expect(changed.stateHash() === same.stateHash()).toBe(parts.length === 0);
  });
});

/** Of a machine's state, as far as chips go into a hash. */
const withChips = (chips: Hashed['chips']): Hashed => {
  const { memory, processors } = machine();
  const states = processors.map(({ state }) => state);
  return { now: 0n, retired: 0n, processors: states, memory, vga: new Uint8Array(4), random: 0n, chips };
};

describe('chips in the state hash', () => {
  const { chips } = machine();

  it('go by their names, and not by the order in which they were put on the board', () => {
    const [forth, back] = [withChips(chips), withChips([...chips].reverse())];
    expect(hashOf(back)).toBe(hashOf(forth));
    const [first, ...rest] = chips;
    const renamed = withChips([{ ...first, name: 'other' } as (typeof chips)[number], ...rest]);
    expect(partsOf(renamed).chips).not.toBe(partsOf(forth).chips);
  });

  it('cannot be taken for one another: each has a name of its own', () => {
    expect(new Set(chips.map(({ name }) => name)).size).toBe(chips.length);
  });
});

/**
 * Time, processors and memory where two samples stop, as they were hashed when chips still went by their order: what chips
 * are called changed nothing else.
 */
const BEFORE = {
  'good.bzImage': {
    time: 'e60b8461b39555b4',
    processors: '7bd71c17b9615ba7',
    memory: '44a2cf69574ce6c0',
    whole: 'c0242c80ac50d94b',
  },
  'bad.bzImage': {
    time: 'a72b4ce30cb7370f',
    processors: 'ae231065e5c07b2c',
    memory: 'e305f266e0578dab',
    whole: '9a7d85aefe9ad8b6',
  },
} as const;

describe('the state hash since chips go by their names', () => {
  it.each(Object.entries(BEFORE))('differs for %s in the part of the chips alone', (name, { whole, ...before }) => {
    const run = new BootRun({
      image: new Uint8Array(readFileSync(sample(name))),
      ...{ cpu: 'max', memoryBytes: 512 << 20, cmdline: 'earlyprintk=serial,ttyS0,115200 console=ttyS0' },
      ...{ until: 'banner', maxInstructions: 1_000_000n, seed: 0 },
    });
    const { stateHash } = runToEnd(run);
    expect(run.machine.stateParts()).toMatchObject(before);
    expect(stateHash).not.toBe(whole);
  });
});
