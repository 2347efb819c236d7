import { describe, expect, it } from 'vitest';
import { inflate } from '../../src/unpack/inflate.ts';
import { append, outputOf, written } from '../../src/unpack/output.ts';

/** One last block with the fixed codes: a match of 3 bytes at distance 1, and nothing before it. */
const MATCH_FIRST = Uint8Array.of(0x03, 0x02, 0x00, 0x00);
/** One last, stored block of two bytes. */
const STORED = Uint8Array.of(0x01, 0x02, 0x00, 0xfd, 0xff, 0x61, 0x62);

describe('inflate', () => {
  it('refuses a match that reaches into what another stream left', () => {
    const output = outputOf('the gzip data', 1000, 0);
    append(output, Uint8Array.of(1, 2, 3));
    expect(() => inflate(MATCH_FIRST, 0, 'the gzip data', output)).toThrow('a match reaches before its beginning');
  });

  it('takes a stored block as it is, and says where it ended', () => {
    const output = outputOf('the gzip data', 1000, 0);
    expect(inflate(STORED, 0, 'the gzip data', output)).toBe(STORED.length);
    expect([...written(output)]).toEqual([0x61, 0x62]);
  });

  it.each([
    ['whose length is not complemented', [3, 0x00], 'a stored block without a proper length'],
    ['that is cut short', [1, 0x03, 3, 0xfc], 'it ends within a stored block'],
  ])('refuses a stored block %s', (_, [at = 0, value = 0, at2 = at, value2 = value], problem) => {
    const bytes = STORED.slice();
    bytes[at] = value;
    bytes[at2] = value2;
    expect(() => inflate(bytes, 0, 'the gzip data', outputOf('the gzip data', 1000, 0))).toThrow(problem);
  });
});
