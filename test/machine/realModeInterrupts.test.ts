// Real-mode code that waits with interrupts on, as a PC's BIOS lets it: its handlers, its masks, its clock.
import { describe, expect, it } from 'vitest';
import type { PhysAddr } from '../../src/bits/address.ts';
import { setUpChips } from '../../src/boot/firmware.ts';
import { biosHandlers, interruptVectors } from '../../src/boot/interruptVectors.ts';
import { BIOS_HANDLERS_START } from '../../src/boot/layout.ts';
import { Machine } from '../../src/machine/machine.ts';
import { cpuModel, withApic } from '../../src/x86/models.ts';
import { enterRealMode } from './realMode.ts';

const CODE = 0x1000;
const TICKS = 0x46c as PhysAddr;

function run(text: string): Machine {
  const code = text.replaceAll(' ', '');
  const machine = new Machine({
    model: withApic(cpuModel('max')),
    ram: [
      { start: 0, end: 0x10000 },
      { start: 0xf0000, end: 0x100000 },
    ],
    testDevice: true,
    seed: 0,
  });
  machine.memory.write(0 as PhysAddr, interruptVectors());
  machine.memory.write(BIOS_HANDLERS_START as PhysAddr, biosHandlers());
  enterRealMode(machine, CODE, code);
  setUpChips(machine);
  // Every program here ends with CLI and HLT.
  expect(machine.run(1000n)).toEqual({ kind: 'halt' });
  expect(machine.engine.state.rip).toBe(BigInt(CODE + code.length / 2));
  return machine;
}

const ticksOf = (machine: Machine): number => machine.memory.read(TICKS, 4)[0] ?? -1;

describe('the clock of a PC', () => {
  it('wakes HLT, 18.2 times a second, and is counted', () => {
    // sti; hlt; hlt; cli; hlt
    const machine = run('fb f4 f4 fa f4');
    expect(ticksOf(machine)).toBe(2);
    expect(Number(machine.now) / 1e6).toBeCloseTo((2 * 65536 * 1000) / 1_193_182, 1);
  });
});

describe('a pulse on an edge-triggered input', () => {
  /** mov $unmasked,%al; out to the mask; then EAX 1 and 0 to the input's port of the test device; sti; hlt; cli; hlt */
  const pulse = (mask: string, input: string): string =>
    `fa ${mask} ba ${input} 20 66 b8 01 00 00 00 66 ef 66 31 c0 66 ef fb f4 fa f4`;

  it.each([
    ['the master', 'b0 ef e6 21', '04'],
    ['the slave', 'b0 f7 e6 a1 b0 fb e6 21', '0b'],
  ])('that ends while interrupts are off still wakes the HLT behind STI, at %s', (_, mask, input) => {
    const machine = run(pulse(mask, input));
    expect(ticksOf(machine)).toBe(0);
    expect(machine.now).toBeLessThan(50_000n);
  });

  it('is over once it was acknowledged: a second HLT sleeps', () => {
    const machine = run(`${pulse('b0 ee e6 21', '04').replace(/ fa f4$/, '')} f4 fa f4`);
    expect(ticksOf(machine)).toBe(1);
  });
});
