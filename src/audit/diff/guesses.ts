// Where one side's functions may start that were found on the other side only: as far from a matched neighbour as there.
import { lowerBound } from './columns.ts';
import { type Functions, lengthOf } from './functions.ts';
import { type Matching, sameContent } from './matching.ts';

/** More would be no guesses. */
const MOST_GUESSES = 10_000;

/** Offsets of either side for functions of the other that have no equal there. */
export function guessStarts(matching: Matching): { good: number[]; bad: number[] } {
  const { good, bad, badOf, goodOf } = matching;
  return {
    bad: guessesFor(good, bad, badOf, (i, j) => sameContent(matching, i, j)),
    good: guessesFor(bad, good, goodOf, (j, i) => sameContent(matching, i, j)),
  };
}

type IsEqual = (fn: number, mate: number) => boolean;

function guessesFor(from: Functions, to: Functions, mates: Int32Array, isEqual: IsEqual): number[] {
  const known = new Set(to.start);
  const guesses = new Set<number>();
  const [before, after] = [distances(from, to, mates, isEqual, 1), distances(from, to, mates, isEqual, -1)];
  for (let fn = 0; fn < from.count && guesses.size < MOST_GUESSES; fn++) {
    const mate = mates[fn] as number;
    if (mate >= 0 && isEqual(fn, mate)) continue;
    for (const moved of [before[fn], after[fn]]) {
      const guess = (from.start[fn] as number) + (moved ?? Number.NaN);
      if (guess >= 0 && !known.has(guess) && isLikely(from, fn, to, guess)) guesses.add(guess);
    }
  }
  return [...guesses];
}

/** For each function how far the nearest equal one before it (step 1) or after it (-1) has moved; NaN for none. */
function distances(from: Functions, to: Functions, mates: Int32Array, isEqual: IsEqual, step: 1 | -1): Float64Array {
  const moved = new Float64Array(from.count);
  let last = Number.NaN;
  for (let n = 0; n < from.count; n++) {
    const fn = step === 1 ? n : from.count - 1 - n;
    const mate = mates[fn] as number;
    if (mate >= 0 && isEqual(fn, mate)) last = (to.start[mate] as number) - (from.start[fn] as number);
    moved[fn] = last;
  }
  return moved;
}

/** Instructions by which a function is known where it may start within another. */
const ENOUGH = 8;

/** Code listed there begins like the function; where none is listed, following the code will tell. */
function isLikely(from: Functions, fn: number, { listing }: Functions, guess: number): boolean {
  const index = lowerBound(listing.at, guess);
  if (listing.at[index] !== guess) return index === 0 || endOf(listing, index - 1) <= guess;
  const first = from.first[fn] as number;
  for (let n = 0; n < Math.min(ENOUGH, lengthOf(from, fn)); n++) {
    if (listing.token[index + n] !== from.listing.token[first + n]) return false;
  }
  return true;
}

const endOf = ({ at, length }: Functions['listing'], index: number): number =>
  (at[index] as number) + (length[index] as number);
