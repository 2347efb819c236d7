// A rule about one field of the setup header as a row: what to ask, and what it means when the answer is a problem.
import { hex } from '../../bits/hex.ts';
import { SETUP_HEADER_FIELDS, type SetupHeaderField } from '../../image/setup-header.ts';
import type { Confidence, Finding, RuleId, Severity } from '../types.ts';
import type { HeaderFacts } from './facts.ts';

export type FieldRow = {
  readonly field: SetupHeaderField;
  readonly severity: Severity;
  readonly confidence: Confidence;
  /** 'boot-protocol-field' unless it says otherwise. */
  readonly rule?: RuleId;
  /** Holds for every image with a setup header; a row without it is about Linux kernels. */
  readonly everyImage?: true;
  /** What is wrong, without the full stop; undefined where nothing is. */
  readonly problem: (facts: HeaderFacts) => string | undefined;
  /** What the confidence rests on. */
  readonly reason: string;
  readonly advice?: string;
};

/** The rows' findings, in their order; a row about a field newer than the image's protocol is passed over. */
export function applyRows(facts: HeaderFacts, rows: readonly FieldRow[]): Finding[] {
  return rows.flatMap((row) => {
    if (!facts.isKernel && row.everyImage !== true) return [];
    if (row.field !== 'version' && placeOf(row.field).since > facts.header.version) return [];
    const problem = row.problem(facts);
    return problem === undefined ? [] : [fieldFinding(facts, row, problem)];
  });
}

function fieldFinding(facts: HeaderFacts, row: FieldRow, problem: string): Finding {
  const { offset, size } = placeOf(row.field);
  return {
    rule: row.rule ?? 'boot-protocol-field',
    severity: row.severity,
    confidence: row.confidence,
    message: sentence(problem, row.field),
    reason: row.reason,
    fileOffset: offset,
    bytes: facts.bytes.slice(offset, offset + size),
    text: fieldText(facts, row.field),
    place: 'setup header',
    ...(row.advice === undefined ? {} : { advice: row.advice }),
  };
}

/** With a full stop, and a capital where it does not begin with a name of the manual's. */
export function sentence(problem: string, field?: string): string {
  const [word] = problem.split(/[ ,:]/, 1);
  const named = word === field || /[_A-Z]/.test(word ?? '') || word === 'xloadflags';
  return `${named ? problem : problem.slice(0, 1).toUpperCase() + problem.slice(1)}.`;
}

/** `init_size = 0x3f98000`. */
const fieldText = (facts: HeaderFacts, field: SetupHeaderField): string => `${field} = ${hex(facts.header[field])}`;

const places = new Map(SETUP_HEADER_FIELDS.map((f) => [f.name, f]));

function placeOf(field: SetupHeaderField) {
  const found = places.get(field);
  if (found === undefined) throw new RangeError(`no setup header field ${field}`);
  return found;
}

/** The message where the condition holds. */
export const when = (wrong: boolean, message: string): string | undefined => (wrong ? message : undefined);

export const isPowerOfTwo = (value: number): boolean => value > 0 && Number.isInteger(Math.log2(value));
