// From a judged constant to a finding.

import { hex } from '../../bits/hex.ts';
import { attText, decodeOne } from '../../code/disassembly.ts';
import { fileOffsetOf, type Program } from '../../code/program.ts';
import { positionIndependentForm } from '../../code/repair.ts';
import { STUB_RUNS_ELSEWHERE } from '../../words/link.ts';
import { originOf } from '../../words/origin.ts';
import type { OriginClues } from '../../code/origin.ts';
import type { Confidence, Finding } from '../types.ts';
import type { Judgement } from './judge.ts';
import type { Pointer } from './pointers.ts';
import type { Candidate } from './scan.ts';
import { dataNameAt, nameAt, targetWords, textWords } from './targets.ts';

const SEVERITY: Record<Confidence, Finding['severity']> = { high: 'error', medium: 'error', low: 'warning' };

const text = (bytes: Uint8Array, at: number, bits: 16 | 32 | 64): string => {
  const instruction = decodeOne(bytes, BigInt(at), bits);
  const line = attText(instruction);
  instruction.free();
  return line;
};

/** @param swept found by the linear sweep, not by following control flow */
export function referenceFinding(
  program: Program,
  { at, length, bits, reference }: Candidate,
  { confidence, reason, facts, takenAsIs }: Judgement,
  swept: boolean,
  clues: OriginClues,
): Finding {
  const fileOffset = fileOffsetOf(program, at) ?? 0;
  const bytes = program.bytes.slice(fileOffset, fileOffset + length);
  const target = Number(reference.constant);
  const written = facts.part === 'body' ? textWords(program, target) : undefined;
  const nameOf = facts.known === 'instruction' || facts.known === 'function' ? nameAt : dataNameAt;
  const symbol = written === undefined ? nameOf(program, target) : undefined;
  const place = nameAt(program, at);
  const line = text(bytes, at, bits);
  const repaired = bits === 64 && takenAsIs ? positionIndependentForm(reference, bytes, at) : undefined;
  const { relocation, decision, advice } = originOf(reference.form, clues);
  return {
    rule: 'position-dependent-reference',
    severity: SEVERITY[confidence],
    ...(swept ? sweptConfidence(confidence, reason) : { confidence, reason }),
    message: `\`${squeezed(line)}\` at link address ${hex(at)} holds the address of ${written ?? symbol ?? targetWordsOf(facts, target)} as a fixed number, and the ${STUB_RUNS_ELSEWHERE}.`,
    ...{ fileOffset, linkAddress: program.base + BigInt(at), bytes, text: line },
    ...(place === undefined ? {} : { place }),
    target: {
      linkAddress: program.base + BigInt(target),
      ...(symbol === undefined ? {} : { symbol }),
      what: written === undefined ? targetWords(facts) : `${written}, ${targetWords(facts)}`,
    },
    ...{ relocation, decision, advice },
    ...(repaired === undefined ? {} : { repair: { bytes: repaired, text: text(repaired, at, 64) } }),
  };
}

const squeezed = (line: string): string => line.replace(/\s+/g, ' ');

const targetWordsOf = (facts: Judgement['facts'], target: number): string =>
  `something ${PLACES[facts.part]} (${hex(target)})`;

const PLACES = {
  head: 'in its own head',
  payload: 'in its payload',
  body: 'in its own code and data',
  bss: 'in its own memory',
  outside: 'elsewhere',
} as const;

/** No control flow was seen to lead there: a step less sure. */
function sweptConfidence(confidence: Confidence, reason: string): Pick<Finding, 'confidence' | 'reason'> {
  return {
    confidence: confidence === 'high' ? 'medium' : 'low',
    reason: `${reason} No control flow was seen to lead here; the linear sweep found it.`,
  };
}

export function pointerFinding(program: Program, { at, fileOffset, value, facts }: Pointer): Finding {
  const symbol = (facts.known === 'function' ? nameAt : dataNameAt)(program, value);
  const place = nameAt(program, at);
  return {
    rule: 'position-dependent-pointer',
    severity: 'warning',
    confidence: facts.known === 'function' || facts.known === 'symbol' ? 'medium' : 'low',
    message: `The word at link address ${hex(at)} holds the link address of ${symbol ?? targetWordsOf(facts, value)}, and no code was seen that adds the load address to it.`,
    reason: `It is aligned, lies outside the code, and what it points to is the ${targetWords(facts)}. Whoever reads it may correct it in a way that was not seen.`,
    ...{ fileOffset, linkAddress: program.base + BigInt(at), bytes: program.bytes.slice(fileOffset, fileOffset + 8) },
    text: `.quad ${hex(value)}`,
    ...(place === undefined ? {} : { place }),
    target: {
      linkAddress: program.base + BigInt(value),
      ...(symbol === undefined ? {} : { symbol }),
      what: targetWords(facts),
    },
    relocation: 'R_X86_64_64, of a pointer in data',
    decision:
      'Every linker writes the link address there; with -pie it also leaves an R_X86_64_RELATIVE, which the linker scripts of the stub refuse.',
    advice: 'Compute the address in code (`lea SYMBOL(%rip),%reg`), or keep the distance from a place that is known.',
  };
}
