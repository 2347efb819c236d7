// The PCI side of virtio devices: what enumeration sees, the structures in the BAR, and how interrupts come.

import { describe, expect, it } from 'vitest';
import type { DeviceState } from '../../src/devices/device.ts';
import { createPciConfig } from '../../src/devices/pci/mechanism.ts';
import { createVirtioBlk } from '../../src/devices/virtio/blk.ts';
import { imageOf } from '../../src/devices/disk.ts';
import type { VirtioModel } from '../../src/devices/virtio/model.ts';
import { createVirtioRng } from '../../src/devices/virtio/rng.ts';
import { noUnknowns } from './support.ts';
import { BAR, driven, DRIVER_OK, NEEDS_RESET, REG } from './virtioSupport.ts';

const blk = (): VirtioModel => createVirtioBlk({ image: imageOf(new Uint8Array(4096)), room: 2 ** 20, serial: 'x' });
const BUFFER = [{ address: 0x8_0000, length: 64, write: true }];
const INDIRECT_AND_EVENTS = 0x3000_0000;

describe('configuration space', () => {
  const setUp = () => {
    const { device } = driven(blk());
    const chip = createPciConfig({ unimplemented: noUnknowns, functions: new Map([[3, device]]) });
    const select = (slot: number, register: number, rest = 0): void =>
      chip.write(0, 4, (0x8000_0000 | (slot << 11) | rest | (register & 0xfc)) >>> 0);
    const get = (register: number, size: 1 | 2 | 4): number => {
      select(3, register);
      return chip.read(4 + (register & 3), size);
    };
    const set = (register: number, size: 1 | 2 | 4, value: number): void => {
      select(3, register);
      chip.write(4 + (register & 3), size, value);
    };
    return { device, chip, select, get, set };
  };

  it('names a modern block device (virtio 1.2, 4.1.2.1), in its slot and function 0 only', () => {
    const { chip, select, get } = setUp();
    expect([get(0, 4), get(8, 4), get(0x0e, 1)]).toEqual([0x1042_1af4, 0x0100_0001, 0]);
    expect(get(0x2c, 2)).toBe(0x1af4);
    expect(get(0x2e, 2)).toBeGreaterThanOrEqual(0x40);
    for (const [slot, rest] of [
      [4, 0],
      [3, 0x100],
      [3, 0x1_0000],
    ] as const) {
      select(slot, 0, rest);
      expect(chip.read(4, 4)).toBe(0xffff_ffff);
    }
  });

  it('sizes the one BAR, and moves it', () => {
    const { device, get, set } = setUp();
    expect(device.barBase()).toBe(BAR);
    set(0x10, 4, 0xffff_ffff);
    expect(get(0x10, 4)).toBe(0xffff_8000);
    set(0x10, 4, 0xe000_1234);
    expect([get(0x10, 4), device.barBase()]).toEqual([0xe000_0000, 0xe000_0000]);
    for (const register of [0x14, 0x18, 0x1c, 0x20, 0x24, 0x30]) {
      set(register, 4, 0xffff_ffff);
      expect(get(register, 4)).toBe(0);
    }
  });

  it('does not answer in memory without memory space enabled or at address 0', () => {
    const { device, set } = setUp();
    set(4, 2, 0);
    expect(device.barBase()).toBeUndefined();
    set(4, 2, 2);
    set(0x10, 4, 0);
    expect(device.barBase()).toBeUndefined();
  });

  it('has MSI-X and the five virtio capabilities, each once, in a list that ends', () => {
    const { get } = setUp();
    expect(get(6, 2) & 0x10).toBe(0x10);
    const found: (readonly number[])[] = [];
    for (let at = get(0x34, 1); at !== 0 && found.length < 20; at = get(at + 1, 1)) {
      found.push(get(at, 1) === 9 ? [9, get(at + 3, 1), get(at + 8, 4), get(at + 12, 4)] : [get(at, 1)]);
    }
    expect(found).toEqual([
      [0x11],
      [9, 1, 0x0000, 56],
      [9, 2, 0x3000, 4],
      [9, 3, 0x1000, 1],
      [9, 5, 0, 0],
      [9, 4, 0x2000, 24],
    ]);
    expect([get(0x42, 2), get(0x44, 4), get(0x48, 4)]).toEqual([1, 0x4000, 0x5000]);
  });

  it('leads to the registers in the BAR by the window capability', () => {
    const { device, get, set } = setUp();
    set(0x8c, 4, REG.status);
    set(0x90, 4, 1);
    set(0x94, 1, 3);
    expect([get(0x94, 1), device.read(REG.status, 1)]).toEqual([3, 3]);
    set(0x8c, 4, 0xffff_fffe);
    set(0x90, 4, 4);
    expect(get(0x94, 4)).toBe(0);
    set(0x94, 4, 0);
    expect(device.read(REG.status, 1)).toBe(3);
  });
});

describe('the common configuration', () => {
  it('offers ring features, VERSION_1 and nothing beyond', () => {
    const { device, write } = driven(createVirtioRng(0));
    const words = [0, 1, 2, 0xffff_ffff].map((select) => {
      write(REG.deviceSelect, 4, select);
      return device.read(REG.deviceFeatures, 4);
    });
    expect(words).toEqual([INDIRECT_AND_EVENTS, 1, 0, 0]);
  });

  it.each([
    ['what was not offered', 1 << 27, 1],
    ['a driver that knows no VERSION_1', 0, 0],
  ])('does not agree to %s', (_, low, high) => {
    const { device, write } = driven(createVirtioRng(0));
    for (const [select, word] of [
      [0, low],
      [1, high],
    ] as const) {
      write(REG.driverSelect, 4, select);
      write(REG.driverFeatures, 4, word);
    }
    write(REG.status, 1, 11);
    expect(device.read(REG.status, 1)).toBe(3);
  });

  it('has registers of a queue, wide accesses to them, and none for a queue that there is not', () => {
    const { device, write } = driven(blk());
    expect([device.read(REG.queues, 2), device.read(REG.queueSize, 2)]).toEqual([1, 128]);
    write(REG.queueSize, 2, 100);
    write(REG.queueVector, 2, 5);
    expect(device.read(REG.queueSize, 4)).toBe(0xffff_0080);
    write(REG.queueSize, 4, 0x0001_0040);
    expect([device.read(REG.queueSize, 2), device.read(REG.queueVector, 2)]).toEqual([64, 1]);
    write(REG.descriptors + 4, 4, 0xdead_beef);
    expect(device.read(REG.descriptors + 6, 1)).toBe(0xad);
    write(REG.queueSelect, 2, 1);
    expect(device.read(REG.queueSize, 2)).toBe(0);
    write(REG.queueEnable, 2, 1);
    expect(device.read(REG.queueEnable, 2)).toBe(0);
  });

  it('is as new after a reset by the driver', () => {
    const { device, start, write } = driven(blk());
    start();
    write(REG.status, 1, 0);
    expect([device.read(REG.status, 1), device.read(REG.queueEnable, 2), device.read(REG.queueSize, 2)]).toEqual([
      0, 0, 128,
    ]);
  });
});

describe('interrupts of a virtio device', () => {
  it('are INTA until the ISR register is read', () => {
    const { device, start, add, settle } = driven(createVirtioRng(0));
    start();
    add(0, BUFFER);
    settle();
    expect([device.interruptLevel(), device.readConfig(6, 2) & 8]).toEqual([true, 8]);
    device.writeConfig(4, 2, 0x406);
    expect(device.interruptLevel()).toBe(false);
    device.writeConfig(4, 2, 6);
    expect(device.read(REG.isr, 1)).toBe(1);
    expect([device.interruptLevel(), device.read(REG.isr, 1), device.readConfig(4, 4) >>> 16]).toEqual([
      false,
      0,
      0x10,
    ]);
  });

  it('are messages with MSI-X, which wait while they are masked', () => {
    const { device, messages, write, start, add, settle } = driven(createVirtioRng(0));
    write(REG.queueVector, 2, 1);
    start();
    [0xfee0_1003, 0, 0x41].forEach((word, i) => write(REG.table + 16 + 4 * i, 4, word));
    device.writeConfig(0x42, 2, 0x8000);
    add(0, BUFFER);
    settle();
    expect([messages, device.read(REG.pending, 4)]).toEqual([[], 2]);
    write(REG.table + 28, 4, 0);
    expect([messages, device.read(REG.pending, 4)]).toEqual([[[0xfee0_1000, 0x41]], 0]);
    device.writeConfig(0x42, 2, 0xc000);
    add(0, BUFFER);
    settle();
    device.writeConfig(0x42, 2, 0x8000);
    expect(messages.length).toBe(2);
    expect([device.interruptLevel(), device.read(REG.isr, 1)]).toEqual([false, 0]);
  });

  it('come not at all where the driver asked for none of this buffer', () => {
    const { device, ram, start, add, settle, used } = driven(createVirtioRng(0));
    start(INDIRECT_AND_EVENTS);
    ram.u16(0x2000 + 4 + 2 * 8, 1);
    add(0, BUFFER);
    settle();
    expect([used(0).count, device.interruptLevel()]).toEqual([1, false]);
    expect(ram.get16(0x3000 + 4 + 8 * 8)).toBe(1);
    add(0, BUFFER);
    settle();
    expect(device.interruptLevel()).toBe(true);
  });
});

describe('a virtio device', () => {
  it('does nothing before DRIVER_OK or without bus mastering', () => {
    const { device, start, add, settle, used, write } = driven(createVirtioRng(0));
    add(0, BUFFER);
    expect(device.nextEvent()).toBeUndefined();
    start();
    device.writeConfig(4, 2, 2);
    write(REG.notify, 2, 0);
    expect(device.nextEvent()).toBeUndefined();
    device.writeConfig(4, 2, 6);
    settle();
    expect(used(0)).toEqual({ count: 1, written: 64 });
  });

  it('wants a reset once the driver broke the rules, and works again after it', () => {
    const { device, ram, start, add, settle, used, write } = driven(createVirtioRng(0));
    start();
    add(0, [{ address: 2 ** 40, length: 64, write: true }]);
    settle();
    expect([device.read(REG.status, 1), device.read(REG.isr, 1)]).toEqual([DRIVER_OK | NEEDS_RESET, 2]);
    write(REG.notify, 2, 0);
    expect([device.nextEvent(), used(0).count]).toEqual([undefined, 0]);
    write(REG.status, 1, 0);
    ram.u16(0x2000 + 2, 0);
    start();
    ram.u64(0x1000, 0x8_0000);
    ram.u16(0x2000 + 2, 1);
    write(REG.notify, 2, 0);
    settle();
    expect(used(0).count).toBe(1);
  });

  it('takes a nanosecond for each byte it moves', () => {
    const { clock, device, start, add, settle } = driven(createVirtioRng(0));
    start();
    add(0, BUFFER);
    settle();
    expect(clock.now()).toBe(65n);
    expect(device.nextEvent()).toBeUndefined();
  });

  it('goes on from a state that went through JSON as if nothing had been', () => {
    const first = driven(createVirtioRng(7));
    first.start();
    first.add(0, BUFFER);
    const second = driven(createVirtioRng(7));
    second.ram.bytes.set(first.ram.bytes);
    second.device.restore(JSON.parse(JSON.stringify(first.device.state())) as DeviceState);
    for (const { settle } of [first, second]) settle();
    expect(second.device.state()).toEqual(first.device.state());
    expect(Buffer.compare(second.ram.bytes, first.ram.bytes)).toBe(0);
    expect(() => second.device.restore({ stranger: 1 })).toThrow('saved state does not fit');
    const { common, ...rest } = first.device.state() as { common: DeviceState };
    const wrong: DeviceState[] = [{ accepted: [] }, { queues: [] }, { queues: [1] }, { queues: [{ size: 3 }] }];
    for (const change of wrong) {
      expect(() => second.device.restore({ ...rest, common: { ...common, ...change } })).toThrow('state');
    }
    second.device.reset();
    expect(second.device.state()).toEqual(driven(createVirtioRng(7)).device.state());
  });

  it('takes any access anywhere in its BAR and in configuration space', () => {
    const { device, settle } = driven(blk());
    for (let offset = 0; offset < 0x8000; offset += 1) {
      for (const size of [1, 2, 4] as const) {
        device.write(offset, size, 0xffff_ffff);
        device.read(offset, size);
      }
    }
    for (let register = 0; register < 256; register++) device.writeConfig(register, 4, 0xffff_ffff);
    settle();
    expect(device.read(REG.status, 1) & NEEDS_RESET).toBe(0);
  });
});
