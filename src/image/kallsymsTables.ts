// Where a kernel keeps its own symbol table. scripts/kallsyms.c of the kernel writes it, and no symbol or section says where
// it is; it is found by its own structure. All parts start at multiples of 8, in kernels of 2026 of 4:
//
//   until 6.3: addresses, num_syms, names, markers, [seqs_of_names,] token_table, token_index
//   since 6.4: num_syms, names, markers, token_table, token_index, addresses, [seqs_of_names]
//
// token_table holds 256 NUL-terminated strings and token_index where each starts (256 u16): 512 bytes of ascending
// numbers that fit the strings before them are nothing else. markers, somewhere before them, says where every 256th name
// starts, counted from the first; it follows the names, so the number of symbols before those can be checked against it.
// What the addresses look like is for kallsyms.ts.
import { viewOf } from '../bits/cursor.ts';

/** What lies where, in bytes from the start of the file. */
export interface KallsymsPlaces {
  /** Symbols, in all parts. */
  readonly count: number;
  readonly numSyms: number;
  /** A length (ULEB128, two bytes at most) and that many token numbers for each symbol. */
  readonly names: number;
  readonly tokens: readonly string[];
  /** The byte behind token_index. */
  readonly end: number;
}

/** Parts start at multiples of this, and end less than PADDING bytes before the next. */
const ALIGN = 4;
const PADDING = 8;
const TOKENS = 256;
const TOKEN_INDEX_SIZE = TOKENS * 2;
/** KSYM_NAME_LEN; a token is part of a name. */
export const LONGEST_SYMBOL = 512;
/** Names between two markers. */
const BLOCK = 256;
/** Bytes of a block of names of the longest kind. */
const LARGEST_BLOCK = BLOCK * (2 + LONGEST_SYMBOL);
/** Fewer symbols than three blocks is no kernel, and a shorter row of numbers is found everywhere. */
const FEWEST_MARKERS = 4;
const MOST_SYMBOLS = 1 << 21;
/** seqs_of_names has 3 bytes a symbol, for a time 4. */
const FARTHEST_MARKERS = MOST_SYMBOLS * 8;

// A hostile file may hold any number of beginnings; a kernel has one or two that mislead.
const MOST_TOKEN_INDEXES = 256;
const MOST_TOKEN_TABLES = 16;
const MOST_MARKER_ROWS = 64;
const MOST_WALKS = 64;

/** Finds the tables; undefined where there are none. Takes time in proportion to the file. */
export function findKallsyms(bytes: Uint8Array): KallsymsPlaces | undefined {
  const view = viewOf(bytes);
  const budget: Budget = { indexes: MOST_TOKEN_INDEXES, tables: MOST_TOKEN_TABLES, walks: MOST_WALKS };
  for (let at = 0; at + TOKEN_INDEX_SIZE <= bytes.length; at += ALIGN) {
    if (!isTokenIndex(view, at)) continue;
    if (--budget.indexes < 0 || budget.tables <= 0) return undefined;
    const found = tablesBefore(bytes, view, at, budget);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Tries left. */
interface Budget {
  indexes: number;
  tables: number;
  walks: number;
}

function tablesBefore(bytes: Uint8Array, view: DataView, index: number, budget: Budget): KallsymsPlaces | undefined {
  const tokenTable = tokenTableBefore(bytes, view, index);
  const tokens = tokenTable === undefined ? undefined : tokensAt(bytes, view, tokenTable, index);
  if (tokenTable === undefined || tokens === undefined) return undefined;
  budget.tables--;
  const found = findNames(view, tokenTable, budget);
  return found === undefined ? undefined : { ...found, tokens, end: index + TOKEN_INDEX_SIZE };
}

/** Starts with 0 and goes up with every token; an empty one takes its NUL. */
function isTokenIndex(view: DataView, at: number): boolean {
  let before = 0;
  if (view.getUint16(at, true) !== 0) return false;
  for (let i = 1; i < TOKENS; i++) {
    const offset = view.getUint16(at + 2 * i, true);
    if (offset <= before || offset > before + LONGEST_SYMBOL) return false;
    before = offset;
  }
  return true;
}

/** The table ends at its index; the length of its last string is all that is not known. */
function tokenTableBefore(bytes: Uint8Array, view: DataView, index: number): number | undefined {
  const lastString = view.getUint16(index + TOKEN_INDEX_SIZE - 2, true);
  const latest = (index - lastString - 1) & ~(ALIGN - 1);
  for (let at = latest; at >= 0 && at > latest - LONGEST_SYMBOL; at -= ALIGN) {
    if (endsEachToken(bytes, view, at, index)) return at;
  }
  return undefined;
}

function endsEachToken(bytes: Uint8Array, view: DataView, table: number, index: number): boolean {
  for (let i = 1; i < TOKENS; i++) {
    const start = table + view.getUint16(index + 2 * i, true);
    if (start > index || bytes[start - 1] !== 0) return false;
  }
  const last = bytes.indexOf(0, table + view.getUint16(index + TOKEN_INDEX_SIZE - 2, true));
  return last >= index - PADDING && last < index;
}

/** The strings; undefined where one is not what symbol names are made of. */
function tokensAt(bytes: Uint8Array, view: DataView, table: number, index: number): string[] | undefined {
  const tokens: string[] = [];
  for (let i = 0; i < TOKENS; i++) {
    const start = table + view.getUint16(index + 2 * i, true);
    const token = bytes.subarray(start, bytes.indexOf(0, start));
    if (token.length > LONGEST_SYMBOL || token.some((byte) => byte <= 0x20 || byte >= 0x7f)) return undefined;
    tokens.push(String.fromCharCode(...token));
  }
  return tokens;
}

type Names = Pick<KallsymsPlaces, 'count' | 'numSyms' | 'names'>;

/** Looks backwards from the token table for a row of markers, and before it for the names it fits. */
function findNames(view: DataView, tokenTable: number, budget: Budget): Names | undefined {
  let rows = 0;
  const first = Math.max(0, tokenTable - FARTHEST_MARKERS);
  for (let at = tokenTable - ALIGN; at >= first && rows < MOST_MARKER_ROWS; at -= ALIGN) {
    // Until 4.19 each marker had 8 bytes.
    for (const stride of [4, 8]) {
      const count = markersAt(view, at, tokenTable, stride);
      if (count < FEWEST_MARKERS) continue;
      rows++;
      const found = namesBefore(view, { at, count, stride }, budget);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

interface Markers {
  readonly at: number;
  readonly count: number;
  /** Bytes from one to the next. */
  readonly stride: number;
}

/** How many numbers from `at` on could be markers: from 0 upwards, a block's size apart. */
function markersAt(view: DataView, at: number, end: number, stride: number): number {
  if (view.getUint32(at, true) !== 0) return 0;
  let count = 1;
  let before = 0;
  for (let next = at + stride; next + stride <= end; next += stride) {
    const marker = view.getUint32(next, true);
    if (stride === 8 && view.getUint32(next + 4, true) !== 0) break;
    if (marker < before + 2 * BLOCK || marker > before + LARGEST_BLOCK) break;
    before = marker;
    count++;
  }
  return count;
}

/** The number of symbols before the names has to give just as many markers, and the names have to end at them. */
function namesBefore(view: DataView, markers: Markers, budget: Budget): Names | undefined {
  const lastBlock = view.getUint32(markers.at + (markers.count - 1) * markers.stride, true);
  const latest = (markers.at - lastBlock - 2) & ~(ALIGN - 1);
  const earliest = Math.max(PADDING, latest - LARGEST_BLOCK);
  for (let names = latest; names >= earliest && budget.walks > 0; names -= ALIGN) {
    // Padded, or a 64-bit number, it lies 8 bytes before them; a zero there is no number of symbols.
    const numSyms = view.getUint32(names - 4, true) === 0 ? names - 8 : names - 4;
    const count = view.getUint32(numSyms, true);
    if (count > MOST_SYMBOLS || Math.ceil(count / BLOCK) !== markers.count) continue;
    budget.walks--;
    if (fitsMarkers(view, names, count, markers)) return { count, numSyms, names };
  }
  return undefined;
}

function fitsMarkers(view: DataView, names: number, count: number, markers: Markers): boolean {
  let at = names;
  for (let i = 0; i < count; i++) {
    if (i % BLOCK === 0 && at - names !== view.getUint32(markers.at + (i / BLOCK) * markers.stride, true)) return false;
    if (at + 1 >= markers.at) return false;
    const head = nameHead(view, at);
    if (head.length === 0) return false;
    at += head.size + head.length;
  }
  return at <= markers.at && at > markers.at - PADDING;
}

/** Length of the name at `at` in tokens, and bytes that say so. The byte behind `at` has to be in the file. */
export function nameHead(view: DataView, at: number): { readonly length: number; readonly size: number } {
  const low = view.getUint8(at);
  return low < 0x80 ? { length: low, size: 1 } : { length: (low & 0x7f) | (view.getUint8(at + 1) << 7), size: 2 };
}
