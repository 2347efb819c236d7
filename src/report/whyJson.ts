// The answer of `firstlight why` as the one object that `--json` prints: that of the first boot, and what was found.
// docs/json.md describes every field.

import { hex, hexBytes } from '../bits/hex.ts';
import { wellEnded } from '../diagnose/ending.ts';
import { livesMute } from '../diagnose/mute.ts';
import type {
  Cause,
  CounterCheck,
  Culprit,
  Diagnosis,
  Evidence,
  InstructionAt,
  Other,
  OtherEntry,
  Proof,
  ProofBoot,
  Spoken,
  Step,
  Suspicion,
  WayDiagnosis,
} from '../diagnose/types.ts';
import type { KernelImage } from '../image/image.ts';
import { bootJson, exactCount, outcomeJson, stagesJson } from './json.ts';

/** The object for one diagnosis, ready for JSON.stringify. @param image as it was given */
export function whyJson(diagnosis: Diagnosis, image: KernelImage) {
  const { config, first, entries } = diagnosis;
  return {
    ...bootJson(config, image, first),
    ...foundJson(diagnosis),
    entries: entries.map(entryJson),
  };
}

/** What is said of each way into the image. */
function foundJson(way: WayDiagnosis) {
  const { config, first, spoken, causes, suspicions, unexplained, untried = 0, last } = way;
  return {
    wellEnded: wellEnded(first.outcome, config) ?? null,
    spoken: spoken === undefined ? null : spokenJson(way, spoken),
    causes: causes.map(causeJson),
    suspicions: suspicions.map(suspicionJson),
    untried,
    unexplained: unexplained === undefined ? null : evidenceJson(unexplained),
    repaired: causes.length === 0 ? null : { outcome: outcomeJson(last.outcome), stages: stagesJson(last.stages) },
  };
}

const spokenJson = ({ first }: WayDiagnosis, spoken: Spoken) => ({
  added: spoken.config.cmdlineAdded ?? '',
  cmdline: spoken.config.cmdline,
  mute: livesMute(first, spoken),
  wellEnded: wellEnded(spoken.result.outcome, spoken.config) ?? null,
  outcome: outcomeJson(spoken.result.outcome),
  stages: stagesJson(spoken.result.stages),
  console: spoken.result.console,
});

const entryJson = (entry: OtherEntry) =>
  'refusal' in entry
    ? { entry: entry.config.entry, refusal: entry.refusal }
    : {
        entry: entry.config.entry,
        refusal: null,
        loadAddress: hex(entry.first.boot.loadAddress),
        until: entry.config.until,
        outcome: outcomeJson(entry.first.outcome),
        stages: stagesJson(entry.first.stages),
        ...foundJson(entry),
      };

const causeJson = (cause: Cause) => ({
  class: cause.class,
  instruction: culpritJson(cause.instruction),
  steps: cause.steps.map(stepJson),
  explanation: cause.explanation,
  advice: cause.advice,
  repair: repairJson(cause.repair),
  others: cause.others.map(otherJson),
  evidence: evidenceJson(cause.evidence),
  proof: proofJson(cause.proof),
});

const otherJson = ({ instruction, repair }: Other) => ({
  instruction: culpritJson(instruction),
  repair: repairJson(repair),
});

const repairJson = ({ bytes, text }: Cause['repair']) => ({ bytes: hexBytes(bytes), text });

const suspicionJson = ({ instruction, others, proof }: Suspicion) => ({
  instruction: culpritJson(instruction),
  others: others.map(otherJson),
  proof: proofJson(proof),
});

const instructionJson = (at: InstructionAt) => ({
  fileOffset: at.fileOffset ?? null,
  runtimeAddress: hex(at.runtimeAddress),
  linkAddress: at.linkAddress === undefined ? null : hex(at.linkAddress),
  bytes: hexBytes(at.bytes),
  text: at.text,
  symbol: at.symbol ?? null,
  owner: at.owner ?? null,
});

const culpritJson = (culprit: Culprit) => ({
  ...instructionJson(culprit),
  target: culprit.target ?? null,
  form: culprit.form,
  bits: culprit.bits,
  constant: hex(culprit.constant),
  bias: hex(culprit.bias),
});

const stepJson = ({ what, instruction }: Step) => ({
  what,
  instruction: instruction === undefined ? null : instructionJson(instruction),
});

const evidenceJson = ({ outcome, at, silent, lastWords, lastWordsOn, writer, jump }: Evidence) => ({
  outcome: outcomeJson(outcome),
  at: at === undefined ? null : instructionJson(at),
  silent,
  lastWords,
  lastWordsOn,
  jump:
    jump === undefined
      ? null
      : {
          instruction: instructionJson(jump.instruction),
          instructions: exactCount(jump.instructions),
          target: hex(jump.target),
        },
  writer:
    writer === undefined
      ? null
      : {
          instruction: instructionJson(writer.instruction),
          instructions: exactCount(writer.instructions),
          source: writer.source === undefined ? null : hex(writer.source),
        },
});

const proofJson = ({ held, boots, controls, counterCheck }: Proof) => ({
  held,
  boots: boots.map(proofBootJson),
  controls: controls.map(({ kind, text, boot }) => ({ kind, text, boot: proofBootJson(boot) })),
  counterCheck: counterCheckJson(counterCheck),
});

const proofBootJson = (boot: ProofBoot) => ({
  loadAddress: hex(boot.loadAddress),
  entry: boot.entry,
  paging: boot.entry === 32 ? null : boot.paging,
  cpu: boot.cpu,
  variant: boot.variant,
  plainRam: boot.plainRam,
  alias:
    boot.alias === undefined
      ? null
      : { from: hex(boot.alias.from), to: hex(boot.alias.to), size: hex(boot.alias.size) },
  passed: boot.passed,
  outcome: boot.outcome,
  stage: boot.stage,
  instructions: exactCount(boot.instructions),
});

const counterCheckJson = (check: CounterCheck) =>
  check.verdict === 'not-made'
    ? { verdict: check.verdict, because: check.because }
    : {
        verdict: check.verdict,
        by: check.by,
        withBias: proofBootJson(check.withBias),
        without: proofBootJson(check.without),
      };
