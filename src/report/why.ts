// The answer of `firstlight why` in words, piece by piece as it becomes known: how it died, each cause as soon as it is
// proved, and what the image does with all of them repaired. For somebody who packages kernels and does not write
// boot code. whyDeath.ts words the deaths, whyCause.ts the causes.

import type { Outcome, RunConfig } from '../run/run.ts';
import { classOf, type DeathClass } from '../diagnose/classes/class.ts';
import { CLASSES } from '../diagnose/classes/table.ts';
import { wellEnded } from '../diagnose/ending.ts';
import type { Cause, Diagnosis, Evidence, OtherEntry, Suspicion, WayDiagnosis } from '../diagnose/types.ts';
import type { KernelImage } from '../image/image.ts';
import { printable } from './console.ts';
import { hintLines } from './hints.ts';
import { BLANK, type Line, type LineTone, paragraph } from '../bits/lines.ts';
import { outcomeText } from './outcome.ts';
import { silenceLines } from './silence.ts';
import { unimplementedLines } from './unimplemented.ts';
import { registerLines } from './registers.ts';
import { deathLines, evidenceLines, lastWordsLines } from './whyDeath.ts';
import { entriesLines, livesLines, wayText } from './whyEnd.ts';

const section = (text: string, tone: LineTone = 'heading'): Line[] => [BLANK, { text, tone }];

/** Nobody has seen it die. */
const mayLive = ({ kind }: Outcome): boolean => kind === 'instruction-limit' || kind === 'no-progress';

/** The first boot has ended; a healthy one is for the end. */
export function firstLines(outcome: Outcome, config: RunConfig): Line[] {
  if (outcome.kind === 'stage-reached' || wellEnded(outcome, config) !== undefined) return [];
  const title = mayLive(outcome) ? 'HOW FAR IT CAME' : 'HOW IT DIED';
  return [...section(title), ...deathLines(outcome)];
}

/** A cause is proved. @param before how many causes have been reported before it */
export function foundLines(
  cause: Cause,
  before: number,
  image: KernelImage,
  classes: readonly DeathClass[] = CLASSES,
): Line[] {
  const { words } = classOf(cause, classes);
  return [
    ...againLines(cause.evidence, before),
    ...evidenceLines(cause.evidence),
    ...lastWordsLines(cause.evidence, words.repaired),
    ...section(`CAUSE ${before + 1}: ${words.title}`, 'bad'),
    ...words.cause(cause, image),
  ];
}

/** The first death has been told when it happened; the others are told here. */
function againLines({ outcome }: Evidence, before: number): Line[] {
  if (before === 0 || outcome.kind === 'stage-reached') return [];
  const title = mayLive(outcome) ? 'IT DOES NOT GET THERE' : 'IT DIES AGAIN';
  return [...section(`WITH ${before === 1 ? 'THAT' : 'ALL OF THAT'} REPAIRED, ${title}`), ...deathLines(outcome)];
}

/** All that is left to say. */
export function endLines(diagnosis: Diagnosis, classes: readonly DeathClass[] = CLASSES): Line[] {
  return [
    ...wayEndLines(diagnosis, classes),
    ...entriesLines(diagnosis),
    ...diagnosis.entries.flatMap((entry) => entryEndLines(entry, classes)),
  ];
}

/** Of an entry that dies. */
const entryEndLines = (entry: OtherEntry, classes: readonly DeathClass[]): Line[] =>
  'refusal' in entry || wellEnded(entry.first.outcome, entry.config) !== undefined ? [] : wayEndLines(entry, classes);

function wayEndLines(diagnosis: WayDiagnosis, classes: readonly DeathClass[]): Line[] {
  const { config, causes, suspicions, unexplained, last } = diagnosis;
  const suspected = suspicions.flatMap((suspicion) => [
    ...section('SUSPICION, NOT PROVED', 'limit'),
    ...classOf(suspicion, classes).words.suspicion(suspicion),
  ]);
  if (unexplained === undefined) {
    return [
      ...suspected,
      ...(causes.length > 0 ? bootsLines(allRepaired(causes, classes), last.outcome) : livesLines(diagnosis)),
    ];
  }
  return [
    ...againLines(unexplained, causes.length),
    ...evidenceLines(unexplained),
    ...lastWordsLines(unexplained),
    ...silenceLines(last).map((text) => paragraph(text)),
    ...unimplementedLines(last.unimplemented).map((text) => paragraph(text)),
    ...openLines(unexplained, hintLines(config, last.outcome, last), classes),
    ...untriedLines(diagnosis),
    ...suspected,
    ...section('REGISTERS'),
    ...registerLines(unexplained.registers),
  ];
}

/** What was changed, of each class together. */
const allRepaired = (causes: readonly Cause[], classes: readonly DeathClass[]): string =>
  classes
    .map((row) => ({ row, own: causes.filter((cause) => cause.class === row.name) }))
    .flatMap(({ row, own }) => (own.length === 0 ? [] : [row.words.allRepaired(own)]))
    .join(', ');

function bootsLines(repaired: string, outcome: Outcome): Line[] {
  return [
    ...section('THE REPAIRED IMAGE BOOTS', 'good'),
    paragraph(`With ${repaired}, and nothing else: ${outcomeText(outcome)}.`),
  ];
}

/** @param lacks what the guest says it was not given, and how to give it */
function openLines({ outcome }: Evidence, lacks: readonly string[], classes: readonly DeathClass[]): Line[] {
  if (lacks.length > 0)
    return [...section('IT SAYS ITSELF WHAT IT LACKS', 'limit'), ...lacks.map((text) => paragraph(text))];
  if (outcome.kind === 'instruction-limit') {
    return [
      ...section('NO FINDING', 'limit'),
      paragraph('It had not died when the instruction limit was reached; a higher --max-instructions lets it go on.'),
    ];
  }
  return [
    ...section('NOT YET EXPLAINED', 'limit'),
    paragraph(
      `What stands above is what was seen. No cause was found whose repair lets this boot get past the point of death: so far ${lookedFor(classes)}.`,
    ),
  ];
}

function lookedFor(classes: readonly DeathClass[]): string {
  const each = classes.map(({ looksFor, name }) => `${looksFor} (${name})`).join('; ');
  return classes.length === 1
    ? `only one class of causes is looked for, ${each}`
    : `only ${classes.length} classes of causes are looked for: ${each}`;
}

function untriedLines({ untried = 0 }: WayDiagnosis): Line[] {
  if (untried === 0) return [];
  const text = untried === 1 ? 'One more instruction that holds' : `${untried} more instructions that hold`;
  return [
    paragraph(`${text} what may be an address ${untried === 1 ? 'was' : 'were'} not tried: it would take too long.`),
  ];
}

/** `--quiet`: the outcome, and one line for each finding. */
export function quietLines(
  { first, spoken, causes, suspicions, unexplained, last }: WayDiagnosis,
  classes: readonly DeathClass[] = CLASSES,
): string[] {
  const place = (found: Cause | Suspicion): string => classOf(found, classes).words.place(found);
  const open = unexplained && unexplained.outcome.kind !== 'instruction-limit' ? ['not yet explained'] : [];
  return [
    outcomeText(first.outcome),
    ...(spoken
      ? [`with ${spoken.config.cmdlineAdded} on the command line: ${outcomeText(spoken.result.outcome)}`]
      : []),
    ...causes.map((cause) => `cause, proved: ${cause.class}: ${place(cause)}`),
    ...suspicions.map((suspicion) => `suspicion, not proved: ${place(suspicion)}`),
    ...(causes.length > 0 ? [`repaired: ${outcomeText(last.outcome)}`] : []),
    ...open,
  ];
}

/** The same for another entry, each line with its name. */
export function quietEntry(entry: OtherEntry, classes: readonly DeathClass[] = CLASSES): string[] {
  if ('refusal' in entry) return [`${entry.config.entry}-bit entry: not tried: ${printable(entry.refusal)}`];
  return quietLines(entry, classes).map((line) => `${wayText(entry.config, entry.first.boot.loadAddress)}: ${line}`);
}
