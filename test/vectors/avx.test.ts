// The models advertise AVX, AVX2, FMA and F16C: then every one of their instructions has vectors, and with them a test.
import { Code } from 'iced-x86';
import { describe, expect, it } from 'vitest';
import { AVX_FAMILIES, avxCodes } from './avxFamilies.ts';
import { loadVectors } from './load.ts';

describe.each(AVX_FAMILIES)('vectors of %s', (family) => {
  it('show every instruction, and more than faults of each', () => {
    const done = new Set<string>();
    for (const { iced, out } of loadVectors(family)) if (out.vector === undefined) done.add(iced);
    const codes = avxCodes().byFamily.get(family) ?? [];
    expect(codes.length).toBeGreaterThan(5);
    expect(codes.map((code) => Code[code] ?? '').filter((name) => !done.has(name))).toEqual([]);
  });
});

it('are of all codes there are', () => {
  const count = [...avxCodes().byFamily.values()].reduce((sum, codes) => sum + codes.length, 0);
  // 390 of AVX, 172 of AVX2, 96 of FMA, 4 of F16C.
  expect(count).toBe(662);
});
