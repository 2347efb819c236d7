// Processors go by their numbers: a machine has one, and the wiring of interrupts knows which of several is meant.
import { describe, expect, it } from 'vitest';
import { Fields } from '../../src/bits/fields.ts';
import type { Plain } from '../../src/bits/plain.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { CpuState } from '../../src/cpu/state/state.ts';
import { createInterrupts } from '../../src/machine/interrupts.ts';
import { Machine } from '../../src/machine/machine.ts';
import { cpuModel, withApic } from '../../src/x86/models.ts';
import { handClock, noUnknowns } from '../devices/support.ts';

const APIC = 0xfee0_0000;
const ID = 0x20;
const LDR = 0xd0;
const SVR = 0xf0;
const ICR_LOW = 0x300;
const ICR_HIGH = 0x310;
const ASSERT = 0x4000;
const LOGICAL = 0x800;
const LOWEST = 0x100;
const NMI = 0x400;
const TO_OTHERS = 0xc_0000;
const TO_ALL = 0x8_0000;

/** Two processors, both with their local APICs enabled by software; `as` says whose access the next one is. */
function two() {
  let running = 0;
  const inits: number[] = [];
  const interrupts = createInterrupts({
    model: withApic(cpuModel('max')),
    processors: 2,
    running: () => running,
    clock: handClock(),
    tscOffset: () => 0n,
    init: (processor) => void inits.push(processor),
    changed: () => undefined,
    unimplemented: noUnknowns,
  });
  const window = interrupts.windows.find((each) => each.base() === APIC);
  const as = (processor: number) => {
    running = processor;
    return {
      get: (offset: number): number => window?.device.read(offset, 4) ?? -1,
      set: (offset: number, value: number): void => window?.device.write(offset, 4, value),
    };
  };
  const send = (from: number, low: number, destination = 0): void => {
    as(from).set(ICR_HIGH, destination << 24);
    as(from).set(ICR_LOW, low);
  };
  for (const processor of [0, 1]) as(processor).set(SVR, 0x1ff);
  const waiting = (): boolean[] => interrupts.processors.map((each) => each.pending());
  return { interrupts, inits, as, send, waiting };
}

describe('interrupts of two processors', () => {
  it('each reaches its own local APIC at the one address, by its number', () => {
    const { as, interrupts } = two();
    expect([as(0).get(ID), as(1).get(ID)]).toEqual([0, 0x0100_0000]);
    as(1).set(LDR, 0x0200_0000);
    expect([as(0).get(LDR), as(1).get(LDR)]).toEqual([0, 0x0200_0000]);
    expect(interrupts.devices.map(({ name }) => name)).toEqual(['localApic0', 'localApic1', 'ioApic']);
    const base = interrupts.processors.map(({ localApic }) => localApic?.readMsr(0x1b));
    expect(base).toEqual([0xfee0_0900n, 0xfee0_0800n]);
  });

  it.each([
    ['to the other', 0x41, 1, [false, true]],
    ['to itself', 0x41, 0, [true, false]],
    ['to nobody there', 0x41, 2, [false, false]],
    ['to all', 0x41 | TO_ALL, 0, [true, true]],
    ['to all but itself', 0x41 | TO_OTHERS, 0, [false, true]],
    ['to one of all, with lowest priority', 0x41 | LOWEST, 0xff, [true, false]],
    ['to a logical destination', 0x41 | LOGICAL, 0x02, [false, true]],
  ])('a message from processor 0 %s comes there and nowhere else', (_, low, destination, expected) => {
    const { as, send, waiting, interrupts } = two();
    as(1).set(LDR, 0x0200_0000);
    send(0, low, destination);
    expect(waiting()).toEqual(expected);
    const taken = interrupts.processors.flatMap((each) => (each.pending() ? each.acknowledge() : []));
    expect(taken).toEqual(expected.filter(Boolean).map(() => 0x41));
  });

  it('an NMI and an INIT come to the processor that they were sent to', () => {
    const { send, interrupts, inits } = two();
    send(1, NMI, 1);
    expect(interrupts.processors.map(({ nmi }) => nmi.pending())).toEqual([false, true]);
    send(0, 0x500 | ASSERT, 1);
    expect(inits).toEqual([1]);
  });

  it('what the 8259A pair asks for comes to processor 0 only, and messages of devices to whom they name', () => {
    const { interrupts, waiting } = two();
    for (const [offset, value] of [
      [0, 0x11],
      [1, 0x20],
      [1, 4],
      [1, 1],
      [1, 0xfe],
    ] as const) {
      interrupts.pic.write(offset, 1, value);
    }
    interrupts.line(0)(true);
    expect(waiting()).toEqual([true, false]);
    expect(interrupts.processors[0]?.acknowledge()).toBe(0x20);
    interrupts.message(APIC | (1 << 12), 0x55);
    expect(waiting()).toEqual([false, true]);
  });
});

describe('a machine', () => {
  const machine = (): Machine => new Machine({ model: cpuModel('max'), ram: [{ start: 0, end: 0x10000 }], seed: 0 });

  it('has as many processors as there are state blocks, and no more', () => {
    expect(machine().processors.length).toBe(at.PROCESSORS);
    const memory = new WebAssembly.Memory({ initial: at.RAM_BASE / 65536 });
    for (const processor of [-1, 0.5, at.PROCESSORS]) expect(() => new CpuState(memory, processor)).toThrow(RangeError);
  });

  it('is saved with its processors by number, and refuses another number of them', () => {
    const saved = machine().save() as { readonly processors: readonly Plain[] };
    expect(saved.processors.length).toBe(at.PROCESSORS);
    expect(() => machine().restore(new Fields({ ...saved, processors: [] }, 'it'))).toThrow(
      "'processors' cannot be right",
    );
    machine().restore(new Fields(saved, 'it'));
  });
});
