import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/bits/errors.ts';
import { Fields } from '../../src/bits/fields.ts';
import { decodePlain, encodePlain, type Plain } from '../../src/bits/plain.ts';
import { random } from '../support/random.ts';

const TREE: Plain = {
  nothing: [undefined, null],
  yes: true,
  no: false,
  numbers: [0, -1, 1.5, 2 ** 53, Number.NaN],
  large: [0n, -5n, 1n << 200n],
  text: ['', 'ÿ€😀', 'a'.repeat(5000)],
  bytes: [new Uint8Array(), Uint8Array.from({ length: 5000 }, (_, i) => i & 0xff)],
  deep: [[[{ '': {} }]]],
  ['__proto__']: 'a field like any other',
};

/** What is thrown must be an InputError. */
function fateOf(bytes: Uint8Array): string {
  try {
    decodePlain(bytes);
    return 'read';
  } catch (error) {
    if (error instanceof InputError) return 'refused';
    throw error;
  }
}

describe('plain data as bytes', () => {
  it('are the same data again', () => {
    expect(decodePlain(encodePlain(TREE))).toEqual(TREE);
  });

  it('hold byte arrays of their own', () => {
    const bytes = encodePlain([Uint8Array.of(1, 2, 3)]);
    const value = decodePlain(bytes);
    bytes.fill(0);
    expect(value).toEqual([Uint8Array.of(1, 2, 3)]);
  });

  it.each([
    ['nothing', []],
    ['an unknown kind', [99]],
    ['bytes behind the end', [1, 1]],
    ['a text longer than all', [6, 255, 255, 255, 255]],
    ['a list longer than all', [8, 255, 255, 255, 127, 0]],
    ['a number that is none', [5, 2, 0, 0, 0, 0x31, 0x78]],
    ['lists without end', Array.from({ length: 200 }, () => [8, 1, 0, 0, 0]).flat()],
  ])('are refused where they are damaged: %s', (_what, bytes) => {
    expect(() => decodePlain(Uint8Array.from(bytes))).toThrow(InputError);
  });

  it('are refused or read, wherever they are mutilated', () => {
    const good = encodePlain(TREE);
    const source = random(2n);
    const fates = new Set<string>();
    for (let i = 0; i < 2000; i++) {
      const bytes = good.slice(0, source.below(5) ? good.length : source.below(good.length));
      for (let j = source.below(4); j >= 0; j--) bytes[source.below(Math.max(1, bytes.length))] = source.below(256);
      fates.add(fateOf(bytes));
    }
    expect([...fates].sort()).toEqual(['read', 'refused']);
  });
});

describe('fields of plain data', () => {
  const fields = new Fields({ n: 5, big: 5n, text: 'abc', list: [1, 2], bytes: new Uint8Array(8) }, 'the thing');

  it('are read where they fit', () => {
    expect(fields.number('n', 0, 5)).toBe(5);
    expect(fields.bigint('big', 0n, 5n)).toBe(5n);
    expect(fields.text('text', 3)).toBe('abc');
    expect(fields.numbers('list', 2, 1, 2)).toEqual([1, 2]);
    expect(fields.bytes('bytes', 8, 4)).toHaveLength(8);
    expect(fields.choice('n', [4, 5])).toBe(5);
  });

  it.each<[string, () => unknown]>([
    ['out of range', () => fields.number('n', 0, 4)],
    ['of another kind', () => fields.number('big', 0, 9)],
    ['not there', () => fields.number('none', 0, 9)],
    ['of the prototype', () => fields.any('toString') ?? fields.text('toString', 9)],
    ['too long', () => fields.text('text', 2)],
    ['no choice', () => fields.choice('n', [1, 2])],
    ['with an item out of range', () => fields.numbers('list', 2, 2, 2)],
    ['of no whole units', () => fields.bytes('bytes', 8, 3)],
    ['no object', () => fields.object('list')],
  ])('are refused where they are %s', (_what, read) => {
    expect(read).toThrow(/^the thing: '\w+' cannot be right$/);
  });
});
