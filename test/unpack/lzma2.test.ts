// Chunks put together by hand, out of the one chunk that xz makes of a few lines.
import { describe, expect, it } from 'vitest';
import { readerOf } from '../../src/bits/cursor.ts';
import { unpackLzma2 } from '../../src/unpack/lzma2.ts';
import { outputOf, written } from '../../src/unpack/output.ts';
import { content } from './contents.ts';
import { concatenated, packed } from './fixtures.ts';

const END = Uint8Array.of(0);
/** Behind the control byte. */
const SIZES = 4;

/** Sizes, properties and data of the chunk in the xz file: behind its header of 12 bytes and the block's header. */
function xzChunk(): Uint8Array {
  const bytes = packed('xz', 'lines');
  const at = 12 + (bytes[12]! + 1) * 4;
  expect(bytes[at]).toBe(0xe0);
  return bytes.slice(at + 1, at + 1 + SIZES + 1 + ((bytes[at + 3]! << 8) | bytes[at + 4]!) + 1);
}

/** The same chunk under another control byte; those below c0 have no properties. */
function chunk(control: number): Uint8Array {
  const bytes = xzChunk();
  const properties = control >= 0xc0 ? bytes.subarray(SIZES, SIZES + 1) : new Uint8Array(0);
  return concatenated(Uint8Array.of(control), bytes.subarray(0, SIZES), properties, bytes.subarray(SIZES + 1));
}

const plain = (control: number): Uint8Array => concatenated(Uint8Array.of(control, 0, 3), new Uint8Array(4));

function unpacked(...chunks: Uint8Array[]): Uint8Array {
  const output = outputOf('the xz data', 1 << 20, 0);
  const bytes = concatenated(...chunks, END);
  expect(unpackLzma2(readerOf(bytes, 'the xz data'), 0, 'the xz data', output)).toBe(bytes.length);
  return written(output);
}

describe('LZMA2', () => {
  it.each([0xa0, 0xc0, 0xe0])('starts anew as the control byte %i says', (control) => {
    const lines = content('lines');
    expect(unpacked(chunk(0xe0), chunk(control))).toEqual(concatenated(lines, lines));
  });

  it('keeps what it learnt over a plain chunk only where it is told to', () => {
    const lines = content('lines');
    const zeros = new Uint8Array(4);
    expect(unpacked(chunk(0xe0), plain(2), chunk(0xa0))).toEqual(concatenated(lines, zeros, lines));
    expect(unpacked(plain(1), chunk(0xc0))).toEqual(concatenated(zeros, lines));
  });

  it.each<[string, Uint8Array[]]>([
    ['a first chunk without a new dictionary', [chunk(0xc0)]],
    ['a first plain chunk without a new dictionary', [plain(2)]],
    ['no properties after a new dictionary', [plain(1), chunk(0xa0)]],
    ['a control byte that does not exist', [chunk(0xe0), plain(3)]],
  ])('refuses %s', (_, chunks) => {
    expect(() => unpacked(...chunks)).toThrow('a chunk has an impossible control byte');
  });
});
