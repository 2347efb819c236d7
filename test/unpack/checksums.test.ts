import { describe, expect, it } from 'vitest';
import { crc32 } from '../../src/bits/crc32.ts';
import { adler32, crc32Forward, crc64 } from '../../src/unpack/checksums.ts';
import { xxh32, xxh64Low } from '../../src/unpack/xxhash.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The text that catalogues of checksums give the check value of. */
const CHECK = bytes('123456789');

describe('checksums', () => {
  it('have the check values of their catalogues', () => {
    expect(crc32(CHECK)).toBe(0xcbf4_3926);
    expect(crc32Forward(CHECK)).toBe(0xfc89_1918);
    expect(crc64(CHECK)).toBe(0x995d_c9bb_df19_39fan);
    expect(adler32(bytes('Wikipedia'))).toBe(0x11e6_0398);
  });

  it('take the sums of adler32 below its modulus in time', () => {
    expect(adler32(new Uint8Array(20_000).fill(0xff))).toBe(adlerByByte(new Uint8Array(20_000).fill(0xff)));
  });
});

describe('xxHash', () => {
  // xxHash's own documentation and its Python binding give these.
  it('of nothing, and of a text with stripes and a tail', () => {
    const text = bytes('Nobody inspects the spammish repetition');
    expect(xxh32(bytes(''))).toBe(0x02cc_5d05);
    expect(xxh32(text)).toBe(0xe229_3b2f);
    expect(xxh64Low(bytes(''))).toBe(0x51d8_e999);
    expect(xxh64Low(text)).toBe(0x8a37_8bf1);
  });
});

function adlerByByte(bytes: Uint8Array): number {
  let [sum, sums] = [1, 0];
  for (const byte of bytes) {
    sum = (sum + byte) % 65521;
    sums = (sums + sum) % 65521;
  }
  return ((sums << 16) | sum) >>> 0;
}
