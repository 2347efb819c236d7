import { describe, expect, it } from 'vitest';
import { putU16, putU32 } from '../../src/bits/cursor.ts';
import { InputError } from '../../src/bits/errors.ts';
import { certificateDirectory, parsePe } from '../../src/image/pe.ts';
import { CERTIFICATE_ENTRY, COFF, healthyImage, OPTIONAL, PE_OFFSET, SECTION_TABLE } from '../audit/header/healthy.ts';

describe('a PE image', () => {
  it('gives headers, sections and directories', () => {
    const pe = parsePe(healthyImage());
    expect(pe).toMatchObject({
      headerOffset: PE_OFFSET,
      plus: true,
      imageBase: 0n,
      fields: { Machine: 0x8664, AddressOfEntryPoint: 0x5800, SizeOfImage: 0x9000, Subsystem: 10 },
      sectionTable: { fileOffset: SECTION_TABLE, size: 160 },
    });
    expect(pe?.sections.map((s) => s.name)).toEqual(['.setup', '.compat', '.text', '.data']);
    expect(pe?.sections[2]).toMatchObject({ virtualAddress: 0x3000, rawOffset: 0x3000, characteristics: 0x60000020 });
    expect(pe?.directories).toHaveLength(6);
  });

  it('names where each field stands', () => {
    expect(parsePe(healthyImage())?.places.Subsystem).toEqual({ fileOffset: OPTIONAL + 68, size: 2 });
  });

  it('is signed where the fifth directory entry is filled', () => {
    const image = healthyImage();
    const before = parsePe(image);
    putU32(image, CERTIFICATE_ENTRY, 0x7000);
    putU32(image, CERTIFICATE_ENTRY + 4, 0x10);
    const after = parsePe(image);
    expect(before && certificateDirectory(before)).toBeUndefined();
    expect(after && certificateDirectory(after)).toMatchObject({ address: 0x7000, size: 0x10 });
  });

  it('reads the shorter header of 32-bit images', () => {
    const image = healthyImage();
    putU16(image, OPTIONAL, 0x10b);
    putU32(image, OPTIONAL + 28, 0x400000);
    putU32(image, OPTIONAL + 92, 1000);
    const pe = parsePe(image);
    expect(pe).toMatchObject({ plus: false, imageBase: 0x400000n });
    // No more than there is room for before the section table, and no more than 16.
    expect(pe?.directories).toHaveLength(8);
  });

  it('is none without "MZ"', () => {
    expect(parsePe(healthyImage({ pe: false }))).toBeUndefined();
    expect(parsePe(new Uint8Array())).toBeUndefined();
  });

  it.each([
    ['cut within its headers', (image: Uint8Array) => image.subarray(0, OPTIONAL + 60)],
    ['cut within its section table', (image: Uint8Array) => image.subarray(0, SECTION_TABLE + 50)],
    ['cut after "MZ"', (image: Uint8Array) => image.subarray(0, 2)],
    [
      'said to have thousands of sections',
      (image: Uint8Array) => {
        putU16(image, COFF + 2, 0xffff);
        return image;
      },
    ],
  ])('that is %s is refused', (_, cut) => {
    expect(() => parsePe(cut(healthyImage()))).toThrow(InputError);
  });
});
