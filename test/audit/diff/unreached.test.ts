// Functions that control flow does not reach: test/cases/unreached-function.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { diffImages } from '../../../src/audit/diff/diff.ts';
import { diffLines } from '../../../src/report/diff.ts';
import { type SymbolTable, parseSymbols } from '../../../src/image/symbols.ts';

const read = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../cases/unreached-function/${name}`, import.meta.url)));

/** Its symbols without their types, as System.map has them: nothing says then how long a function is. */
const typeless = (name: string): SymbolTable => ({
  symbols: parseSymbols(read(name)).symbols.map(({ address, name: own }) => ({ address, size: 0n, name: own })),
});

describe('a function that is called through a pointer only', () => {
  it('is compared where a symbol says where it is', () => {
    const { differing, good, bad } = diffImages(read('good.elf'), read('bad.elf'));
    expect(differing.map(({ bad: { name }, counts }) => [name, counts])).toEqual([
      ['kmain', { 'different-immediate': 1 }],
    ]);
    expect([good.bytesLeft, bad.bytesLeft]).toEqual([0, 0]);
  });

  it('is told of as not compared where none does', () => {
    const symbols = { goodSymbols: typeless('good.elf'), badSymbols: typeless('bad.elf') };
    const report = diffImages(read('good.elf'), read('bad.elf'), symbols);
    expect(report.differing).toEqual([]);
    expect(report.bad.bytesLeft).toBeGreaterThan(20);
    expect(diffLines(report, { good: 'a', bad: 'b' }).at(-1)?.text).toMatch(
      /^None of \d+ functions differs in meaning; \d+ bytes of code in GOOD and \d+ bytes of code in BAD are reached by no control flow and no symbol, and were not compared\.$/,
    );
  });
});
