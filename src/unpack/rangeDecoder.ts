// LZMA's binary range decoder. What a bit costs depends on its probability, which learns from every bit (LZMA
// specification, "The range decoder": https://www.7-zip.org/sdk.html, lzma-specification.txt). Range and code are
// unsigned 32-bit words, kept in a typed array so that no number is boxed; loops keep them in locals.
import { damaged } from './output.ts';

const RANGE = 0;
const CODE = 1;
const TOP = 2 ** 24;
const PROBABILITY_BITS = 11;
const MOVE_BITS = 5;
const ONE = 1 << PROBABILITY_BITS;
/** What every probability starts as. */
export const EVEN = ONE >> 1;

export class RangeDecoder {
  readonly what: string;
  readonly input: Uint8Array;
  /** Chances, in 2048ths, that a bit is 0. */
  probabilities: Uint16Array = new Uint16Array(0);
  at = 0;
  end = 0;
  readonly #words = new Uint32Array(2);

  constructor(input: Uint8Array, what: string) {
    this.input = input;
    this.what = what;
  }

  /** Starts at `at`; the input ends at `end`. */
  start(at: number, end: number): void {
    this.at = at;
    this.end = end;
    this.#words[RANGE] = 0xffff_ffff;
    const first = this.#next();
    let code = 0;
    for (let i = 0; i < 4; i++) code = (code << 8) | this.#next();
    this.#words[CODE] = code;
    this.checkEnd();
    if (first !== 0) throw damaged(this.what, 'a compressed part starts wrongly');
  }

  /** Whether nothing is left in hand, as it is when an intact part was decoded to its end. */
  get drained(): boolean {
    return this.#words[CODE] === 0;
  }

  /** Behind the end come zeros, until this complains. */
  checkEnd(): void {
    if (this.at > this.end) throw damaged(this.what, 'a compressed part is cut short');
  }

  #next(): number {
    const at = this.at++;
    return at < this.end ? this.input[at]! : 0;
  }

  bit(index: number): number {
    const words = this.#words;
    const probability = this.probabilities[index]!;
    let range = words[RANGE]!;
    let code = words[CODE]!;
    const bound = Math.imul(range >>> PROBABILITY_BITS, probability) >>> 0;
    let bit = 0;
    if (code < bound) {
      range = bound;
      this.probabilities[index] = probability + ((ONE - probability) >> MOVE_BITS);
    } else {
      range = (range - bound) >>> 0;
      code = (code - bound) >>> 0;
      this.probabilities[index] = probability - (probability >> MOVE_BITS);
      bit = 1;
    }
    if (range < TOP) {
      range = (range << 8) >>> 0;
      code = ((code << 8) | this.#next()) >>> 0;
    }
    words[RANGE] = range;
    words[CODE] = code;
    return bit;
  }

  /** `count` bits, most significant first, each under the probability that the ones before it choose. */
  tree(base: number, count: number): number {
    return this.#bits(base, 1, 1 << count) - (1 << count);
  }

  /** The bits behind `symbol`, which starts with a 1, until it has reached `end`. */
  #bits(base: number, start: number, end: number): number {
    const words = this.#words;
    const probabilities = this.probabilities;
    let range = words[RANGE]!;
    let code = words[CODE]!;
    let symbol = start;
    do {
      const index = base + symbol;
      const probability = probabilities[index]!;
      const bound = Math.imul(range >>> PROBABILITY_BITS, probability) >>> 0;
      symbol <<= 1;
      if (code < bound) {
        range = bound;
        probabilities[index] = probability + ((ONE - probability) >> MOVE_BITS);
      } else {
        range = (range - bound) >>> 0;
        code = (code - bound) >>> 0;
        probabilities[index] = probability - (probability >> MOVE_BITS);
        symbol |= 1;
      }
      if (range < TOP) {
        range = (range << 8) >>> 0;
        code = ((code << 8) | this.#next()) >>> 0;
      }
    } while (symbol < end);
    words[RANGE] = range;
    words[CODE] = code;
    return symbol;
  }

  /** `count` bits, least significant first. */
  reverseTree(base: number, count: number): number {
    let symbol = 1;
    let value = 0;
    for (let i = 0; i < count; i++) {
      const bit = this.bit(base + symbol);
      symbol = (symbol << 1) | bit;
      value |= bit << i;
    }
    return value;
  }

  /** `count` bits that are as likely 0 as 1, most significant first. */
  direct(count: number): number {
    const words = this.#words;
    let range = words[RANGE]!;
    let code = words[CODE]!;
    let value = 0;
    for (let i = 0; i < count; i++) {
      range >>>= 1;
      value <<= 1;
      if (code >= range) {
        code = (code - range) >>> 0;
        value |= 1;
      }
      if (range < TOP) {
        range = (range << 8) >>> 0;
        code = ((code << 8) | this.#next()) >>> 0;
      }
    }
    words[RANGE] = range;
    words[CODE] = code;
    return value;
  }

  literal(base: number): number {
    return this.#bits(base, 1, 0x100) & 0xff;
  }

  /**
   * A literal where a match ended: as long as its bits are those of the byte that the match would go on with, they
   * choose.
   */
  matchedLiteral(base: number, matchByte: number): number {
    let symbol = 1;
    let rest = matchByte;
    do {
      const expected = (rest >> 7) & 1;
      rest <<= 1;
      const bit = this.bit(base + ((1 + expected) << 8) + symbol);
      symbol = (symbol << 1) | bit;
      if (bit !== expected) return symbol < 0x100 ? this.#bits(base, symbol, 0x100) & 0xff : symbol & 0xff;
    } while (symbol < 0x100);
    return symbol & 0xff;
  }
}
