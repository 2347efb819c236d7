// Made-up guest code on whole machines, a little of what `npm run fuzz-guest` does: nothing thrown, every run ends, and how
// it is cut into calls changes nothing.
import { Decoder, DecoderOptions } from 'iced-x86';
import { describe, expect, it } from 'vitest';
import type { Bits } from '../support/fuzz/assembler.ts';
import { compareCase } from '../support/fuzz/compare.ts';
import { realCode } from '../support/fuzz/real.ts';
import { examples } from '../support/fuzz/templates.ts';
import { Planner } from '../../src/cpu/decode/decode.ts';
import { buildEngine } from '../../src/cpu/binding/module.ts';
import { allHandlers, hotKeys } from '../../src/cpu/binding/handlers.ts';
import { CPU_MODELS, withApic } from '../../src/x86/models.ts';

describe('made-up guest code', () => {
  const real = realCode();
  it.each([2, 4, 5, 8])('case %i ends, and the same however it is cut', (seed) => {
    const { result, differs } = compareCase(seed, { real, lives: 3, instructions: 3000 });
    expect(differs).toBeUndefined();
    expect(result.lives.length).toBeGreaterThan(0);
  });
});

describe('planning', () => {
  const { numbers } = buildEngine(allHandlers(), hotKeys);
  it.each([16, 32, 64] as const)('has an answer for every instruction that iced knows in %i-bit code', (bits: Bits) => {
    for (const { features } of CPU_MODELS.map(withApic)) {
      const planner = new Planner(numbers, features);
      for (const bytes of examples(bits)) {
        const decoder = new Decoder(bits, bytes, DecoderOptions.None);
        const insn = decoder.decode();
        for (const sse of [true, false]) expect(planner.plan(insn, bits, sse).handler).toBeGreaterThanOrEqual(0);
        insn.free();
        decoder.free();
      }
    }
  });
});
