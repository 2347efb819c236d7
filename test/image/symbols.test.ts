import { describe, expect, it } from 'vitest';
import { putU32, putU64 } from '../../src/bits/cursor.ts';
import { InputError } from '../../src/bits/errors.ts';
import { parseSymbols, symbolAt, symbolText, systemMapSymbols } from '../../src/image/symbols.ts';
import { makeElf } from './synthetic.ts';

const STUB = [
  { name: 'paging_prepare', address: 0x1000n, size: 0x100n },
  { name: 'trampoline_32bit_src', address: 0x2000n, info: 0x10 },
  { name: 'local_label', address: 0x1000n, info: 0x00 },
  { name: '_end', address: 0x3000n, info: 0x10 },
];

describe('symbols of an ELF file', () => {
  const table = parseSymbols(makeElf({ symbols: STUB }));

  it('names an address within a function, with the offset', () => {
    expect(symbolAt(table, 0x1010)).toEqual({ name: 'paging_prepare', offset: 0x10 });
  });

  it('does not stretch a symbol beyond its size', () => {
    expect(symbolAt(table, 0x10ff)).toEqual({ name: 'paging_prepare', offset: 0xff });
    expect(symbolAt(table, 0x1100)).toBeUndefined();
  });

  it('stretches a label without size up to the next symbol', () => {
    expect(symbolAt(table, 0x2fff)).toEqual({ name: 'trampoline_32bit_src', offset: 0xfff });
    expect(symbolAt(table, 0x3000)).toEqual({ name: '_end', offset: 0 });
  });

  it('knows nothing below the first symbol and far behind the last', () => {
    expect(symbolAt(table, 0xfff)).toBeUndefined();
    expect(symbolAt(table, 0x3000n + (1n << 20n))).toBeUndefined();
  });

  it('prefers a function to a label at the same address', () => {
    expect(table.symbols.map((s) => s.name)).toEqual(['paging_prepare', 'trampoline_32bit_src', '_end']);
  });

  it('leaves out undefined, absolute, section and file symbols', () => {
    const symbols = [
      ...STUB,
      { name: 'undefined', address: 0x1800n, section: 0 },
      { name: 'absolute', address: 0x1801n, section: 0xfff1 },
      { name: 'section', address: 0x1802n, info: 3 },
      { name: 'file.c', address: 0x1803n, info: 4 },
    ];
    expect(parseSymbols(makeElf({ symbols })).symbols).toHaveLength(3);
  });

  it('are refused where the file is stripped', () => {
    expect(() => parseSymbols(makeElf())).toThrow(/stripped/);
  });

  it.each([
    ['the table beyond the file', (b: Uint8Array, at: number) => putU64(b, at + 64 + 24, 0x100000n), /ends at/],
    ['names in a missing section', (b: Uint8Array, at: number) => putU32(b, at + 64 + 40, 9), /section 9/],
    ['entries of a wrong size', (b: Uint8Array, at: number) => putU64(b, at + 64 + 56, 16n), /entries of 16 bytes/],
  ])('are refused with %s', (_, change, message) => {
    const bytes = makeElf({ symbols: STUB });
    change(bytes, bytes.length - 3 * 64);
    expect(() => parseSymbols(bytes)).toThrow(InputError);
    expect(() => parseSymbols(bytes)).toThrow(message);
  });
});

describe('symbols of System.map text', () => {
  const text = [
    '0000000000000000 A fixed_percpu_data',
    'ffffffff81000000 T startup_64',
    'ffffffff81000000 t local_twin',
    'ffffffff81000040 T _text_later',
    'ffffffff81000080 t module_thing\t[module]',
    '',
  ].join('\n');

  it('come sorted, without absolute ones', () => {
    expect(systemMapSymbols(text).symbols.map((s) => [s.address, s.name])).toEqual([
      [0xffffffff81000000n, 'startup_64'],
      [0xffffffff81000040n, '_text_later'],
      [0xffffffff81000080n, 'module_thing'],
    ]);
  });

  it('are told from an ELF file by the magic', () => {
    const hit = symbolAt(parseSymbols(new TextEncoder().encode(text)), 0xffffffff81000044n);
    expect(hit).toEqual({ name: '_text_later', offset: 4 });
  });

  it('name the line that is none', () => {
    expect(() => systemMapSymbols('ffffffff81000000 T a\nffp T b\n')).toThrow(/line 2 of the symbols file/);
  });

  it('are refused where there are none', () => {
    expect(() => systemMapSymbols('\n')).toThrow(/no symbols/);
  });
});

describe('symbolText', () => {
  it('prints as objdump does', () => {
    expect(symbolText({ name: 'main', offset: 0 })).toBe('main');
    expect(symbolText({ name: 'main', offset: 28 })).toBe('main+0x1c');
  });
});
