import { describe, expect, it } from 'vitest';
import { listSymbols, symbolLines } from '../../src/image/nm.ts';
import { putU16, putU32, putU64 } from '../../src/bits/cursor.ts';
import { concat, makeElf } from './synthetic.ts';

const GLOBAL_FUNC = 0x12;
const LOCAL_OBJECT = 0x01;
const WEAK_FUNC = 0x22;
const WEAK_OBJECT = 0x21;
const SHN_ABS = 0xfff1;

describe('symbols as nm lists them', () => {
  it('are those that are defined, by address', () => {
    const elf = makeElf({
      symbols: [
        { name: 'last', address: 0x30n, info: GLOBAL_FUNC, section: SHN_ABS },
        { name: 'undefined', address: 0x40n, section: 0 },
        { name: 'local', address: 0x10n, info: LOCAL_OBJECT, section: 1 },
        { name: 'weak', address: 0x20n, info: WEAK_FUNC },
        { name: 'weak_data', address: 0x20n, info: WEAK_OBJECT },
        { name: '', address: 0x50n },
        { name: 'two words', address: 0x60n },
      ],
    });
    expect(symbolLines(listSymbols(elf) ?? [])).toEqual([
      '0000000000000010 r local',
      '0000000000000020 W weak',
      '0000000000000020 V weak_data',
      '0000000000000030 A last',
    ]);
  });

  it.each([
    ['code', 1, 6n, 'T'],
    ['memory without bytes in the file', 8, 3n, 'B'],
    ['data', 1, 3n, 'D'],
    ['data that is only read', 1, 2n, 'R'],
  ])('are told by what their section is: %s', (_what, type, flags, letter) => {
    const section = new Uint8Array(64);
    putU32(section, 4, type);
    putU64(section, 8, flags);
    const symbols = [{ name: 'here', address: 0x10n, info: GLOBAL_FUNC, section: 3 }];
    const elf = concat([makeElf({ symbols }), section]);
    putU16(elf, 60, 4);
    expect(listSymbols(elf)?.map((symbol) => symbol.letter)).toEqual([letter]);
  });

  it('are none in a file without a symbol table', () => {
    expect(listSymbols(makeElf())).toBeUndefined();
  });
});
