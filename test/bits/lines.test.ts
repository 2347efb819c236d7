import { describe, expect, it } from 'vitest';
import { rowsOf, tableRows, wrapped } from '../../src/bits/lines.ts';

describe('wrapping', () => {
  it('breaks between words', () => {
    expect(wrapped('one two three four', 9)).toEqual(['one two', 'three', 'four']);
  });

  it('fills a line to the last column', () => {
    expect(wrapped('one two three', 7)).toEqual(['one two', 'three']);
  });

  it('does not tear what stands in backquotes', () => {
    expect(wrapped('see (`mov $1,%rax`), then', 12)).toEqual(['see', '(`mov $1,%rax`),', 'then']);
  });

  it('lets a long word stand alone', () => {
    expect(wrapped('a bbbbbbbbbb c', 4)).toEqual(['a', 'bbbbbbbbbb', 'c']);
  });
});

describe('a line', () => {
  it('is indented, its further rows more', () => {
    expect(rowsOf({ text: 'one two three', indent: 2, hanging: 1 }, 10)).toEqual(['  one two', '   three']);
  });

  it('stays whole as the row of a table', () => {
    expect(rowsOf({ text: 'one  two', indent: 1, whole: true }, 4)).toEqual([' one  two']);
  });

  it('may be blank', () => {
    expect(rowsOf({ text: '', indent: 4 })).toEqual(['']);
  });
});

describe('a table', () => {
  it('has its columns under each other and no blanks at the ends', () => {
    expect(
      tableRows([
        ['a', 'bbb', 'c'],
        ['aa', 'b', ''],
      ]),
    ).toEqual(['a   bbb  c', 'aa  b']);
  });
});
