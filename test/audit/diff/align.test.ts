import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { align, longestRise } from '../../../src/audit/diff/align.ts';

const PLENTY = 1e9;
const of = (text: string): Uint32Array => Uint32Array.from(text, (character) => character.charCodeAt(0));
const aligned = (a: string, b: string, cells = PLENTY): number[] => [...align(of(a), of(b), { cells })];

/** Length of a longest common subsequence, the plain way. */
function commonLength(a: string, b: string): number {
  if (a === '' || b === '') return 0;
  if (a[0] === b[0]) return 1 + commonLength(a.slice(1), b.slice(1));
  return Math.max(commonLength(a.slice(1), b), commonLength(a, b.slice(1)));
}

describe('align', () => {
  it('finds what is equal around a change', () => {
    expect(aligned('abcxdef', 'abcydef')).toEqual([0, 1, 2, -1, 4, 5, 6]);
  });

  it('finds what was put in and taken out', () => {
    expect(aligned('abcdef', 'aXbcdf')).toEqual([0, 2, 3, 4, -1, 5]);
  });

  const word = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 7 });

  it('finds a longest common subsequence', () => {
    fc.assert(
      fc.property(word, word, (a, b) => {
        const mates = aligned(a, b);
        const pairs = mates.flatMap((j, i) => (j < 0 ? [] : [[a[i], b[j]]]));
        expect(pairs.length).toBe(commonLength(a, b));
        expect(pairs.every(([x, y]) => x === y)).toBe(true);
      }),
      { seed: 1 },
    );
  });

  it('keeps the order, and pairs only equals, where the budget is spent', () => {
    fc.assert(
      fc.property(word, word, (a, b) => {
        const kept = aligned(a, b, 0).flatMap((j, i) => (j < 0 ? [] : [{ i, j }]));
        expect(kept.every(({ i, j }) => a[i] === b[j])).toBe(true);
        expect(kept.every(({ j }, n) => n === 0 || j > (kept[n - 1]?.j ?? 0))).toBe(true);
      }),
      { seed: 2 },
    );
  });

  it('aligns long sequences by what occurs once, without a table', () => {
    const long = Uint32Array.from({ length: 50_000 }, (_, i) => (i % 3 === 0 ? i : i % 7));
    const changed = Uint32Array.from([9999999, ...long.filter((_, i) => i !== 25_000), 8888888]);
    const budget = { cells: 1000 };
    const mates = align(long, changed, budget);
    expect(mates.filter((j) => j < 0).length).toBeLessThan(10);
    expect(budget.cells).toBeGreaterThanOrEqual(0);
  });
});

describe('longestRise', () => {
  it('leaves out what is out of order', () => {
    expect(longestRise(Float64Array.of(1, 2, 99, 3, 4, 0, 5))).toEqual([0, 1, 3, 4, 6]);
  });
});
