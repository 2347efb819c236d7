// What a hostile file may cost: bounded by its own size, and not a multiple of what comes out.
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { MIB } from '../../src/bits/sizes.ts';
import { append, outputOf } from '../../src/unpack/output.ts';
import { unpack } from '../../src/unpack/unpack.ts';
import { concat } from '../image/synthetic.ts';

describe('the output of a file', () => {
  it('of a few bytes is at most 64 MiB, whatever the limit', () => {
    const member = gzipSync(new Uint8Array(16 * MIB));
    const bomb = concat(Array.from({ length: 5 }, () => member));
    expect(bomb.length).toBeLessThan(MIB / 8);
    expect(() => unpack('gzip', bomb, 512 * MIB)).toThrow(`more than ${64 * MIB} bytes`);
    const fits = concat(Array.from({ length: 4 }, () => member));
    expect(unpack('gzip', fits, 512 * MIB)).toHaveLength(64 * MIB);
  });

  it('of more than 2 MiB is at most 32 times as large', () => {
    const member = gzipSync(new Uint8Array(MIB));
    const stored = gzipSync(new Uint8Array(3 * MIB), { level: 0 });
    const bomb = concat([stored, ...Array.from({ length: 100 }, () => member)]);
    expect(() => unpack('gzip', bomb, 512 * MIB)).toThrow(`more than ${32 * bomb.length} bytes`);
  });

  it('is copied to a larger buffer a few times while it is small, and once when it is not', () => {
    const limit = 64 * MIB;
    const output = outputOf('the data', limit, 0);
    const part = new Uint8Array(MIB / 2);
    const sizes = new Set([output.bytes.length]);
    while (output.length + part.length <= limit) {
      append(output, part);
      sizes.add(output.bytes.length);
    }
    const large = [...sizes].filter((size) => size > 8 * MIB);
    expect(large).toEqual([limit]);
  });
});
