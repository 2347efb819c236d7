// Real-mode programs that drive a virtio disk themselves: by its BAR, through a queue, with its interrupt. What the disk
// reads into memory may be code.

import { describe, expect, it } from 'vitest';
import type { PhysAddr } from '../../src/bits/address.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import { imageOf } from '../../src/devices/disk.ts';
import { Machine, MOST_MOVED } from '../../src/machine/machine.ts';
import { mostDisks } from '../../src/machine/pci.ts';
import { cpuModel, withApic } from '../../src/x86/models.ts';
import { GPR } from '../../src/x86/registers.ts';

const CODE = 0x1000;
const HANDLER = 0x2000;
const DESCRIPTORS = 0x4000;
const AVAILABLE = 0x5000;
const USED = 0x6000;
const HEADER = 0x7000;
const BUFFER = 0x8000;
const STATUS = 0x9000;
const BAR = 0xfe00_0000;
const { RCX, RBX } = GPR;
const READ = 0;
const WRITE = 1;

const le = (value: number, size: number): number[] =>
  Array.from({ length: size }, (_, i) => Math.floor(value / 2 ** (8 * i)) % 256);

/** Instructions, in 16-bit code with 32-bit addresses. */
const outl = (port: number, value: number): number[] => [0x66, 0xb8, ...le(value, 4), 0xba, ...le(port, 2), 0x66, 0xef];
const outb = (port: number, value: number): number[] => [0xb0, value, 0xba, ...le(port, 2), 0xee];
const movb = (address: number, value: number): number[] => [0x67, 0xc6, 0x05, ...le(address, 4), value];
const movw = (address: number, value: number): number[] => [0x67, 0xc7, 0x05, ...le(address, 4), ...le(value, 2)];
const movl = (address: number, value: number): number[] => [0x67, 0x66, 0xc7, 0x05, ...le(address, 4), ...le(value, 4)];
const awaitWord = (address: number, value: number): number[] => [
  ...[0x67, 0x81, 0x3d, ...le(address, 4), ...le(value, 2)],
  ...[0x75, 0xf5],
];
const callBuffer = (here: number): number[] => [0xe8, ...le(BUFFER - (CODE + here + 3), 2)];
const CLI = 0xfa;
const STI_HLT = [0xfb, 0xf4];
const HALT = [CLI, 0xf4];

/** Bus master and memory space; features VERSION_1 only; one queue; DRIVER_OK; then the doorbell. */
const driver = (entries: number): number[] => [
  ...outl(0xcf8, 0x8000_0804),
  ...outl(0xcfc, 6),
  ...[movb(BAR + 20, 3), movl(BAR + 8, 1), movl(BAR + 12, 1), movb(BAR + 20, 11)].flat(),
  ...[movw(BAR + 24, entries), movl(BAR + 32, DESCRIPTORS), movl(BAR + 40, AVAILABLE), movl(BAR + 48, USED)].flat(),
  ...[movw(BAR + 28, 1), movb(BAR + 20, 15), movw(BAR + 0x3000, 0)].flat(),
];

const DRIVER = driver(4);

/** 8259A pair at vectors 0x20 and 0x28 with IRQ 11 alone unmasked and level-triggered. */
const INTERRUPTS = [
  ...[outb(0x20, 0x11), outb(0x21, 0x20), outb(0x21, 4), outb(0x21, 1), outb(0x21, 0xfb)].flat(),
  ...[outb(0xa0, 0x11), outb(0xa1, 0x28), outb(0xa1, 2), outb(0xa1, 1), outb(0xa1, 0xf7), outb(0x4d1, 8)].flat(),
];

/** Counts in CX, reads the ISR register, ends the interrupt at both chips. */
const COUNT = [0x41, 0x67, 0xa0, ...le(BAR + 0x1000, 4), ...outb(0xa0, 0x20), ...outb(0x20, 0x20), 0xcf];

/** Sector 3 holds `add bx, 0x100; ret`. */
const IMAGE = new Uint8Array(16 * 512);
IMAGE.set([0x81, 0xc3, 0x00, 0x01, 0xc3], 3 * 512);

function machineWith(program: readonly number[], type: number, sector: number, apic = true): Machine {
  const model = cpuModel('max');
  const ram = [{ start: 0, end: 0x10000 }];
  const machine = new Machine({ model: apic ? withApic(model) : model, ram, seed: 0, disks: [imageOf(IMAGE)] });
  const put = (address: number, bytes: readonly number[]): void =>
    machine.memory.write(address as PhysAddr, Uint8Array.from(bytes));
  put(CODE, program);
  put(HANDLER, COUNT);
  put(4 * 0x2b, [...le(HANDLER, 2), 0, 0]);
  put(DESCRIPTORS, [...le(HEADER, 8), ...le(16, 4), ...le(1, 2), ...le(1, 2)]);
  put(DESCRIPTORS + 16, [...le(BUFFER, 8), ...le(512, 4), ...le(type === READ ? 3 : 1, 2), ...le(2, 2)]);
  put(DESCRIPTORS + 32, [...le(STATUS, 8), ...le(1, 4), ...le(2, 2), ...le(0, 2)]);
  put(AVAILABLE, [0, 0, 1, 0]);
  put(HEADER, [...le(type, 8), ...le(sector, 8)]);
  put(STATUS, [0xee]);
  put(BUFFER, [0x43, 0xc3]); // inc bx; ret
  enter(machine);
  return machine;
}

/** Real mode at CODE, with segments that reach the BAR. */
function enter(machine: Machine): void {
  const { state } = machine.engine;
  const flat = { selector: 0, base: 0n, limit: 0xffff_ffff };
  for (const segment of [SEG.CS, SEG.DS, SEG.SS]) {
    state.setSegment(segment, { ...flat, attributes: state.segment(segment).attributes });
  }
  state.setReg(4, 0xf000n);
  state.setReg(RBX, 0n);
  state.setReg(RCX, 0n);
  state.rip = BigInt(CODE);
  machine.engine.modeChanged();
}

const register = (machine: Machine, index: number): number => Number(machine.engine.state.reg(index) & 0xffffn);
const statusByte = (machine: Machine): number | undefined => machine.memory.read(STATUS as PhysAddr, 1)[0];

/** Runs to the halt, in pieces of `slice` instructions. */
function runToHalt(machine: Machine, slice: number): Machine {
  for (let until = slice; until < 1_000_000; until += slice) {
    const stop = machine.run(BigInt(until));
    if (stop?.kind === 'halt') return machine;
    if (stop) throw new Error(stop.kind);
  }
  throw new Error('no halt');
}

describe('a virtio disk on the PCI bus', () => {
  const polled = [CLI, ...callBuffer(1), ...DRIVER, ...awaitWord(USED + 2, 1)];
  const program = [...polled, ...callBuffer(polled.length), ...HALT];

  it('reads into memory, and code that was run there before is run as it is now', () => {
    const machine = runToHalt(machineWith(program, READ, 3), 100_000);
    expect(statusByte(machine)).toBe(0);
    expect(register(machine, RBX)).toBe(0x101);
  });

  it.each([1, 7])('does not notice that a run is cut every %i instructions', (slice) => {
    const whole = runToHalt(machineWith(program, READ, 3), 100_000);
    expect(runToHalt(machineWith(program, READ, 3), slice).stateHash()).toBe(whole.stateHash());
  });

  it('keeps what is written, and the state hash knows', () => {
    const forget = movl(HEADER + 8, 0);
    const writes = [CLI, ...DRIVER, ...awaitWord(USED + 2, 1), ...forget, ...HALT];
    const hashes = [5, 5, 6].map((sector) => {
      const machine = runToHalt(machineWith(writes, WRITE, sector), 100_000);
      expect(statusByte(machine)).toBe(0);
      return machine.stateHash();
    });
    expect(hashes[0]).toBe(hashes[1]);
    expect(hashes[0]).not.toBe(hashes[2]);
  });

  it.each([true, false])('interrupts through the 8259A pair, once (with local APIC: %s)', (apic) => {
    const machine = machineWith([CLI, ...INTERRUPTS, ...DRIVER, ...STI_HLT, ...HALT], READ, 3, apic);
    runToHalt(machine, 100_000);
    expect([register(machine, RCX), statusByte(machine)]).toEqual([1, 0]);
  });
});

describe('a run in which a disk moves much', () => {
  it('comes back early, for whoever started it to look up', () => {
    const [pieces, length] = [120, 0x8000];
    const image = { size: pieces * length, read: (_: number, size: number) => new Uint8Array(size) };
    const machine = new Machine({
      ...{ model: cpuModel('max'), seed: 0, disks: [image] },
      ram: [{ start: 0, end: 0x30000 }],
    });
    const put = (address: number, bytes: readonly number[]): void =>
      machine.memory.write(address as PhysAddr, Uint8Array.from(bytes));
    const descriptor = (index: number, address: number, size: number, flags: number): void =>
      put(DESCRIPTORS + 16 * index, [...le(address, 8), ...le(size, 4), ...le(flags, 2), ...le(index + 1, 2)]);
    descriptor(0, HEADER, 16, 1);
    for (let i = 1; i <= pieces; i++) descriptor(i, 0x10000, length, 3);
    descriptor(pieces + 1, STATUS, 1, 2);
    put(AVAILABLE, [0, 0, 128, 0]);
    put(CODE, [CLI, ...driver(128), 0xeb, 0xfe]); // jmp .
    enter(machine);
    expect(machine.run(300_000_000n)).toBeUndefined();
    expect(machine.moved).toBeGreaterThan(MOST_MOVED);
    expect(machine.engine.retired).toBeLessThan(100_000_000n);
  });
});

describe('the PCI bus', () => {
  it('has slots for as many disks as it says', () => {
    const disks = Array.from({ length: mostDisks() }, () => imageOf(IMAGE));
    const ram = [{ start: 0, end: 0x10000 }];
    const extras = ['virtio-rng', 'virtio-console'] as const;
    const machine = new Machine({ model: cpuModel('max'), ram, seed: 0, disks, extras });
    expect(machine.engine.ports.in(0x4d1, 1)).toBe(0x0c);
    machine.engine.ports.out(0xcf8, 4, 0x8000_f800);
    expect(machine.engine.ports.in(0xcfc, 4)).toBe(0x1043_1af4);
  });
});
