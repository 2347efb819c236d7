// Zstandard (RFC 8878; section numbers are its own), without dictionaries. The whole output is the window, whatever
// window a frame declares.
import { frameStartsAt, isMagicAt } from './frames.ts';
import type { Reader } from '../bits/cursor.ts';
import type { Format } from './format.ts';
import { append, checkSize, damaged, type Output, room } from './output.ts';
import { xxh64Low } from './xxhash.ts';
import { type FrameState, LARGEST_BLOCK, newFrameState, unpackZstdBlock } from './zstdBlock.ts';

const WHAT = 'the zstd data';
const MAGIC = 0xfd2f_b528;
/** 3.1.1.1.1: the frame header descriptor. */
const SINGLE_SEGMENT = 0x20;
const RESERVED_FLAG = 0x08;
const CHECKSUM = 0x04;
/** 3.1.1.2.2 */
const BLOCK_RAW = 0;
const BLOCK_RLE = 1;
const BLOCK_COMPRESSED = 2;

const MAGICS = [MAGIC];

export const zstd: Format = {
  what: WHAT,
  startsAt: (bytes, at) => frameStartsAt(bytes, at, WHAT, MAGICS),
  unpackAt,
};

function unpackAt(source: Reader, at: number, output: Output): number {
  if (!isMagicAt(source, at, MAGICS)) throw damaged(WHAT, 'it does not start as zstd data does');
  if (source.u32(at) === MAGIC) return unpackFrame(source, at + 4, output);
  const size = source.u32(at + 4);
  source.slice(at + 8, size);
  return at + 8 + size;
}

interface Header {
  readonly hasChecksum: boolean;
  readonly contentSize: number | undefined;
  readonly end: number;
}

/** 3.1.1.1 */
function readHeader(source: Reader, at: number): Header {
  const descriptor = source.u8(at);
  if (descriptor & RESERVED_FLAG) throw damaged(WHAT, 'its header is unknown');
  const isSingle = (descriptor & SINGLE_SEGMENT) !== 0;
  const dictionaryAt = at + (isSingle ? 1 : 2);
  const dictionarySize = [0, 1, 2, 4][descriptor & 3]!;
  if (source.slice(dictionaryAt, dictionarySize).some((byte) => byte !== 0)) {
    throw damaged(WHAT, 'it needs a dictionary, which is not part of it');
  }
  const sizeAt = dictionaryAt + dictionarySize;
  const sizeSize = [isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6]!;
  const contentSize = readContentSize(source, sizeAt, sizeSize);
  return { hasChecksum: (descriptor & CHECKSUM) !== 0, contentSize, end: sizeAt + sizeSize };
}

function readContentSize(source: Reader, at: number, size: number): number | undefined {
  if (size === 0) return undefined;
  if (size === 1) return source.u8(at);
  if (size === 2) return source.u16(at) + 256;
  return size === 4 ? source.u32(at) : source.size64(at, 'the size in its header');
}

function unpackFrame(source: Reader, at: number, output: Output): number {
  const { hasChecksum, contentSize, end } = readHeader(source, at);
  if (contentSize !== undefined) checkSize(output, contentSize);
  const frame = newFrameState(output.length);
  let next = end;
  for (let isLast = false; !isLast; ) {
    const header = source.u16(next) | (source.u8(next + 2) << 16);
    isLast = (header & 1) !== 0;
    next = unpackBlock(source, next + 3, (header >> 1) & 3, header >> 3, frame, output);
  }
  const content = output.bytes.subarray(frame.start, output.length);
  if ((contentSize ?? content.length) !== content.length) {
    throw damaged(WHAT, 'it has not the size that its header declares');
  }
  if (!hasChecksum) return next;
  if (source.u32(next) !== xxh64Low(content)) throw damaged(WHAT, 'its checksum is wrong');
  return next + 4;
}

/** 3.1.1.2. Returns the offset of the block's end. */
function unpackBlock(
  source: Reader,
  at: number,
  type: number,
  size: number,
  frame: FrameState,
  output: Output,
): number {
  if (size > LARGEST_BLOCK) throw damaged(WHAT, 'a block is longer than blocks are');
  if (type === BLOCK_RLE) {
    room(output, size).fill(source.u8(at), output.length, output.length + size);
    output.length += size;
    return at + 1;
  }
  const block = source.slice(at, size);
  if (type === BLOCK_RAW) append(output, block);
  else if (type === BLOCK_COMPRESSED) unpackZstdBlock(block, frame, output);
  else throw damaged(WHAT, 'a block has a type that does not exist');
  return at + size;
}
