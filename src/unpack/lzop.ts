// lzop files, as "lzop -9" makes them: a header, then blocks of LZO1X with checksums. The program's source is the
// definition (https://www.lzop.org); Linux reads the same in lib/decompress_unlzo.c. Numbers are big-endian.
import { crc32 } from '../bits/crc32.ts';
import { type Reader, viewOf } from '../bits/cursor.ts';
import { adler32 } from './checksums.ts';
import type { Format } from './format.ts';
import { unpackLzo1x } from './lzo1x.ts';
import { append, checkSize, damaged, type Output } from './output.ts';

const WHAT = 'the lzo data';
const MAGIC = [0x89, 0x4c, 0x5a, 0x4f, 0x00, 0x0d, 0x0a, 0x1a, 0x0a] as const;
/** The version from which on the header has a few fields more. */
const VERSION_LEVEL = 0x0940;
/** LZO1X_1, LZO1X_1_15, LZO1X_999: three packers, one format. */
const METHODS = [1, 2, 3];
/** Flags. */
const ADLER32_UNPACKED = 0x0001;
const ADLER32_PACKED = 0x0002;
const EXTRA_FIELD = 0x0040;
const CRC32_UNPACKED = 0x0100;
const CRC32_PACKED = 0x0200;
const MULTIPART = 0x0400;
const FILTER = 0x0800;
const HEADER_CRC32 = 0x1000;
const LARGEST_BLOCK = 64 << 20;

export const lzo: Format = {
  what: WHAT,
  startsAt: (bytes, at) => MAGIC.every((byte, i) => bytes[at + i] === byte),
  unpackAt,
};

interface Numbers {
  u16(at: number): number;
  u32(at: number): number;
}

const bigEndian = (source: Reader): Numbers => ({
  u16: (at) => viewOf(source.slice(at, 2)).getUint16(0),
  u32: (at) => viewOf(source.slice(at, 4)).getUint32(0),
});

function unpackAt(source: Reader, at: number, output: Output): number {
  const { flags, end } = readHeader(source, at);
  const numbers = bigEndian(source);
  let next = end;
  for (let size = numbers.u32(next); size !== 0; size = numbers.u32(next)) {
    next = unpackBlock(source, next, size, flags, output);
  }
  return next + 4;
}

function readHeader(source: Reader, at: number): { flags: number; end: number } {
  const numbers = bigEndian(source);
  const start = at + MAGIC.length;
  if (!source.slice(at, MAGIC.length).every((byte, i) => byte === MAGIC[i])) {
    throw damaged(WHAT, 'it does not start as lzo data does');
  }
  const isLong = numbers.u16(start) >= VERSION_LEVEL;
  const methodAt = start + (isLong ? 6 : 4);
  const flagsAt = methodAt + (isLong ? 2 : 1);
  const flags = numbers.u32(flagsAt);
  if (!METHODS.includes(source.u8(methodAt)) || (flags & (FILTER | MULTIPART)) !== 0) {
    throw damaged(WHAT, 'its header is unknown');
  }
  const nameAt = flagsAt + 4 + (isLong ? 12 : 8);
  const end = nameAt + 1 + source.u8(nameAt);
  checkSum(flags & HEADER_CRC32 ? crc32 : adler32, source.slice(start, end - start), numbers.u32(end), 'its header');
  return { flags, end: flags & EXTRA_FIELD ? end + 4 + 8 + numbers.u32(end + 4) : end + 4 };
}

function checkSum(sum: (bytes: Uint8Array) => number, bytes: Uint8Array, expected: number, of: string): void {
  if (sum(bytes) !== expected) throw damaged(WHAT, `the checksum of ${of} is wrong`);
}

/** @param size the unpacked one, the first word of the block */
function unpackBlock(source: Reader, at: number, size: number, flags: number, output: Output): number {
  const numbers = bigEndian(source);
  const packedSize = numbers.u32(at + 4);
  if (size > LARGEST_BLOCK || packedSize > size) throw damaged(WHAT, 'a block has an impossible size');
  checkSize(output, size);
  let next = at + 8;
  const sumOf = (flag: number): number | undefined => {
    if ((flags & flag) === 0) return undefined;
    next += 4;
    return numbers.u32(next - 4);
  };
  const unpackedSums = [sumOf(ADLER32_UNPACKED), sumOf(CRC32_UNPACKED)];
  const packedSums = packedSize < size ? [sumOf(ADLER32_PACKED), sumOf(CRC32_PACKED)] : [];
  const packed = source.slice(next, packedSize);
  checkSums(packed, packedSums);
  const start = output.length;
  if (packedSize === size) append(output, packed);
  else unpackLzo1x(packed, size, output);
  checkSums(output.bytes.subarray(start, output.length), unpackedSums);
  return next + packedSize;
}

function checkSums(bytes: Uint8Array, [adler, crc]: readonly (number | undefined)[]): void {
  if (adler !== undefined) checkSum(adler32, bytes, adler, 'a block');
  if (crc !== undefined) checkSum(crc32, bytes, crc, 'a block');
}
