// LZMA proper: literals, matches and repeated matches, each bit of them range coded. Serves .lzma files and the chunks
// of LZMA2. Names of states and tables are those of the LZMA specification (lzma-specification.txt of the LZMA SDK).
import { copyBack, damaged, type Output, room } from './output.ts';
import { EVEN, RangeDecoder } from './rangeDecoder.ts';

const STATES = 12;
const POSITION_STATES = 16;
const SHORTEST_MATCH = 2;

/** Where each table of probabilities starts. */
const IS_MATCH = 0;
const IS_REP = IS_MATCH + STATES * POSITION_STATES;
const IS_REP_G0 = IS_REP + STATES;
const IS_REP_G1 = IS_REP_G0 + STATES;
const IS_REP_G2 = IS_REP_G1 + STATES;
const IS_REP0_LONG = IS_REP_G2 + STATES;
const POSITION_SLOT = IS_REP0_LONG + STATES * POSITION_STATES;
const POSITION_SPECIAL = POSITION_SLOT + 4 * 64;
const ALIGN = POSITION_SPECIAL + 128;
const LENGTH = ALIGN + 16;
/** Within a table of lengths. */
const LENGTH_CHOICE2 = 1;
const LENGTH_LOW = 2;
const LENGTH_MIDDLE = LENGTH_LOW + POSITION_STATES * 8;
const LENGTH_HIGH = LENGTH_MIDDLE + POSITION_STATES * 8;
const REP_LENGTH = LENGTH + LENGTH_HIGH + 256;
const LITERAL = REP_LENGTH + LENGTH_HIGH + 256;
const LITERAL_TABLE = 0x300;

const END_MARKER = 0xffff_ffff;

export interface Properties {
  /** Literal context bits, 0 to 8. */
  readonly lc: number;
  /** Literal position bits, 0 to 4. */
  readonly lp: number;
  /** Position bits, 0 to 4. */
  readonly pb: number;
}

/** undefined where there is no such byte. */
export function propertiesOf(byte: number): Properties | undefined {
  if (byte >= 9 * 5 * 5) return undefined;
  return { lc: byte % 9, lp: Math.floor(byte / 9) % 5, pb: Math.floor(byte / 45) };
}

/** What survives from chunk to chunk of an LZMA2 stream. */
export class LzmaDecoder {
  readonly range: RangeDecoder;
  /** Offset in the output that matches do not reach behind, and that positions count from. */
  dictionaryStart = 0;
  #properties: Properties = { lc: 0, lp: 0, pb: 0 };
  #state = 0;
  readonly #reps = new Uint32Array(4);

  constructor(input: Uint8Array, what: string) {
    this.range = new RangeDecoder(input, what);
  }

  /** Forgets what was learnt. @param properties new ones, where they change */
  reset(properties: Properties = this.#properties): void {
    const size = LITERAL + (LITERAL_TABLE << (properties.lc + properties.lp));
    if (this.range.probabilities.length !== size) this.range.probabilities = new Uint16Array(size);
    this.range.probabilities.fill(EVEN);
    this.#properties = properties;
    this.#state = 0;
    this.#reps.fill(0);
  }

  /**
   * Decodes up to an output of `end` bytes (Infinity: up to the end marker).
   * Returns whether there was an end marker.
   */
  run(output: Output, end: number): boolean {
    const { range } = this;
    const positionMask = (1 << this.#properties.pb) - 1;
    while (output.length < end) {
      range.checkEnd();
      const positionState = (output.length - this.dictionaryStart) & positionMask;
      if (range.bit(IS_MATCH + (this.#state << 4) + positionState) === 0) {
        this.#literal(output);
        continue;
      }
      const size = range.bit(IS_REP + this.#state) === 0 ? this.#match(positionState) : this.#repeat(positionState);
      if (size === 0) return true;
      this.#copy(output, size, end);
    }
    range.checkEnd();
    return false;
  }

  #literal(output: Output): void {
    const bytes = room(output, 1);
    const { lc, lp } = this.#properties;
    const at = output.length;
    const position = at - this.dictionaryStart;
    const before = position === 0 ? 0 : bytes[at - 1]!;
    const context = ((position & ((1 << lp) - 1)) << lc) + (before >> (8 - lc));
    const table = LITERAL + LITERAL_TABLE * context;
    const state = this.#state;
    if (state < 7) {
      bytes[at] = this.range.literal(table);
      this.#state = state < 4 ? 0 : state - 3;
    } else {
      const distance = this.#reps[0]! + 1;
      if (distance > position) throw damaged(this.range.what, 'a match reaches before its beginning');
      bytes[at] = this.range.matchedLiteral(table, bytes[at - distance]!);
      this.#state = state < 10 ? state - 3 : state - 6;
    }
    output.length = at + 1;
  }

  /** A match at a new distance. Returns its length, 0 for the end marker. */
  #match(positionState: number): number {
    const reps = this.#reps;
    reps.copyWithin(1, 0, 3);
    const size = this.#length(LENGTH, positionState);
    reps[0] = this.#distance(size);
    this.#state = this.#state < 7 ? 7 : 10;
    return reps[0] === END_MARKER ? 0 : size;
  }

  /** A match at one of the last four distances. Returns its length. */
  #repeat(positionState: number): number {
    const { range } = this;
    const reps = this.#reps;
    const state = this.#state;
    if (range.bit(IS_REP_G0 + state) === 0) {
      if (range.bit(IS_REP0_LONG + (state << 4) + positionState) === 0) {
        this.#state = state < 7 ? 9 : 11;
        return 1;
      }
    } else {
      const index = range.bit(IS_REP_G1 + state) === 0 ? 1 : 2 + range.bit(IS_REP_G2 + state);
      const distance = reps[index]!;
      for (let i = index; i > 0; i--) reps[i] = reps[i - 1]!;
      reps[0] = distance;
    }
    this.#state = state < 7 ? 8 : 11;
    return this.#length(REP_LENGTH, positionState);
  }

  #length(table: number, positionState: number): number {
    const { range } = this;
    if (range.bit(table) === 0) return SHORTEST_MATCH + range.tree(table + LENGTH_LOW + (positionState << 3), 3);
    if (range.bit(table + LENGTH_CHOICE2) === 0) {
      return SHORTEST_MATCH + 8 + range.tree(table + LENGTH_MIDDLE + (positionState << 3), 3);
    }
    return SHORTEST_MATCH + 16 + range.tree(table + LENGTH_HIGH, 8);
  }

  #distance(size: number): number {
    const { range } = this;
    const slot = range.tree(POSITION_SLOT + (Math.min(size - SHORTEST_MATCH, 3) << 6), 6);
    if (slot < 4) return slot;
    const bits = (slot >> 1) - 1;
    const base = ((2 | (slot & 1)) << bits) >>> 0;
    if (slot < 14) return base + range.reverseTree(POSITION_SPECIAL + base - slot, bits);
    return base + ((range.direct(bits - 4) << 4) >>> 0) + range.reverseTree(ALIGN, 4);
  }

  #copy(output: Output, size: number, end: number): void {
    const distance = this.#reps[0]! + 1;
    const at = output.length;
    if (distance > at - this.dictionaryStart) throw damaged(this.range.what, 'a match reaches before its beginning');
    if (size > end - at) throw damaged(this.range.what, 'a match reaches behind its end');
    const bytes = room(output, size);
    if (distance === 1 || size > 32) {
      copyBack(bytes, at, distance, size);
    } else {
      for (let i = at; i < at + size; i++) bytes[i] = bytes[i - distance]!;
    }
    output.length = at + size;
  }
}
