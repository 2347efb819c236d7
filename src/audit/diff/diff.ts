// The way in: two images, and which of their functions differ in meaning. What decides is in judge.ts, what is the same
// address in addresses.ts, what is the same function in matching.ts.
import { InputError } from '../../bits/errors.ts';
import type { SymbolTable } from '../../image/symbols.ts';
import { type AddressMap, mapAddresses } from './addresses.ts';
import type { Budget } from './align.ts';
import { compareFunctions, type FunctionComparison } from './compare.ts';
import { type Functions, lengthOf, nameOf, splitFunctions } from './functions.ts';
import { guessStarts } from './guesses.ts';
import { hunksOf } from './hunks.ts';
import { isPositionDependent } from './judge.ts';
import { type Matching, matchFunctions, WAYS } from './matching.ts';
import { linkAddressOf } from './meaning.ts';
import { alignFunctions } from './shared.ts';
import { codeOf, rangeOf, readSide, type Side } from './side.ts';
import {
  type DifferenceKind,
  type DiffReport,
  type FunctionDifference,
  type FunctionPlace,
  rankOf,
  type SideFacts,
} from './types.ts';

export type DiffOptions = {
  readonly goodSymbols?: SymbolTable;
  readonly badSymbols?: SymbolTable;
  /** Differences of 'layout' too. */
  readonly all?: boolean;
  /** Equal instructions shown around differing ones. */
  readonly context?: number;
};

const CONTEXT = 3;
/** Functions, and rows of one, of which there is text; the rest is counted. */
const MOST_FUNCTIONS_SHOWN = 500;
const MOST_ROWS = 2000;
/** Cells of alignment tables for one comparison: a second or two. */
const CELLS = 600_000_000;

/** Compares two images of a kind. Throws an InputError that names the side where one cannot be used. */
export function diffImages(goodBytes: Uint8Array, badBytes: Uint8Array, options: DiffOptions = {}): DiffReport {
  const good = readNamed('GOOD', goodBytes, options.goodSymbols);
  const bad = readNamed('BAD', badBytes, options.badSymbols);
  if (good.kernel !== bad.kernel)
    throw new InputError(`GOOD is ${a(good)} and BAD is ${a(bad)}; compare two of a kind`);
  const matching = matched(good, bad);
  const map = mapAddresses(matching, alignFunctions(matching, { cells: CELLS }));
  const compared = comparisons(map);
  return reportOf(map, compared, options);
}

const a = ({ kernel }: Side): string => (kernel ? 'a kernel' : 'a boot stub');

function readNamed(which: string, bytes: Uint8Array, symbols: SymbolTable | undefined): Side {
  try {
    return readSide(bytes, symbols);
  } catch (error) {
    if (error instanceof InputError) throw new InputError(`cannot use ${which}: ${error.message}`);
    throw error;
  }
}

/** Functions that one side alone shows are looked for on the other side, once. */
function matched(good: Side, bad: Side): Matching {
  const budget: Budget = { cells: CELLS };
  const [goodRange, badRange] = [rangeOf(good, bad), rangeOf(bad, good)];
  const [goodCode, badCode] = [codeOf(good, goodRange, []), codeOf(bad, badRange, [])];
  const first = matchFunctions(splitFunctions(good, goodCode), splitFunctions(bad, badCode), budget);
  const guesses = guessStarts(first);
  if (guesses.good.length + guesses.bad.length === 0) return first;
  return matchFunctions(again(good, goodCode, guesses.good), again(bad, badCode, guesses.bad), budget);

  function again(side: Side, code: ReturnType<typeof codeOf>, extra: number[]): Functions {
    const range = side === good ? goodRange : badRange;
    // Sections are listed whole already; where code is followed, more may be found.
    const more = side.kernel
      ? { ...code, starts: [...code.starts, Int32Array.from(extra)] }
      : codeOf(side, range, extra);
    return splitFunctions(side, more);
  }
}

function comparisons(map: AddressMap): FunctionComparison[] {
  const found: FunctionComparison[] = [];
  for (let i = 0; i < map.matching.good.count; i++) {
    if (map.matching.badOf[i] === -1) continue;
    const comparison = compareFunctions(map, i);
    if (comparison.differences.length > 0) found.push(comparison);
  }
  return found;
}

function reportOf(map: AddressMap, compared: readonly FunctionComparison[], options: DiffOptions): DiffReport {
  const { matching } = map;
  const { good, bad } = matching;
  const inMeaning = compared.filter(({ differences }) => differences.some(({ kind }) => kind !== 'layout'));
  const shown = options.all === true ? [...compared] : inMeaning.map(withoutLayout);
  shown.sort((x, y) => compareSuspicion(x, y, map));
  const pairs = matchedPairs(matching);
  const differing = new Set(inMeaning.map((one) => one.good));
  const equal = pairs.filter(([i]) => !differing.has(i));
  return {
    good: factsOf(good),
    bad: factsOf(bad),
    functions: {
      matched: pairs.length,
      equal: equal.length,
      moved: equal.filter(([i, j]) => addressOf(good, i) !== addressOf(bad, j)).length,
      differing: differing.size,
      layoutOnly: compared.length - inMeaning.length,
    },
    differing: shown.map((one, index) =>
      differenceOf(map, one, options.context ?? CONTEXT, index < MOST_FUNCTIONS_SHOWN),
    ),
    onlyGood: unmatchedOf(good, matching.badOf),
    onlyBad: unmatchedOf(bad, matching.goodOf),
  };
}

const withoutLayout = (one: FunctionComparison): FunctionComparison => ({
  ...one,
  differences: one.differences.filter(({ kind }) => kind !== 'layout'),
});

const addressOf = ({ side, start }: Functions, fn: number): bigint => linkAddressOf(side.program, start[fn] as number);

function matchedPairs({ badOf }: Matching): [number, number][] {
  const pairs: [number, number][] = [];
  for (const [i, j] of badOf.entries()) if (j >= 0) pairs.push([i, j]);
  return pairs;
}

/** A function of which more than this share differs was rewritten, and tells less than one change in another. */
const REWRITTEN = 0.25;
const CHANGED_MODE = 2 * rankOf('addressing-mode-of-same-target') + 1;

/** Changed addressing modes, then small changes, then rewritten functions; in each, the kind of difference. */
function compareSuspicion(x: FunctionComparison, y: FunctionComparison, map: AddressMap): number {
  const [one, two] = [suspicion(x), suspicion(y)];
  const [share, other] = [shareOf(x, map), shareOf(y, map)];
  const late = (rank: number, differing: number): number => (rank > CHANGED_MODE && differing > REWRITTEN ? 1 : 0);
  return late(one, share) - late(two, other) || one - two || share - other || x.good - y.good;
}

/** Lower is more suspicious. Of changed addressing modes those first that became position-dependent. */
function suspicion({ differences }: FunctionComparison): number {
  return differences.reduce((least, { kind, good, bad }) => {
    const changed = good !== undefined && bad !== undefined;
    const worse = changed && !isPositionDependent(good.way) && isPositionDependent(bad.way);
    return Math.min(least, 2 * rankOf(kind) + (worse ? 0 : 1));
  }, Number.POSITIVE_INFINITY);
}

const shareOf = ({ differences, good }: FunctionComparison, { matching }: AddressMap): number =>
  differences.length / lengthOf(matching.good, good);

function differenceOf(map: AddressMap, one: FunctionComparison, context: number, shown: boolean): FunctionDifference {
  const { good, bad, way } = map.matching;
  const counts: Partial<Record<DifferenceKind, number>> = {};
  for (const { kind } of one.differences) counts[kind] = (counts[kind] ?? 0) + 1;
  const kinds = Object.keys(counts) as DifferenceKind[];
  return {
    good: placeOf(good, one.good),
    bad: placeOf(bad, one.bad),
    kind: kinds.reduce((worst, kind) => (rankOf(kind) < rankOf(worst) ? kind : worst)),
    counts,
    matchedBy: WAYS[way[one.good] as number] ?? 'order',
    hunks: shown ? hunksOf(map, one, context, MOST_ROWS) : [],
  };
}

function placeOf(functions: Functions, fn: number): FunctionPlace {
  const name = nameOf(functions, fn);
  return {
    ...(name === undefined ? {} : { name }),
    linkAddress: addressOf(functions, fn),
    instructions: lengthOf(functions, fn),
  };
}

function unmatchedOf(functions: Functions, mates: Int32Array): FunctionPlace[] {
  const list: FunctionPlace[] = [];
  for (const [fn, mate] of mates.entries()) if (mate === -1) list.push(placeOf(functions, fn));
  return list;
}

const factsOf = ({ side, count, listing, bytesLeft }: Functions): SideFacts => ({
  what: side.what,
  size: side.program.bytes.length,
  functions: count,
  instructions: listing.count,
  named: side.program.symbols !== undefined,
  bytesLeft,
});
