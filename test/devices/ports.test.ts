// The small devices: debug ports, PCI configuration, VGA registers.

import { describe, expect, it } from 'vitest';
import { createDebugConsole, createDebugExit, createPostCode } from '../../src/devices/debugPorts.ts';
import { createPciConfig } from '../../src/devices/pci/mechanism.ts';
import { createVgaPorts } from '../../src/devices/vgaPorts.ts';
import { bytePorts, noUnknowns, recorded } from './support.ts';

describe('debug ports', () => {
  it('keeps the last POST code and counts writes', () => {
    const post = createPostCode();
    expect(post.last()).toBeUndefined();
    bytePorts(post).out(0, 0x12, 0x34);
    expect([post.last(), post.count(), post.read(0, 1)]).toEqual([0x34, 2, 0x34]);
  });

  it('passes debug console bytes on and reads 0xe9', () => {
    const output = recorded<number>();
    const port = bytePorts(createDebugConsole({ output: output.call }));
    port.out(0, 0x41, 0x42);
    expect(output.heard).toEqual([0x41, 0x42]);
    expect(port.in(0)).toBe(0xe9);
  });

  it.each([
    [1, 0x78],
    [2, 0x5678],
    [4, 0xf2345678],
  ] as const)('exits with the value of a %i-byte write', (size, value) => {
    const exits = recorded<number>();
    createDebugExit({ exit: exits.call }).write(0, size, 0xf2345678);
    expect(exits.heard).toEqual([value]);
  });
});

describe('PCI configuration mechanism 1', () => {
  const CONFIG_ADDRESS = 0;
  const CONFIG_DATA = 4;
  const setUp = (unimplemented = noUnknowns) => {
    const chip = createPciConfig({ unimplemented });
    const select = (bus: number, device: number, register: number): void =>
      chip.write(CONFIG_ADDRESS, 4, (0x8000_0000 | (bus << 16) | (device << 11) | register) >>> 0);
    return { chip, select };
  };

  it('keeps CONFIG_ADDRESS across a 32-bit write and read, as the kernel probes it', () => {
    const { chip } = setUp();
    chip.write(3, 1, 0x01);
    chip.write(CONFIG_ADDRESS, 4, 0x8000_0000);
    expect(chip.read(CONFIG_ADDRESS, 4)).toBe(0x8000_0000);
  });

  it('lets byte accesses of CONFIG_ADDRESS pass, as a probe for mechanism 2 makes them', () => {
    const { chip } = setUp();
    chip.write(0, 1, 0x00);
    chip.write(2, 1, 0x00);
    expect([chip.read(0, 1), chip.read(2, 1)]).toEqual([0xff, 0xff]);
    expect(chip.read(CONFIG_ADDRESS, 4)).toBe(0);
  });

  it('has a host bridge 8086:1237 at 00:00.0', () => {
    const { chip, select } = setUp();
    select(0, 0, 0x00);
    expect(chip.read(CONFIG_DATA, 4)).toBe(0x1237_8086);
    expect(chip.read(CONFIG_DATA + 2, 2)).toBe(0x1237);
    select(0, 0, 0x08);
    expect(chip.read(CONFIG_DATA + 2, 2)).toBe(0x0600);
    select(0, 0, 0x0c);
    expect(chip.read(CONFIG_DATA + 2, 1)).toBe(0x00);
  });

  it.each([
    [0, 1],
    [1, 0],
  ])('reads all-ones from bus %i device %i, where nothing is', (bus, device) => {
    const { chip, select } = setUp();
    select(bus, device, 0);
    expect(chip.read(CONFIG_DATA, 4)).toBe(0xffff_ffff);
    expect(chip.read(CONFIG_DATA, 2)).toBe(0xffff);
  });

  it('reads all-ones while CONFIG_ADDRESS bit 31 is clear', () => {
    const { chip } = setUp();
    chip.write(CONFIG_ADDRESS, 4, 0);
    expect(chip.read(CONFIG_DATA, 4)).toBe(0xffff_ffff);
  });

  it('leaves read-only registers as they are: no base address register to size', () => {
    const { chip, select } = setUp();
    select(0, 0, 0x10);
    chip.write(CONFIG_DATA, 4, 0xffff_ffff);
    expect(chip.read(CONFIG_DATA, 4)).toBe(0);
  });

  it('writes the writable bits of the command register and leaves the others', () => {
    const { chip, select } = setUp();
    select(0, 0, 0x04);
    chip.write(CONFIG_DATA, 2, 0x0101);
    expect(chip.read(CONFIG_DATA, 2)).toBe(0x0106);
  });

  it('reads all-ones past the end of CONFIG_DATA', () => {
    const { chip, select } = setUp();
    select(0, 0, 0x00);
    expect(chip.read(CONFIG_DATA + 3, 2)).toBe(0xff12);
  });

  it('keeps the writable bits of the PAM registers', () => {
    const { chip, select } = setUp();
    select(0, 0, 0x58);
    chip.write(CONFIG_DATA + 1, 1, 0xff);
    expect(chip.read(CONFIG_DATA, 4)).toBe(0x3300);
  });

  it('reports a write to a chip register it does not model', () => {
    const said = recorded<string>();
    const { chip, select } = setUp(said.call);
    select(0, 0, 0x90);
    chip.write(CONFIG_DATA, 1, 0x01);
    expect(said.heard).toEqual(['pciConfig: write to host bridge register 0x90']);
  });
});

describe('VGA registers', () => {
  const CRTC_INDEX = 0x14;
  const CRTC_DATA = 0x15;
  const STATUS_1 = 0x1a;
  const setUp = (unimplemented = noUnknowns) => {
    const chip = createVgaPorts({ unimplemented });
    return { chip, ...bytePorts(chip) };
  };

  it('keeps CRTC registers: the cursor location', () => {
    const vga = setUp();
    vga.out(CRTC_INDEX, 0x0e);
    vga.out(CRTC_DATA, 0x07);
    vga.out(CRTC_INDEX, 0x0f);
    vga.out(CRTC_DATA, 0xd0);
    vga.out(CRTC_INDEX, 0x0e);
    expect(vga.in(CRTC_DATA)).toBe(0x07);
  });

  it('takes index and data in one 16-bit write', () => {
    const vga = setUp();
    vga.chip.write(CRTC_INDEX, 2, 0x5a0f);
    expect([vga.in(CRTC_INDEX), vga.in(CRTC_DATA)]).toEqual([0x0f, 0x5a]);
  });

  it('starts in text mode 3: 80 columns', () => {
    const vga = setUp();
    vga.out(CRTC_INDEX, 0x01);
    expect(vga.in(CRTC_DATA) + 1).toBe(80);
  });

  it('shows display and retrace alternately in input status 1', () => {
    const vga = setUp();
    expect([vga.in(STATUS_1), vga.in(STATUS_1), vga.in(STATUS_1)]).toEqual([0x09, 0x00, 0x09]);
  });

  it('alternates attribute index and data, and starts over after input status 1', () => {
    const vga = setUp();
    vga.in(STATUS_1);
    vga.out(0x00, 0x10, 0x41);
    vga.out(0x00, 0x11);
    vga.in(STATUS_1);
    vga.out(0x00, 0x10);
    expect(vga.in(0x01)).toBe(0x41);
  });

  it('steps through the palette by components', () => {
    const vga = setUp();
    vga.out(0x08, 2);
    vga.out(0x09, 1, 2, 3, 4);
    vga.out(0x07, 2);
    expect([vga.in(0x09), vga.in(0x09), vga.in(0x09), vga.in(0x09)]).toEqual([1, 2, 3, 4]);
  });

  it('reports a port that has no register', () => {
    const said = recorded<string>();
    const vga = setUp(said.call);
    expect(vga.in(0x1f)).toBe(0xff);
    expect(said.heard).toEqual(['vga: read of offset 0x1f']);
  });
});
