// Every vector recorded from a processor, run on ours: by `step`, where handlers are functions in the engine's table, and
// by `run`, where the hot ones are inlined into the loop. Both are bound to the same semantics; both must agree with
// silicon to the last defined bit.
import { describe, expect, it } from 'vitest';
import { decodeOne } from '../../src/code/disassembly.ts';
import { type Plan, Planner } from '../../src/cpu/decode.ts';
import { allHandlers, hotKeys } from '../../src/cpu/handlers.ts';
import { runInLoop, runStepped } from './engineRun.ts';
import { loadVectors, type Vector, vectorFamilies } from './load.ts';
import { FPU_FAMILIES, NOT_YET } from './notYet.ts';
import { describeMismatches, replayFamily } from './replay.ts';

const FAMILIES = vectorFamilies();

const GENERAL = FAMILIES.filter((family) => !(FPU_FAMILIES as readonly string[]).includes(family));

describe.each(GENERAL)('vectors of %s', (family) => {
  it.each([
    ['step', runStepped],
    ['run', runInLoop],
  ] as const)('come out as recorded by %s', (_, run) => {
    const result = replayFamily(family, run);
    expect(result.count).toBeGreaterThan(100);
    expect(result.mismatches.length === 0 ? '' : describeMismatches(result)).toBe('');
  });
});

describe.each(FPU_FAMILIES)('vectors of %s', (family) => {
  it.each([
    ['step', runStepped],
    ['run', runInLoop],
  ] as const)('come out as recorded by %s, but for what is not there yet', (_, run) => {
    const result = replayFamily(family, run);
    const wrong = new Set(result.mismatches.map(({ vector }) => vector.iced));
    const unexpected = result.mismatches.filter(({ vector }) => !NOT_YET[family].includes(vector.iced));
    expect(result.count).toBeGreaterThan(500);
    expect(unexpected.length === 0 ? '' : describeMismatches({ ...result, mismatches: unexpected })).toBe('');
    expect(
      NOT_YET[family].filter((name) => !wrong.has(name)),
      'to be taken from the list in notYet.ts',
    ).toEqual([]);
  });
});

describe('the vectors', () => {
  const keys = allHandlers().map(({ key }) => key);
  const planner = new Planner(new Map(keys.map((key, number) => [key, number])));

  const handlersOf = (plan: Plan): string[] => {
    const { branch } = plan;
    const numbers = branch ? [branch.near, branch.out] : [plan.handler];
    return numbers.filter((number) => number !== undefined).map((number) => keys[number] as string);
  };
  const usedBy = (vector: Vector): string[] => {
    const insn = decodeOne(vector.code, vector.rip, vector.mode);
    const used = handlersOf(planner.plan(insn, vector.mode));
    insn.free();
    return used;
  };
  const used = (): Set<string> => {
    const found = new Set<string>();
    for (const family of FAMILIES) {
      let code: Uint8Array | undefined;
      for (const vector of loadVectors(family)) {
        if (vector.code === code) continue;
        code = vector.code;
        for (const key of usedBy(vector)) found.add(key);
      }
    }
    return found;
  };

  /** Flat and general addresses differ in how an address is made, which has vectors of its own (family `address`). */
  const form = (key: string): string => key.replace(/\bg(?=\d|$)/, 'm');

  /** BSWAP of 16 bits: the manual leaves its result undefined. */
  const UNDEFINED_RESULT = 'bswap r16';
  const NO_INSTRUCTION = keys.filter((key) => key.startsWith('link.'));
  /** Needs CR0 or CR4 to be otherwise; see test/cpu/sse.test.ts. */
  const DENIED = 'sse.denied';

  it('reach every handler', () => {
    const reached = used();
    const forms = new Set([...reached].map(form));
    expect(hotKeys.filter((key) => keys.includes(key) && !reached.has(key))).toEqual([]);
    expect([...new Set(keys.map(form))].filter((key) => !forms.has(key) && key !== DENIED)).toEqual([
      UNDEFINED_RESULT,
      ...NO_INSTRUCTION,
    ]);
  });
});
