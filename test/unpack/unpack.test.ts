import { describe, expect, it } from 'vitest';
import { putU32, putU64 } from '../../src/bits/cursor.ts';
import { InputError } from '../../src/bits/errors.ts';
import { unpack } from '../../src/unpack/unpack.ts';
import { content, ZEROS_SIZE } from './contents.ts';
import { asPayload, concatenated, FIXTURES, FORMATS, fixture, packed } from './fixtures.ts';

const LIMIT = 4 << 20;
const equal = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0;

describe('unpack', () => {
  it.each(FIXTURES)('$format: what "$command" made of $content', ({ format, packed, content: name }) => {
    expect(equal(unpack(format, packed, LIMIT), content(name))).toBe(true);
  });

  it.each(FIXTURES)('$format: the same with the size word of a kernel payload ($content)', (fixture) => {
    expect(equal(unpack(fixture.format, asPayload(fixture), LIMIT), content(fixture.content))).toBe(true);
  });

  it.each(FORMATS.filter((format) => format !== 'lzma'))('%s: streams one after the other', (format) => {
    const joined = concatenated(packed(format, 'short'), packed(format, 'tiny'));
    expect(equal(unpack(format, joined, LIMIT), concatenated(content('short'), content('tiny')))).toBe(true);
  });

  it.each(FORMATS)('%s: an output that fits the limit exactly', (format) => {
    const bytes = packed(format, 'short');
    expect(unpack(format, bytes, content('short').length)).toHaveLength(content('short').length);
    expect(() => unpack(format, bytes, content('short').length - 1)).toThrow(
      `the ${format} data unpacks to more than ${content('short').length - 1} bytes`,
    );
  });

  it.each(FORMATS)('%s: zeros of twice the limit', (format) => {
    expect(() => unpack(format, packed(format, 'zeros'), ZEROS_SIZE / 2)).toThrow(/unpacks to more than 1048576 bytes/);
  });

  it.each(FORMATS)('%s: an end that is missing', (format) => {
    const bytes = packed(format, 'short');
    expect(() => unpack(format, bytes.subarray(0, bytes.length - 20), LIMIT)).toThrow(InputError);
  });

  it.each(FORMATS)('%s: nothing at all', (format) => {
    expect(() => unpack(format, new Uint8Array(0), LIMIT)).toThrow(InputError);
  });

  it.each(FORMATS)('%s: something else', (format) => {
    expect(() => unpack(format, new TextEncoder().encode('This is no packed kernel.'), LIMIT)).toThrow(InputError);
  });
});

describe('a changed content', () => {
  // A bit in the middle of the stream; lzma has no checksum and legacy lz4 frames have none either.
  it.each(['gzip', 'bzip2', 'xz', 'lzo', 'zstd'] as const)('is found by the checksum of %s', (format) => {
    const { packed: intact } = fixture(format, 'short');
    const caught = Array.from({ length: 64 }, (_, bit) => {
      const bytes = intact.slice();
      bytes[300 + bit]! ^= 1 << (bit % 8);
      try {
        return equal(unpack(format, bytes, LIMIT), content('short')) ? 'the same' : 'another';
      } catch {
        return 'refused';
      }
    });
    expect(caught).not.toContain('another');
    expect(caught).toContain('refused');
  });

  it.each([
    ['gzip', 'its checksum is wrong', -8],
    ['bzip2', 'the checksum of a block is wrong', 10],
    ['lz4', 'its checksum is wrong', -1],
    ['zstd', 'its checksum is wrong', -1],
  ] as const)('%s: %s', (format, message, at) => {
    const bytes = packed(format, format === 'lz4' ? 'long' : 'short');
    bytes[at < 0 ? bytes.length + at : at]! ^= 1;
    expect(() => unpack(format, bytes, LIMIT)).toThrow(`the ${format} data is damaged: ${message}`);
  });
});

describe('a declared size', () => {
  const TERABYTES = 1n << 42n;

  it('of terabytes is refused at once: lzma', () => {
    const bytes = packed('lzma', 'short');
    putU64(bytes, 5, TERABYTES);
    expect(() => unpack('lzma', bytes, LIMIT)).toThrow('the lzma data unpacks to more than 4194304 bytes');
  });

  it('of terabytes is refused at once: zstd', () => {
    const frame = concatenated(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0xe0), new Uint8Array(8), Uint8Array.of(1, 0, 0));
    expect(unpack('zstd', frame, LIMIT)).toHaveLength(0);
    putU64(frame, 5, TERABYTES);
    expect(() => unpack('zstd', frame, LIMIT)).toThrow('the zstd data unpacks to more than 4194304 bytes');
  });

  it('that is too small or too large is refused: zstd', () => {
    const bytes = fixture('zstd', 'long').packed;
    expect(bytes[4]! >> 6).toBe(2);
    for (const by of [-1, 1]) {
      const changed = bytes.slice();
      // The content size lies behind the descriptor and, in a frame that is no single segment, the window's byte.
      putU32(changed, bytes[4]! & 0x20 ? 5 : 6, content('long').length + by);
      expect(() => unpack('zstd', changed, LIMIT)).toThrow('it has not the size that its header declares');
    }
  });

  it('may come with the end marker as well: lzma', () => {
    const bytes = packed('lzma', 'short');
    putU64(bytes, 5, BigInt(content('short').length));
    expect(equal(unpack('lzma', bytes, LIMIT), content('short'))).toBe(true);
  });

  it.each([-1, 1])('that differs by %i from what there is, is refused: lzma', (by) => {
    const bytes = packed('lzma', 'short');
    putU64(bytes, 5, BigInt(content('short').length + by));
    expect(() => unpack('lzma', bytes, LIMIT)).toThrow(InputError);
  });

  it('at the end of a payload is checked where nothing else is: lz4', () => {
    const payload = asPayload(fixture('lz4', 'short'));
    payload[payload.length - 4]! ^= 1;
    expect(() => unpack('lz4', payload, LIMIT)).toThrow('it ends with a size that is not the unpacked one');
  });
});

describe('xz', () => {
  it('refuses a filter that kernels for this processor do not use', () => {
    const bytes = packed('xz', 'short');
    // The block header starts at 12: size, flags, then the id of the first filter; its checksum is mended below.
    expect(bytes[14]).toBe(4);
    bytes[14] = 7;
    expect(() => unpack('xz', bytes, LIMIT)).toThrow('the checksum of a block header is wrong');
    const size = (bytes[12]! + 1) * 4;
    putU32(bytes, 12 + size - 4, zlibCrc32(bytes.subarray(12, 12 + size - 4)));
    expect(() => unpack('xz', bytes, LIMIT)).toThrow(
      'it uses filter 7, which is none of those that kernels are packed',
    );
  });
});

/** Bit by bit, so that it shares nothing with the one under test. */
function zlibCrc32(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb8_8320 : 0);
  }
  return ~crc >>> 0;
}
