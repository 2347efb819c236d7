import { describe, expect, it } from 'vitest';
import { createTestDevice, createTestMemory } from '../../src/devices/testDevice.ts';

const LINES = 0x2000 - 0xe0;

const setUp = () => {
  const heard: [number, boolean][] = [];
  const device = createTestDevice((n) => (level) => void heard.push([n, level]));
  return { device, heard };
};

describe('the ports of the test device', () => {
  it('keep what is written, byte by byte', () => {
    const { device } = setUp();
    device.write(0, 4, 0x1234_5678);
    device.write(1, 1, 0xff);
    device.write(2, 2, 0xabcd);
    expect(device.read(0, 4)).toBe(0xabcd_ff78);
    expect([device.read(0, 1), device.read(1, 1), device.read(2, 2)]).toEqual([0x78, 0xff, 0xabcd]);
  });

  it('drive interrupt lines by their number', () => {
    const { device, heard } = setUp();
    device.write(LINES + 14, 1, 1);
    device.write(LINES + 14, 1, 0);
    device.write(LINES + 23, 4, 2);
    expect(heard).toEqual([
      [14, true],
      [14, false],
      [23, true],
    ]);
  });

  it('take the address of a page to flush, and do nothing', () => {
    const { device, heard } = setUp();
    device.write(4, 4, 0x1000);
    expect([device.read(0, 4), heard]).toEqual([0, []]);
  });

  it('save and restore what is kept', () => {
    const { device } = setUp();
    device.write(0, 4, 0xffff_fffe);
    const other = setUp().device;
    other.restore(device.state());
    expect(other.read(0, 4)).toBe(0xffff_fffe);
    other.reset();
    expect(other.read(0, 4)).toBe(0);
  });
});

describe('the memory of the test device', () => {
  it('is memory', () => {
    const memory = createTestMemory();
    memory.write(0xfffe, 2, 0xbeef);
    memory.write(8, 4, 0x89ab_cdef);
    expect([memory.read(0xffff, 1), memory.read(8, 4), memory.read(9, 2)]).toEqual([0xbe, 0x89ab_cdef, 0xabcd]);
  });

  it('saves what the guest wrote, and forgets the rest on restore', () => {
    const memory = createTestMemory();
    expect([...(memory.bulk?.pieces() ?? [])]).toEqual([]);
    memory.write(0x100, 1, 7);
    const pieces = [...(memory.bulk?.pieces() ?? [])].map(({ at, bytes }) => ({ at, bytes: bytes.slice() }));
    memory.write(0x200, 1, 9);
    memory.bulk?.restore(pieces);
    expect([memory.read(0x100, 1), memory.read(0x200, 1)]).toEqual([7, 0]);
  });
});
