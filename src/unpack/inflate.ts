// DEFLATE (RFC 1951), decoding only. Section numbers are the RFC's.
import { basesOf } from './bases.ts';
import { append, copyBack, damaged, type Output, room } from './output.ts';

/** Codes up to this long are looked up at once; the few longer ones are walked bit by bit. */
const FAST_BITS = 10;
const LONGEST_CODE = 15;

/** Order of the code length code's lengths (3.2.7). */
const LENGTH_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15] as const;
/** Symbols 257 to 285 (3.2.5). */
const LENGTH_EXTRA = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0] as const;
const LENGTH_BASE = [...basesOf(3, LENGTH_EXTRA.slice(0, 28)), 258];
const DISTANCE_EXTRA = Array.from({ length: 30 }, (_, code) => Math.max(0, (code >> 1) - 1));
const DISTANCE_BASE = basesOf(1, DISTANCE_EXTRA);
const END_OF_BLOCK = 256;

/** Bits of a byte from the least significant up (3.1.1); behind the end come zeros, until `checkEnd` complains. */
class Bits {
  readonly bytes: Uint8Array;
  readonly what: string;
  at: number;
  hold = 0;
  held = 0;

  constructor(bytes: Uint8Array, at: number, what: string) {
    this.bytes = bytes;
    this.at = at;
    this.what = what;
  }

  /** At least `count` bits in hand; at most 16 are asked for, so `hold` stays below 2^23. */
  need(count: number): number {
    while (this.held < count) {
      const byte = this.at < this.bytes.length ? this.bytes[this.at]! : 0;
      this.hold |= byte << this.held;
      this.held += 8;
      this.at++;
    }
    return this.hold;
  }

  drop(count: number): void {
    this.hold >>>= count;
    this.held -= count;
  }

  take(count: number): number {
    const value = this.need(count) & ((1 << count) - 1);
    this.drop(count);
    return value;
  }

  /** Gives back whole bytes and drops what is left of the last one; the offset of the next byte. */
  toByte(): number {
    this.at -= this.held >> 3;
    this.hold = this.held = 0;
    this.checkEnd();
    return this.at;
  }

  checkEnd(): void {
    if (this.at - (this.held >> 3) > this.bytes.length) throw damaged(this.what, 'it ends within a compressed block');
  }
}

interface Code {
  /** By the next FAST_BITS bits: symbol << 4 | length, or 0. */
  readonly fast: Uint16Array;
  /** How many codes there are of each length. */
  readonly counts: Uint16Array;
  /** Symbols in the order of their codes. */
  readonly symbols: Uint16Array;
}

/** The canonical code with these lengths (3.2.2). A code that leaves room is accepted, one that has none is not. */
function codeOf(lengths: Uint8Array, what: string): Code {
  const counts = new Uint16Array(LONGEST_CODE + 1);
  for (const length of lengths) counts[length]!++;
  counts[0] = 0;
  const starts = new Uint16Array(LONGEST_CODE + 2);
  let left = 1;
  for (let length = 1; length <= LONGEST_CODE; length++) {
    left = left * 2 - counts[length]!;
    if (left < 0) throw damaged(what, 'a Huffman code has too many codes');
    starts[length + 1] = starts[length]! + counts[length]!;
  }
  const symbols = new Uint16Array(lengths.length);
  lengths.forEach((length, symbol) => {
    if (length !== 0) symbols[starts[length]!++] = symbol;
  });
  return { fast: fastTable(counts, symbols), counts, symbols };
}

function fastTable(counts: Uint16Array, symbols: Uint16Array): Uint16Array {
  const fast = new Uint16Array(1 << FAST_BITS);
  let code = 0;
  let index = 0;
  for (let length = 1; length <= FAST_BITS; length++) {
    for (let i = 0; i < counts[length]!; i++, code++, index++) {
      const entry = (symbols[index]! << 4) | length;
      for (let bits = reversed(code, length); bits < fast.length; bits += 1 << length) fast[bits] = entry;
    }
    code <<= 1;
  }
  return fast;
}

function reversed(code: number, length: number): number {
  let result = 0;
  for (let bit = 0; bit < length; bit++) result |= ((code >> bit) & 1) << (length - 1 - bit);
  return result;
}

function symbolOf(bits: Bits, code: Code): number {
  const entry = code.fast[bits.need(LONGEST_CODE) & ((1 << FAST_BITS) - 1)]!;
  if (entry === 0) return longSymbol(bits, code);
  bits.drop(entry & 15);
  return entry >> 4;
}

function longSymbol(bits: Bits, { counts, symbols }: Code): number {
  let value = 0;
  let first = 0;
  let index = 0;
  for (let length = 1; length <= LONGEST_CODE; length++) {
    value |= (bits.hold >> (length - 1)) & 1;
    const count = counts[length]!;
    if (value - first < count) {
      bits.drop(length);
      return symbols[index + value - first]!;
    }
    index += count;
    first = (first + count) << 1;
    value <<= 1;
  }
  throw damaged(bits.what, 'a code that stands for nothing');
}

interface Codes {
  readonly literals: Code;
  readonly distances: Code;
}

let fixed: Codes | undefined;

/** 3.2.6 */
function fixedCodes(): Codes {
  if (fixed !== undefined) return fixed;
  const lengths = Uint8Array.from({ length: 288 }, (_, symbol) =>
    symbol < 144 ? 8 : symbol < 256 ? 9 : symbol < 280 ? 7 : 8,
  );
  fixed = { literals: codeOf(lengths, ''), distances: codeOf(new Uint8Array(30).fill(5), '') };
  return fixed;
}

/** 3.2.7 */
function dynamicCodes(bits: Bits): Codes {
  const literalCount = bits.take(5) + 257;
  const distanceCount = bits.take(5) + 1;
  const given = bits.take(4) + 4;
  const lengthLengths = new Uint8Array(19);
  for (let i = 0; i < given; i++) lengthLengths[LENGTH_ORDER[i]!] = bits.take(3);
  const lengths = codeLengths(bits, codeOf(lengthLengths, bits.what), literalCount + distanceCount);
  bits.checkEnd();
  return {
    literals: codeOf(lengths.subarray(0, literalCount), bits.what),
    distances: codeOf(lengths.subarray(literalCount), bits.what),
  };
}

function codeLengths(bits: Bits, code: Code, count: number): Uint8Array {
  const lengths = new Uint8Array(count);
  for (let i = 0; i < count; ) {
    const symbol = symbolOf(bits, code);
    if (symbol < 16) {
      lengths[i++] = symbol;
      continue;
    }
    if (symbol === 16 && i === 0) throw damaged(bits.what, 'a code length repeats one that is not there');
    const times = symbol === 16 ? 3 + bits.take(2) : symbol === 17 ? 3 + bits.take(3) : 11 + bits.take(7);
    if (times > count - i) throw damaged(bits.what, 'more code lengths than a block has codes');
    lengths.fill(symbol === 16 ? lengths[i - 1]! : 0, i, i + times);
    i += times;
  }
  return lengths;
}

function compressedBlock(bits: Bits, { literals, distances }: Codes, output: Output, start: number): void {
  let bytes = output.bytes;
  for (;;) {
    const symbol = symbolOf(bits, literals);
    if (symbol < END_OF_BLOCK) {
      if (output.length === bytes.length) {
        bits.checkEnd();
        bytes = room(output, 1);
      }
      bytes[output.length++] = symbol;
    } else if (symbol === END_OF_BLOCK) {
      return bits.checkEnd();
    } else {
      bytes = match(bits, symbol - 257, distances, output, start);
    }
  }
}

function match(bits: Bits, lengthCode: number, distances: Code, output: Output, start: number): Uint8Array {
  const size = (LENGTH_BASE[lengthCode] ?? 0) + bits.take(LENGTH_EXTRA[lengthCode] ?? 0);
  const code = symbolOf(bits, distances);
  const distance = (DISTANCE_BASE[code] ?? 0) + bits.take(DISTANCE_EXTRA[code] ?? 0);
  bits.checkEnd();
  if (size === 0 || distance === 0) throw damaged(bits.what, 'a code that stands for nothing');
  if (distance > output.length - start) throw damaged(bits.what, 'a match reaches before its beginning');
  const bytes = room(output, size);
  copyBack(bytes, output.length, distance, size);
  output.length += size;
  return bytes;
}

/** 3.2.4 */
function storedBlock(bits: Bits, output: Output): void {
  const at = bits.toByte();
  const [size, complement] = [bits.take(16), bits.take(16)];
  if ((size ^ complement) !== 0xffff) throw damaged(bits.what, 'a stored block without a proper length');
  if (at + 4 + size > bits.bytes.length) throw damaged(bits.what, 'it ends within a stored block');
  append(output, bits.bytes.subarray(at + 4, at + 4 + size));
  bits.at = at + 4 + size;
}

/** Unpacks the DEFLATE stream at `at` and returns the offset of the byte after it. */
export function inflate(source: Uint8Array, at: number, what: string, output: Output): number {
  const bits = new Bits(source, at, what);
  const start = output.length;
  for (let last = 0; last === 0; ) {
    last = bits.take(1);
    const type = bits.take(2);
    if (type === 3) throw damaged(what, 'a block of a type that does not exist');
    if (type === 0) storedBlock(bits, output);
    else compressedBlock(bits, type === 1 ? fixedCodes() : dynamicCodes(bits), output, start);
  }
  return bits.toByte();
}
