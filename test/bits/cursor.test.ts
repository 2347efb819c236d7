import { describe, expect, it } from 'vitest';
import { inside, putU16, putU32, putU64, readerOf } from '../../src/bits/cursor.ts';
import { InputError } from '../../src/bits/errors.ts';
import { bytesOfHex, hex, hexBytes } from '../../src/bits/hex.ts';
import { cString } from '../../src/bits/text.ts';

describe('a reader', () => {
  // A window in the middle of a larger buffer, as Node's file buffers are.
  const reader = readerOf(bytesOfHex('ee 01 02 03 04 05 06 07 88 ee').subarray(1, 9), 'the file');

  it('reads little-endian values of its own window', () => {
    expect(reader.u8(7)).toBe(0x88);
    expect(reader.u16(0)).toBe(0x0201);
    expect(reader.u32(4)).toBe(0x88070605);
    expect(reader.u64(0)).toBe(0x8807060504030201n);
    expect(hexBytes(reader.slice(2, 2))).toBe('03 04');
  });

  it.each<[string, () => unknown]>([
    ['a byte behind the end', () => reader.u8(8)],
    ['a word across the end', () => reader.u16(7)],
    ['a quadword across the end', () => reader.u64(1)],
    ['a slice across the end', () => reader.slice(4, 5)],
    ['a negative offset', () => reader.u8(-1)],
    ['an offset that is no integer', () => reader.u32(0.5)],
    ['a size beyond 2^53', () => reader.size64(0, 'sh_size')],
  ])('refuses %s as the fault of the file', (_, read) => {
    expect(read).toThrow(InputError);
  });

  it('says what ended, and where', () => {
    expect(() => reader.u32(6)).toThrow('the file ends at 0x8, but 4 bytes are needed at 0x6');
  });
});

describe('inside', () => {
  it('is exact at the limit and safe against sums that overflow', () => {
    expect(inside(4, 4, 8)).toBe(true);
    expect(inside(4, 5, 8)).toBe(false);
    expect(inside(Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, 8)).toBe(false);
    expect(inside(8, 0, 8)).toBe(true);
    expect(inside(9, 0, 8)).toBe(false);
  });
});

describe('writing', () => {
  it('is little-endian', () => {
    const bytes = new Uint8Array(14);
    putU16(bytes, 0, 0x0102);
    putU32(bytes, 2, 0x03040506);
    putU64(bytes, 6, 0x0708090a0b0c0d0en);
    expect(hexBytes(bytes)).toBe('02 01 06 05 04 03 0e 0d 0c 0b 0a 09 08 07');
  });
});

describe('hexadecimal text', () => {
  it('goes both ways', () => {
    expect(hex(0x1f1)).toBe('0x1f1');
    expect(hex(0x1fn, 4)).toBe('0x001f');
    expect(hexBytes(bytesOfHex('488d 35'))).toBe('48 8d 35');
    expect(() => bytesOfHex('48 8')).toThrow(RangeError);
  });
});

describe('cString', () => {
  it('ends at the NUL, and is none without one', () => {
    const bytes = new TextEncoder().encode('ab\0cd');
    expect(cString(bytes, 0, 10)).toBe('ab');
    expect(cString(bytes, 3, 10)).toBeUndefined();
    expect(cString(bytes, 0, 2)).toBeUndefined();
    expect(cString(bytes, 99, 10)).toBeUndefined();
  });
});
