// The audit of a boot stub: what in it is an address fixed at link time, though it runs elsewhere.

import { type CodeMap, findCode } from '../../code/codeMap.ts';
import { type OriginClues, originFinder } from '../../code/origin.ts';
import type { Program } from '../../code/program.ts';
import type { Coverage, Finding } from '../types.ts';
import { judge, liesInHead } from './judge.ts';
import { pointersIn } from './pointers.ts';
import { pointerFinding, referenceFinding } from './references.ts';
import { type Candidate, scan } from './scan.ts';
import { sweep } from './sweep.ts';
import { type Layout, layoutOf, layoutWith } from './targets.ts';
import { useFinder, type Uses } from './use.ts';

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

/** A candidate and where it stands in the report: those that control flow reaches come first. */
type Ranked = { readonly candidate: Candidate; readonly index: number; readonly swept: boolean };

/** @returns findings, and how many constants were not judged any more */
function judgeAll(
  layout: Layout,
  followed: readonly Candidate[],
  swept: readonly Candidate[],
  preferred: bigint | undefined,
): { readonly findings: Finding[]; readonly left: number } {
  const { program, map, possibleEnd } = layout;
  const finder = useFinder(program, map, (constant) => constant >= 0n && constant <= BigInt(possibleEnd));
  const usesOf = ({ at, reference }: Candidate): Uses => finder.usesOf(at, reference.offset);
  const originAt = originFinder(program, map);
  const cluesOf = ({ at, reference }: Candidate): OriginClues => originAt(at, reference);
  const found: { readonly index: number; readonly finding: Finding }[] = [];
  let left = 0;
  const judgeThese = (informed: Layout, these: readonly Ranked[]): void => {
    for (const { candidate, index, swept: isSwept } of these) {
      if (found.length >= MOST_FINDINGS) left++;
      const judgement =
        found.length < MOST_FINDINGS ? judge(informed, candidate, preferred, () => usesOf(candidate)) : undefined;
      if (judgement !== undefined)
        found.push({ index, finding: referenceFinding(program, candidate, judgement, isSwept, cluesOf(candidate)) });
    }
  };
  const ranked = [...followed, ...swept].map((candidate, index) => ({
    ...{ candidate, index, swept: index >= followed.length },
  }));
  const informed = layoutWith(layout, linkedAddresses(layout, followed, preferred, usesOf), 0);
  judgeThese(
    informed,
    ranked.filter(({ candidate }) => !liesInHead(layout, candidate)),
  );
  // What looks like a number is judged last, by what else was found.
  judgeThese(
    layoutWith(layout, informed.linked, found.length),
    ranked.filter(({ candidate }) => liesInHead(layout, candidate)),
  );
  finder.free();
  return { findings: found.sort((a, b) => a.index - b.index).map(({ finding }) => finding), left };
}

/** What speaks for the others: addresses behind the head in instructions that only a linker writes. */
function linkedAddresses(
  layout: Layout,
  candidates: readonly Candidate[],
  preferred: bigint | undefined,
  usesOf: (candidate: Candidate) => Uses,
): ReadonlySet<number> {
  const telling = candidates.filter((candidate) => candidate.linkerMade && !liesInHead(layout, candidate));
  const sure = telling.slice(0, MOST_FINDINGS).filter((candidate) => {
    const judgement = judge(layout, candidate, preferred, () => usesOf(candidate));
    return judgement !== undefined && judgement.confidence !== 'low';
  });
  return new Set(sure.map(({ reference }) => Number(reference.constant)));
}

const leftNote = (left: number): Finding => ({
  rule: 'position-dependent-reference',
  severity: 'note',
  confidence: 'high',
  message: `${left} further constants were not looked at, after ${MOST_FINDINGS} findings.`,
  reason: 'A report of more helps nobody.',
});

function countByBits({ instructions }: CodeMap): Coverage['followed'] {
  const counts = { 16: 0, 32: 0, 64: 0 };
  for (const { bits } of instructions) counts[bits]++;
  return counts;
}
