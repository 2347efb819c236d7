// Two matched functions, instruction by instruction. What comes out are indices and kinds; text is made of them later, for
// those that are shown.
import type { AddressMap } from './addresses.ts';
import { type Functions, lengthOf } from './functions.ts';
import { type Judgement, judgeInstructions, judgeReference } from './judge.ts';
import { lowerBound } from './columns.ts';
import { REF_JUMP } from './listing.ts';
import { bestInOrder, type Matching } from './matching.ts';
import { type DifferenceKind, rankOf } from './types.ts';

/** An instruction of GOOD beside one of BAD; -1 for none. Indices count within the functions. */
export type Comparison = Judgement & { readonly goodIndex: number; readonly badIndex: number };
export type Difference = Comparison & { readonly kind: DifferenceKind };

export type FunctionComparison = {
  readonly good: number;
  readonly bad: number;
  /** Those that are not equal, in order. */
  readonly differences: readonly Difference[];
};

export function compareFunctions(map: AddressMap, good: number): FunctionComparison {
  const bad = map.matching.badOf[good] as number;
  const mates = map.alignments.get(good);
  const differences =
    mates === undefined ? differencesOfEqual(map, good, bad) : differencesOfAligned(map, good, bad, mates);
  return { good, bad, differences: differences.filter(isDifference) };
}

const isDifference = (comparison: Comparison): comparison is Difference => comparison.kind !== 'equal';

/** Equal but for references, all of which are held against each other. */
function differencesOfEqual(map: AddressMap, i: number, j: number): Comparison[] {
  const { good, bad } = map.matching;
  const found: Comparison[] = [];
  const other = bad.firstRef[j] as number;
  const from = good.firstRef[i] as number;
  for (let ref = from; ref < (good.firstRef[i + 1] as number); ref++) {
    if (isInternal(good, i, ref)) continue;
    const judgement = judgeReference(map, good.listing, ref, other + ref - from);
    const index = (good.listing.refInstruction[ref] as number) - (good.first[i] as number);
    found.push({ ...judgement, goodIndex: index, badIndex: index });
  }
  return found;
}

function isInternal(functions: Functions, fn: number, ref: number): boolean {
  const { listing, start, end } = functions;
  if (listing.refKind[ref] !== REF_JUMP) return false;
  const value = listing.refValue[ref] as number;
  return value >= (start[fn] as number) && value < (end[fn] as number);
}

/** Blocks with more pairs than this are not searched for instructions that replace each other. */
const LARGEST_BLOCK = 100;

/** What stands between the same equal instructions on both sides is paired by how much it has in common. */
function withReplaced(map: AddressMap, i: number, j: number, mates: Int32Array): Int32Array {
  const paired = mates.slice();
  let [a0, b0] = [0, 0];
  for (let a = 0; a <= mates.length; a++) {
    const b = a === mates.length ? lengthOf(map.matching.bad, j) : (mates[a] as number);
    if (b < 0) continue;
    const scores = (a - a0) * (b - b0) > LARGEST_BLOCK ? [] : scoresOf(map, i, a0, a, j, b0, b);
    for (const [row, column] of bestInOrder(scores, 1)) paired[a0 + row] = b0 + column;
    [a0, b0] = [a + 1, b + 1];
  }
  return paired;
}

function scoresOf(map: AddressMap, i: number, a0: number, a1: number, j: number, b0: number, b1: number): number[][] {
  const { good, bad } = map.matching;
  const [goodFirst, badFirst] = [good.first[i] as number, bad.first[j] as number];
  const alone = a1 - a0 === 1 && b1 - b0 === 1;
  return Array.from({ length: a1 - a0 }, (_, row) =>
    Array.from({ length: b1 - b0 }, (_, column) =>
      score(judgeInstructions(map, goodFirst + a0 + row, badFirst + b0 + column), alone),
    ),
  );
}

const SCORES: Readonly<Record<Judgement['kind'], number>> = {
  equal: 8,
  'addressing-mode-of-same-target': 7,
  'different-target': 3,
  'different-immediate': 3,
  layout: 3,
  'different-instruction': 0,
  removed: 0,
  inserted: 0,
};

/** One beside one is a replacement, whatever it is. */
const score = ({ kind }: Judgement, alone: boolean): number => Math.max(SCORES[kind], alone ? 1 : 0);

function differencesOfAligned(map: AddressMap, i: number, j: number, mates: Int32Array): Comparison[] {
  const found: Comparison[] = [];
  const paired = withReplaced(map, i, j, mates);
  const jumps = jumpsOf(map.matching, i, j, paired);
  let next = 0;
  for (let a = 0; a <= paired.length; a++) {
    const b = a === paired.length ? lengthOf(map.matching.bad, j) : (paired[a] as number);
    if (b >= 0) {
      for (; next < b; next++) found.push({ kind: 'inserted', goodIndex: -1, badIndex: next });
      next = b + 1;
    }
    if (a === paired.length) break;
    if (b < 0) found.push({ kind: 'removed', goodIndex: a, badIndex: -1 });
    else found.push({ ...judgePair(map, i, j, a, b, mates[a] === b, jumps), goodIndex: a, badIndex: b });
  }
  return found;
}

/** Whether a place in GOOD's function is the one in BAD's: as many paired instructions stand before either. */
type Jumps = {
  readonly goodBefore: Int32Array;
  readonly badBefore: Int32Array;
  /** Every instruction is paired. */
  readonly whole: boolean;
};

function jumpsOf({ good, bad }: Matching, i: number, j: number, paired: Int32Array): Jumps {
  const goodBefore = new Int32Array(lengthOf(good, i) + 1);
  const taken = new Uint8Array(lengthOf(bad, j));
  for (let a = 0; a < paired.length; a++) {
    const b = paired[a] as number;
    if (b >= 0) taken[b] = 1;
    goodBefore[a + 1] = (goodBefore[a] as number) + (b >= 0 ? 1 : 0);
  }
  const badBefore = new Int32Array(taken.length + 1);
  for (let b = 0; b < taken.length; b++) badBefore[b + 1] = (badBefore[b] as number) + (taken[b] as number);
  const count = badBefore[taken.length];
  return { goodBefore, badBefore, whole: count === taken.length && count === paired.length };
}

/** @param sameToken equal but for references */
function judgePair(
  map: AddressMap,
  i: number,
  j: number,
  a: number,
  b: number,
  sameToken: boolean,
  jumps: Jumps,
): Judgement {
  const { good, bad } = map.matching;
  const [x, y] = [(good.first[i] as number) + a, (bad.first[j] as number) + b];
  if (!sameToken) return judgeInstructions(map, x, y);
  let worst: Judgement = { kind: 'equal' };
  const otherRefs = lowerBound(bad.listing.refInstruction, y);
  const refs = lowerBound(good.listing.refInstruction, x);
  for (let n = 0; good.listing.refInstruction[refs + n] === x; n++) {
    const judgement = judgeAligned(map, i, j, refs + n, otherRefs + n, jumps);
    if (worst.kind === 'equal' || (judgement.kind !== 'equal' && rankOf(judgement.kind) < rankOf(worst.kind)))
      worst = judgement;
  }
  return worst;
}

function judgeAligned(map: AddressMap, i: number, j: number, ref: number, other: number, jumps: Jumps): Judgement {
  const { good, bad } = map.matching;
  const [inside, otherInside] = [isInternal(good, i, ref), isInternal(bad, j, other)];
  if (!inside && !otherInside) return judgeReference(map, good.listing, ref, other);
  if (inside !== otherInside) return { kind: jumps.whole ? 'different-target' : 'different-instruction' };
  const target = indexIn(good, i, good.listing.refValue[ref] as number);
  const otherTarget = indexIn(bad, j, bad.listing.refValue[other] as number);
  if (jumps.goodBefore[target] === jumps.badBefore[otherTarget]) return { kind: 'equal' };
  // Where code came or went, jumps go elsewhere: that is part of it.
  return { kind: jumps.whole ? 'different-target' : 'different-instruction' };
}

/** The instruction at an offset of a function, or the next one where padding stands there. */
const indexIn = ({ listing, first }: Functions, fn: number, offset: number): number =>
  lowerBound(listing.at, offset) - (first[fn] as number);
