// The tables are read as an operating system reads them: RSDP, XSDT, FADT, DSDT. How the bytes are to look was checked
// with ACPICA's disassembler, iasl 20200925, which takes all of them without a warning.
import { describe, expect, it } from 'vitest';
import { acpiTables } from '../../src/boot/acpi.ts';
import { device, eisaId, integer, isaIrq, name, resources, scope } from '../../src/boot/aml.ts';
import { viewOf } from '../../src/bits/cursor.ts';
import { PORTS } from '../../src/devices/ports.ts';

const BASE = 0xf0000;

function built(apic = false) {
  const { bytes, rsdp } = acpiTables(BASE, apic);
  const view = viewOf(bytes);
  const at = (address: number, size: number): Uint8Array => bytes.subarray(address - BASE, address - BASE + size);
  const text = (address: number, size: number): string => new TextDecoder().decode(at(address, size));
  const u16 = (address: number): number => view.getUint16(address - BASE, true);
  const u32 = (address: number): number => view.getUint32(address - BASE, true);
  const u64 = (address: number): number => Number(view.getBigUint64(address - BASE, true));
  const sum = (address: number, size: number): number => at(address, size).reduce((a, b) => a + b, 0) & 0xff;
  const xsdt = u64(rsdp + 24);
  const listed = Array.from({ length: (u32(xsdt + 4) - 36) / 8 }, (_, i) => u64(xsdt + 36 + 8 * i));
  const fadt = listed.find((address) => text(address, 4) === 'FACP') as number;
  return { bytes, rsdp, at, text, u16, u32, u64, sum, xsdt, rsdt: u32(rsdp + 16), listed, fadt };
}

describe('the RSDP', () => {
  it('is where the search of the BIOS area looks, with both checksums right', () => {
    const { rsdp, text, sum } = built();
    expect(rsdp % 16).toBe(0);
    expect([text(rsdp, 8), sum(rsdp, 20), sum(rsdp, 36)]).toEqual(['RSD PTR ', 0, 0]);
  });

  it('leads to an RSDT and an XSDT that list the same tables', () => {
    const { u32, rsdt, listed, text, xsdt } = built(true);
    expect([text(rsdt, 4), text(xsdt, 4)]).toEqual(['RSDT', 'XSDT']);
    expect(listed.map((_, i) => u32(rsdt + 36 + 4 * i))).toEqual(listed);
  });
});

describe('every table', () => {
  it.each([false, true])('adds up to zero and lies inside (APIC: %s)', (apic) => {
    const { bytes, xsdt, rsdt, listed, fadt, u32, u64, sum } = built(apic);
    for (const table of [xsdt, rsdt, ...listed, u64(fadt + 140)]) {
      const length = u32(table + 4);
      expect(table + length).toBeLessThanOrEqual(BASE + bytes.length);
      expect(sum(table, length)).toBe(0);
    }
    expect(bytes.length).toBeLessThan(0x10000);
  });

  it('is named', () => {
    const names = (apic: boolean): string[] => {
      const { listed, text } = built(apic);
      return listed.map((address) => text(address, 4));
    };
    expect([names(false), names(true)]).toEqual([
      ['FACP', 'HPET'],
      ['FACP', 'APIC', 'HPET'],
    ]);
  });
});

describe('the FADT', () => {
  it('says the same in its 32-bit and 64-bit fields', () => {
    const { fadt, u32, u64 } = built();
    expect(u64(fadt + 140)).toBe(u32(fadt + 40));
    const blocks: readonly (readonly [narrow: number, wide: number])[] = [
      [56, 148],
      [64, 172],
      [76, 208],
    ];
    for (const [narrow, wide] of blocks) expect(u64(fadt + wide + 4)).toBe(u32(fadt + narrow));
  });

  it('names the registers of the power management chip and of the reset control', () => {
    const { fadt, u16, u32, u64, at } = built();
    expect([56, 64, 76].map((offset) => u32(fadt + offset))).toEqual([0x600, 0x604, 0x608]);
    expect([u16(fadt + 46), u64(fadt + 120), at(fadt + 128, 1)[0]]).toEqual([9, PORTS.resetControl.base, 6]);
  });

  it('has no SMI command port, which says that ACPI mode is on already', () => {
    const { fadt, u32 } = built();
    expect(u32(fadt + 48)).toBe(0);
  });

  it('leads to an aligned FACS and to the DSDT', () => {
    const { fadt, u32, text } = built();
    expect([text(u32(fadt + 36), 4), u32(fadt + 36) % 64, text(u32(fadt + 40), 4)]).toEqual(['FACS', 0, 'DSDT']);
  });
});

describe('the DSDT', () => {
  const { fadt, u32, at } = built();
  const dsdt = Buffer.from(at(u32(fadt + 40), u32(u32(fadt + 40) + 4)));

  it('has \\_S5 with the type that the control register takes', () => {
    const s5 = [0x08, 0x5c, ...Buffer.from('_S5_'), 0x12, 0x08, 0x04, 0x0a, 0x05, 0x0a, 0x05, 0x00, 0x00];
    expect(dsdt.includes(Buffer.from(s5))).toBe(true);
  });

  it('has the serial port at 0x3f8 on interrupt 4', () => {
    const com1 = dsdt.subarray(dsdt.indexOf('COM1'));
    expect(com1.includes(Buffer.from([0x47, 1, 0xf8, 3, 0xf8, 3, 1, 8, 0x22, 0x10, 0, 0x79, 0]))).toBe(true);
  });

  it.each([
    ['RPIC', [10, 11]],
    ['RAPI', [16, 17, 18, 19]],
  ])('routes INTA of every slot in %s, to inputs %j', (table, inputs) => {
    // Name, Package of 31, and of each package of four: address, pin, source, and its last byte, the input.
    const start = dsdt.indexOf(table);
    expect([dsdt[start + 4], dsdt[start + 7]]).toEqual([0x12, 31]);
    for (let slot = 1; slot < 32; slot++) {
      const entry = [0x12, 0x0b, 4, 0x0c, 0xff, 0xff, slot, 0, 0, 0, 0x0a];
      const at = dsdt.indexOf(Buffer.from(entry), start);
      expect(dsdt[at + entry.length]).toBe(inputs[slot % inputs.length]);
    }
  });

  it('gives the one or the other as the system says by \\_PIC', () => {
    const pic = [0x14, 0x0e, 0x5c, ...Buffer.from('_PIC'), 1, 0x70, 0x68, 0x5c, ...Buffer.from('PICM')];
    expect(dsdt.includes(Buffer.from(pic))).toBe(true);
    const chosen = [
      0xa0,
      0x0b,
      0x5c,
      ...Buffer.from('PICM'),
      0xa4,
      ...Buffer.from('RAPI'),
      0xa4,
      ...Buffer.from('RPIC'),
    ];
    expect(dsdt.includes(Buffer.from(['_PRT', '\0'].join('')))).toBe(true);
    expect(dsdt.includes(Buffer.from(chosen))).toBe(true);
  });
});

describe('the encoder', () => {
  it('writes integers as short as they go', () => {
    expect([0, 1, 2, 0x100, 0x1_0000, 0xffff_ffff].map((value) => integer(value))).toEqual([
      [0],
      [1],
      [0x0a, 2],
      [0x0b, 0, 1],
      [0x0c, 0, 0, 1, 0],
      [0x0c, 0xff, 0xff, 0xff, 0xff],
    ]);
  });

  it('compresses EISA names', () => {
    expect(eisaId('PNP0A03')).toEqual([0x0c, 0x41, 0xd0, 0x0a, 0x03]);
    expect(eisaId('PNP0501')).toEqual([0x0c, 0x41, 0xd0, 0x05, 0x01]);
  });

  it('fills names up, and counts a length with itself', () => {
    expect(device('RTC', [name('_UID', integer(0))])).toEqual([
      ...[0x5b, 0x82, 0x0b],
      ...Buffer.from('RTC_'),
      0x08,
      ...Buffer.from('_UID'),
      0,
    ]);
  });

  it.each([
    [62, [63]],
    [63, [0x41, 0x04]],
    [4093, [0x4f, 0xff]],
    [4094, [0x81, 0x00, 0x01]],
  ])('writes the length of %d bytes', (count, expected) => {
    const bytes = scope('_SB', [Array.from({ length: count - 4 }, () => 0)]);
    expect(bytes.slice(1, 1 + expected.length)).toEqual(expected);
  });

  it('ends resources with a tag', () => {
    expect(resources(isaIrq(4))).toEqual([0x11, 0x08, 0x0a, 0x05, 0x22, 0x10, 0x00, 0x79, 0x00]);
  });
});
