// The audit of a boot stub: what in it is an address fixed at link time, though it runs elsewhere.

import { type CodeInstruction, type CodeMap, findCode } from '../../code/codeMap.ts';
import type { Program } from '../../code/program.ts';
import type { Coverage, Finding } from '../types.ts';
import { judge } from './judge.ts';
import { pointersIn } from './pointers.ts';
import { pointerFinding, referenceFinding } from './references.ts';
import { type Candidate, scan } from './scan.ts';
import { sweep } from './sweep.ts';
import { type Layout, layoutOf } from './targets.ts';
import { type Use, useOf } from './use.ts';

export type StubAudit = {
  readonly findings: readonly Finding[];
  readonly notes: readonly Finding[];
  readonly coverage: Coverage;
};

/**
 * @param preferred the address the header wants the kernel at, where there is a header
 * @param extra offsets that may be functions: those that symbols name
 */
export function auditStub(program: Program, preferred: bigint | undefined, extra: readonly number[] = []): StubAudit {
  const map = findCode(program, extra);
  const seen = scan(program, map);
  const layout = layoutOf(program, map, seen);
  const swept = sweep(program, map);
  const pointers = pointersIn(layout);
  const after = followersOf(map);
  const judged = (candidate: Candidate, isSwept: boolean): Finding[] => {
    const judgement = judge(layout, candidate, preferred, () => useAfter(layout, candidate, after));
    return judgement === undefined ? [] : [referenceFinding(program, candidate, judgement, isSwept)];
  };
  return {
    findings: [
      ...seen.candidates.flatMap((candidate) => judged(candidate, false)),
      ...swept.candidates.flatMap((candidate) => judged(candidate, true)),
      ...pointers.found.map((pointer) => pointerFinding(program, pointer)),
    ],
    notes: [],
    coverage: {
      followed: countByBits(map),
      swept: swept.instructions,
      constants: seen.constants,
      dataWords: pointers.words,
    },
  };
}

type Followers = (at: number) => readonly CodeInstruction[];

/** As many instructions as `useOf` looks at. */
const WINDOW = 32;

function followersOf({ instructions }: CodeMap): Followers {
  const index = new Map(instructions.map(({ at }, i) => [at, i]));
  return (at) => {
    const i = index.get(at);
    return i === undefined ? [] : instructions.slice(i + 1, i + 1 + WINDOW);
  };
}

function useAfter({ program }: Layout, candidate: Candidate, after: Followers): Use {
  const { register } = candidate;
  return register === undefined ? 'unknown' : useOf(program, register, after(candidate.at));
}

function countByBits({ instructions }: CodeMap): Coverage['followed'] {
  const counts = { 16: 0, 32: 0, 64: 0 };
  for (const { bits } of instructions) counts[bits]++;
  return counts;
}
