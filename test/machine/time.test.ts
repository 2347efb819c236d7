// How long instructions take: 1 ns each, more for PAUSE, RDTSC and accesses to chips, wherever a run is cut.

import { describe, expect, it } from 'vitest';
import type { PhysAddr } from '../../src/bits/address.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import { Machine } from '../../src/machine/machine.ts';
import { cpuModel, withApic } from '../../src/x86/models.ts';
import { GPR } from '../../src/x86/registers.ts';

const CODE = 0x1000;
const { RBX, RCX, RDX, RAX } = GPR;

function machineWith(hex: string, seed = 0): Machine {
  const machine = new Machine({ model: withApic(cpuModel('max')), ram: [{ start: 0, end: 0x10000 }], seed });
  machine.memory.write(CODE as PhysAddr, Uint8Array.from(Buffer.from(hex, 'hex')));
  // IRQ 0: inc %bx; out to end the interrupt; iret
  machine.memory.write(0x2000 as PhysAddr, Uint8Array.from(Buffer.from('4350b020e62058cf', 'hex')));
  machine.memory.write(0x80 as PhysAddr, Uint8Array.of(0x00, 0x20, 0, 0));
  const { state } = machine.engine;
  state.setSegment(SEG.CS, { ...state.segment(SEG.CS), selector: 0, base: 0n });
  state.rip = BigInt(CODE);
  machine.engine.modeChanged();
  return machine;
}

const register = (machine: Machine, index: number): number => Number(machine.engine.state.reg(index) & 0xffff_ffffn);

function runTo(machine: Machine, end: number, slice = end): Machine {
  for (let until = Math.min(slice, end); ; until = Math.min(until + slice, end)) {
    expect(machine.run(BigInt(until))).toBeUndefined();
    if (until === end) return machine;
  }
}

describe('guest time', () => {
  it.each([
    ['inc %ax', '40', 1n],
    ['pause', 'f390', 40n],
    ['rdtsc', '0f31', 20n],
    ['rdtscp', '0f01f9', 20n],
    ['in $0x71,%al', 'e471', 1001n],
    ['out %al,$0x80', 'e680', 1001n],
  ])('of %s', (_, hex, ns) => {
    const machine = machineWith(hex.repeat(3));
    for (const count of [1n, 2n, 3n]) {
      machine.run(count);
      expect([machine.engine.retired, machine.now]).toEqual([count, count * ns]);
    }
  });
});

describe('the time stamp counter', () => {
  /** rdtsc; mov %eax,%ecx; pause (5 times); rdtsc; sub %ecx,%eax; jmp . */
  const PAUSES = `0f31 6689c1 ${'f390'.repeat(5)} 0f31 6629c8 ebfe`.replaceAll(' ', '');

  it('counts what is between two reads, in the engine as in single steps', () => {
    const whole = runTo(machineWith(PAUSES), 100_000);
    expect(register(whole, RAX)).toBe(20 + 1 + 5 * 40);
    expect(register(runTo(machineWith(PAUSES), 9, 1), RAX)).toBe(20 + 1 + 5 * 40);
  });

  it('begins with the seed', () => {
    expect(register(runTo(machineWith('0f31ebfe', 77), 5000), RAX)).toBe(77);
  });

  it('is what RDTSC reads after a while, too', () => {
    // inc %ecx; cmp $3000,%ecx; jne back; rdtsc; jmp .
    const machine = runTo(machineWith('6641 6681f9b80b0000 75f5 0f31 ebfe'.replaceAll(' ', '')), 20_000);
    expect([register(machine, RAX), register(machine, RDX)]).toEqual([9000, 0]);
  });
});

/**
 * 8259A (IRQ 0 alone) and 8254 (mode 2, 1,193 clocks: 1 ms), then for ever: pause; pause; in $0x61; rdtsc; inc %ecx.
 * The handler counts in BX.
 */
const WAITS =
  'fa31c08ed0bc0080b011e620b020e621b004e621b001e621b0fee621b034e643b0a9e640b004e640fbf390f390e4610f316641ebf4';

describe('a loop that waits, with a timer that interrupts it', () => {
  it('is interrupted by guest time, not by instructions', () => {
    const machine = runTo(machineWith(WAITS), 60_000);
    const milliseconds = Math.floor(Number(machine.now) / 1_000_000);
    expect(milliseconds).toBeGreaterThan(9);
    expect(Math.abs(register(machine, RBX) - milliseconds)).toBeLessThanOrEqual(1);
    expect(register(machine, RCX)).toBeGreaterThan(9000);
  });

  it.each([59_999, 7919, 1000, 613, 1])('does not notice that a run is cut every %i instructions', (slice) => {
    const whole = runTo(machineWith(WAITS), 60_000);
    expect(runTo(machineWith(WAITS), 60_000, slice).stateHash()).toBe(whole.stateHash());
  });
});
