import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/bits/errors.ts';
import { listed, parseKernelRelocs } from '../../src/image/kernelRelocs.ts';
import { wordsOf } from '../audit/vmlinux/support.ts';

const signed = (list: Int32Array): number[] => [...list].map((low) => low >>> 0);

describe('the relocation table behind a kernel', () => {
  it('has three lists in kernels with per-CPU variables linked at 0', () => {
    const relocs = parseKernelRelocs(wordsOf([0, 0x81000010, 0, 0x81000020, 0, 0x81000040, 0x81000030]), 0);
    expect(signed(relocs.abs64)).toEqual([0x81000010]);
    expect(signed(relocs.inverse32)).toEqual([0x81000020]);
    expect(signed(relocs.abs32)).toEqual([0x81000030, 0x81000040]);
  });

  it('has two lists in later kernels', () => {
    const relocs = parseKernelRelocs(wordsOf([0, 0x81000010, 0, 0x81000020]), 0);
    expect(signed(relocs.abs64)).toEqual([0x81000010]);
    expect(signed(relocs.abs32)).toEqual([0x81000020]);
    expect(relocs.inverse32.length).toBe(0);
  });

  it('may have empty lists', () => {
    expect(parseKernelRelocs(wordsOf([0, 0, 0]), 0).abs32.length).toBe(0);
  });

  it('starts where the ELF file ends, aligned or not', () => {
    const bytes = Uint8Array.of(1, 2, 3, ...wordsOf([0, 0, 0x81000020]));
    expect(signed(parseKernelRelocs(bytes, 3).abs32)).toEqual([0x81000020]);
  });

  it.each([
    ['nothing', []],
    ['one list', [0, 0x81000010]],
    ['four lists', [0, 0, 0, 0]],
    ['no zero first', [0x81000010, 0, 0]],
  ])('is refused with %s', (_, words) => {
    expect(() => parseKernelRelocs(wordsOf(words), 0)).toThrow(InputError);
  });

  it('is refused where it ends within a word', () => {
    expect(() => parseKernelRelocs(Uint8Array.of(...wordsOf([0, 0]), 1), 0)).toThrow(InputError);
  });
});

describe('looking up an address', () => {
  const list = Int32Array.of(-30, -20, -10);

  it('finds each that is listed', () => {
    expect([-30, -20, -10].map((at) => listed(list, at))).toEqual([true, true, true]);
  });

  it('finds none beside or between them', () => {
    expect([-31, -25, -9].map((at) => listed(list, at))).toEqual([false, false, false]);
    expect(listed(new Int32Array(), 0)).toBe(false);
  });
});
