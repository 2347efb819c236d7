// bzip2. There is no specification but the program itself; https://en.wikipedia.org/wiki/Bzip2 tells the layout. A
// block is run-length coded, Burrows-Wheeler transformed, moved to front, zero-run coded and Huffman coded; here all
// that is undone.
import type { Reader } from '../bits/cursor.ts';
import { crc32Forward } from './checksums.ts';
import type { Format } from './format.ts';
import { damaged, type Output, outputOf, room, written } from './output.ts';

const WHAT = 'the bzip2 data';
/** Digits of pi and of its square root, three bytes at a time. */
const BLOCK_MAGIC = [0x31_4159, 0x26_5359] as const;
const END_MAGIC = [0x17_7245, 0x38_5090] as const;
const LONGEST_CODE = 20;
/** Symbols under one table before the next is chosen. */
const GROUP = 50;
const RUN_A = 0;
const RUN_B = 1;

export const bzip2: Format = {
  what: WHAT,
  startsAt: (bytes, at) =>
    bytes[at] === 0x42 && bytes[at + 1] === 0x5a && bytes[at + 2] === 0x68 && bytes[at + 4] !== undefined,
  unpackAt: unpackStream,
};

/** Bits of a byte from the most significant down. */
class Bits {
  readonly bytes: Uint8Array;
  at: number;
  hold = 0;
  held = 0;

  constructor(bytes: Uint8Array, at: number) {
    this.bytes = bytes;
    this.at = at;
  }

  /** @param count at most 24 */
  peek(count: number): number {
    while (this.held < count) {
      const byte = this.at < this.bytes.length ? this.bytes[this.at]! : 0;
      this.hold = (this.hold << 8) | byte;
      this.held += 8;
      this.at++;
    }
    return (this.hold >>> (this.held - count)) & ((1 << count) - 1);
  }

  take(count: number): number {
    const value = this.peek(count);
    this.held -= count;
    return value;
  }

  /** The offset behind the byte that the last bit taken is in. */
  end(): number {
    const end = this.at - (this.held >> 3);
    if (end > this.bytes.length) throw damaged(WHAT, 'it ends within a block');
    return end;
  }
}

function unpackStream(source: Reader, at: number, output: Output): number {
  const level = source.u8(at + 3) - 0x30;
  if (source.u16(at) !== 0x5a42 || source.u8(at + 2) !== 0x68 || level < 1 || level > 9) {
    throw damaged(WHAT, 'it does not start as bzip2 data does');
  }
  const bits = new Bits(source.bytes, at + 4);
  let combined = 0;
  while (isBlockNext(bits))
    combined = ((combined << 1) | (combined >>> 31)) ^ unpackBlock(bits, level * 100_000, output);
  if (word(bits) !== combined >>> 0) throw damaged(WHAT, 'its checksum is wrong');
  return bits.end();
}

const word = (bits: Bits): number => ((bits.take(16) << 16) | bits.take(16)) >>> 0;

function isBlockNext(bits: Bits): boolean {
  const magic = [bits.take(24), bits.take(24)];
  bits.end();
  if (magic.every((part, i) => part === BLOCK_MAGIC[i])) return true;
  if (magic.every((part, i) => part === END_MAGIC[i])) return false;
  throw damaged(WHAT, 'a block does not start as one');
}

/** Returns the block's CRC, which was checked. */
function unpackBlock(bits: Bits, most: number, output: Output): number {
  const crc = word(bits);
  if (bits.take(1) !== 0) throw damaged(WHAT, 'a block is randomised, as no bzip2 since 1999 makes them');
  const origin = bits.take(24);
  const lastColumn = readSymbols(bits, most);
  if (origin >= lastColumn.length) throw damaged(WHAT, 'a block starts outside itself');
  const start = output.length;
  writeRuns(linked(lastColumn), origin, output);
  if (crc32Forward(output.bytes.subarray(start, output.length)) !== crc) {
    throw damaged(WHAT, 'the checksum of a block is wrong');
  }
  return crc;
}

function usedBytes(bits: Bits): Uint8Array {
  const rows = bits.take(16);
  const used: number[] = [];
  for (let row = 0; row < 16; row++) {
    const cells = (rows >> (15 - row)) & 1 ? bits.take(16) : 0;
    for (let cell = 0; cell < 16; cell++) if ((cells >> (15 - cell)) & 1) used.push(16 * row + cell);
  }
  if (used.length === 0) throw damaged(WHAT, 'a block has no bytes');
  return Uint8Array.from(used);
}

/** Which table codes which group of symbols: indexes moved to front, unary. */
function readSelectors(bits: Bits, tables: number): Uint8Array {
  const selectors = new Uint8Array(bits.take(15));
  if (selectors.length === 0) throw damaged(WHAT, 'a block has no symbols');
  const order = Uint8Array.from({ length: tables }, (_, i) => i);
  for (let i = 0; i < selectors.length; i++) {
    let index = 0;
    while (bits.take(1) === 1)
      if (++index >= tables) throw damaged(WHAT, 'a block chooses a table that it does not have');
    selectors[i] = toFront(order, index);
  }
  bits.end();
  return selectors;
}

function toFront(order: Uint8Array, index: number): number {
  const value = order[index]!;
  for (let i = index; i > 0; i--) order[i] = order[i - 1]!;
  order[0] = value;
  return value;
}

interface Code {
  /** By length: the first code value of that length that is too large, aligned to the left in LONGEST_CODE bits. */
  readonly ends: Int32Array;
  /** By length: what to take off a code to get the index of its symbol. */
  readonly bases: Int32Array;
  readonly symbols: Uint16Array;
  readonly shortest: number;
}

function readCode(bits: Bits, count: number): Code {
  const lengths = new Uint8Array(count);
  let length = bits.take(5);
  for (let symbol = 0; symbol < count; symbol++) {
    while (bits.take(1) === 1) {
      length += bits.take(1) === 1 ? -1 : 1;
      if (length < 1 || length > LONGEST_CODE) break;
    }
    if (length < 1 || length > LONGEST_CODE) throw damaged(WHAT, 'a Huffman code has an impossible length');
    lengths[symbol] = length;
  }
  return codeOf(lengths);
}

function codeOf(lengths: Uint8Array): Code {
  const ends = new Int32Array(LONGEST_CODE + 1);
  const bases = new Int32Array(LONGEST_CODE + 1);
  const symbols = new Uint16Array(lengths.length);
  let code = 0;
  let index = 0;
  for (let length = 1; length <= LONGEST_CODE; length++) {
    bases[length] = code - index;
    for (let symbol = 0; symbol < lengths.length; symbol++) if (lengths[symbol] === length) symbols[index++] = symbol;
    code = bases[length]! + index;
    if (code > 1 << length) throw damaged(WHAT, 'a Huffman code has too many codes');
    ends[length] = code << (LONGEST_CODE - length);
    code <<= 1;
  }
  return { ends, bases, symbols, shortest: lengths.reduce((least, length) => Math.min(least, length)) };
}

function symbolOf(bits: Bits, { ends, bases, symbols, shortest }: Code): number {
  const ahead = bits.peek(LONGEST_CODE);
  let length = shortest;
  while (length <= LONGEST_CODE && ahead >= ends[length]!) length++;
  if (length > LONGEST_CODE) throw damaged(WHAT, 'a code that stands for nothing');
  bits.held -= length;
  return symbols[(ahead >>> (LONGEST_CODE - length)) - bases[length]!]!;
}

/** The last column of the sorted rotations, at most `most` bytes. */
function readSymbols(bits: Bits, most: number): Uint8Array {
  const front = usedBytes(bits);
  const tables = bits.take(3);
  if (tables < 2 || tables > 6) throw damaged(WHAT, 'a block has an impossible number of Huffman tables');
  const selectors = readSelectors(bits, tables);
  const end = front.length + 1;
  const codes = Array.from({ length: tables }, () => readCode(bits, end + 1));
  bits.end();
  const column = outputOf(WHAT, most, 0);
  let run = 0;
  let weight = 1;
  for (let i = 0; ; i++) {
    const selector = selectors[Math.floor(i / GROUP)];
    if (selector === undefined) throw damaged(WHAT, 'a block does not end');
    const symbol = symbolOf(bits, codes[selector]!);
    if (symbol === RUN_A || symbol === RUN_B) {
      run += weight << symbol;
      weight <<= 1;
      if (run > most) throw damaged(WHAT, 'a block is longer than blocks are');
      continue;
    }
    if (run > 0) writeRun(column, front[0]!, run);
    run = 0;
    weight = 1;
    if (symbol === end) break;
    if (column.length === most) throw damaged(WHAT, 'a block is longer than blocks are');
    room(column, 1)[column.length++] = toFront(front, symbol - 1);
  }
  bits.end();
  return written(column);
}

function writeRun(column: Output, byte: number, size: number): void {
  if (size > column.limit - column.length) throw damaged(WHAT, 'a block is longer than blocks are');
  room(column, size).fill(byte, column.length, column.length + size);
  column.length += size;
}

/** Rows in sorted order: the byte, and in the upper 24 bits the row of what follows (the inverse transform). */
function linked(lastColumn: Uint8Array): Uint32Array {
  const rows = Uint32Array.from(lastColumn);
  const starts = new Uint32Array(257);
  for (const byte of lastColumn) starts[byte + 1]!++;
  for (let byte = 0; byte < 256; byte++) starts[byte + 1]! += starts[byte]!;
  for (let i = 0; i < lastColumn.length; i++) rows[starts[lastColumn[i]!]!++]! |= i << 8;
  return rows;
}

/** Four equal bytes are followed by how often more the byte comes. */
function writeRuns(rows: Uint32Array, origin: number, output: Output): void {
  let { bytes, length } = output;
  let entry = rows[origin]!;
  let last = -1;
  let equal = 0;
  for (let i = 0; i < rows.length; i++) {
    entry = rows[entry >>> 8]!;
    const byte = entry & 0xff;
    const count = equal === 4 ? byte : 1;
    if (count > bytes.length - length) {
      output.length = length;
      bytes = room(output, count);
    }
    if (equal === 4) {
      bytes.fill(last, length, length + count);
      equal = 0;
      last = -1;
    } else {
      bytes[length] = byte;
      equal = byte === last ? equal + 1 : 1;
      last = byte;
    }
    length += count;
  }
  output.length = length;
}
