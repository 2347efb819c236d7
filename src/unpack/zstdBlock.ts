// A compressed block of Zstandard (RFC 8878, 3.1.1.3): literals, and sequences that say how many of them to take and
// what to repeat after them.
import { basesOf } from './bases.ts';
import { copyBack, damaged, type Output, room } from './output.ts';
import {
  bitsAt,
  constantTable,
  type FseTable,
  fseTable,
  type HuffmanTable,
  lastBit,
  MARGIN,
  readFseTable,
  readHuffmanTable,
} from './zstdTables.ts';

export const LARGEST_BLOCK = 128 << 10;

/** What survives from block to block. */
export interface FrameState {
  /** Offset in the output where the frame begins. */
  readonly start: number;
  huffman: HuffmanTable | undefined;
  /** By field. */
  readonly tables: (FseTable | undefined)[];
  /** The last three offsets (3.1.1.5). */
  readonly offsets: number[];
}

export function newFrameState(start: number): FrameState {
  return { start, huffman: undefined, tables: [undefined, undefined, undefined], offsets: [1, 4, 8] };
}

/** The fields of a sequence, in the order of their tables. */
const LITERALS = 0;
const OFFSET = 1;
const MATCH = 2;

/** 3.1.1.3.2.1.1 */
const LITERALS_EXTRA = Uint8Array.from([
  ...Array<number>(16).fill(0),
  ...[1, 1, 1, 1, 2, 2, 3, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
]);
const MATCH_EXTRA = Uint8Array.from([
  ...Array<number>(32).fill(0),
  ...[1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
]);
const LITERALS_BASE = Uint32Array.from(basesOf(0, [...LITERALS_EXTRA]));
const MATCH_BASE = Uint32Array.from(basesOf(3, [...MATCH_EXTRA]));

const ones = (count: number, value = 1): number[] => Array<number>(count).fill(value);

/** Limits of each field's tables, and its default one (3.1.1.3.2.2). */
const FIELDS = [
  {
    accuracyLog: 9,
    symbol: 35,
    default: fseTable([4, 3, ...ones(11, 2), 1, 1, 1, ...ones(9, 2), 3, 2, ...ones(5), ...ones(4, -1)], 6),
  },
  { accuracyLog: 8, symbol: 31, default: fseTable([...ones(6), 2, 2, 2, ...ones(15), ...ones(5, -1)], 5) },
  { accuracyLog: 9, symbol: 52, default: fseTable([1, 4, 3, ...ones(6, 2), ...ones(37), ...ones(7, -1)], 6) },
] as const;

/** A block's bytes with zeros around them; offsets are those in here. */
interface Block {
  readonly what: string;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  readonly end: number;
}

export function unpackZstdBlock(input: Uint8Array, frame: FrameState, output: Output): void {
  const bytes = new Uint8Array(input.length + 2 * MARGIN);
  bytes.set(input, MARGIN);
  const block = { what: output.what, bytes, view: new DataView(bytes.buffer), end: MARGIN + input.length };
  const { literals, end } = readLiterals(block, MARGIN, frame);
  const sequences = readSequencesHeader(block, end, frame);
  const used = sequences.count === 0 ? 0 : runSequences(block, sequences, literals, frame, output);
  const rest = literals.subarray(used);
  room(output, rest.length).set(rest, output.length);
  output.length += rest.length;
}

function checkInside(block: Block, end: number): void {
  if (end > block.end) throw damaged(block.what, 'a block is cut short');
}

interface Literals {
  readonly literals: Uint8Array;
  readonly end: number;
}

/** 3.1.1.3.1 */
function readLiterals(block: Block, at: number, frame: FrameState): Literals {
  const { bytes, view } = block;
  const type = bytes[at]! & 3;
  const sizeFormat = (bytes[at]! >> 2) & 3;
  if (type >= 2) return readPackedLiterals(block, at, type === 3, frame);
  const headerSize = [1, 2, 1, 3][sizeFormat]!;
  const size = (view.getUint32(at, true) & (2 ** (8 * headerSize) - 1)) >> (headerSize === 1 ? 3 : 4);
  if (size > LARGEST_BLOCK) throw damaged(block.what, 'a block is longer than blocks are');
  const start = at + headerSize;
  const end = start + (type === 0 ? size : 1);
  checkInside(block, end);
  return { literals: type === 0 ? bytes.subarray(start, end) : new Uint8Array(size).fill(bytes[start]!), end };
}

/** Huffman-coded literals, with the table before them or with the last one. */
function readPackedLiterals(block: Block, at: number, isTreeless: boolean, frame: FrameState): Literals {
  const { view } = block;
  const sizeFormat = (view.getUint8(at) >> 2) & 3;
  const sizeBits = [10, 10, 14, 18][sizeFormat]!;
  const size = bitsAt(view, 8 * at + 4, sizeBits);
  const start = at + (4 + 2 * sizeBits) / 8;
  const end = start + bitsAt(view, 8 * at + 4 + sizeBits, sizeBits);
  checkInside(block, end);
  if (size > LARGEST_BLOCK) throw damaged(block.what, 'a block is longer than blocks are');
  let from = start;
  if (!isTreeless) {
    const read = readHuffmanTable(view, start, end);
    frame.huffman = read.table;
    from = read.end;
  }
  if (frame.huffman === undefined) throw damaged(block.what, 'a block uses a table that was not given');
  const literals = new Uint8Array(size);
  if (sizeFormat === 0) decodeStream(block, from, end, frame.huffman, literals);
  else decodeFourStreams(block, from, end, frame.huffman, literals);
  return { literals, end };
}

/** 3.1.1.3.1.6: the sizes of three streams come first, the fourth has the rest. */
function decodeFourStreams(block: Block, from: number, to: number, table: HuffmanTable, literals: Uint8Array): void {
  const size = (literals.length + 3) >> 2;
  let start = from + 6;
  if (start > to || 3 * size > literals.length) throw damaged(block.what, 'a block is cut short');
  for (let stream = 0; stream < 4; stream++) {
    const end = stream === 3 ? to : start + block.view.getUint16(from + 2 * stream, true);
    if (end > to) throw damaged(block.what, 'a block is cut short');
    const target = literals.subarray(stream * size, stream === 3 ? literals.length : (stream + 1) * size);
    decodeStream(block, start, end, table, target);
    start = end;
  }
}

/** 4.2.2: fills `target`, which takes all bits of the stream. */
function decodeStream(block: Block, from: number, to: number, table: HuffmanTable, target: Uint8Array): void {
  const { view } = block;
  const { bits, entries } = table;
  const mask = (1 << bits) - 1;
  const first = 8 * from;
  let at = lastBit(view, from, to);
  for (let i = 0; i < target.length; i++) {
    // Below the first bit come zeros; what lies there is something else, and is masked out.
    const missing = first + bits - at;
    const ahead =
      missing <= 0
        ? (view.getUint32((at - bits) >>> 3, true) >>> ((at - bits) & 7)) & mask
        : (bitsAt(view, first, bits) << missing) & mask;
    const entry = entries[ahead]!;
    target[i] = entry >> 4;
    at -= entry & 15;
    if (at < first) break;
  }
  if (at !== first) throw damaged(block.what, 'a stream of literals has another size');
}

interface Sequences {
  readonly count: number;
  readonly end: number;
}

/** 3.1.1.3.2.1: how many there are, and the tables for their fields. */
function readSequencesHeader(block: Block, at: number, frame: FrameState): Sequences {
  const { bytes, end } = block;
  const first = bytes[at]!;
  const size = first < 128 ? 1 : first < 255 ? 2 : 3;
  checkInside(block, at + size);
  const second = bytes[at + 1]!;
  const count =
    size === 1 ? first : size === 2 ? ((first - 128) << 8) | second : second + (bytes[at + 2]! << 8) + 0x7f00;
  if (count === 0) {
    if (at + size !== end) throw damaged(block.what, 'a block has bytes that belong to nothing');
    return { count, end };
  }
  checkInside(block, at + size + 1);
  const modes = bytes[at + size]!;
  if ((modes & 3) !== 0) throw damaged(block.what, 'a block has unknown flags');
  let next = at + size + 1;
  for (let field = LITERALS; field <= MATCH; field++) {
    next = readTable(block, next, field, (modes >> (6 - 2 * field)) & 3, frame);
  }
  return { count, end: next };
}

/** One of the modes default, constant, described, as before. */
function readTable(block: Block, at: number, field: number, mode: number, frame: FrameState): number {
  const limits = FIELDS[field]!;
  if (mode === 0) {
    frame.tables[field] = limits.default;
  } else if (mode === 1) {
    checkInside(block, at + 1);
    if (block.bytes[at]! > limits.symbol) throw damaged(block.what, 'a table has too many symbols');
    frame.tables[field] = constantTable(block.bytes[at]!);
    return at + 1;
  } else if (mode === 2) {
    const { table, end } = readFseTable(block.view, at, block.end, limits);
    frame.tables[field] = table;
    return end;
  } else if (frame.tables[field] === undefined) {
    throw damaged(block.what, 'a block uses a table that was not given');
  }
  return at;
}

/** 3.1.1.4. Long, because this is where the time goes. Returns how many literals were used. */
function runSequences(
  block: Block,
  { count, end }: Sequences,
  literals: Uint8Array,
  frame: FrameState,
  output: Output,
): number {
  const { view, what } = block;
  const { start, offsets } = frame;
  const literalsTable = frame.tables[LITERALS]!;
  const offsetTable = frame.tables[OFFSET]!;
  const matchTable = frame.tables[MATCH]!;
  const first = 8 * end;
  let bit = lastBit(view, end, block.end);
  bit -= literalsTable.accuracyLog;
  let literalsEntry = literalsTable.entries[bitsAt(view, bit, literalsTable.accuracyLog)]!;
  bit -= offsetTable.accuracyLog;
  let offsetEntry = offsetTable.entries[bitsAt(view, bit, offsetTable.accuracyLog)]!;
  bit -= matchTable.accuracyLog;
  let matchEntry = matchTable.entries[bitsAt(view, bit, matchTable.accuracyLog)]!;
  let used = 0;
  const most = output.length + LARGEST_BLOCK;
  for (let i = 0; i < count; i++) {
    // The largest sequence takes fewer bits than the margin has.
    if (bit < first) throw damaged(what, 'a stream of sequences is cut short');
    const offsetBits = offsetEntry & 0xff;
    bit -= offsetBits;
    const offsetValue = 2 ** offsetBits + wideBitsAt(view, bit, offsetBits);
    const matchBits = MATCH_EXTRA[matchEntry & 0xff]!;
    bit -= matchBits;
    const matchSize = MATCH_BASE[matchEntry & 0xff]! + bitsAt(view, bit, matchBits);
    const literalsBits = LITERALS_EXTRA[literalsEntry & 0xff]!;
    bit -= literalsBits;
    const literalsSize = LITERALS_BASE[literalsEntry & 0xff]! + bitsAt(view, bit, literalsBits);
    if (i < count - 1) {
      const literalsStep = (literalsEntry >> 8) & 0xff;
      bit -= literalsStep;
      literalsEntry = literalsTable.entries[(literalsEntry >>> 16) + bitsAt(view, bit, literalsStep)]!;
      const matchStep = (matchEntry >> 8) & 0xff;
      bit -= matchStep;
      matchEntry = matchTable.entries[(matchEntry >>> 16) + bitsAt(view, bit, matchStep)]!;
      const offsetStep = (offsetEntry >> 8) & 0xff;
      bit -= offsetStep;
      offsetEntry = offsetTable.entries[(offsetEntry >>> 16) + bitsAt(view, bit, offsetStep)]!;
    }
    const offset = offsetOf(offsetValue, literalsSize, offsets);
    const at = output.length + literalsSize;
    if (literalsSize > literals.length - used || at + matchSize > most)
      throw damaged(what, 'a sequence is longer than its block');
    if (offset === 0 || offset > at - start) throw damaged(what, 'a match reaches before its beginning');
    const bytes = room(output, literalsSize + matchSize);
    copyLiterals(literals, used, literalsSize, bytes, output.length);
    copyBack(bytes, at, offset, matchSize);
    used += literalsSize;
    output.length = at + matchSize;
  }
  if (bit !== first) throw damaged(what, 'a stream of sequences has another size');
  if (output.length + literals.length - used > most) throw damaged(what, 'a block is longer than blocks are');
  return used;
}

/** As `bitsAt`, up to 31 bits. */
function wideBitsAt(view: DataView, at: number, count: number): number {
  if (count <= 25) return bitsAt(view, at, count);
  return bitsAt(view, at + 16, count - 16) * 2 ** 16 + bitsAt(view, at, 16);
}

function copyLiterals(from: Uint8Array, at: number, size: number, to: Uint8Array, toAt: number): void {
  if (size > 32) to.set(from.subarray(at, at + size), toAt);
  else for (let i = 0; i < size; i++) to[toAt + i] = from[at + i]!;
}

/** 3.1.1.5: the values up to 3 stand for recent offsets; without literals before the match, for others of them. */
function offsetOf(value: number, literalsSize: number, offsets: number[]): number {
  const index = value > 3 ? 4 : value - (literalsSize === 0 ? 0 : 1);
  if (index === 0) return offsets[0]!;
  const offset = index === 4 ? value - 3 : index === 3 ? offsets[0]! - 1 : offsets[index]!;
  if (index > 1) offsets[2] = offsets[1]!;
  offsets[1] = offsets[0]!;
  offsets[0] = offset;
  return offset;
}
