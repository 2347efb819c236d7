// Zstandard's two entropy coders (RFC 8878, section 4): FSE and Huffman tables, how they are described and built.
import { damaged } from './output.ts';

const WHAT = 'the zstd data';

/** Zeros before and behind a block's bytes, so that reading a few bits too far stays inside; checks come afterwards. */
export const MARGIN = 16;

/** Where a stream that is read backwards starts: the bit below its highest 1, which ends it. Offsets in bits. */
export function lastBit(view: DataView, from: number, to: number): number {
  const last = to > from ? view.getUint8(to - 1) : 0;
  if (last === 0) throw damaged(WHAT, 'a stream of bits has no end');
  return 8 * (to - 1) + floorLog2(last);
}

/** `count` bits, at most 25, from bit `at` up. */
export function bitsAt(view: DataView, at: number, count: number): number {
  return (view.getUint32(at >>> 3, true) >>> (at & 7)) & ((1 << count) - 1);
}

const floorLog2 = (value: number): number => 31 - Math.clz32(value);

/** A state's entry: state base << 16 | bits to add to it << 8 | symbol. */
export interface FseTable {
  readonly accuracyLog: number;
  readonly entries: Uint32Array;
}

/**
 * Reads the description of a table (4.1.1).
 * @returns the table, and the offset of the byte after its description
 */
export function readFseTable(
  view: DataView,
  from: number,
  to: number,
  most: { readonly accuracyLog: number; readonly symbol: number },
): { table: FseTable; end: number } {
  let at = 8 * from;
  const take = (count: number): number => {
    at += count;
    if (at > 8 * to) throw damaged(WHAT, 'a table is cut short');
    return bitsAt(view, at - count, count);
  };
  const accuracyLog = take(4) + 5;
  if (accuracyLog > most.accuracyLog) throw damaged(WHAT, 'a table is larger than tables are');
  const probabilities: number[] = [];
  for (let left = 1 << accuracyLog; left > 0; ) {
    const probability = takeUpTo(left + 1, take, () => at--) - 1;
    probabilities.push(probability);
    left -= Math.abs(probability);
    if (probability === 0) skipZeros(probabilities, take);
    if (probabilities.length > most.symbol + 1) throw damaged(WHAT, 'a table has too many symbols');
  }
  return { table: fseTable(probabilities, accuracyLog), end: (at + 7) >> 3 };
}

/** A value from 0 to `most`, the smaller ones in a bit less. */
function takeUpTo(most: number, take: (count: number) => number, untake: () => void): number {
  const bits = floorLog2(most) + 1;
  const short = (1 << bits) - 1 - most;
  const value = take(bits);
  const low = value & ((1 << (bits - 1)) - 1);
  if (low < short) {
    untake();
    return low;
  }
  return value === low ? value : value - short;
}

function skipZeros(probabilities: number[], take: (count: number) => number): void {
  for (let repeat = 3; repeat === 3; ) {
    repeat = take(2);
    for (let i = 0; i < repeat; i++) probabilities.push(0);
  }
}

/** 4.1.1, "From normalized distribution to decoding tables". A probability of -1 is one that is less than 1. */
export function fseTable(probabilities: readonly number[], accuracyLog: number): FseTable {
  const size = 1 << accuracyLog;
  const entries = new Uint32Array(size);
  let high = size;
  probabilities.forEach((probability, symbol) => {
    if (probability === -1) entries[--high] = symbol;
  });
  const step = (size >> 1) + (size >> 3) + 3;
  let at = 0;
  probabilities.forEach((probability, symbol) => {
    for (let i = 0; i < probability; i++) {
      entries[at] = symbol;
      do at = (at + step) & (size - 1);
      while (at >= high);
    }
  });
  const next = probabilities.map(Math.abs);
  for (let state = 0; state < size; state++) {
    const symbol = entries[state]!;
    const count = next[symbol]!++;
    const bits = accuracyLog - floorLog2(count);
    entries[state] = (((count << bits) - size) << 16) | (bits << 8) | symbol;
  }
  return { accuracyLog, entries };
}

/** A table of one state that is always the same symbol. */
export function constantTable(symbol: number): FseTable {
  return { accuracyLog: 0, entries: Uint32Array.of(symbol) };
}

export interface HuffmanTable {
  /** The longest code's bits. */
  readonly bits: number;
  /** By the next `bits` bits: symbol << 4 | code length. */
  readonly entries: Uint16Array;
}

const LONGEST_CODE = 11;
const MOST_WEIGHTS = 255;
const WEIGHTS = { accuracyLog: 6, symbol: LONGEST_CODE + 1 };

/** Reads the description of a table (4.2.1). Returns it, and the offset of the byte after it. */
export function readHuffmanTable(view: DataView, from: number, to: number): { table: HuffmanTable; end: number } {
  const header = from < to ? view.getUint8(from) : 0;
  const count = header - 127;
  const end = from + 1 + (header < 128 ? header : (count + 1) >> 1);
  if (end > to) throw damaged(WHAT, 'a table is cut short');
  const weights =
    header < 128
      ? packedWeights(view, from + 1, end)
      : Array.from({ length: count }, (_, i) => (view.getUint8(from + 1 + (i >> 1)) >> (i & 1 ? 0 : 4)) & 15);
  return { table: huffmanTable(weights), end };
}

/** 4.2.1.2: two FSE states in turn, until the bits are used up. */
function packedWeights(view: DataView, from: number, to: number): number[] {
  const { table, end } = readFseTable(view, from, to, WEIGHTS);
  const first = 8 * end;
  let at = lastBit(view, end, to) - 2 * table.accuracyLog;
  if (at < first) throw damaged(WHAT, 'a table is cut short');
  let now = table.entries[bitsAt(view, at + table.accuracyLog, table.accuracyLog)]!;
  let then = table.entries[bitsAt(view, at, table.accuracyLog)]!;
  const weights: number[] = [];
  for (;;) {
    weights.push(now & 0xff);
    const bits = (now >> 8) & 0xff;
    at -= bits;
    if (at < first) break;
    if (weights.length >= MOST_WEIGHTS) throw damaged(WHAT, 'a table has too many symbols');
    [now, then] = [then, table.entries[(now >>> 16) + bitsAt(view, at, bits)]!];
  }
  return [...weights, then & 0xff];
}

/**
 * 4.2.1.3: the last weight is the one that makes the sum a power of two; the lower a weight, the longer and lower the
 * code.
 */
function huffmanTable(given: readonly number[]): HuffmanTable {
  if (given.length > MOST_WEIGHTS || given.some((weight) => weight > LONGEST_CODE)) {
    throw damaged(WHAT, 'a table has impossible weights');
  }
  const sum = given.reduce((sum, weight) => sum + (weight === 0 ? 0 : 1 << (weight - 1)), 0);
  const bits = floorLog2(sum) + 1;
  const left = (1 << bits) - sum;
  if (sum === 0 || bits > LONGEST_CODE || (left & (left - 1)) !== 0)
    throw damaged(WHAT, 'a table has impossible weights');
  const weights = [...given, floorLog2(left) + 1];
  const entries = new Uint16Array(1 << bits);
  let at = 0;
  for (let weight = 1; weight <= bits; weight++) {
    weights.forEach((of, symbol) => {
      if (of !== weight) return;
      entries.fill((symbol << 4) | (bits + 1 - weight), at, at + (1 << (weight - 1)));
      at += 1 << (weight - 1);
    });
  }
  return { bits, entries };
}
