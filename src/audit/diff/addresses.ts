// Which address of GOOD is which of BAD. Code is told by matched functions. Data is told by names where both sides have
// them, else by vote: what matched functions refer to at the same place is the same thing. Between things so told,
// a linker keeps the order, so that the distance by which things have moved stays between those of the neighbours.
import { stretchAt } from '../../code/program.ts';
import { lastNotAbove } from './columns.ts';
import { longestRise } from './align.ts';
import { type Functions, functionAt, symbolTextAt } from './functions.ts';
import { REF_JUMP, REF_RIP } from './listing.ts';
import { type Matching, sameContent } from './matching.ts';
import { type Alignments, eachSharedReference } from './shared.ts';

/** 'unclear': nothing says that it is another thing, and nothing that it is the same. */
export type Sameness = 'same' | 'different' | 'unclear';

export type AddressMap = {
  readonly matching: Matching;
  readonly alignments: Alignments;
  /** GOOD's address to BAD's that most say, and by how many votes it leads. */
  readonly votes: ReadonlyMap<number, Vote>;
  /** Rising in both: what is told for certain. */
  readonly anchorsGood: Float64Array;
  readonly anchorsBad: Float64Array;
  /** The order of things says something: nearly all of what is told has kept it. */
  readonly orderly: boolean;
};

/** Things out of order: so many, and one in so many. */
const FEW_STRAYS = 8;
const STRAY_SHARE = 50;

type Vote = { to: number; lead: number };

export function mapAddresses(matching: Matching, alignments: Alignments): AddressMap {
  const votes = countVotes(matching, alignments);
  const known = [...fixedAnchors(matching), ...[...votes].map(([from, { to }]): [number, number] => [from, to])];
  known.sort((x, y) => x[0] - y[0] || x[1] - y[1]);
  const rise = longestRise(Float64Array.from(known, ([, to]) => to));
  const chain = rise.map((index) => known[index] as [number, number]);
  const strays = known.length - chain.length;
  return {
    ...{ matching, alignments, votes },
    orderly: strays <= Math.max(FEW_STRAYS, known.length / STRAY_SHARE),
    anchorsGood: Float64Array.from(chain, ([from]) => from),
    anchorsBad: Float64Array.from(chain, ([, to]) => to),
  };
}

/** Majority by counting up and down (Boyer and Moore); only what is certainly an address has a vote. */
function countVotes(matching: Matching, alignments: Alignments): Map<number, Vote> {
  const { good, bad } = matching;
  const votes = new Map<number, Vote>();
  eachSharedReference(matching, alignments, (goodRef, badRef) => {
    const kind = good.listing.refKind[goodRef] as number;
    if (kind === REF_JUMP || (!good.side.kernel && kind > REF_RIP)) return;
    const [from, to] = [good.listing.refValue[goodRef] as number, bad.listing.refValue[badRef] as number];
    const vote = votes.get(from);
    if (vote === undefined) votes.set(from, { to, lead: 1 });
    else if (vote.to === to) vote.lead++;
    else if (vote.lead > 1) vote.lead--;
    else vote.to = to;
  });
  return votes;
}

/** Starts of matched functions, and the payload's bounds. */
function fixedAnchors({ good, bad, badOf }: Matching): [number, number][] {
  const anchors: [number, number][] = [];
  for (let i = 0; i < good.count; i++) {
    const j = badOf[i] as number;
    if (j >= 0) anchors.push([good.start[i] as number, bad.start[j] as number]);
  }
  const [one, two] = [good.side.program.payload, bad.side.program.payload];
  if (one !== undefined && two !== undefined) anchors.push([one.at, two.at], [one.at + one.size, two.at + two.size]);
  return anchors;
}

/** Whether two link addresses, as offsets from the bases, mean the same thing. */
export function sameAddress(map: AddressMap, from: number, to: number): Sameness {
  const { good, bad } = map.matching;
  const [i, j] = [functionAt(good, from), functionAt(bad, to)];
  if (i >= 0 && j >= 0) return sameCode(map, i, from, j, to);
  return sameData(map, from, to);
}

function sameCode(map: AddressMap, i: number, from: number, j: number, to: number): Sameness {
  const { matching } = map;
  const { good, bad, badOf, goodOf } = matching;
  const [into, other] = [from - (good.start[i] as number), to - (bad.start[j] as number)];
  if (badOf[i] !== j) {
    if (badOf[i] === -1 && goodOf[j] === -1) return 'unclear';
    return sameByName(map, from, to) ? 'same' : 'different';
  }
  if (into === other) return 'same';
  return sameContent(matching, i, j) && indexAt(good, i, from) !== indexAt(bad, j, to) ? 'different' : 'unclear';
}

const indexAt = ({ listing, first }: Functions, fn: number, offset: number): number =>
  lastNotAbove(listing.at, offset) - (first[fn] as number);

/** An address may have several names of which one was chosen, so different names do not say that things differ. */
function sameByName({ matching: { good, bad } }: AddressMap, from: number, to: number): boolean {
  if (good.side.program.symbols === undefined || bad.side.program.symbols === undefined) return false;
  const name = symbolTextAt(good, from);
  return name !== undefined && name === symbolTextAt(bad, to);
}

/** Votes by which a thing has to lead to be believed against its neighbours. */
const SURE_LEAD = 2;

function sameData(map: AddressMap, from: number, to: number): Sameness {
  const vote = map.votes.get(from);
  if (vote !== undefined && vote.to === to && vote.lead >= SURE_LEAD) return 'same';
  const near = nearby(map, from, to);
  if (near === 'same' || sameByName(map, from, to) || sameBytes(map, from, to)) return 'same';
  return vote !== undefined && vote.to !== to ? 'different' : near;
}

/** Whether GOOD's address is known to be this one of BAD, by more than its neighbours: for numbers that may be none. */
export function isKnownAddress(map: AddressMap, from: number, to: number): boolean {
  const { good, bad, badOf } = map.matching;
  const i = functionAt(good, from);
  const atStart = i >= 0 && good.start[i] === from && bad.start[badOf[i] as number] === to;
  return atStart || map.votes.get(from)?.to === to || sameByName(map, from, to);
}

/** By how far the neighbours have moved; the anchor that this very reference may have made is none of them. */
function nearby({ anchorsGood, anchorsBad, votes, orderly }: AddressMap, from: number, to: number): Sameness {
  let below = lastNotAbove(anchorsGood, from);
  const above = below + 1;
  if (anchorsGood[below] === from) {
    const own = votes.get(from);
    if (anchorsBad[below] === to && (own === undefined || own.lead >= SURE_LEAD)) return 'same';
    below--;
  }
  const [low, high] = [movedBy(below), movedBy(above)];
  const moved = to - from;
  if (low === undefined && high === undefined) return moved === 0 ? 'same' : 'unclear';
  const [one, two] = [low ?? high ?? 0, high ?? low ?? 0];
  if (moved >= Math.min(one, two) && moved <= Math.max(one, two)) return 'same';
  // Outside all anchors anything may have grown between.
  return orderly && low !== undefined && high !== undefined ? 'different' : 'unclear';

  function movedBy(index: number): number | undefined {
    const [a, b] = [anchorsGood[index], anchorsBad[index]];
    return a === undefined || b === undefined ? undefined : b - a;
  }
}

/** Bytes of a text, or of a table, that are enough to know it by. */
const ENOUGH_BYTES = 16;
const LONGEST_TEXT = 256;

function sameBytes({ matching: { good, bad } }: AddressMap, from: number, to: number): boolean {
  const [one, two] = [bytesAt(good, from), bytesAt(bad, to)];
  let distinct = 0;
  for (let n = 0; n < LONGEST_TEXT; n++) {
    const [x, y] = [one[n], two[n]];
    if (x === undefined || x !== y) return false;
    // The end of a text of some length.
    if (x === 0 && n >= 3 && distinct === n) return true;
    if (x >= 0x20 && x < 0x7f) distinct++;
    else if (n >= ENOUGH_BYTES) return distinct >= ENOUGH_BYTES / 2;
  }
  return true;
}

const NOTHING = new Uint8Array();

function bytesAt({ side: { program } }: Functions, offset: number): Uint8Array {
  const stretch = stretchAt(program, offset);
  if (stretch === undefined || stretch.holds === 'code') return NOTHING;
  const at = stretch.fileOffset + offset - stretch.at;
  return program.bytes.subarray(at, stretch.fileOffset + stretch.size);
}
