// The answer of `firstlight why` as the one object that `--json` prints: that of the first boot, and what was found.
// docs/json.md describes every field.

import { exactCount, hex } from '../bits/hex.ts';
import { wellEnded } from '../diagnose/ending.ts';
import { livesMute } from '../diagnose/mute.ts';
import { classOf, type DeathClass } from '../diagnose/classes/class.ts';
import { CLASSES } from '../diagnose/classes/table.ts';
import { instructionJson } from '../diagnose/facts.ts';
import type { Cause, Diagnosis, Evidence, OtherEntry, Spoken, WayDiagnosis } from '../diagnose/types.ts';
import type { Explanation } from '../diagnose/explain.ts';
import type { KernelImage } from '../image/image.ts';
import { registersJson } from './registers.ts';
import { bootJson, outcomeJson, stagesJson } from './json.ts';

/** The object for one diagnosis, ready for JSON.stringify. @param image as it was given */
export function whyJson(diagnosis: Diagnosis, image: KernelImage, classes: readonly DeathClass[] = CLASSES) {
  const { config, first, entries } = diagnosis;
  return {
    ...bootJson(config, image, first),
    ...foundJson(diagnosis, classes),
    entries: entries.map((entry) => entryJson(entry, classes)),
  };
}

/** What is said of each way into the image. */
function foundJson(way: WayDiagnosis, classes: readonly DeathClass[]) {
  const { config, first, spoken, causes, suspicions, unexplained, untried = 0, last } = way;
  return {
    wellEnded: wellEnded(first.outcome, config) ?? null,
    spoken: spoken === undefined ? null : spokenJson(way, spoken),
    causes: causes.map((cause) => causeJson(cause, classes)),
    suspicions: suspicions.map((suspicion) => classOf(suspicion, classes).suspicionFacts(suspicion)),
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

const entryJson = (entry: OtherEntry, classes: readonly DeathClass[]) =>
  'refusal' in entry
    ? { entry: entry.config.entry, refusal: entry.refusal }
    : {
        entry: entry.config.entry,
        refusal: null,
        loadAddress: hex(entry.first.boot.loadAddress),
        until: entry.config.until,
        outcome: outcomeJson(entry.first.outcome),
        stages: stagesJson(entry.first.stages),
        ...foundJson(entry, classes),
      };

const causeJson = (cause: Cause, classes: readonly DeathClass[]) => {
  const { proof, ...facts } = classOf(cause, classes).facts(cause);
  return { class: cause.class, ...facts, evidence: evidenceJson(cause.evidence), proof };
};

const reasonJson = ({ check, words, manual, facts }: Explanation) => ({
  check,
  words,
  manual,
  facts: facts.map(({ name, value, text }) => ({ name, value: hex(value), text })),
});

const evidenceJson = ({
  outcome,
  at,
  reason,
  registers,
  silent,
  lastWords,
  complaints,
  lastWordsOn,
  writer,
  jump,
}: Evidence) => ({
  outcome: outcomeJson(outcome),
  reason: reason === undefined ? null : reasonJson(reason),
  registers: registersJson(registers),
  at: at === undefined ? null : instructionJson(at),
  silent,
  lastWords,
  complaints,
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
