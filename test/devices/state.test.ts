// Every chip: what state() gives survives JSON, and a second chip that restores it goes on as the first would.

import { describe, expect, it } from 'vitest';
import { createA20Gate } from '../../src/devices/a20Gate.ts';
import { createAcpiPm } from '../../src/devices/acpiPm.ts';
import { createCmos } from '../../src/devices/cmos.ts';
import { createDebugConsole, createDebugExit, createPostCode } from '../../src/devices/debugPorts.ts';
import type { Device, DeviceState } from '../../src/devices/device.ts';
import { createHpet } from '../../src/devices/hpet.ts';
import { createI8042 } from '../../src/devices/i8042.ts';
import { createIoApic } from '../../src/devices/ioApic.ts';
import { createLocalApic } from '../../src/devices/localApic.ts';
import { createPciConfig } from '../../src/devices/pci/mechanism.ts';
import { createPic8259 } from '../../src/devices/pic8259.ts';
import { createPit8254 } from '../../src/devices/pit8254.ts';
import { createResetControl } from '../../src/devices/reset.ts';
import { createSystemControl } from '../../src/devices/systemControl.ts';
import { createUart16550 } from '../../src/devices/uart16550.ts';
import { createVgaPorts } from '../../src/devices/vgaPorts.ts';

const ignore = (): void => {};
const unimplemented = ignore;
const interrupt = ignore;
const clock = { now: () => 1_234_567_890n };
const a20 = () => createA20Gate(ignore);
const memory = { below4GiB: 2 ** 29, above4GiB: 0 };

type Write = readonly [offset: number, value: number, size?: 4];
type Case = { make: () => Device; writes: readonly Write[]; reads: readonly number[] };

const CHIPS: Readonly<Record<string, Case>> = {
  uart16550: {
    make: () => createUart16550({ interrupt, transmit: ignore, unimplemented }),
    writes: [
      [2, 0xc1],
      [4, 0x1f],
      [0, 0x41],
      [0, 0x42],
      [1, 0x0f],
      [7, 0x5a],
      [3, 0x03],
    ],
    reads: [2, 5, 0, 0, 6, 7, 1, 2],
  },
  pic8259: {
    make: () => createPic8259({ unimplemented }),
    writes: [
      [0, 0x11],
      [1, 0x30],
      [1, 0x04],
      [1, 0x01],
      [1, 0xfb],
      [0, 0xc3],
      [0, 0x68],
      [0x4b0, 0xf8],
    ],
    reads: [0, 1, 0x80, 0x81, 0x4b0],
  },
  hpet: {
    make: () => createHpet({ clock, legacy: [interrupt, interrupt], changed: ignore, unimplemented }),
    writes: [
      [0x100, 0x14c, 4],
      [0x108, 1000, 4],
      [0x108, 300, 4],
      [0x128, 77, 4],
      [0x10, 3, 4],
    ],
    reads: [0x10, 0xf0, 0x100, 0x108, 0x128],
  },
  pit8254: {
    make: () => createPit8254({ clock, interrupt, unimplemented }),
    writes: [
      [3, 0x34],
      [0, 0x34],
      [0, 0x12],
      [3, 0x00],
      [3, 0xb6],
      [2, 0x99],
      [0x21, 0x03],
    ],
    reads: [0, 0, 2, 0x21],
  },
  cmos: {
    make: () => createCmos({ clock, interrupt, unimplemented, memory }),
    writes: [
      [0, 0x0b],
      [1, 0xc2],
      [0, 0x04],
      [1, 0x17],
      [0, 0x0f],
      [1, 0x5a],
    ],
    reads: [1],
  },
  localApic0: {
    make: () =>
      createLocalApic({
        number: 0,
        toOthers: () => {},
        clock,
        tscOffset: () => 0n,
        x2apic: true,
        tscDeadline: true,
        endOfInterrupt: ignore,
        init: ignore,
        changed: ignore,
        unimplemented,
      }),
    writes: [
      [0xf0, 0x1ff, 4],
      [0x80, 0x20, 4],
      [0x320, 0x2_0040, 4],
      [0x3e0, 0xb, 4],
      [0x380, 1000, 4],
      [0x300, 0x4_4055, 4],
    ],
    reads: [0x80, 0x220, 0x320, 0x390, 0x380],
  },
  ioApic: {
    make: () => createIoApic({ send: () => true, changed: ignore, unimplemented }),
    writes: [
      [0, 0x12, 4],
      [0x10, 0x8031, 4],
      [0, 0x13, 4],
    ],
    reads: [0, 0x10],
  },
  i8042: {
    make: () =>
      createI8042({ keyboardInterrupt: interrupt, auxInterrupt: interrupt, a20: a20(), reset: ignore, unimplemented }),
    writes: [
      [0, 0xf2],
      [4, 0xd3],
      [0, 0x5a],
      [4, 0xdd],
      [4, 0x60],
    ],
    reads: [4, 0, 4, 0, 4, 0],
  },
  systemControl: {
    make: () => createSystemControl({ a20: a20(), reset: ignore, unimplemented }),
    writes: [[0, 0x82]],
    reads: [0],
  },
  acpiPm: {
    make: () => createAcpiPm({ clock, interrupt, powerOff: ignore, unimplemented }),
    writes: [
      [2, 0x01],
      [3, 0x07],
      [5, 0x08],
    ],
    reads: [0, 1, 2, 3, 4, 5],
  },
  resetControl: { make: () => createResetControl({ reset: ignore, unimplemented }), writes: [[0, 0x02]], reads: [0] },
  postCode: { make: createPostCode, writes: [[0, 0x42]], reads: [0] },
  pciConfig: {
    make: () => createPciConfig({ unimplemented }),
    writes: [
      [0, 0x8000_0058, 4],
      [5, 0x31],
    ],
    reads: [0, 5],
  },
  vga: {
    make: () => createVgaPorts({ unimplemented }),
    writes: [
      [0x14, 0x0e],
      [0x15, 0x07],
      [0x00, 0x10],
      [0x08, 0x02],
      [0x09, 0x11],
      [0x04, 0x02],
      [0x05, 0x0f],
    ],
    reads: [0x15, 0x09, 0x05, 0x1a, 0x1a],
  },
};

const scramble = (chip: Device, writes: readonly Write[]): void => {
  for (const [offset, value, size] of writes) chip.write(offset, size ?? 1, value);
};

describe.each(Object.entries(CHIPS))('%s', (name, { make, writes, reads }) => {
  it('carries its name', () => {
    expect(make().name).toBe(name);
  });

  it('goes on from a state that went through JSON as if nothing had been', () => {
    const first = make();
    scramble(first, writes);
    const saved = first.state();
    const second = make();
    expect(second.state()).not.toEqual(saved);
    second.restore(JSON.parse(JSON.stringify(saved)) as DeviceState);
    expect(second.state()).toEqual(saved);
    expect(reads.map((offset) => second.read(offset, 1))).toEqual(reads.map((offset) => first.read(offset, 1)));
    expect(second.state()).toEqual(first.state());
  });

  it('hands out copies of its state', () => {
    const chip = make();
    const before = chip.state();
    const text = JSON.stringify(before);
    scramble(chip, writes);
    expect(JSON.stringify(before)).toBe(text);
  });

  it('is as new after reset()', () => {
    const chip = make();
    scramble(chip, writes);
    chip.reset();
    expect(chip.state()).toEqual(make().state());
  });

  it('refuses the state of another chip', () => {
    expect(() => make().restore({ stranger: 1 })).toThrow(`${name}: saved state does not fit at state.stranger`);
  });
});

describe('devices without state', () => {
  it.each([createDebugConsole({ output: ignore }), createDebugExit({ exit: ignore })])('$name has none', (chip) => {
    expect(chip.state()).toEqual({});
  });
});
