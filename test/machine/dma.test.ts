// What chips write to memory by themselves: RAM takes it, ROM and holes do not.
import { expect, it } from 'vitest';
import type { PhysAddr } from '../../src/bits/address.ts';
import { guestDma } from '../../src/machine/dma.ts';
import { Machine } from '../../src/machine/machine.ts';
import { cpuModel, withApic } from '../../src/x86/models.ts';

const ROM = 0xf0000;

it.each([
  ['RAM', 0x1ffe, true, [1, 2, 3, 4]],
  ['ROM, which stays as it is', ROM, true, [0xff, 0xff, 0xff, 0xff]],
  ['the last of RAM and ROM', ROM - 2, true, [1, 2, 0xff, 0xff]],
])('what a chip writes goes to %s', (_what, address, taken, there) => {
  const machine = new Machine({
    model: withApic(cpuModel('max')),
    ram: [{ start: 0, end: ROM + 0x10000 }],
    rom: { start: ROM, end: ROM + 0x10000 },
    seed: 0,
  });
  const forgotten: number[] = [];
  const dma = guestDma(
    machine.memory,
    (page) => forgotten.push(page),
    () => undefined,
  );
  expect(dma.write(address, Uint8Array.of(1, 2, 3, 4))).toBe(taken);
  expect([...machine.memory.read(address as PhysAddr, 4)]).toEqual(there);
  expect(forgotten.length).toBe(address < ROM - 2 ? 2 : address < ROM ? 1 : 0);
  expect(dma.write(ROM + 0x10000, Uint8Array.of(1))).toBe(false);
});
