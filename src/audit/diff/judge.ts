// Two instructions that may be the same one: whether they differ in meaning, and how.
import type { Instruction } from 'iced-x86';
import { type AddressMap, isKnownAddress, sameAddress } from './addresses.ts';
import { type Listing, REF_RIP } from './listing.ts';
import { type Claim, decodeAt, frameOf, type Meaning, meaningOf, type Way } from './meaning.ts';
import type { DifferenceKind } from './types.ts';

/** 'equal', or how they differ; for a change of addressing mode with both claims. */
export type Judgement = {
  readonly kind: DifferenceKind | 'equal';
  readonly good?: Claim;
  readonly bad?: Claim;
};

const EQUAL: Judgement = { kind: 'equal' };

/** Two references of instructions that are equal but for them. Values are offsets; a jump within a function is none. */
export function judgeReference(map: AddressMap, listing: Listing, goodRef: number, badRef: number): Judgement {
  const { good, bad } = map.matching;
  const kind = listing.refKind[goodRef] as number;
  const [from, to] = [listing.refValue[goodRef] as number, bad.listing.refValue[badRef] as number];
  if (kind > REF_RIP && !good.side.kernel) return judgeNumber(map, from, to);
  const sameness = sameAddress(map, from, to);
  if (sameness === 'same') return EQUAL;
  return { kind: sameness === 'different' ? 'different-target' : 'layout' };
}

/** Two numbers in a stub, each of which may be an address, a size that follows from the build, or neither. */
function judgeNumber(map: AddressMap, from: number, to: number): Judgement {
  if (from === to || isSameSize(map, from, to)) return EQUAL;
  // Code that knows where it stands takes a link address off.
  if (from < 0 && to < 0) return judgeNumber(map, -from, -to);
  if (isKnownAddress(map, from, to)) return EQUAL;
  return { kind: sameAddress(map, from, to) === 'different' ? 'different-immediate' : 'layout' };
}

function isSameSize({ matching: { good, bad } }: AddressMap, from: number, to: number): boolean {
  for (const [name, size] of good.side.sizes) if (size === from && bad.side.sizes.get(name) === to) return true;
  return false;
}

/** Two instructions written differently, at the same place of two functions. Indices into the listings. */
export function judgeInstructions(map: AddressMap, goodIndex: number, badIndex: number): Judgement {
  const { good, bad } = map.matching;
  const [one, two] = [decodeAt(good, goodIndex), decodeAt(bad, badIndex)];
  const judgement = judgeDecoded(map, one, two);
  one.free();
  two.free();
  return judgement;
}

function judgeDecoded(map: AddressMap, one: Instruction, two: Instruction): Judgement {
  const { good, bad } = map.matching;
  const [a, b] = [meaningOf(one, good.side.program), meaningOf(two, bad.side.program)];
  if (a.operation !== b.operation) return { kind: 'different-instruction' };
  const sameFrame = frameOf(one) === frameOf(two);
  if (a.operands.join() !== b.operands.join()) {
    return {
      kind: sameFrame && withoutNumbers(a) === withoutNumbers(b) ? 'different-immediate' : 'different-instruction',
    };
  }
  if (sameFrame && sameClaims(map, a, b)) return EQUAL;
  const changed = changedWay(map, a, b);
  if (changed !== undefined) return { kind: 'addressing-mode-of-same-target', ...changed };
  if (!sameFrame || a.claims.length === 0) return { kind: 'different-instruction' };
  return { kind: a.claims.some(({ way }) => way === 'immediate') ? 'different-immediate' : 'different-target' };
}

/** Operands with their numbers left out. */
const withoutNumbers = ({ operands }: Meaning): string => operands.map((o) => o.replace(/(?<=^\$|,)-?\d+$/, '')).join();

function sameClaims(map: AddressMap, a: Meaning, b: Meaning): boolean {
  const [one, two] = [a.claims.filter(isDirect), b.claims.filter(isDirect)];
  return one.length === two.length && one.every((claim, i) => sameClaim(map, claim, two[i] as Claim));
}

/** A word's content is told by the word. */
const isDirect = ({ way }: Claim): boolean => way !== 'got';

function sameClaim(map: AddressMap, one: Claim, two: Claim): boolean {
  if (one.way !== two.way || one.what !== two.what) return false;
  if (one.way === 'immediate') return judgeNumber(map, one.at, two.at).kind === 'equal';
  return sameAddress(map, one.at, two.at) === 'same';
}

/** The first addresses that both know, and come to in different ways. */
function changedWay(map: AddressMap, a: Meaning, b: Meaning): { good: Claim; bad: Claim } | undefined {
  for (const good of a.claims) {
    for (const bad of b.claims) if (isChangedWay(map, good, bad)) return { good, bad };
  }
  return undefined;
}

function isChangedWay(map: AddressMap, good: Claim, bad: Claim): boolean {
  if (good.way === bad.way || good.what !== bad.what || !isInImage(map, good, bad)) return false;
  // A store is no load.
  if (good.what === 'memory' && good.operand !== bad.operand) return false;
  const sameness = sameAddress(map, good.at, bad.at);
  return sameness === 'same' || (sameness === 'unclear' && isPlausible(map, good, bad));
}

function isInImage({ matching }: AddressMap, good: Claim, bad: Claim): boolean {
  // A word of 0 holds no address; code may well ask for the one the image begins at.
  const within = ({ at, way }: Claim, end: number): boolean => at >= (way === 'got' ? 1 : 0) && at <= end;
  return within(good, matching.good.side.end) && within(bad, matching.bad.side.end);
}

/** Nothing says where GOOD's address is in BAD: the forms have to say that both are addresses. */
const isPlausible = ({ matching }: AddressMap, good: Claim, bad: Claim): boolean =>
  matching.good.side.kernel || (good.sure && bad.sure) || good.way === 'got' || bad.way === 'got';

/** Right only where the code runs at its link address, unless a relocation adjusts it. */
export const isPositionDependent = (way: Way): boolean => way === 'immediate' || way === 'absolute';
