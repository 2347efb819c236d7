import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { diffImages } from '../../../src/audit/diff/diff.ts';
import { InputError } from '../../../src/bits/errors.ts';
import { parseSymbols } from '../../../src/image/symbols.ts';
import { makeElf, randomOf } from '../../image/synthetic.ts';

const read = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../../samples/built/${name}`, import.meta.url)));
const symbols = (name: string) => parseSymbols(read(name));

/** The lea of the trampoline's address that became a mov. */
const THE_ONE = {
  good: { linkAddress: 0x18280n, text: 'lea    -0x247(%rip),%rsi' },
  bad: { text: 'mov    $0x18040,%rsi' },
};

const differences = (good: Uint8Array, bad: Uint8Array) =>
  diffImages(good, bad).differing.map(({ good: place, kind, counts, hunks }) => ({
    name: place.name,
    kind,
    counts,
    rows: hunks.flat().filter((row) => row.kind !== 'equal'),
  }));

describe('the bundled pair', () => {
  it.each([
    ['good.bzImage', 'bad.bzImage', undefined],
    ['good.elf', 'bad.elf', 'paging_prepare'],
    ['good.elf', 'bad.bzImage', 'paging_prepare'],
    ['good.bzImage', 'bad.elf', undefined],
  ])('differs in the one instruction: %s and %s', (good, bad, name) => {
    expect(differences(read(good), read(bad))).toMatchObject([
      { name, counts: { 'addressing-mode-of-same-target': 1 }, rows: [THE_ONE] },
    ]);
  });

  it('is named by symbols given with it', () => {
    const { differing } = diffImages(read('good.bzImage'), read('bad.bzImage'), { badSymbols: symbols('bad.elf') });
    expect(differing[0]?.bad.name).toBe('paging_prepare');
    expect(differing[0]?.hunks.flat().find(({ note }) => note)?.note).toBe(
      'Both mean trampoline_32bit_src (0x18040): GOOD counts it from RIP, BAD has it as a number, so that BAD is right only where it runs at its link address.',
    );
  });

  it.each([
    ['good.bzImage', 'good.bzImage'],
    ['good.bzImage', 'good.elf'],
    ['bad.elf', 'bad.bzImage'],
    ['compare-bad.elf', 'compare-bad.bzImage'],
  ])('has no difference between %s and %s', (one, two) => {
    expect(diffImages(read(one), read(two))).toMatchObject({
      functions: { differing: 0, layoutOnly: 0, moved: 0 },
      differing: [],
      onlyGood: [],
      onlyBad: [],
    });
  });
});

describe('the compare pair', () => {
  it('shows the cmp', () => {
    const [first, ...more] = differences(read('compare-good.bzImage'), read('compare-bad.bzImage'));
    expect(more).toEqual([]);
    expect(first?.kind).toBe('addressing-mode-of-same-target');
    const row = first?.rows.find(({ kind }) => kind === 'addressing-mode-of-same-target');
    expect([row?.good?.text, row?.bad?.text]).toEqual(['cmp    0x784(%rip),%rax', 'cmp    $0x1e000,%rax']);
    expect(row?.note).toMatch(/^Both mean 0x1e000: GOOD loads it from a word of data, BAD has it as a number/);
  });
});

describe('what cannot be compared', () => {
  it.each([
    ['an empty GOOD', new Uint8Array(), read('bad.elf'), /^cannot use GOOD: this is an empty file; /],
    ['a text as BAD', read('good.elf'), new TextEncoder().encode('# System.map'), /^cannot use BAD: /],
    ['a stub and a kernel', read('good.elf'), makeElf({ symbols: [] }), /^cannot use BAD: |BAD is a kernel/],
  ])('is %s', (_, good, bad, message) => {
    expect(() => diffImages(good, bad)).toThrow(InputError);
    expect(() => diffImages(good, bad)).toThrow(message);
  });
});

const FILES = ['good.bzImage', 'good.elf', 'compare-bad.elf', 'bad.bzImage'].map(read);
const HEADERS = 0x400;
const SECTION_HEADERS = 0x900;

/** Bytes changed at random: in the headers, in the code, at the end where an ELF file has its tables; or cut off. */
function mutilated(random: (below: number) => number): Uint8Array {
  const bytes = (FILES[random(FILES.length)] as Uint8Array).slice();
  const where = random(4);
  const places = [HEADERS, bytes.length, SECTION_HEADERS, 0x2000] as const;
  for (let n = random(40); n >= 0; n--) {
    const within = random(places[where] ?? 1);
    const at = where === 2 ? bytes.length - 1 - within : where === 3 ? 0x2000 + within : within;
    const values = [random(256), 0xff, 0, 0x80] as const;
    bytes.fill(values[random(4)] ?? 0, at, at + 1 + random(8));
  }
  return random(6) === 0 ? bytes.slice(0, random(bytes.length)) : bytes;
}

/** How it ended; an exception that is no InputError is thrown on. */
function endOf(good: Uint8Array, bad: Uint8Array, context: number): 'compared' | 'refused' {
  try {
    diffImages(good, bad, { all: true, context });
    return 'compared';
  } catch (error) {
    if (error instanceof InputError) return 'refused';
    throw error;
  }
}

describe('300 mutilated pairs', () => {
  it('are compared or refused', () => {
    const ends = { compared: 0, refused: 0 };
    for (let seed = 0; seed < 300; seed++) {
      const random = randomOf(seed);
      const other = random(3) === 0 ? (FILES[random(FILES.length)] as Uint8Array) : mutilated(random);
      ends[endOf(mutilated(random), other, random(5))]++;
    }
    expect(ends.compared).toBeGreaterThan(50);
    expect(ends.refused).toBeGreaterThan(50);
  });
});
