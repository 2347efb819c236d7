// .xz files (The .xz File Format, version 1.2.1, https://tukaani.org/xz/xz-file-format.txt; section numbers are its
// own): blocks of LZMA2, for kernels under the x86 filter. The SHA-256 check is not verified, the others are.
import { crc32 } from '../bits/crc32.ts';
import { type Reader, readerOf } from '../bits/cursor.ts';
import { crc64 } from './checksums.ts';
import type { Format } from './format.ts';
import { unpackLzma2 } from './lzma2.ts';
import { damaged, type Output } from './output.ts';
import { undoX86Filter } from './x86Filter.ts';

const WHAT = 'the xz data';
const MAGIC = [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00] as const;
const FOOTER_MAGIC = 0x5a59;
const HEADER_SIZE = 12;
const CHECK_CRC32 = 1;
const CHECK_CRC64 = 4;
/** 2.1.1.2: bytes of the check, by its id. */
const CHECK_SIZES = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64] as const;
const FILTER_X86 = 0x04;
const FILTER_LZMA2 = 0x21;
/** 5.3.1: LZMA2's dictionary size, coded. */
const LARGEST_DICTIONARY = 40;

export const xz: Format = {
  what: WHAT,
  startsAt: (bytes, at) => MAGIC.every((byte, i) => bytes[at + i] === byte),
  unpackAt: unpackStream,
};

interface BlockSizes {
  /** Bytes of the block without its padding. */
  readonly unpadded: number;
  readonly uncompressed: number;
}

function unpackStream(source: Reader, at: number, output: Output): number {
  const check = readStreamHeader(source, at);
  const blocks: BlockSizes[] = [];
  let next = at + HEADER_SIZE;
  while (source.u8(next) !== 0) {
    const sizes = unpackBlock(source, next, check, output);
    blocks.push(sizes);
    next += padded(sizes.unpadded);
  }
  const end = readIndex(source, next, blocks);
  return readFooter(source, end, end - next, check);
}

const padded = (size: number): number => Math.ceil(size / 4) * 4;

/** 2.1.1. Returns the id of the check. */
function readStreamHeader(source: Reader, at: number): number {
  if (!source.slice(at, MAGIC.length).every((byte, i) => byte === MAGIC[i])) {
    throw damaged(WHAT, 'it does not start as xz data does');
  }
  const flags = source.slice(at + 6, 2);
  if (crc32(flags) !== source.u32(at + 8)) throw damaged(WHAT, 'the checksum of its header is wrong');
  if (flags[0] !== 0 || flags[1]! > 0xf) throw damaged(WHAT, 'its header has unknown flags');
  return flags[1]!;
}

/** 2.1.2. Returns the offset of its end. */
function readFooter(source: Reader, at: number, indexSize: number, check: number): number {
  const intact = crc32(source.slice(at + 4, 6)) === source.u32(at) && source.u16(at + 10) === FOOTER_MAGIC;
  if (!intact) throw damaged(WHAT, 'the end of it is no proper end');
  const same = source.u8(at + 8) === 0 && source.u8(at + 9) === check;
  if (!same || (source.u32(at + 4) + 1) * 4 !== indexSize) throw damaged(WHAT, 'its header and its end disagree');
  return at + HEADER_SIZE;
}

/** 1.2: an integer of 7 bits a byte, at most 63 bits; those beyond 2^53 are no sizes of anything here. */
function readInteger(source: Reader, at: number): { value: number; end: number } {
  let value = 0;
  for (let i = 0; i < 9; i++) {
    const byte = source.u8(at + i);
    value += (byte & 0x7f) * 2 ** (7 * i);
    if (byte === 0 && i > 0) break;
    if (byte < 0x80) return { value, end: at + i + 1 };
  }
  throw damaged(WHAT, 'an integer in it is malformed');
}

interface BlockHeader {
  readonly size: number;
  readonly compressed: number | undefined;
  readonly uncompressed: number | undefined;
  /** Where the x86 filter starts to count; undefined without that filter. */
  readonly x86Start: number | undefined;
}

/** 3.1 */
function readBlockHeader(source: Reader, at: number): BlockHeader {
  const size = (source.u8(at) + 1) * 4;
  const bytes = source.slice(at, size - 4);
  if (crc32(bytes) !== source.u32(at + size - 4)) throw damaged(WHAT, 'the checksum of a block header is wrong');
  const header = readerOf(bytes, WHAT);
  const flags = header.u8(1);
  if ((flags & 0x3c) !== 0) throw damaged(WHAT, 'a block header has unknown flags');
  let next = 2;
  const optional = (flag: number): number | undefined => {
    if ((flags & flag) === 0) return undefined;
    const { value, end } = readInteger(header, next);
    next = end;
    return value;
  };
  const compressed = optional(0x40);
  const uncompressed = optional(0x80);
  return { size, compressed, uncompressed, x86Start: readFilters(header, next, (flags & 3) + 1) };
}

/** 3.1.5, 5.3. LZMA2 must be the last filter; the only other one known here is that for x86 code. */
function readFilters(header: Reader, at: number, count: number): number | undefined {
  let next = at;
  let x86Start: number | undefined;
  for (let i = 0; i < count; i++) {
    const id = readInteger(header, next);
    const size = readInteger(header, id.end);
    const properties = readerOf(header.slice(size.end, size.value), WHAT);
    next = size.end + size.value;
    if (id.value !== (i === count - 1 ? FILTER_LZMA2 : FILTER_X86) || i > 1) {
      throw damaged(WHAT, `it uses filter ${id.value}, which is none of those that kernels are packed with`);
    }
    if (id.value === FILTER_X86) x86Start = size.value === 0 ? 0 : properties.u32(0);
    else if (properties.u8(0) > LARGEST_DICTIONARY) throw damaged(WHAT, 'its dictionary has an impossible size');
  }
  return x86Start;
}

/** 3 */
function unpackBlock(source: Reader, at: number, check: number, output: Output): BlockSizes {
  const header = readBlockHeader(source, at);
  const start = output.length;
  const end = unpackLzma2(source, at + header.size, WHAT, output);
  const block = output.bytes.subarray(start, output.length);
  const compressed = end - at - header.size;
  if ((header.compressed ?? compressed) !== compressed || (header.uncompressed ?? block.length) !== block.length) {
    throw damaged(WHAT, 'a block has not the size that its header declares');
  }
  if (header.x86Start !== undefined) undoX86Filter(block, header.x86Start);
  const checkAt = at + padded(end - at);
  const checkBytes = source.slice(checkAt, CHECK_SIZES[check]!);
  if (!checkHolds(check, block, readerOf(checkBytes, WHAT))) throw damaged(WHAT, 'the checksum of a block is wrong');
  return { unpadded: end - at + checkBytes.length, uncompressed: block.length };
}

function checkHolds(check: number, block: Uint8Array, expected: Reader): boolean {
  if (check === CHECK_CRC32) return crc32(block) === expected.u32(0);
  if (check === CHECK_CRC64) return crc64(block) === expected.u64(0);
  return true;
}

/** 4: the sizes of all blocks once more. Returns the offset of its end. */
function readIndex(source: Reader, at: number, blocks: readonly BlockSizes[]): number {
  const count = readInteger(source, at + 1);
  let next = count.end;
  let same = count.value === blocks.length;
  for (const block of same ? blocks : []) {
    const unpadded = readInteger(source, next);
    const uncompressed = readInteger(source, unpadded.end);
    next = uncompressed.end;
    same &&= unpadded.value === block.unpadded && uncompressed.value === block.uncompressed;
  }
  if (!same) throw damaged(WHAT, 'its index does not fit its blocks');
  const end = at + padded(next - at);
  if (crc32(source.slice(at, end - at)) !== source.u32(end)) throw damaged(WHAT, 'the checksum of its index is wrong');
  return end + 4;
}
