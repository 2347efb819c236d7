// The answer of `firstlight why` in words, piece by piece as it becomes known: how it died, each cause as soon as it is
// proved, and what the image does with all of them repaired. For somebody who packages kernels and does not write
// boot code. whyDeath.ts words the deaths, whyCause.ts the causes.

import type { Outcome, RunConfig } from '../run/run.ts';
import { wellEnded } from '../diagnose/ending.ts';
import type { Cause, Diagnosis, Evidence, OtherEntry, Proof, Suspicion, WayDiagnosis } from '../diagnose/types.ts';
import type { KernelImage } from '../image/image.ts';
import { hex } from '../bits/hex.ts';
import { instructionText, nameText } from './instruction.ts';
import { printable } from './console.ts';
import { hintLines } from './hints.ts';
import { BLANK, type Line, type LineTone, paragraph } from './lines.ts';
import { outcomeText } from './outcome.ts';
import { silenceLines } from './silence.ts';
import { unimplementedLines } from './unimplemented.ts';
import { causeLines } from './whyCause.ts';
import { deathLines, evidenceLines, lastWordsLines } from './whyDeath.ts';
import { entriesLines, livesLines, wayText } from './whyEnd.ts';
import { proofLines } from './whyProof.ts';

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
export function foundLines(cause: Cause, before: number, image: KernelImage): Line[] {
  return [
    ...againLines(cause.evidence, before),
    ...evidenceLines(cause.evidence),
    ...lastWordsLines(cause.evidence, true),
    ...section(`CAUSE ${before + 1}: POSITION-DEPENDENT REFERENCE`, 'bad'),
    ...causeLines(cause, image),
  ];
}

/** The first death has been told when it happened; the others are told here. */
function againLines({ outcome }: Evidence, before: number): Line[] {
  if (before === 0 || outcome.kind === 'stage-reached') return [];
  const title = mayLive(outcome) ? 'IT DOES NOT GET THERE' : 'IT DIES AGAIN';
  return [...section(`WITH ${before === 1 ? 'THAT' : 'ALL OF THAT'} REPAIRED, ${title}`), ...deathLines(outcome)];
}

/** All that is left to say. */
export function endLines(diagnosis: Diagnosis): Line[] {
  return [...wayEndLines(diagnosis), ...entriesLines(diagnosis), ...diagnosis.entries.flatMap(entryEndLines)];
}

/** Of an entry that dies. */
const entryEndLines = (entry: OtherEntry): Line[] =>
  'refusal' in entry || wellEnded(entry.first.outcome, entry.config) !== undefined ? [] : wayEndLines(entry);

function wayEndLines(diagnosis: WayDiagnosis): Line[] {
  const { config, causes, suspicions, unexplained, last } = diagnosis;
  const suspected = suspicions.flatMap(suspicionLines);
  if (unexplained === undefined) {
    return [
      ...suspected,
      ...(causes.length > 0 ? bootsLines(rewrittenIn(causes), last.outcome) : livesLines(diagnosis)),
    ];
  }
  return [
    ...againLines(unexplained, causes.length),
    ...evidenceLines(unexplained),
    ...lastWordsLines(unexplained, false),
    ...silenceLines(last).map((text) => paragraph(text)),
    ...unimplementedLines(last.unimplemented).map((text) => paragraph(text)),
    ...openLines(unexplained, hintLines(config, last.outcome, last)),
    ...untriedLines(diagnosis),
    ...suspected,
  ];
}

const rewrittenIn = (causes: readonly Cause[]): number =>
  causes.reduce((sum, { others }) => sum + 1 + others.length, 0);

function bootsLines(instructions: number, outcome: Outcome): Line[] {
  const rewritten = instructions === 1 ? 'that one instruction' : `these ${instructions} instructions`;
  return [
    ...section('THE REPAIRED IMAGE BOOTS', 'good'),
    paragraph(`With ${rewritten} rewritten in memory, and nothing else: ${outcomeText(outcome)}.`),
  ];
}

/** @param lacks what the guest says it was not given, and how to give it */
function openLines({ outcome }: Evidence, lacks: readonly string[]): Line[] {
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
      'What stands above is what was seen. No cause was found whose repair lets this boot get past the point of death: so far only one class of causes is looked for, absolute addresses in a boot stub that runs unrelocated (position-dependent-reference).',
    ),
  ];
}

function untriedLines({ untried = 0 }: WayDiagnosis): Line[] {
  if (untried === 0) return [];
  const text = untried === 1 ? 'One more instruction that holds' : `${untried} more instructions that hold`;
  return [
    paragraph(`${text} what may be an address ${untried === 1 ? 'was' : 'were'} not tried: it would take too long.`),
  ];
}

function suspicionLines({ instruction, others, proof }: Suspicion): Line[] {
  const name = nameText(instruction);
  const more =
    others.length === 0
      ? ''
      : `, and ${others.length} more ${others.length === 1 ? 'instruction does' : 'instructions do'} too`;
  return [
    ...section('SUSPICION, NOT PROVED', 'limit'),
    paragraph(
      `\`${instructionText(instruction)}\` at file offset ${hex(instruction.fileOffset)}${name ? ` (${name})` : ''} holds an address of the stub as a fixed number${more}. ${doubtText(proof)}, so ${others.length === 0 ? 'it is' : 'they are'} not called the cause:`,
    ),
    ...proofLines(proof),
  ];
}

/** Why a proof was not one. */
function doubtText({ boots, controls, counterCheck }: Proof): string {
  if (boots.some(({ passed }) => !passed)) return 'Rewriting helped in some boots and not in others';
  if (controls.some(({ boot }) => boot.passed)) return 'Rewriting helped, but so did another wrong value';
  if (controls.length === 0)
    return 'Rewriting helped, but no other wrong value fits there, to see that it does not help';
  if (counterCheck.verdict === 'failed')
    return 'Rewriting helped, but as given the boot passes not even where the address is right';
  return 'Rewriting helped, but at too few load addresses to tell it from chance';
}

/** `--quiet`: the outcome, and one line for each finding. */
export function quietLines({ first, spoken, causes, suspicions, unexplained, last }: WayDiagnosis): string[] {
  const place = ({ instruction: at }: Cause | Suspicion): string =>
    `${instructionText(at)} at file offset ${hex(at.fileOffset)}${at.symbol ? ` in ${at.symbol}` : ''}${at.target ? `, address of ${at.target}` : ''}`;
  const open = unexplained && unexplained.outcome.kind !== 'instruction-limit' ? ['not yet explained'] : [];
  return [
    outcomeText(first.outcome),
    ...(spoken
      ? [`with ${spoken.config.cmdlineAdded} on the command line: ${outcomeText(spoken.result.outcome)}`]
      : []),
    ...causes.map(
      (cause) =>
        `cause, proved: ${cause.class}: ${place(cause)}${cause.others.length === 0 ? '' : `, and ${cause.others.length} more together with it`}`,
    ),
    ...suspicions.map((suspicion) => `suspicion, not proved: ${place(suspicion)}`),
    ...(causes.length > 0 ? [`repaired: ${outcomeText(last.outcome)}`] : []),
    ...open,
  ];
}

/** The same for another entry, each line with its name. */
export function quietEntry(entry: OtherEntry): string[] {
  if ('refusal' in entry) return [`${entry.config.entry}-bit entry: not tried: ${printable(entry.refusal)}`];
  return quietLines(entry).map((line) => `${wayText(entry.config, entry.first.boot.loadAddress)}: ${line}`);
}
