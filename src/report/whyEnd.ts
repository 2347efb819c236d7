// What is said of a boot that needs no diagnosis: how far it came, and by which ways it was entered. And of one that was
// only mute.

import { hex } from '../bits/hex.ts';
import type { Boot } from '../boot/protocol.ts';
import type { Outcome, RunConfig } from '../run/run.ts';
import { wellEnded } from '../diagnose/ending.ts';
import { livesMute } from '../diagnose/mute.ts';
import type { Diagnosis, OtherEntry, Spoken, WayDiagnosis } from '../diagnose/types.ts';
import { printable } from './console.ts';
import { hintLines } from './hints.ts';
import { BLANK, type Line, type LineTone, paragraph } from '../bits/lines.ts';
import { outcomeText } from './outcome.ts';
import { silenceLines } from './silence.ts';
import { deathLines } from './whyDeath.ts';

const section = (text: string, tone: LineTone = 'heading'): Line[] => [BLANK, { text, tone }];
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** How far it came, as a sentence without its end; undefined where that is to be explained. */
function goodEnd(outcome: Outcome, config: RunConfig): string | undefined {
  const text = outcomeText(outcome);
  switch (wellEnded(outcome, config)) {
    case 'powered-off':
      return `it boots and ends by itself: ${text}`;
    case 'no-root':
      return `it boots as far as a kernel can without a root file system or an initrd, and none was given: ${text}`;
    case 'as-asked':
      if (outcome.kind !== 'stage-reached') return `it runs to its own end: ${text}`;
      return outcome.stage === 'init'
        ? `it boots, to its first program: ${text}`
        : `it boots as far as was asked for: ${text}; what comes after was not run`;
    default:
      return undefined;
  }
}

/** All that is to say of an image that lives, but of the other entries. */
export function livesLines({ config, first, spoken, entries = [] }: WayDiagnosis & Partial<Diagnosis>): Line[] {
  if (entries.some(dies)) return [];
  if (spoken && livesMute(first, spoken)) return muteLines(first, spoken);
  const good = goodEnd(first.outcome, config);
  if (good === undefined) return [];
  return [
    BLANK,
    { text: `${capital(good)}. No finding.`, tone: 'good' },
    ...hintLines(config, first.outcome, first).map((text): Line => ({ text, tone: 'note' })),
  ];
}

function muteLines(first: WayDiagnosis['first'], { config, result }: Spoken): Line[] {
  const words = config.cmdlineAdded ?? '';
  return [
    ...section('NOT DEAD, ONLY MUTE: IT LIVES, BUT SAYS IT WHERE NOBODY LISTENS', 'good'),
    paragraph(`With \`${words}\` on its command line, and nothing else changed, ${goodEnd(result.outcome, config)}.`),
    paragraph(`What to change: put \`${words}\` on its command line, where its boot loader gets that from.`),
    ...silenceLines(first).map((text) => paragraph(text.startsWith(' ') ? text : capital(text))),
    ...hintLines(config, result.outcome, result).map((text) => paragraph(text, 'note')),
  ];
}

/** Lines of the console that are shown of a boot that was made to speak. */
const MOST_WORDS = 8;

/** A silent boot has been made to speak and does not live, or lives only so. */
export function spokenLines(first: WayDiagnosis['first'], spoken: Spoken): Line[] {
  if (livesMute(first, spoken)) return [];
  const { config, result } = spoken;
  const good = goodEnd(result.outcome, config);
  const intro = `It had said nothing, and was booted again with \`${config.cmdlineAdded}\` on its command line and nothing else changed.`;
  if (good !== undefined) {
    return [
      ...section('WITH ANOTHER COMMAND LINE IT LIVES'),
      paragraph(`${intro} So ${good}. What of the command line it dies of has not been looked for.`),
    ];
  }
  const { outcome } = result;
  const lived = wellEnded(first.outcome, config) !== undefined;
  return [
    ...section(lived ? 'MADE TO SPEAK, IT DIES' : 'MADE TO SPEAK, IT DIES TOO'),
    paragraph(intro),
    ...(outcome.kind === 'stage-reached' ? [] : deathLines(outcome)),
    ...wordsOf(result.console),
  ];
}

function wordsOf(console: string): Line[] {
  const lines = console.split(/[\r\n]+/).filter((line) => line.trim() !== '');
  if (lines.length === 0) return [paragraph('It said nothing then either.')];
  const shown = lines.slice(-MOST_WORDS).map((line): Line => ({ text: printable(line), indent: 4, whole: true }));
  return [paragraph(lines.length > MOST_WORDS ? 'The end of what it said then:' : 'What it said then:'), ...shown];
}

export const wayText = (config: RunConfig, loadAddress: number): string =>
  `the ${config.entry}-bit entry, loaded at ${hex(loadAddress)}`;

/** Before the death of another entry: that the way that was asked for is none. @param lives that way's end */
export function entryHeading(lives: WayDiagnosis['first'], given: RunConfig, other: RunConfig, boot: Boot): Line[] {
  const way = wayText(other, boot.loadAddress);
  const good = goodEnd(lives.outcome, given);
  return [
    ...(good === undefined
      ? []
      : [BLANK, { text: `By the ${lives.boot.entry}-bit entry, loaded at ${hex(lives.boot.loadAddress)}, ${good}.` }]),
    ...section(`BY ANOTHER ENTRY IT DOES NOT: ${way}`, 'bad'),
    paragraph("BIOS boot loaders and QEMU's -kernel come in so."),
  ];
}

/** Is there an entry by which it dies? */
const dies = (entry: OtherEntry): boolean =>
  !('refusal' in entry) && wellEnded(entry.first.outcome, entry.config) === undefined;

/** Which other entries were tried where all went well. */
export function entriesLines({ entries, config, first }: Diagnosis): Line[] {
  const good = entries.flatMap((entry) => entryText(entry) ?? []);
  if (entries.length > 0) return good.map((text): Line => ({ text, tone: 'note' }));
  return typeof config.entry === 'number'
    ? [{ text: `The ${first.boot.entry}-bit entry was asked for; no other was tried.`, tone: 'note' }]
    : [];
}

function entryText(entry: OtherEntry): string | undefined {
  const { config } = entry;
  if ('refusal' in entry) return `The ${config.entry}-bit entry was not tried: ${entry.refusal}.`;
  if (wellEnded(entry.first.outcome, config) === undefined) return undefined;
  const way = wayText(config, entry.first.boot.loadAddress);
  return `Tried too: ${way}, as BIOS boot loaders and QEMU's -kernel come in. It ${outcomeText(entry.first.outcome)}.`;
}
