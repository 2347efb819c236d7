// Which elements of two sequences belong together: a longest common subsequence where that is affordable, exact between
// the ends that are equal anyway. Long sequences are split at elements that occur once in both; what cannot be split is
// matched greedily within a window. Time and memory are bounded by the budget, whatever the sequences are.

/** Cells of tables that may still be computed; shared by all alignments of one comparison. */
export type Budget = { cells: number };

/** One table: at most so many cells (2 bytes each). */
const LARGEST_TABLE = 4_000_000;
/** How far the greedy match looks ahead. */
const WINDOW = 64;
/** Splits within splits. */
const DEEPEST = 12;

type Task = {
  readonly a: Uint32Array;
  readonly b: Uint32Array;
  readonly mates: Int32Array;
  readonly budget: Budget;
};

type Range = { readonly a0: number; readonly a1: number; readonly b0: number; readonly b1: number };

/** For each element of `a` the index of its equal in `b`, or -1. Indices rise; matched elements are equal. */
export function align(a: Uint32Array, b: Uint32Array, budget: Budget): Int32Array {
  const mates = new Int32Array(a.length).fill(-1);
  alignRange({ a, b, mates, budget }, { a0: 0, a1: a.length, b0: 0, b1: b.length }, 0);
  return mates;
}

function alignRange(task: Task, range: Range, depth: number): void {
  const rest = withoutEqualEnds(task, range);
  const cells = (rest.a1 - rest.a0) * (rest.b1 - rest.b0);
  if (cells === 0) return;
  if (cells <= LARGEST_TABLE && cells <= task.budget.cells) return alignByTable(task, rest);
  const anchors = depth < DEEPEST ? anchorsOf(task, rest) : [];
  if (anchors.length === 0) return alignGreedily(task, rest);
  let { a0, b0 } = rest;
  for (const [i, j] of anchors) {
    task.mates[i] = j;
    alignRange(task, { a0, a1: i, b0, b1: j }, depth + 1);
    a0 = i + 1;
    b0 = j + 1;
  }
  alignRange(task, { a0, a1: rest.a1, b0, b1: rest.b1 }, depth + 1);
}

function withoutEqualEnds({ a, b, mates }: Task, { a0, a1, b0, b1 }: Range): Range {
  let [i, j, k, l] = [a0, b0, a1, b1];
  while (i < k && j < l && a[i] === b[j]) mates[i++] = j++;
  while (k > i && l > j && a[k - 1] === b[l - 1]) mates[--k] = --l;
  return { a0: i, a1: k, b0: j, b1: l };
}

/** The textbook table of lengths over all pairs of suffixes, then the walk through it. */
function alignByTable({ a, b, mates, budget }: Task, { a0, a1, b0, b1 }: Range): void {
  const [rows, columns] = [a1 - a0, b1 - b0];
  const width = columns + 1;
  budget.cells -= rows * columns;
  const table = new Uint16Array((rows + 1) * width);
  for (let i = rows - 1; i >= 0; i--) {
    for (let j = columns - 1; j >= 0; j--) {
      const at = i * width + j;
      const [below, beside] = [table[at + width] as number, table[at + 1] as number];
      if (a[a0 + i] === b[b0 + j]) table[at] = (table[at + width + 1] as number) + 1;
      else table[at] = below > beside ? below : beside;
    }
  }
  for (let i = 0, j = 0; i < rows && j < columns; ) {
    const at = i * width + j;
    if (a[a0 + i] === b[b0 + j]) mates[a0 + i++] = b0 + j++;
    else if ((table[at + width] as number) >= (table[at + 1] as number)) i++;
    else j++;
  }
}

/** Pairs of elements that occur once in either range, as many as can be had in rising order. */
function anchorsOf({ a, b }: Task, { a0, a1, b0, b1 }: Range): [number, number][] {
  const inA = onceIn(a, a0, a1);
  const inB = onceIn(b, b0, b1);
  const pairs: [number, number][] = [];
  for (const [value, i] of inA) {
    const j = inB.get(value) ?? -1;
    if (i >= 0 && j >= 0) pairs.push([i, j]);
  }
  pairs.sort((x, y) => x[0] - y[0]);
  const kept = longestRise(Float64Array.from(pairs, ([, j]) => j));
  return kept.map((index) => pairs[index] as [number, number]);
}

/** Where a value stands that occurs once; -1 for one that occurs more often. */
function onceIn(values: Uint32Array, from: number, to: number): Map<number, number> {
  const places = new Map<number, number>();
  for (let i = from; i < to; i++) {
    const value = values[i] as number;
    places.set(value, places.has(value) ? -1 : i);
  }
  return places;
}

/** Indices of a longest strictly rising subsequence (patience sorting). */
export function longestRise(values: Float64Array): number[] {
  const tails: number[] = [];
  const before = new Int32Array(values.length).fill(-1);
  for (let i = 0; i < values.length; i++) {
    const place = firstNotBelow(tails, values, values[i] as number);
    before[i] = place > 0 ? (tails[place - 1] as number) : -1;
    tails[place] = i;
  }
  const rise: number[] = [];
  for (let i = tails.at(-1) ?? -1; i >= 0; i = before[i] as number) rise.push(i);
  return rise.reverse();
}

function firstNotBelow(tails: readonly number[], values: Float64Array, wanted: number): number {
  let [low, high] = [0, tails.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((values[tails[middle] as number] as number) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

function alignGreedily({ a, b, mates }: Task, { a0, a1, b0, b1 }: Range): void {
  for (let i = a0, j = b0; i < a1 && j < b1; i++) {
    const end = Math.min(b1, j + WINDOW);
    for (let k = j; k < end; k++) {
      if (a[i] !== b[k]) continue;
      mates[i] = k;
      j = k + 1;
      break;
    }
  }
}
