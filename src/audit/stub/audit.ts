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

/** Findings in a report. A stub linked wrong throughout has some hundreds; a file made to cost memory has no more to give. */
const MOST_FINDINGS = 5000;

/**
 * @param preferred the address the header wants the kernel at, where there is a header
 * @param extra offsets that may be functions: those that symbols name
 */
export function auditStub(program: Program, preferred: bigint | undefined, extra: readonly number[] = []): StubAudit {
  const map = findCode(program, extra);
  const seen = scan(program, map);
  const layout = layoutOf(program, map, seen);
  const swept = sweep(program, map);
  const pointers = pointersIn(layout, MOST_FINDINGS);
  const judged = judgeAll(layout, seen.candidates, swept.candidates, preferred);
  const findings = [...judged.findings, ...pointers.found.map((pointer) => pointerFinding(program, pointer))];
  return {
    findings,
    notes: judged.left > 0 ? [leftNote(judged.left)] : [],
    coverage: {
      followed: countByBits(map),
      swept: swept.instructions,
      constants: seen.constants,
      dataWords: pointers.words,
    },
  };
}

/** @returns findings, and how many constants were not judged any more */
function judgeAll(
  layout: Layout,
  followed: readonly Candidate[],
  swept: readonly Candidate[],
  preferred: bigint | undefined,
): { readonly findings: Finding[]; readonly left: number } {
  const after = followersOf(layout.map);
  const findings: Finding[] = [];
  let uses = MOST_USES;
  const useAfter = (candidate: Candidate): Use => (uses-- > 0 ? useOfValue(layout, candidate, after) : 'unknown');
  for (const [index, candidate] of [...followed, ...swept].entries()) {
    if (findings.length >= MOST_FINDINGS) return { findings, left: followed.length + swept.length - index };
    const judgement = judge(layout, candidate, preferred, () => useAfter(candidate));
    if (judgement !== undefined)
      findings.push(referenceFinding(layout.program, candidate, judgement, index >= followed.length));
  }
  return { findings, left: 0 };
}

/** Values that are followed to what is done with them. */
const MOST_USES = 20_000;

const leftNote = (left: number): Finding => ({
  rule: 'position-dependent-reference',
  severity: 'note',
  confidence: 'high',
  message: `${left} further constants were not looked at, after ${MOST_FINDINGS} findings.`,
  reason: 'A report of more helps nobody.',
});

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

function useOfValue({ program }: Layout, candidate: Candidate, after: Followers): Use {
  const { register } = candidate;
  return register === undefined ? 'unknown' : useOf(program, register, after(candidate.at));
}

function countByBits({ instructions }: CodeMap): Coverage['followed'] {
  const counts = { 16: 0, 32: 0, 64: 0 };
  for (const { bits } of instructions) counts[bits]++;
  return counts;
}
