import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { readerOf } from '../../src/bits/cursor.ts';
import { parseBzImage } from '../../src/image/bzimage.ts';
import { payloadFormat } from '../../src/image/payload.ts';
import { type PackedFormat, unpack } from '../../src/unpack/unpack.ts';
import { kernel } from '../support/kernels.ts';

const LIMIT = 256 << 20;

/** The bytes of the payload, with the size word at their end. */
function payloadOf(path: string): Uint8Array {
  const image = parseBzImage(new Uint8Array(readFileSync(path)));
  if (image.payload === undefined) throw new Error(`${path} has no payload`);
  const { fileOffset, length } = image.payload;
  return image.bytes.subarray(fileOffset, fileOffset + length);
}

describe.each([
  ['debian-6.1', 'xz'],
  ['debian-6.12', 'zstd'],
  ['debian-6.12-cloud', 'zstd'],
] satisfies [string, PackedFormat][])('the payload of %s', (name, format) => {
  const file = kernel(name);

  it.skipIf(file === undefined)('unpacks to an ELF image of the size that the payload ends with', () => {
    const payload = payloadOf(file?.path ?? '');
    const unpacked = unpack(format, payload, LIMIT);
    expect(payloadFormat(unpacked)).toBe('elf');
    expect(unpacked.length).toBe(readerOf(payload, 'the payload').u32(payload.length - 4));
  });
});
