// Boots one fault of scripts/accept/never-guess.ts at a time, and diagnoses and audits it, in a process of its own.
import { readFileSync } from 'node:fs';
import { auditFile } from '../../src/audit/audit.ts';
import { hex } from '../../src/bits/hex.ts';
import type { Stage } from '../../src/run/stages.ts';
import { setV8Flags } from '../../src/cli/v8Flags.ts';
import { referenceCauses, referenceSuspicions } from '../../src/diagnose/classes/executedReferences.ts';
import type { Diagnosis, ReferenceCause, ReferenceSuspicion } from '../../src/diagnose/types.ts';
import { diagnose } from '../../src/diagnose/why.ts';
import { outcomeText } from '../../src/report/outcome.ts';
import { bootConfig, type Fault, withFault } from '../../test/support/faults.ts';
import { answer } from './pool.ts';

export interface FaultTask {
  readonly image: string;
  readonly name: string;
  readonly entry: 32 | 64;
  readonly until: Stage;
  readonly fault: Fault;
  /** A diagnosis that takes more processor time is given up. */
  readonly seconds: number;
}

export interface FaultRow {
  readonly end: 'lived' | 'died' | 'undecided';
  /** The outcome in words, or what was being done when it was given up. */
  readonly outcome: string;
  /** What was said of it that cannot be true. */
  readonly falseCauses: readonly string[];
  readonly falseSuspicions: readonly string[];
  readonly falseFindings: readonly string[];
  /** Of processor time. */
  readonly seconds: number;
}

const GUESS = 'position-dependent-reference';

const named = (what: 'cause' | 'suspicion', { instruction, proof }: ReferenceCause | ReferenceSuspicion): string => {
  const { text, fileOffset, form } = instruction;
  const passed = proof.boots.filter((boot) => boot.passed).length;
  return `${what}: \`${text}\` at ${hex(fileOffset)} (${form}; ${passed} of ${proof.boots.length} boots pass)`;
};

function tryFault({ image, name, entry, until, fault, seconds }: FaultTask): FaultRow {
  const started = process.cpuUsage();
  const elapsed = (): number => {
    const { user, system } = process.cpuUsage(started);
    return (user + system) / 1e6;
  };
  const bytes = withFault(new Uint8Array(readFileSync(image)), fault);
  const falseFindings = auditFile(bytes, name, {})
    .findings.filter(({ rule }) => rule === GUESS || rule === 'position-dependent-pointer')
    .map(({ message }) => `audit: ${message}`);
  const work = diagnose(bootConfig(bytes, entry, until));
  let doing = '';
  while (elapsed() < seconds) {
    const step = work.next();
    if (step.done) return { ...rowOf(step.value), falseFindings, seconds: elapsed() };
    doing = step.value.doing;
  }
  const outcome = `given up while ${doing}`;
  return { end: 'undecided', outcome, falseCauses: [], falseSuspicions: [], falseFindings, seconds: elapsed() };
}

function rowOf({ first, causes, suspicions }: Diagnosis): Omit<FaultRow, 'falseFindings' | 'seconds'> {
  return {
    end: first.outcome.kind === 'stage-reached' ? 'lived' : 'died',
    outcome: outcomeText(first.outcome),
    falseCauses: referenceCauses(causes).map((cause) => named('cause', cause)),
    falseSuspicions: referenceSuspicions(suspicions).map((suspicion) => named('suspicion', suspicion)),
  };
}

if (process.send !== undefined) {
  setV8Flags();
  answer(tryFault);
}
