// Every vector recorded from a processor, run on ours: by `step`, where handlers are functions in the engine's table, and
// by `run`, where the hot ones are inlined into the loop. Both are bound to the same semantics; both must agree with
// silicon to the last defined bit.
import { describe, expect, it } from 'vitest';
import { decodeOne } from '../../src/code/disassembly.ts';
import { type Plan, Planner } from '../../src/cpu/decode/decode.ts';
import { allHandlers, hotKeys } from '../../src/cpu/binding/handlers.ts';
import { runInLoop, runStepped } from './engineRun.ts';
import { loadVectors, type Vector, vectorFamilies } from './load.ts';
import { describeMismatches, replayFamily } from './replay.ts';

const FAMILIES = vectorFamilies();

describe.each(FAMILIES)('vectors of %s', (family) => {
  it.each([
    ['step', runStepped],
    ['run', runInLoop],
  ] as const)('come out as recorded by %s', (_, run) => {
    const result = replayFamily(family, run);
    expect(result.count).toBeGreaterThan(100);
    expect(result.mismatches.length === 0 ? '' : describeMismatches(result)).toBe('');
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
  /** Need CR0, CR4 or XCR0 to be otherwise; see test/cpu/sse.test.ts and avx.test.ts. */
  const DENIED = ['sse.denied', 'avx.denied'];

  /** What they give is the time; see test/machine/time.test.ts. */
  const TIME = ['rdtsc', 'rdtscp'];

  it('reach every handler', () => {
    const reached = used();
    const forms = new Set([...reached].map(form));
    expect(hotKeys.filter((key) => keys.includes(key) && !reached.has(key) && !TIME.includes(key))).toEqual([]);
    expect(
      [...new Set(keys.map(form))].filter((key) => !forms.has(key) && ![...DENIED, ...TIME].includes(key)),
    ).toEqual([UNDEFINED_RESULT, ...NO_INSTRUCTION]);
  });
});
