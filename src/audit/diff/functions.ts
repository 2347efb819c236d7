// A listing cut into functions, each with a hash of all it does except where its references lead.
import type { Program } from '../../code/program.ts';
import { symbolAt, type SymbolTable, symbolText } from '../../image/symbols.ts';
import { int32Column, lastNotAbove, lowerBound } from './columns.ts';
import { type Listing, mixed, REF_CALL, REF_JUMP } from './listing.ts';
import type { Code, Side } from './side.ts';

export interface Functions {
  readonly side: Side;
  readonly listing: Listing;
  readonly count: number;
  /** Offset from the program's base, rising. Padding may come before the first instruction. */
  readonly start: Int32Array;
  /** Offset behind the last instruction. */
  readonly end: Int32Array;
  /** Index of the first instruction, and of the one after the last function's last. */
  readonly first: Int32Array;
  /** Index of the first reference, likewise. */
  readonly firstRef: Int32Array;
  /** 53 bits. */
  readonly hash: Float64Array;
  /** Of the code it was made of. */
  readonly bytesLeft: number | undefined;
}

export function splitFunctions(side: Side, { listing, starts, bytesLeft }: Code): Functions {
  const { start, first } = cut(listing, startsOf(side, listing, starts));
  const count = start.length;
  const bounds = Int32Array.from({ length: count + 1 }, (_, i) => first[i] ?? listing.count);
  const end = Int32Array.from(start, (_, i) => endOfInstruction(listing, (bounds[i + 1] as number) - 1));
  const firstRef = bounds.map((index) => lowerBound(listing.refInstruction, index));
  const hash = new Float64Array(count);
  const functions = { side, listing, count, start, end, first: bounds, firstRef, hash, bytesLeft };
  for (let i = 0; i < count; i++) functions.hash[i] = hashOf(functions, i);
  return functions;
}

const endOfInstruction = ({ at, length }: Listing, index: number): number =>
  (at[index] as number) + (length[index] as number);

/** What is known to start functions, and what looks like it: aligned code behind padding. */
function startsOf(side: Side, listing: Listing, given: readonly Int32Array[]): Int32Array {
  const { kernel, named } = side;
  const sections = side.program.stretches.filter(({ holds }) => holds !== 'data').map(({ at }) => at);
  const isNamedKernel = kernel && named.length > 0;
  const called = kernel && !isNamedKernel ? [callTargets(listing)] : [];
  const known = merged([...given, ...called, Int32Array.from(sections)]);
  return isNamedKernel ? known : merged([known, likelyStarts(listing, known, kernel)]);
}

/** Rising, each value once. */
function merged(lists: readonly Int32Array[]): Int32Array {
  const all = new Int32Array(lists.reduce((sum, { length }) => sum + length, 0));
  let length = 0;
  for (const list of lists) {
    all.set(list, length);
    length += list.length;
  }
  return all.sort().filter((value, index, sorted) => index === 0 || value !== sorted[index - 1]);
}

function callTargets({ refKind, refValue, at }: Listing): Int32Array {
  const found = int32Column();
  for (let i = 0; i < refKind.length; i++) {
    const target = refValue[i] as number;
    if (refKind[i] === REF_CALL && at[lowerBound(at, target)] === target) found.push(target);
  }
  return found.values();
}

const FROM_OUTSIDE = 1;
const FROM_INSIDE = 2;

/**
 * Code behind padding that no jump reaches from what else would be the same function. In code that was followed, a jump
 * from elsewhere must reach it: what nothing seems to reach is a case of a switch.
 */
function likelyStarts(
  { refKind, refValue, refInstruction, padded, at }: Listing,
  known: Int32Array,
  kernel: boolean,
): Int32Array {
  const reached = new Uint8Array(padded.length);
  for (let i = 0; i < refKind.length; i++) {
    const target = refValue[i] as number;
    const index = refKind[i] === REF_JUMP ? lowerBound(padded, target) : padded.length;
    if (padded[index] !== target) continue;
    const source = at[refInstruction[i] as number] as number;
    const isInside = lastNotAbove(known, source) === lastNotAbove(known, target);
    reached[index] = (reached[index] as number) | (isInside ? FROM_INSIDE : FROM_OUTSIDE);
  }
  return padded.filter((_, index) => reached[index] === FROM_OUTSIDE || (kernel && reached[index] === 0));
}

/** Starts that have instructions of their own before the next one; the first instruction starts a function anyway. */
function cut({ at, count }: Listing, starts: Int32Array): { start: Int32Array; first: Int32Array } {
  const start = int32Column();
  const first = int32Column();
  let index = 0;
  for (let i = 0; i <= starts.length; i++) {
    const where = starts[i] ?? Number.POSITIVE_INFINITY;
    const next = lowerBound(at, where);
    // What lies before this start belongs to the one before it.
    if (next > index) {
      start.push(i === 0 ? (at[0] as number) : (starts[i - 1] as number));
      first.push(index);
    }
    index = next;
  }
  if (index < count) throw new RangeError('an instruction belongs to no function');
  return { start: start.values(), first: first.values() };
}

function hashOf({ listing, first, firstRef, start, end }: Functions, fn: number): number {
  const { token, refKind, refValue, refInstruction } = listing;
  const [from, to] = [first[fn] as number, first[fn + 1] as number];
  let [one, two] = [to - from, 0x6b];
  let ref = firstRef[fn] as number;
  for (let i = from; i < to; i++) {
    one = mixed(one, token[i] as number);
    two = mixed(two ^ one, token[i] as number);
    for (; refInstruction[ref] === i; ref++) {
      const value = refValue[ref] as number;
      if (refKind[ref] !== REF_JUMP || value < (start[fn] as number) || value >= (end[fn] as number)) continue;
      one = mixed(one, indexWithin(listing, value, from, to) - from);
    }
  }
  return one * 0x20_0000 + (two >>> 11);
}

/** The instruction at an offset, or the next one where padding stands there. */
function indexWithin({ at }: Listing, offset: number, from: number, to: number): number {
  let [low, high] = [from, to];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((at[middle] as number) < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

export const lengthOf = ({ first }: Functions, fn: number): number => (first[fn + 1] as number) - (first[fn] as number);

/** The function an offset lies in; -1 for none. */
export function functionAt({ start, end }: Functions, offset: number): number {
  const fn = lastNotAbove(start, offset);
  return fn >= 0 && offset < (end[fn] as number) ? fn : -1;
}

/** Its symbol; undefined where none is at its start. */
export function nameOf({ side, start }: Functions, fn: number): string | undefined {
  const { symbols } = side.program;
  const hit = symbols === undefined ? undefined : symbolOf(side.program, symbols, start[fn] as number);
  return hit?.offset === 0 ? hit.name : undefined;
}

const symbolOf = ({ base }: Program, symbols: SymbolTable, offset: number) =>
  symbolAt(symbols, BigInt.asUintN(64, base + BigInt(offset)));

/** `name` or `name+0x1c` of any offset, in code or not. */
export function symbolTextAt({ side }: Functions, offset: number): string | undefined {
  const { symbols } = side.program;
  if (symbols === undefined || !Number.isSafeInteger(offset)) return undefined;
  const hit = symbolOf(side.program, symbols, offset);
  return hit === undefined ? undefined : symbolText(hit);
}
