// A PCI function is one file and one row: here one of a test's own, in all that guests and users do with it. Its BARs are
// sized, moved and switched off while the guest runs, and accesses follow.
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { PhysAddr } from '../../src/bits/address.ts';
import { Fields } from '../../src/bits/fields.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import { adoptState, copyState } from '../../src/devices/device.ts';
import type { PciModel } from '../../src/devices/pci/function.ts';
import { Machine } from '../../src/machine/machine.ts';
import { extraDevices, PCI_FUNCTIONS } from '../../src/machine/pciFunctions.ts';
import { cpuModel, withApic } from '../../src/x86/models.ts';
import { firstlight, GOOD } from '../cli/fakeIo.ts';

const MEMORY = { bar: 0, register: 0x10, size: 0x1000 } as const;
const PORTS = { bar: 1, register: 0x14, size: 0x20 } as const;
const WIDE = { bar: 2, register: 0x18, size: 0x10_0000 } as const;
const COMMAND = 0x04;

/** A counter: each of its BARs reads its own number and what was last written; writing 1 asks for an interrupt, 0 takes it back. */
const counter: PciModel = {
  name: 'counter',
  vendor: 0x1234,
  device: 0x5678,
  revision: 3,
  classCode: 0xff_0000,
  subsystemVendor: 0x1234,
  subsystem: 1,
  bars: [
    { kind: 'memory', size: MEMORY.size },
    { kind: 'io', size: PORTS.size },
    { kind: 'memory64', size: WIDE.size, prefetchable: true },
  ],
  hasInterrupt: true,
  create: ({ interrupt }) => {
    let s = { written: 0 };
    return {
      read: (bar, offset) => (offset === 0 ? 0xc000 | (bar << 8) | s.written : 0),
      write: (_bar, offset, _size, value) => {
        if (offset !== 0) return;
        s.written = value & 0xff;
        interrupt();
      },
      asks: () => s.written === 1,
      state: () => copyState(s),
      restore: (saved) => {
        s = adoptState('counter', s, saved);
      },
      reset: () => {
        s = { written: 0 };
      },
    };
  },
};

const configOf = (apic = true) => ({
  model: apic ? withApic(cpuModel('max')) : cpuModel('max'),
  ram: [{ start: 0, end: 0x10000 }],
  seed: 0,
  extras: ['counter'],
});

const CODE = 0x1000;
const SEEN = 0x6000;
const le = (value: number, size: number): number[] =>
  Array.from({ length: size }, (_, i) => Math.floor(value / 2 ** (8 * i)) % 256);

// Instructions, in 16-bit code with 32-bit addresses.
const outl = (port: number, value: number): number[] => [0x66, 0xb8, ...le(value, 4), 0xba, ...le(port, 2), 0x66, 0xef];
const setConfig = (register: number, value: number): number[] => [
  ...outl(0xcf8, 0x8000_0800 + register),
  ...outl(0xcfc, value),
];
/** mov address,%ax; mov %ax,SEEN + 2 * index */
const look = (address: number, index: number): number[] => [
  ...[0x67, 0xa1, ...le(address, 4)],
  ...[0x67, 0xa3, ...le(SEEN + 2 * index, 4)],
];
/** mov $port,%dx; in %dx,%ax; mov %ax,SEEN + 2 * index */
const lookAtPort = (port: number, index: number): number[] => [
  ...[0xba, ...le(port, 2), 0xed],
  ...[0x67, 0xa3, ...le(SEEN + 2 * index, 4)],
];
const HALT = [0xfa, 0xf4];

function machineWith(program: readonly number[], apic = true): Machine {
  const machine = new Machine(configOf(apic));
  machine.memory.write(CODE as PhysAddr, Uint8Array.from([...program, ...HALT]));
  const { state } = machine.engine;
  for (const segment of [SEG.CS, SEG.DS, SEG.SS]) {
    const { attributes } = state.segment(segment);
    state.setSegment(segment, { selector: 0, base: 0n, limit: 0xffff_ffff, attributes });
  }
  state.setReg(4, 0xf000n);
  state.rip = BigInt(CODE);
  machine.engine.modeChanged();
  return machine;
}

function run(machine: Machine): Machine {
  expect(machine.run(100_000n)).toEqual({ kind: 'halt' });
  return machine;
}

/** What a program has seen, a word for each look. */
const seen = (machine: Machine, count: number): number[] => {
  const bytes = machine.memory.read(SEEN as PhysAddr, 2 * count);
  return Array.from({ length: count }, (_, i) => (bytes[2 * i] ?? 0) | ((bytes[2 * i + 1] ?? 0) << 8));
};

const select = (machine: Machine, register: number): void =>
  machine.engine.ports.out(0xcf8, 4, 0x8000_0800 + (register & 0xfc));
const getConfig = (machine: Machine, register: number, size: 1 | 2 | 4 = 4): number => {
  select(machine, register);
  return machine.engine.ports.in(0xcfc + (register & 3), size);
};
const put = (machine: Machine, register: number, value: number): void => {
  select(machine, register);
  machine.engine.ports.out(0xcfc, 4, value);
};

describe('without its row', () => {
  it('a device is refused by the names that there are', async () => {
    const { code, stderr } = await firstlight(['boot', GOOD, '--device', 'counter']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/virtio-rng.*virtio-console/);
  });
});

describe('with a row of its own, a PCI function', () => {
  const row = { device: 'counter', functions: () => [counter] };
  beforeEach(() => void PCI_FUNCTIONS.unshift(row));
  afterEach(() => void PCI_FUNCTIONS.splice(PCI_FUNCTIONS.indexOf(row), 1));

  it('is a device that can be asked for', async () => {
    expect(extraDevices()).toContain('counter');
    const { code, stderr } = await firstlight(['boot', GOOD, '--device', 'counter']);
    expect(code).toBe(0);
    expect(stderr).toMatch(/512 MiB of RAM, counter/);
  });

  it('says what it is', () => {
    const machine = machineWith([]);
    expect(getConfig(machine, 0)).toBe(0x5678_1234);
    expect(getConfig(machine, 8)).toBe(0xff00_0003);
    expect(getConfig(machine, 0x2c)).toBe(0x0001_1234);
    expect([getConfig(machine, 0x34, 1), getConfig(machine, 0x06, 2)]).toEqual([0, 0]);
    expect([getConfig(machine, 0x3c, 1), getConfig(machine, 0x3d, 1)]).toEqual([11, 1]);
    // Firmware has placed its BARs, each at a multiple of its size, and lets them answer.
    expect(getConfig(machine, COMMAND, 2)).toBe(3);
    expect(getConfig(machine, MEMORY.register)).toBe(0xfe00_0000);
    expect(getConfig(machine, PORTS.register)).toBe(0xc001);
    expect([getConfig(machine, WIDE.register), getConfig(machine, WIDE.register + 4)]).toEqual([0xfe10_000c, 0]);
  });

  it('has its sizes probed by writing ones', () => {
    const machine = machineWith([]);
    put(machine, COMMAND, 0);
    for (const register of [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24]) put(machine, register, 0xffff_ffff);
    expect([0x10, 0x14, 0x18, 0x1c, 0x20, 0x24].map((register) => getConfig(machine, register))).toEqual([
      0xffff_f000, 0xffff_ffe1, 0xfff0_000c, 0xffff_ffff, 0, 0,
    ]);
  });

  it('answers where the guest has moved its memory to, at once, and no longer where it was', () => {
    const [old, moved] = [0xfe00_0000, 0xe123_4000];
    const looks = (index: number): number[] => [...look(old, index), ...look(moved, index + 1)];
    const program = [
      ...looks(0),
      ...setConfig(MEMORY.register, moved + 0x123),
      ...looks(2),
      ...setConfig(COMMAND, 0),
      ...looks(4),
      ...setConfig(MEMORY.register, old),
      ...setConfig(COMMAND, 2),
      ...looks(6),
    ];
    const nothing = 0xffff;
    const expected = [0xc000, nothing, nothing, 0xc000, nothing, nothing, 0xc000, nothing];
    expect(seen(run(machineWith(program)), 8)).toEqual(expected);
  });

  it('answers at the ports that the guest has moved it to, but not over those of others', () => {
    const program = [
      ...lookAtPort(0xc000, 0),
      ...setConfig(PORTS.register, 0xd000),
      ...lookAtPort(0xc000, 1),
      ...lookAtPort(0xd000, 2),
      ...setConfig(COMMAND, 2),
      ...lookAtPort(0xd000, 3),
      ...setConfig(COMMAND, 1),
      ...setConfig(PORTS.register, 0x3e0),
      ...lookAtPort(0x3e0, 4),
      ...lookAtPort(0x3fc, 5),
    ];
    const machine = run(machineWith(program));
    expect(seen(machine, 5)).toEqual([0xc100, 0xffff, 0xc100, 0xffff, 0xc100]);
    expect(seen(machine, 6)[5]).not.toBe(0);
    expect(machine.unimplemented.map(({ what }) => what)).toContain('port 0xc000: read, no device there');
  });

  it('has a BAR of 64 bits beside the others', () => {
    const at = 0xfe10_0000;
    const program = [
      ...look(at, 0),
      ...setConfig(WIDE.register + 4, 1),
      ...look(at, 1),
      ...setConfig(WIDE.register + 4, 0),
      ...look(at, 2),
    ];
    const machine = run(machineWith(program));
    expect(seen(machine, 3)).toEqual([0xc200, 0xffff, 0xc200]);
  });

  it.each([true, false])('interrupts through its pin until it is served (with local APIC: %s)', (apic) => {
    const machine = machineWith([], apic);
    const { ports } = machine.engine;
    const master = [0x11, 0x20, 4, 1, 0xfb].map((value, i) => [i === 0 ? 0x20 : 0x21, value] as const);
    const slave = [0x11, 0x28, 2, 1, 0xf7].map((value, i) => [i === 0 ? 0xa0 : 0xa1, value] as const);
    for (const [port, value] of [...master, ...slave]) ports.out(port, 1, value);
    expect(machine.interruptWaits).toBe(false);
    ports.out(0xc000, 1, 1);
    expect([machine.interruptWaits, getConfig(machine, 6, 2) & 8]).toEqual([true, 8]);
    put(machine, COMMAND, 0x401);
    expect(machine.interruptWaits).toBe(false);
    put(machine, COMMAND, 1);
    expect(machine.interruptWaits).toBe(true);
    ports.out(0xc000, 1, 0);
    expect([machine.interruptWaits, getConfig(machine, 6, 2) & 8]).toEqual([false, 0]);
  });

  it('is saved with where it has been moved to, and the state hash knows', () => {
    const moved = machineWith(setConfig(MEMORY.register, 0xe000_0000));
    const unmoved = machineWith(setConfig(MEMORY.register, 0xfe00_0000));
    expect(run(moved).stateHash()).not.toBe(run(unmoved).stateHash());
    const again = machineWith(setConfig(MEMORY.register, 0xe000_0000));
    again.restore(new Fields(moved.save(), 'test'));
    expect(again.stateHash()).toBe(moved.stateHash());
    expect(getConfig(again, MEMORY.register)).toBe(0xe000_0000);
  });
});
