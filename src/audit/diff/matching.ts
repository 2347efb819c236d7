// Which function of GOOD is which of BAD: by name, by content, by what matched ones call, by order, by likeness. Surer
// ways go first, and what they find is never undone.
import { align, type Budget } from './align.ts';
import { type Functions, functionAt, lengthOf, nameOf } from './functions.ts';
import { likeness } from './likeness.ts';
import { mixed } from './listing.ts';
import type { MatchedBy } from './types.ts';

export type Matching = {
  readonly good: Functions;
  readonly bad: Functions;
  /** For each function the index of the same one on the other side, or -1. */
  readonly badOf: Int32Array;
  readonly goodOf: Int32Array;
  /** By function of GOOD: index into WAYS. */
  readonly way: Uint8Array;
};

export const WAYS: readonly MatchedBy[] = ['name', 'content', 'references', 'order', 'similarity'];
const [BY_NAME, BY_CONTENT, BY_REFERENCES, BY_ORDER, BY_SIMILARITY] = [0, 1, 2, 3, 4] as const;

export function matchFunctions(good: Functions, bad: Functions, budget: Budget): Matching {
  const matching: Matching = {
    ...{ good, bad, badOf: new Int32Array(good.count).fill(-1), goodOf: new Int32Array(bad.count).fill(-1) },
    way: new Uint8Array(good.count),
  };
  matchByName(matching);
  matchByContent(matching);
  matchByReferences(matching);
  matchByOrder(matching, budget);
  matchByReferences(matching);
  matchBySimilarity(matching);
  return matching;
}

function pair({ badOf, goodOf, way }: Matching, i: number, j: number, by: number): void {
  badOf[i] = j;
  goodOf[j] = i;
  way[i] = by;
}

/** Equal content: everything but where references lead. */
export const sameContent = ({ good, bad }: Matching, i: number, j: number): boolean => good.hash[i] === bad.hash[j];

/** The n-th of a name is the n-th of that name on the other side, where both have as many. */
function matchByName(matching: Matching): void {
  const inGood = byName(matching.good);
  const inBad = byName(matching.bad);
  for (const [name, list] of inGood) {
    const other = inBad.get(name);
    if (other === undefined || other.length !== list.length) continue;
    for (const [n, i] of list.entries()) pair(matching, i, other[n] as number, BY_NAME);
  }
}

function byName(functions: Functions): Map<string, number[]> {
  const names = new Map<string, number[]>();
  if (functions.side.program.symbols === undefined) return names;
  for (let fn = 0; fn < functions.count; fn++) {
    const name = nameOf(functions, fn);
    if (name === undefined) continue;
    const list = names.get(name);
    if (list === undefined) names.set(name, [fn]);
    else list.push(fn);
  }
  return names;
}

/** A content that occurs once on either side. */
function matchByContent(matching: Matching): void {
  const inGood = onceByContent(matching.good, matching.badOf);
  const inBad = onceByContent(matching.bad, matching.goodOf);
  for (const [hash, i] of inGood) {
    const j = inBad.get(hash) ?? -1;
    if (i >= 0 && j >= 0) pair(matching, i, j, BY_CONTENT);
  }
}

function onceByContent({ count, hash }: Functions, mates: Int32Array): Map<number, number> {
  const places = new Map<number, number>();
  for (let fn = 0; fn < count; fn++) {
    const value = hash[fn] as number;
    if (mates[fn] === -1) places.set(value, places.has(value) ? -1 : fn);
  }
  return places;
}

/** What two functions of equal content refer to at the same place is the same, if it looks alike. */
function matchByReferences(matching: Matching): void {
  const open: number[] = [];
  for (let i = 0; i < matching.good.count; i++) open.push(i);
  for (let i = open.pop(); i !== undefined; i = open.pop()) {
    const j = matching.badOf[i] as number;
    if (j >= 0 && sameContent(matching, i, j)) open.push(...matchCalled(matching, i, j));
  }
}

function matchCalled(matching: Matching, i: number, j: number): number[] {
  const { good, bad, badOf, goodOf } = matching;
  const [from, to, other] = [good.firstRef[i] as number, good.firstRef[i + 1] as number, bad.firstRef[j] as number];
  const found: number[] = [];
  for (let n = 0; n < to - from; n++) {
    const called = startingAt(good, good.listing.refValue[from + n] as number);
    if (called < 0 || badOf[called] !== -1) continue;
    const mate = startingAt(bad, bad.listing.refValue[other + n] as number);
    if (mate < 0 || goodOf[mate] !== -1 || !alike(matching, called, mate)) continue;
    pair(matching, called, mate, BY_REFERENCES);
    found.push(called);
  }
  return found;
}

function startingAt(functions: Functions, offset: number): number {
  const fn = functionAt(functions, offset);
  return fn >= 0 && functions.start[fn] === offset ? fn : -1;
}

const ALIKE = 0.5;

const alike = (matching: Matching, i: number, j: number): boolean =>
  sameContent(matching, i, j) || likeness(matching.good, i, matching.bad, j) >= ALIKE;

/** Equal contents in the same order; then, between those, likeness in the same order. */
function matchByOrder(matching: Matching, budget: Budget): void {
  const { good, bad, badOf, goodOf } = matching;
  const mates = align(
    identities(good, badOf, (i) => i),
    identities(bad, goodOf, (j) => goodOf[j] as number),
    budget,
  );
  for (let i = 0; i < mates.length; i++) {
    if ((mates[i] as number) >= 0 && badOf[i] === -1) pair(matching, i, mates[i] as number, BY_ORDER);
  }
  let [i0, j0] = [0, 0];
  for (let i = 0; i <= mates.length; i++) {
    const j = i === mates.length ? bad.count : (mates[i] as number);
    if (j < 0) continue;
    matchGap(matching, unmatched(badOf, i0, i), unmatched(goodOf, j0, j));
    [i0, j0] = [i + 1, j + 1];
  }
}

/** Matched functions have a number of their own, the same on both sides; others one made of their content. */
function identities({ count, hash }: Functions, mates: Int32Array, number: (fn: number) => number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, fn) =>
    mates[fn] === -1
      ? 0x8000_0000 | mixed((hash[fn] as number) >>> 0, Math.floor((hash[fn] as number) / 2 ** 21))
      : number(fn),
  );
}

function unmatched(mates: Int32Array, from: number, to: number): number[] {
  const list: number[] = [];
  for (let fn = from; fn < to; fn++) if (mates[fn] === -1) list.push(fn);
  return list;
}

/** Pairs of functions compared for likeness in one gap. */
const LARGEST_GAP = 2500;
/** One function between two matched ones on either side: little likeness is enough. */
const ALIKE_ALONE = 0.3;

/** The pairs in rising order with the greatest likeness in all. */
function matchGap(matching: Matching, is: readonly number[], js: readonly number[]): void {
  if (is.length === 0 || js.length === 0 || is.length * js.length > LARGEST_GAP) return;
  const least = is.length === 1 && js.length === 1 ? ALIKE_ALONE : ALIKE;
  const like = is.map((i) => js.map((j) => likeness(matching.good, i, matching.bad, j)));
  for (const [row, column] of bestInOrder(like, least)) {
    pair(matching, is[row] as number, js[column] as number, BY_ORDER);
  }
}

/** Row and column of the entries that rise in both and have the greatest sum; none below `least`. */
export function bestInOrder(values: readonly (readonly number[])[], least: number): [number, number][] {
  const columns = values[0]?.length ?? 0;
  const sums = Array.from({ length: values.length + 1 }, () => new Float64Array(columns + 1));
  const sum = (i: number, j: number): number => sums[i]?.[j] ?? 0;
  const taken = (i: number, j: number): number => {
    const value = values[i]?.[j] ?? 0;
    return value >= least ? value + sum(i + 1, j + 1) : 0;
  };
  for (let i = values.length - 1; i >= 0; i--) {
    for (let j = columns - 1; j >= 0; j--) {
      (sums[i] as Float64Array)[j] = Math.max(sum(i + 1, j), sum(i, j + 1), taken(i, j));
    }
  }
  const pairs: [number, number][] = [];
  for (let i = 0, j = 0; i < values.length && j < columns; ) {
    if (sum(i, j) > 0 && sum(i, j) === taken(i, j)) pairs.push([i++, j++]);
    else if (sum(i + 1, j) >= sum(i, j + 1)) i++;
    else j++;
  }
  return pairs;
}

/** Functions compared with each other wherever they stand. */
const MOST_LOOSE_PAIRS = 200_000;
/** Shorter ones are alike by chance. */
const SHORTEST_LOOSE = 8;
const ALIKE_LOOSE = 0.6;

/** The rest: those most like each other, wherever they stand. */
function matchBySimilarity(matching: Matching): void {
  const { good, bad, badOf, goodOf } = matching;
  const is = unmatched(badOf, 0, good.count).filter((i) => lengthOf(good, i) >= SHORTEST_LOOSE);
  const js = unmatched(goodOf, 0, bad.count).filter((j) => lengthOf(bad, j) >= SHORTEST_LOOSE);
  if (is.length * js.length > MOST_LOOSE_PAIRS) return;
  const pairs = is.flatMap((i) => js.map((j) => ({ i, j, like: likeness(good, i, bad, j) })));
  const likely = pairs.filter(({ like }) => like >= ALIKE_LOOSE).sort((a, b) => b.like - a.like);
  for (const { i, j } of likely) if (badOf[i] === -1 && goodOf[j] === -1) pair(matching, i, j, BY_SIMILARITY);
}
