// A run that is saved and restored goes on as if nothing had happened, wherever it was cut; and what is no snapshot, or
// none that fits, is refused in one line.
import { describe, expect, it } from 'vitest';
import { VARIANT_NAMES, type VariantName } from '../../src/cpu/binding/variants.ts';
import { InputError } from '../../src/bits/errors.ts';
import { Fields } from '../../src/bits/fields.ts';
import type { Plain } from '../../src/bits/plain.ts';
import { runToEnd } from '../../src/run/drive.ts';
import { BootRun } from '../../src/run/run.ts';
import { type Onward, SnapshotReader, snapshotOf } from '../../src/run/snapshot.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { imageOf } from '../../src/devices/disk.ts';
import { GPR } from '../../src/x86/registers.ts';
import { random } from '../support/random.ts';
import { interruptedGuest, restlessGuest, SETUP, TURN } from './snapshotGuest.ts';

const END = 1500n;
const ONWARD: Onward = { until: 'end', maxInstructions: 1_000_000n };
const { RCX } = GPR;

/** The bytes of a snapshot. */
const saved = (run: BootRun): Uint8Array =>
  new Uint8Array(Buffer.concat([...snapshotOf(run)].map((piece) => Uint8Array.from(piece))));

function restored(bytes: Uint8Array, onward: Onward = ONWARD, pieces = bytes.length, variant?: VariantName): BootRun {
  const reader = new SnapshotReader(onward, variant);
  for (let start = 0; start < bytes.length; start += pieces) reader.push(bytes.slice(start, start + pieces));
  return reader.finish();
}

function advanced(run: BootRun, to: bigint): BootRun {
  run.advance(to - run.machine.engine.retired);
  return run;
}

/** All by which two runs could be told apart. */
const facts = ({ machine, stages }: BootRun) => ({
  hash: machine.stateHash(),
  retired: machine.engine.retired,
  now: machine.now,
  console: machine.console.text,
  lines: machine.engine.code.lines,
  unimplemented: machine.unimplemented,
  stages: stages.reached,
});

describe('a saved and restored run', () => {
  const whole = facts(advanced(new BootRun(restlessGuest()), END));

  it('ends as one that was never saved, wherever in its loop it was cut', () => {
    const run = new BootRun(restlessGuest());
    const met = new Set<string>();
    for (let cut = 0; cut < SETUP + 2 * TURN; cut++) {
      advanced(run, BigInt(cut));
      const { state } = run.machine.engine;
      if (state.u32(at.INTERRUPT_SHADOW)) met.add(`shadow ${state.u32(at.INTERRUPT_SHADOW)}`);
      if (state.reg(RCX) > 0n && state.reg(RCX) < 9000n && cut > SETUP) met.add('in REP');
      if (state.u32(at.FTW) & 0xff) met.add('x87 in use');
      if (cut > 1 && cut % 5 !== 1) continue;
      expect(facts(advanced(restored(saved(run)), END)), `cut at ${cut}`).toEqual(whole);
    }
    expect([...met].sort()).toEqual(['in REP', 'shadow 1', 'shadow 2', 'x87 in use']);
    // Saving has changed nothing.
    expect(facts(advanced(run, END))).toEqual(whole);
  });

  it('may be saved again', () => {
    const first = restored(saved(advanced(new BootRun(restlessGuest()), 333n)));
    expect(facts(advanced(restored(saved(advanced(first, 777n))), END))).toEqual(whole);
  });

  it('is the same snapshot again when it is saved at once', () => {
    const bytes = saved(advanced(new BootRun(restlessGuest()), 333n));
    expect(Buffer.compare(saved(restored(bytes)), bytes)).toBe(0);
  });

  it('is read in pieces of any size', () => {
    const bytes = saved(advanced(new BootRun(restlessGuest()), 333n));
    expect(facts(advanced(restored(bytes, ONWARD, 1009), END))).toEqual(whole);
  });

  it('knows what was typed, what is yet to be typed, and what waits', () => {
    const input = [20n, 50_000n, 900_000n].map((when) => ({ at: when, byte: 0x41 }));
    const run = (): BootRun => {
      const fresh = new BootRun(restlessGuest({ input }));
      fresh.machine.type(Uint8Array.from({ length: 40 }, (_, i) => i));
      return fresh;
    };
    const expected = advanced(run(), END);
    const again = advanced(restored(saved(advanced(run(), 400n))), END);
    expect(facts(again)).toEqual(facts(expected));
    expect(again.machine.inputLog).toEqual(expected.machine.inputLog);
    expect(again.machine.inputWaiting).toBe(expected.machine.inputWaiting);
  });

  it('has its own configuration', () => {
    const config = restlessGuest({ cmdline: 'quiet', seed: 3, memoryBytes: 96 << 20, apic: false });
    const { config: again, image } = restored(saved(new BootRun(config)));
    expect(again).toMatchObject({ cmdline: 'quiet', seed: 3, memoryBytes: 96 << 20, apic: false, cpu: 'max' });
    expect(Buffer.compare(again.image, config.image)).toBe(0);
    expect(image.kind).toBe('elf');
  });

  it('has its disks and devices', () => {
    const disks = [imageOf(new Uint8Array(1 << 20))];
    const config = restlessGuest({ disks, extras: ['virtio-rng', 'virtio-console'] });
    const bytes = saved(advanced(new BootRun(config), 300n));
    expect(restored(bytes, { ...ONWARD, disks }).machine.stateHash()).toBe(
      advanced(new BootRun(config), 300n).machine.stateHash(),
    );
    expect(() => restored(bytes)).toThrow('its machine has a disk of 1048576 bytes; give the same');
  });

  it('has what the guest wrote to its disks', () => {
    const disks = [imageOf(new Uint8Array(1 << 20))];
    const run = new BootRun(restlessGuest({ disks }));
    const written = [8192, 65536].map((place) => ({ at: place, bytes: new Uint8Array(4096).fill(place >> 12) }));
    const bulkOf = ({ machine }: BootRun) => machine.chips.find(({ bulk }) => bulk)?.bulk;
    bulkOf(run)?.restore(written);
    const again = restored(saved(run), { ...ONWARD, disks });
    expect([...(bulkOf(again)?.pieces() ?? [])]).toEqual(written);
    expect(again.machine.stateHash()).toBe(run.machine.stateHash());
  });
});

describe('a run in another engine', () => {
  const whole = facts(advanced(new BootRun(restlessGuest()), END));
  const runIn = (variant: VariantName): BootRun => new BootRun(restlessGuest(), undefined, true, variant);

  it.each(VARIANT_NAMES)('is the same run in the %s one', (variant) => {
    const run = runIn(variant);
    for (let cut = 0n; cut < END; cut += 97n) advanced(run, cut);
    expect(facts(advanced(run, END))).toEqual(whole);
  });

  it.each(VARIANT_NAMES)('saves the same there as in the %s one, and goes on in each', (variant) => {
    for (const cut of [333n, 581n, 902n]) {
      const bytes = saved(advanced(runIn('plain'), cut));
      expect(Buffer.compare(saved(advanced(runIn(variant), cut)), bytes), `cut at ${cut}`).toBe(0);
      expect(facts(advanced(restored(bytes, ONWARD, bytes.length, variant), END)), `cut at ${cut}`).toEqual(whole);
    }
  });
});

describe('a run that stops at a stage and goes on', () => {
  it('takes the interrupt that is due there at once, saved or not', () => {
    const whole = runToEnd(new BootRun(interruptedGuest()));
    expect(whole.outcome).toMatchObject({ kind: 'triple-fault', chain: [{ vector: 32 }, {}, {}], stage: 'init' });
    const run = new BootRun({ ...interruptedGuest(), until: 'init' });
    expect(runToEnd(run).outcome.kind).toBe('stage-reached');
    const bytes = saved(run);
    run.goOn('end', 1_000_000n);
    expect(runToEnd(run).outcome).toEqual(whole.outcome);
    expect(runToEnd(restored(bytes)).outcome).toEqual(whole.outcome);
  });
});

// Refusals --------------------------------------------------------------------------------------------------------------

const SAMPLE = (): Uint8Array => saved(advanced(new BootRun(restlessGuest()), 333n));

/** What is thrown must be an InputError. @returns its message, or undefined where nothing was */
function refusal(read: () => unknown): string | undefined {
  try {
    read();
    return undefined;
  } catch (error) {
    if (error instanceof InputError) return error.message;
    throw error;
  }
}

/** One bit of it is another. */
function withByte(bytes: Uint8Array, place: number): Uint8Array {
  const changed = bytes.slice();
  changed[place] = (changed[place] as number) ^ 1;
  return changed;
}

describe('what cannot be restored', () => {
  const sample = SAMPLE();

  it.each([
    ['nothing', new Uint8Array(), 'it ends too early'],
    ['another file', new TextEncoder().encode('#!/bin/sh\necho this is no snapshot'), 'it is no snapshot'],
    ['a short one', sample.slice(0, -1), 'it ends too early'],
    ['a long one', Buffer.concat([sample, Uint8Array.of(0)]), 'there is more behind its end'],
    ['another version', withByte(sample, 16), 'it was saved by another version of Firstlight; boot again'],
    ['another layout', withByte(sample, 20), 'it was saved by another version of Firstlight; boot again'],
    ['a changed byte of RAM', withByte(sample, sample.length - 100), 'its checksum is wrong: it is damaged'],
  ])('%s is refused', (_what, bytes, message) => {
    expect(refusal(() => restored(bytes))).toBe(message);
  });

  it('is refused wherever it is mutilated', () => {
    const source = random(4n);
    const below = (n: number): number => source.below(n);
    let refused = 0;
    for (let i = 0; i < 150; i++) {
      const bytes = sample.slice(0, i % 3 ? sample.length : below(sample.length));
      // Most of it is RAM; what is before that is read with more care.
      const places = i % 2 ? bytes.length : Math.min(bytes.length, 20_000);
      for (let j = below(3); j >= 0; j--) bytes[below(Math.max(1, places))] = below(256);
      if (Buffer.compare(bytes, sample) === 0) continue;
      expect(refusal(() => restored(bytes, ONWARD, 4096))).toEqual(expect.any(String));
      refused++;
    }
    expect(refused).toBeGreaterThan(100);
  });
});

/** One value of a tree, changed at random. */
function changed(value: Plain, pick: (n: number) => number): Plain {
  if (value instanceof Uint8Array) {
    const bytes = value.slice();
    for (let i = pick(4); i >= 0; i--) bytes[pick(Math.max(1, bytes.length))] = pick(256);
    return bytes;
  }
  if (typeof value === 'number') return [0, -1, 1, 0.5, Number.NaN, 2 ** 31, 2 ** 53, value + 1][pick(8)];
  if (typeof value === 'bigint') return [0n, -1n, value + 1n, 1n << 40n, 1n << 100n][pick(5)];
  if (typeof value !== 'object' || value === null) return [undefined, null, '', 'x', true, 5, 5n][pick(7)];
  const keys = Object.keys(value);
  if (keys.length === 0 || pick(12) === 0) return [undefined, null, [], {}, 'x'][pick(5)];
  const key = keys[pick(keys.length)] as string;
  const inner = changed((value as Record<string, Plain>)[key], pick);
  if (Array.isArray(value)) return (value as Plain[]).map((item, i) => (String(i) === key ? inner : item));
  return { ...(value as Record<string, Plain>), [key]: inner };
}

describe('a snapshot made by somebody who means ill', () => {
  it('is refused or runs: nothing else is ever thrown', () => {
    const source = random(11n);
    const below = (n: number): number => source.below(n);
    const sample = SAMPLE();
    let run = restored(sample);
    const good = run.save();
    let ran = 0;
    for (let i = 0; i < 250; i++) {
      let tree = good;
      for (let j = below(2); j >= 0; j--) tree = changed(tree, below);
      if (refusal(() => run.restore(new Fields(tree, 'the snapshot'))) !== undefined) continue;
      advanced(run, run.machine.engine.retired + 300n);
      ran++;
      if (run.outcome) run = restored(sample);
    }
    expect(ran).toBeGreaterThan(10);
  });
});
