// The references that two matched functions make at the same place: from equal functions all of them, from others those
// of the instructions that are aligned.
import { align, type Budget } from './align.ts';
import type { Functions } from './functions.ts';
import { lowerBound } from './columns.ts';
import { type Matching, sameContent } from './matching.ts';

/** By function of GOOD, for matched functions of unequal content: for each instruction its equal in BAD, or -1. */
export type Alignments = ReadonlyMap<number, Int32Array>;

export function alignFunctions(matching: Matching, budget: Budget): Alignments {
  const alignments = new Map<number, Int32Array>();
  for (let i = 0; i < matching.good.count; i++) {
    const j = matching.badOf[i] as number;
    if (j < 0 || sameContent(matching, i, j)) continue;
    alignments.set(i, align(tokensOf(matching.good, i), tokensOf(matching.bad, j), budget));
  }
  return alignments;
}

const tokensOf = ({ listing, first }: Functions, fn: number): Uint32Array =>
  listing.token.subarray(first[fn], first[fn + 1]);

/** Indices of references, GOOD's and BAD's. */
export type Visit = (good: number, bad: number) => void;

export function eachSharedReference(matching: Matching, alignments: Alignments, visit: Visit): void {
  for (let i = 0; i < matching.good.count; i++) {
    const j = matching.badOf[i] as number;
    if (j < 0) continue;
    const mates = alignments.get(i);
    if (mates === undefined) eachOfEqual(matching, i, j, visit);
    else eachOfAligned(matching, i, j, mates, visit);
  }
}

function eachOfEqual({ good, bad }: Matching, i: number, j: number, visit: Visit): void {
  const [from, to, other] = [good.firstRef[i] as number, good.firstRef[i + 1] as number, bad.firstRef[j] as number];
  for (let n = 0; n < to - from; n++) visit(from + n, other + n);
}

function eachOfAligned({ good, bad }: Matching, i: number, j: number, mates: Int32Array, visit: Visit): void {
  const [goodFirst, badFirst] = [good.first[i] as number, bad.first[j] as number];
  const refs = bad.listing.refInstruction;
  for (let ref = good.firstRef[i] as number; ref < (good.firstRef[i + 1] as number); ref++) {
    const index = good.listing.refInstruction[ref] as number;
    const mate = mates[index - goodFirst] as number;
    if (mate < 0) continue;
    // An instruction has one reference, or two: a displacement, then an immediate.
    const second = good.listing.refInstruction[ref - 1] === index ? 1 : 0;
    const other = lowerBound(refs, badFirst + mate) + second;
    if (refs[other] === badFirst + mate) visit(ref, other);
  }
}
