// Items, sizes and byte orders as QEMU's docs/specs/fw_cfg has them.

import { describe, expect, it } from 'vitest';
import { createFwCfg } from '../../src/devices/fwCfg.ts';

const SELECTOR = 0;
const DATA = 1;
const RAM = 0x1_2345_6000;
const make = () => createFwCfg({ ramBytes: RAM });

function item(key: number, size: number, chip = make()): number[] {
  chip.write(SELECTOR, 2, key);
  return Array.from({ length: size }, () => chip.read(DATA, 1));
}

describe('fw_cfg', () => {
  it.each([
    ['signature', 0x00, [0x51, 0x45, 0x4d, 0x55]],
    ['ID: ports without DMA', 0x01, [1, 0, 0, 0]],
    ['RAM size', 0x03, [0x00, 0x60, 0x45, 0x23, 0x01, 0, 0, 0]],
    ['number of CPUs', 0x05, [1, 0]],
    ['largest number of CPUs', 0x0f, [1, 0]],
    ['directory of no files', 0x19, [0, 0, 0, 0]],
    ['anything else, which is not there', 0x8000, [0, 0]],
  ] as const)('gives the %s', (_, key, bytes) => {
    expect(item(key, bytes.length)).toEqual(bytes);
  });

  it('gives zeros behind the end of an item', () => {
    expect(item(0x00, 6).slice(4)).toEqual([0, 0]);
  });

  it('starts anew when an item is selected', () => {
    const chip = make();
    item(0x00, 2, chip);
    expect(item(0x00, 1, chip)).toEqual([0x51]);
  });

  it('takes no data, and its selector cannot be read', () => {
    const chip = make();
    chip.write(SELECTOR, 2, 0);
    chip.write(DATA, 1, 0xff);
    expect([chip.read(SELECTOR, 2), chip.read(DATA, 1)]).toEqual([0, 0x51]);
  });

  it('goes on from a saved state', () => {
    const chip = make();
    item(0x00, 1, chip);
    const other = make();
    other.restore(JSON.parse(JSON.stringify(chip.state())));
    expect(other.read(DATA, 1)).toBe(0x45);
  });
});
