// How alike two functions are at a glance: the share of tokens that both have, in whatever order.
import { type Functions, lengthOf } from './functions.ts';

/** Longer functions are judged by their first instructions. */
const MOST_TOKENS = 4096;
/** Functions whose lengths differ by more are not alike. */
const LARGEST_RATIO = 4;

const sorted = new WeakMap<Functions, Map<number, Uint32Array>>();

/** 0 to 1 (the Sorensen-Dice coefficient of their tokens). */
export function likeness(good: Functions, i: number, bad: Functions, j: number): number {
  const [n, m] = [lengthOf(good, i), lengthOf(bad, j)];
  if (n > LARGEST_RATIO * m || m > LARGEST_RATIO * n) return 0;
  const [a, b] = [tokensOf(good, i), tokensOf(bad, j)];
  return (2 * shared(a, b)) / (a.length + b.length);
}

function tokensOf(functions: Functions, fn: number): Uint32Array {
  let kept = sorted.get(functions);
  if (kept === undefined) sorted.set(functions, (kept = new Map()));
  let tokens = kept.get(fn);
  if (tokens === undefined) {
    const from = functions.first[fn] as number;
    tokens = functions.listing.token.slice(from, from + Math.min(lengthOf(functions, fn), MOST_TOKENS)).sort();
    kept.set(fn, tokens);
  }
  return tokens;
}

function shared(a: Uint32Array, b: Uint32Array): number {
  let count = 0;
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const [x, y] = [a[i] as number, b[j] as number];
    if (x === y) count++;
    if (x <= y) i++;
    if (y <= x) j++;
  }
  return count;
}
