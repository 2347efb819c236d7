// Read as kernels and dmidecode read them: the entry point, then structure by structure up to type 127.
import { describe, expect, it } from 'vitest';
import { viewOf } from '../../src/bits/cursor.ts';
import { GIB } from '../../src/bits/sizes.ts';
import { smbiosTables } from '../../src/boot/smbios.ts';

const BASE = 0xfc000;
const processor = { id: 0x0781_abfd_0001_06can, vendor: 'GenuineIntel', name: 'Firstlight max' };

type Structure = { type: number; bytes: Uint8Array; strings: string[] };

function read(memoryBytes: number) {
  const bytes = smbiosTables(BASE, { memoryBytes, processor });
  const view = viewOf(bytes);
  const sum = (from: number, to: number): number => bytes.subarray(from, to).reduce((a, b) => a + b, 0) & 0xff;
  const structures: Structure[] = [];
  const start = view.getUint32(0x18, true) - BASE;
  const end = start + view.getUint16(0x16, true);
  for (let at = start; at < end; ) {
    const length = bytes[at + 1] as number;
    let behind = at + length;
    while (bytes[behind] || bytes[behind + 1]) behind++;
    const text = new TextDecoder().decode(bytes.subarray(at + length, behind));
    const strings = text === '' ? [] : text.split('\0');
    structures.push({ type: bytes[at] as number, bytes: bytes.subarray(at, at + length), strings });
    at = behind + 2;
  }
  return { bytes, view, sum, structures, size: end };
}

const only = (structures: readonly Structure[], type: number): Structure =>
  structures.find((one) => one.type === type) as Structure;

describe('the SMBIOS entry point', () => {
  it('has both checksums right and leads to all structures', () => {
    const { bytes, view, sum, structures, size } = read(512 << 20);
    expect(new TextDecoder().decode(bytes.subarray(0, 4))).toBe('_SM_');
    expect([sum(0, 0x1f), sum(0x10, 0x1f)]).toEqual([0, 0]);
    expect(structures.map(({ type }) => type)).toEqual([0, 1, 2, 3, 4, 16, 17, 19, 32, 127]);
    expect(view.getUint16(0x1c, true)).toBe(structures.length);
    expect(size).toBe(bytes.length);
  });
});

describe('SMBIOS structures', () => {
  it('have handles of their own', () => {
    const { structures } = read(5 * GIB);
    const handles = structures.map(({ bytes }) => viewOf(bytes).getUint16(2, true));
    expect(new Set(handles).size).toBe(structures.length);
  });

  it('name the machine and its processor', () => {
    const { structures } = read(512 << 20);
    expect(only(structures, 1).strings).toEqual(['Firstlight', 'Virtual PC', '1.0']);
    const cpu = only(structures, 4);
    expect(cpu.strings).toEqual(['CPU 0', 'GenuineIntel', 'Firstlight max']);
    expect(viewOf(cpu.bytes).getBigUint64(8, true)).toBe(processor.id);
  });

  it.each([
    [16 << 20, 16, [[0, 16 * 1024 - 1]]],
    [
      5 * GIB,
      5 * 1024,
      [
        [0, 3 * 2 ** 20 - 1],
        [4 * 2 ** 20, 6 * 2 ** 20 - 1],
      ],
    ],
  ])('tell %d bytes of memory and where they are', (bytes, mebibytes, ranges) => {
    const { structures } = read(bytes);
    expect(viewOf(only(structures, 17).bytes).getUint16(0x0c, true)).toBe(mebibytes);
    expect(viewOf(only(structures, 16).bytes).getUint32(7, true)).toBe(bytes / 1024);
    const mapped = structures.filter(({ type }) => type === 19).map((one) => viewOf(one.bytes));
    expect(mapped.map((view) => [view.getUint32(4, true), view.getUint32(8, true)])).toEqual(ranges);
  });
});
