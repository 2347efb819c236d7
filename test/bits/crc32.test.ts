import { crc32 as zlibCrc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { crc32, crc32Register } from '../../src/bits/crc32.ts';
import { randomOf } from '../image/synthetic.ts';

describe('CRC-32', () => {
  it('is the check value of the catalogues for "123456789"', () => {
    expect(crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf43926);
  });

  it('is that of zlib for every length and alignment', () => {
    const random = randomOf(1);
    const bytes = Uint8Array.from({ length: 64 }, () => random(256));
    for (let start = 0; start < 8; start++) {
      for (let end = start; end <= bytes.length; end++) {
        const piece = bytes.subarray(start, end);
        expect(crc32(piece)).toBe(zlibCrc32(piece));
      }
    }
  });

  it('goes on where it stopped', () => {
    const bytes = new TextEncoder().encode('the quick brown fox');
    const whole = crc32Register(bytes);
    expect(crc32Register(bytes.subarray(7), crc32Register(bytes.subarray(0, 7)))).toBe(whole);
  });
});
