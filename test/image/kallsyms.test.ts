import { describe, expect, it } from 'vitest';
import { kallsyms, kallsymsList, readKallsyms } from '../../src/image/kallsyms.ts';
import { symbolLines } from '../../src/image/nm.ts';
import { symbolAt } from '../../src/image/symbols.ts';
import { BASE, type KallsymsParts, makeKernelWithSymbols, someSymbols } from './kernelParts.ts';
import { makeElf, randomOf } from './synthetic.ts';

const symbols = someSymbols();
const percpu = someSymbols(1100, true);

const LAYOUTS: readonly (readonly [string, KallsymsParts])[] = [
  ['4.5', { symbols, form: 'absolute', order: 'until 6.3', marker: 8 }],
  ['4.18', { symbols: percpu, form: 'base-relative-percpu', order: 'until 6.3', marker: 8 }],
  ['5.10', { symbols: percpu, form: 'base-relative-percpu', order: 'until 6.3' }],
  ['5.10 for one processor', { symbols, form: 'base-relative', order: 'until 6.3' }],
  ['6.1', { symbols: percpu, form: 'base-relative-percpu', order: 'until 6.3', seqs: true }],
  ['6.4 with absolute addresses', { symbols, form: 'absolute', order: 'since 6.4', seqs: true }],
  ['6.12', { symbols: percpu, form: 'base-relative-percpu', order: 'since 6.4', seqs: true }],
  ['6.15', { symbols, form: 'base-relative', order: 'since 6.4', seqs: true }],
  ['7.2', { symbols, form: 'place-relative', order: 'since 6.4', seqs: true, align: 4 }],
];

describe('a kernel’s own symbol table', () => {
  it.each(LAYOUTS)('of Linux %s', (_name, parts) => {
    const found = readKallsyms(makeKernelWithSymbols(parts));
    expect(found?.form).toBe(parts.form);
    expect(found?.names).toEqual(parts.symbols.map(({ name }) => name));
    const addresses = kallsymsList(found as NonNullable<typeof found>).map(({ address }) => address);
    expect(addresses).toEqual(parts.symbols.map(({ address }) => address));
  });

  it.each([60, 64, 68])('is found %d bytes into the segment where parts start at multiples of 4', (lead) => {
    const found = readKallsyms(makeKernelWithSymbols({ ...LAYOUTS[8]?.[1], symbols } as KallsymsParts, lead));
    expect(found?.names.length).toBe(symbols.length);
  });

  it('has names whose length takes two bytes', () => {
    const long = `t_RNv${'x'.repeat(300)}`;
    const withLong = symbols.map((symbol, i) => (i === 300 ? { ...symbol, name: long } : symbol));
    const found = readKallsyms(makeKernelWithSymbols({ symbols: withLong, form: 'base-relative', order: 'since 6.4' }));
    expect(found?.names[300]).toBe(long);
    expect(found?.names[301]).toBe('tfunction_301');
  });

  it('is not there in a kernel without one', () => {
    expect(readKallsyms(makeElf())).toBeUndefined();
    expect(readKallsyms(makeElf({ segments: [zeros(0x20000)] }))).toBeUndefined();
  });

  it('is not believed where its addresses are outside the kernel', () => {
    const outside = symbols.map(({ name, address }) => ({ name, address: address + 0x1000000n }));
    const parts: KallsymsParts = { symbols: outside, form: 'base-relative', order: 'since 6.4' };
    expect(readKallsyms(makeKernelWithSymbols(parts))).toBeUndefined();
  });

  it('is not believed where its addresses descend', () => {
    const parts: KallsymsParts = { symbols: symbols.slice().reverse(), form: 'base-relative', order: 'since 6.4' };
    expect(readKallsyms(makeKernelWithSymbols(parts))).toBeUndefined();
  });
});

const zeros = (size: number) => ({
  physAddr: 0x1000000n,
  virtAddr: BASE,
  memSize: BigInt(size),
  bytes: new Uint8Array(size),
});

describe('names of addresses from it', () => {
  const table = kallsyms(makeKernelWithSymbols({ symbols, form: 'base-relative', order: 'since 6.4' }));

  it('are one for each address, the one that says most', () => {
    expect(table?.symbols[0]).toEqual({ address: BASE, size: 0n, name: 'startup_64' });
    expect(table?.symbols[1]?.address).toBe(BASE + 48n);
    expect(table?.symbols.length).toBe(symbols.length - 2);
  });

  it('are found for what lies behind a symbol', () => {
    expect(table && symbolAt(table, BASE + 16n * 400n + 4n)).toEqual({ name: 'start_kernel', offset: 4 });
  });

  it('are listed as nm lists them', () => {
    const found = readKallsyms(makeKernelWithSymbols({ symbols: percpu, form: 'absolute', order: 'until 6.3' }));
    const lines = symbolLines(kallsymsList(found as NonNullable<typeof found>));
    expect(lines.slice(0, 3)).toEqual([
      '0000000000000000 A __per_cpu_start',
      '0000000000006000 D cpu_tss_rw',
      'ffffffff81000000 T _stext',
    ]);
  });
});

describe('a mutilated table', () => {
  it.each(LAYOUTS.filter((_, i) => i % 2 === 0))('of Linux %s', (_name, parts) => {
    const intact = makeKernelWithSymbols(parts);
    const counts = Array.from({ length: 60 }, (_, seed) => readKallsyms(mutilated(intact, seed + 1))?.names.length);
    // Where the damage is to a name or an address, there may be as many as before; never any other number.
    expect(new Set(counts)).toEqual(new Set([undefined, parts.symbols.length]));
  });
});

/** Damage behind the ELF header: bytes overwritten, bits flipped, a stretch of zeros or ones, something left out. */
function mutilated(intact: Uint8Array, seed: number): Uint8Array {
  const random = randomOf(seed);
  const bytes = intact.slice();
  const place = (): number => 200 + random(bytes.length - 200);
  const ways = [
    () => bytes.fill(random(256), ...stretch(place(), 1)),
    () => bytes.fill(random(2) * 255, ...stretch(place(), 1 + random(600))),
    () => bytes.copyWithin(place(), place()),
    () => bytes.copyWithin(place(), place(), place()),
  ];
  for (let times = random(3); times >= 0; times--) ways[random(ways.length)]?.();
  return bytes;
}

const stretch = (at: number, size: number): [number, number] => [at, at + size];
