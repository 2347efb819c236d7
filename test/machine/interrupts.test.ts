// Small real-mode programs that live on interrupts. Whatever they do must not depend on how a run is cut into pieces.

import { describe, expect, it } from 'vitest';
import type { PhysAddr } from '../../src/bits/address.ts';
import { isFault } from '../../src/cpu/state/cpu.ts';
import { readMsr, writeMsr } from '../../src/cpu/microcode/msr.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import type { InputByte } from '../../src/machine/input.ts';
import { Machine } from '../../src/machine/machine.ts';
import { cpuModel, withApic } from '../../src/x86/models.ts';
import { GPR } from '../../src/x86/registers.ts';

const CODE = 0x1000;
const { RCX, RDX, RBX } = GPR;

type Program = {
  readonly parts: readonly (readonly [offset: number, hex: string])[];
  readonly vectors: Record<number, number>;
};

/**
 * Sets up 8259A (IRQ0 and 4), 8254 (mode 2, 65,536 clocks) and COM1 (FIFO, receive interrupt), and halts for ever.
 * 0x80: IRQ0 counts in EBX. 0xa0: IRQ4 sends back all it has received.
 */
const ECHO: Program = {
  parts: [
    [0, 'fa31c08ed0bc0080b011e620b020e621b004e621b001e621b0eee621'],
    [28, 'b034e643b000e640e640bafc03b00beebafa03b001eebaf903b001eefbf4ebfd'],
    [0x80, '6643b020e620cf'],
    [0xa0, 'bafd03eca8017407baf803eceeebf1b020e620cf'],
  ],
  vectors: { 0x20: CODE + 0x80, 0x24: CODE + 0xa0 },
};

/**
 * Enables the local APIC, its timer periodic, divided by 1, every 10,000 clocks (of 1 ns), and counts in ECX for ever.
 * 0x80: vector 0x40 counts in EBX, reads the current count into EDX, and writes EOI.
 */
const TIMER: Program = {
  parts: [
    [0, 'fa31c08ed0bc00806766c705f000e0feff0100006766c7052003e0fe40000200'],
    [32, '6766c705e003e0fe0b0000006766c7058003e0fe10270000fb6641ebfc'],
    [0x80, '664367668b159003e0fe6766c705b000e0fe00000000cf'],
  ],
  vectors: { 0x40: CODE + 0x80 },
};

function machineWith(program: Program, input?: readonly InputByte[]): Machine {
  const machine = new Machine({
    model: withApic(cpuModel('max')),
    ram: [{ start: 0, end: 0x10000 }],
    seed: 0,
    input,
  });
  const write = (address: number, bytes: Uint8Array): void => machine.memory.write(address as PhysAddr, bytes);
  for (const [offset, hex] of program.parts) write(CODE + offset, Uint8Array.from(Buffer.from(hex, 'hex')));
  for (const [vector, offset] of Object.entries(program.vectors)) {
    write(4 * Number(vector), Uint8Array.of(offset & 0xff, offset >> 8, 0, 0));
  }
  const { state } = machine.engine;
  const flat = { selector: 0, base: 0n, limit: 0xffff_ffff };
  state.setSegment(SEG.CS, { ...flat, attributes: state.segment(SEG.CS).attributes });
  state.setSegment(SEG.DS, { ...flat, attributes: state.segment(SEG.DS).attributes });
  state.rip = BigInt(CODE);
  machine.engine.modeChanged();
  return machine;
}

/** Runs to so many instructions in pieces of `slice`. */
function runTo(machine: Machine, end: number, slice: number): Machine {
  for (let until = Math.min(slice, end); ; until = Math.min(until + slice, end)) {
    expect(machine.run(BigInt(until))).toBeUndefined();
    if (until === end) return machine;
  }
}

const register = (machine: Machine, index: number): number => Number(machine.engine.state.reg(index) & 0xffff_ffffn);

describe('the local APIC timer in the machine', () => {
  it('interrupts every 10,000 ns, and its registers are read at the exact time', () => {
    const machine = runTo(machineWith(TIMER), 1_000_000, 1_000_000);
    expect(register(machine, RBX)).toBe(99);
    // INC ECX is the instruction before it.
    expect(register(machine, RDX)).toBeGreaterThan(9_990);
    expect(machine.now).toBe(1_000_000n);
    expect(register(machine, RCX)).toBeGreaterThan(490_000);
    expect(machine.unimplemented).toEqual([]);
  });

  it.each([999_983, 7919, 10_000, 613])('does not notice that a run is cut every %i instructions', (slice) => {
    const whole = runTo(machineWith(TIMER), 300_000, 300_000);
    expect(runTo(machineWith(TIMER), 300_000, slice).stateHash()).toBe(whole.stateHash());
  });
});

describe('the local APIC as instructions see it', () => {
  const machine = machineWith(TIMER);
  const { engine } = machine;

  it('keeps its MSRs: base, deadline, and none of x2APIC outside that mode', () => {
    expect(readMsr(engine, 0x1b)).toBe(0xfee0_0900n);
    expect(readMsr(engine, 0x6e0)).toBe(0n);
    expect(isFault(readMsr(engine, 0x802))).toBe(true);
    expect(isFault(writeMsr(engine, 0x1b, 0xfee0_0901n))).toBe(true);
  });

  it('lets the 8259A through as firmware leaves it (virtual wire mode)', () => {
    expect(runTo(machineWith(ECHO, [{ at: 60_000n, byte: 0x41 }]), 100, 100).console.text).toBe('A');
  });
});

describe('input at the serial port', () => {
  const typed = (text: string): Uint8Array => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

  /** A run at which somebody types, now and then more than the port takes at once. */
  const live = (): Machine => {
    const machine = runTo(machineWith(ECHO), 100, 7);
    machine.type(typed('hello'));
    runTo(machine, 300, 301);
    machine.type(typed(', this is more than sixteen letters'));
    return runTo(machine, 2000, 53);
  };

  it('comes to the program by interrupts, all of it and in order', () => {
    const machine = live();
    expect(machine.console.text).toBe('hello, this is more than sixteen letters');
    expect(machine.inputWaiting).toBe(0);
    expect(register(machine, RBX)).toBeGreaterThan(10);
  });

  it('is logged with its time, and the log as input is the same run', () => {
    const first = live();
    expect(first.inputLog).toHaveLength(first.console.text.length);
    const again = runTo(machineWith(ECHO, first.inputLog), 2000, 2000);
    expect(again.console.text).toBe(first.console.text);
    expect(again.stateHash()).toBe(first.stateHash());
    expect(again.inputLog).toEqual(first.inputLog);
  });

  it('wakes a halted processor at the time the log says', () => {
    const machine = runTo(machineWith(ECHO, [{ at: 5_000_000n, byte: 0x41 }]), 40, 40);
    expect(machine.now).toBeGreaterThan(5_000_000n);
    expect(machine.inputLog).toEqual([{ at: 5_000_000n, byte: 0x41 }]);
  });
});
