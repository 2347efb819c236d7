// LZ4 frames (https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md): the legacy ones that kernels are packed
// with ("lz4c -l"), which have neither an end mark nor a checksum, and the present ones.
import { frameStartsAt, isMagicAt } from './frames.ts';
import type { Reader } from '../bits/cursor.ts';
import type { Format } from './format.ts';
import { unpackLz4Block } from './lz4Block.ts';
import { append, checkSize, damaged, type Output } from './output.ts';
import { xxh32 } from './xxhash.ts';

const WHAT = 'the lz4 data';
const LEGACY_MAGIC = 0x184c_2102;
const MAGIC = 0x184d_2204;
const LEGACY_BLOCK = 8 << 20;
/** FLG */
const VERSION_MASK = 0xc0;
const VERSION_1 = 0x40;
const INDEPENDENT_BLOCKS = 0x20;
const BLOCK_CHECKSUMS = 0x10;
const CONTENT_SIZE = 0x08;
const CONTENT_CHECKSUM = 0x04;
const RESERVED_FLAG = 0x02;
const DICTIONARY = 0x01;
/** Block size: the block is stored as it is. */
const STORED = 0x8000_0000;

const MAGICS = [LEGACY_MAGIC, MAGIC];

export const lz4: Format = {
  what: WHAT,
  startsAt: (bytes, at) => frameStartsAt(bytes, at, WHAT, MAGICS),
  unpackAt,
};

function unpackAt(source: Reader, at: number, output: Output): number {
  if (!isMagicAt(source, at, MAGICS)) throw damaged(WHAT, 'it does not start as lz4 data does');
  const magic = source.u32(at);
  if (magic === LEGACY_MAGIC) return unpackLegacyFrame(source, at + 4, output);
  if (magic === MAGIC) return unpackFrame(source, at + 4, output);
  const size = source.u32(at + 4);
  source.slice(at + 8, size);
  return at + 8 + size;
}

/** Blocks up to the end of the file, to another frame, or to the size word that ends a payload. */
function unpackLegacyFrame(source: Reader, at: number, output: Output): number {
  const start = output.length;
  let next = at;
  while (next < source.bytes.length) {
    const size = source.u32(next);
    if (next + 4 === source.bytes.length) {
      if (size === (output.length - start) >>> 0) break;
      throw damaged(WHAT, 'it ends with a size that is not the unpacked one');
    }
    if (isMagicAt(source, next, MAGICS)) break;
    unpackLz4Block(source.slice(next + 4, size), output, output.length, LEGACY_BLOCK);
    next += 4 + size;
  }
  return next;
}

interface Frame {
  readonly flags: number;
  readonly largestBlock: number;
  readonly contentSize: number | undefined;
  readonly end: number;
}

function readHeader(source: Reader, at: number): Frame {
  const flags = source.u8(at);
  const largest = source.u8(at + 1) >> 4;
  if ((flags & (VERSION_MASK | RESERVED_FLAG)) !== VERSION_1 || largest < 4 || largest > 7) {
    throw damaged(WHAT, 'its header is unknown');
  }
  if (flags & DICTIONARY) throw damaged(WHAT, 'it needs a dictionary, which is not part of it');
  const end = at + 2 + (flags & CONTENT_SIZE ? 8 : 0);
  if (((xxh32(source.slice(at, end - at)) >> 8) & 0xff) !== source.u8(end)) {
    throw damaged(WHAT, 'the checksum of its header is wrong');
  }
  const contentSize = flags & CONTENT_SIZE ? source.size64(at + 2, 'the size in its header') : undefined;
  return { flags, largestBlock: 1 << (8 + 2 * largest), contentSize, end: end + 1 };
}

function unpackFrame(source: Reader, at: number, output: Output): number {
  const { flags, largestBlock, contentSize, end } = readHeader(source, at);
  if (contentSize !== undefined) checkSize(output, contentSize);
  const start = output.length;
  let next = end;
  for (let word = source.u32(next); word !== 0; word = source.u32(next)) {
    const block = source.slice(next + 4, word % STORED);
    next += 4 + block.length;
    if (flags & BLOCK_CHECKSUMS) {
      if (source.u32(next) !== xxh32(block)) throw damaged(WHAT, 'the checksum of a block is wrong');
      next += 4;
    }
    if (word >= STORED) append(output, block);
    else unpackLz4Block(block, output, flags & INDEPENDENT_BLOCKS ? output.length : start, largestBlock);
  }
  next += 4;
  const content = output.bytes.subarray(start, output.length);
  if ((contentSize ?? content.length) !== content.length) {
    throw damaged(WHAT, 'it has not the size that its header declares');
  }
  if ((flags & CONTENT_CHECKSUM) === 0) return next;
  if (source.u32(next) !== xxh32(content)) throw damaged(WHAT, 'its checksum is wrong');
  return next + 4;
}
