import { describe, expect, it } from 'vitest';
import { addressValue, choiceValue, countValue, seedValue, sizeValue } from '../../src/options/values.ts';

describe('a size', () => {
  it.each([
    ['0', 0],
    ['4096', 4096],
    ['1_000', 1000],
    ['4K', 4096],
    ['512M', 0x20000000],
    ['512m', 0x20000000],
    ['6G', 0x180000000],
    ['6GiB', 0x180000000],
    ['1T', 2 ** 40],
    ['0x20000000', 0x20000000],
    ['0x10M', 0x1000000],
  ])('%s is %d bytes', (text, bytes) => {
    expect(sizeValue('memory', text)).toBe(bytes);
  });

  it.each(['', 'M', '-1', '1.5G', '1e3', '512MB', '512 M', '0x', '0xg', '99999999T', '٣'])('is not %j', (text) => {
    expect(() => sizeValue('memory', text)).toThrow(/^--memory: '.*' is no size; write it as/);
  });
});

describe('an address', () => {
  it.each([
    ['0x1000000', 0x1000000],
    ['16M', 0x1000000],
    ['4G', 2 ** 32],
    ['1048576', 0x100000],
  ])('%s is %d', (text, address) => {
    expect(addressValue('load-at', text)).toBe(address);
  });
});

describe('a count', () => {
  it.each([
    ['1', 1n],
    ['5e9', 5_000_000_000n],
    ['1.5e3', 1500n],
    ['2G', 2_000_000_000n],
    ['2.5k', 2500n],
    ['1_000_000', 1_000_000n],
    ['9007199254740991', 2n ** 53n - 1n],
  ])('%s is %d', (text, count) => {
    expect(countValue('max-instructions', text)).toBe(count);
  });

  it.each(['0', '-1', '0.5', '1.2345', '0x10', '9007199254740992', '1e16', 'e9', ''])('is not %j', (text) => {
    expect(() => countValue('max-instructions', text)).toThrow(/^--max-instructions: '.*' is no count/);
  });
});

describe('a seed', () => {
  it.each([
    ['0', 0],
    ['0xff', 255],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ])('%s is %d', (text, seed) => {
    expect(seedValue('seed', text)).toBe(seed);
  });

  it.each(['1K', '1.5', '-1', '9007199254740992'])('is not %j', (text) => {
    expect(() => seedValue('seed', text)).toThrow(/is no whole number from 0/);
  });
});

describe('a choice', () => {
  it('is one of the words or numbers', () => {
    expect([choiceValue('until', 'b', ['a', 'b']), choiceValue('entry', '64', [32, 64])]).toEqual(['b', 64]);
  });

  it('names the choices when it is none of them', () => {
    expect(() => choiceValue('entry', '064', [32, 64])).toThrow("--entry: '064' is none of 32, 64");
  });
});
