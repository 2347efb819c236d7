import { describe, expect, it } from 'vitest';
import { countText, instructionsText, sizeText, timeText } from '../../src/report/numbers.ts';

describe('a count', () => {
  it.each([
    [0, '0'],
    [999, '999'],
    [1000, '1,000'],
    [1_234_567, '1,234,567'],
    [20_000_000_000n, '20,000,000,000'],
  ])('%d is %s', (value, text) => {
    expect(countText(value)).toBe(text);
  });

  it('of instructions has its singular', () => {
    expect([0n, 1n, 2666n].map(instructionsText)).toEqual(['0 instructions', '1 instruction', '2,666 instructions']);
  });
});

describe('guest time', () => {
  it.each([
    [0n, '0 ns'],
    [999n, '999 ns'],
    [1000n, '1.000 us'],
    [2666n, '2.666 us'],
    [999_999n, '999.999 us'],
    [1_234_567n, '1.234 ms'],
    [1_999_999_999n, '1.999 s'],
    [3_600_000_000_001n, '3600.000 s'],
  ])('%d ns is %s', (ns, text) => {
    expect(timeText(ns)).toBe(text);
  });
});

describe('a size', () => {
  it.each([
    [0, '0 bytes'],
    [1000, '1,000 bytes'],
    [102400, '100 KiB'],
    [512 * 2 ** 20, '512 MiB'],
    [6 * 2 ** 30, '6 GiB'],
    [1025 * 2 ** 20, '1,025 MiB'],
    [5000 * 2 ** 40, '5,000 TiB'],
  ])('%d is %s', (bytes, text) => {
    expect(sizeText(bytes)).toBe(text);
  });
});
