// How a boot died, in words: the end, the first exception, the bytes there and who wrote them, the last words.

import { hex } from '../bits/hex.ts';
import type { Outcome } from '../boot/run.ts';
import type { Stage } from '../boot/stages.ts';
import type { FaultLink } from '../cpu/microcode/delivery.ts';
import type { Evidence, Writer } from '../diagnose/types.ts';
import { vectorInfo } from '../x86/vectors.ts';
import { chainLines, interruptText } from './chain.ts';
import { printable } from './console.ts';
import { bytesText, instructionText, nameText, placeText } from './instruction.ts';
import { type Line, paragraph } from './lines.ts';
import { endText, whenText } from './outcome.ts';

/** How far that is, for somebody who does not know the names. */
const STAGES: Readonly<Record<Stage, string>> = {
  entry: 'in the boot stub, before it began to unpack the kernel',
  decompress: 'in the boot stub, which had begun to unpack the kernel',
  handoff: 'in the unpacked kernel, before its first line',
  banner: 'in the unpacked kernel, after its first line',
  init: 'with programs running',
};

export type Death = Exclude<Outcome, { kind: 'stage-reached' }>;

/** What the outcome alone tells. */
export function deathLines(outcome: Death): Line[] {
  const place = `last stage reached: ${outcome.stage} (${STAGES[outcome.stage]})`;
  const when = `after ${whenText(outcome)}; ${place}.`;
  if (outcome.kind !== 'triple-fault') return [paragraph(`${capital(endText(outcome))}, ${when}`, 'bad')];
  return [
    paragraph(`Triple fault, on which a PC resets, ${when}`, 'bad'),
    ...exceptionLines(outcome.chain),
    paragraph('From there to the reset:'),
    ...chainLines(outcome.chain).map((text): Line => ({ text, indent: 4, hanging: 3 })),
  ];
}

function exceptionLines([first]: readonly FaultLink[]): Line[] {
  if (first === undefined) return [];
  if (first.interrupt) return [paragraph(`It began with ${interruptText(first.vector)}, RIP ${hex(first.rip)}.`)];
  const { mnemonic, name } = vectorInfo(first.vector);
  const facts = [
    `vector ${first.vector}, ${mnemonic} (${name})`,
    first.error === undefined ? 'no error code' : `error code ${hex(first.error)}`,
    `RIP ${hex(first.rip)}`,
    ...(first.cr2 === undefined ? [] : [`CR2 ${hex(first.cr2)}`]),
  ];
  return [paragraph(`First exception: ${facts.join(', ')}.`)];
}

/** The bytes at the place of death, and where they came from. */
export function evidenceLines({ at, writer, outcome }: Evidence): Line[] {
  if (at === undefined) return [paragraph('The instruction there can be fetched no more.')];
  const name = nameText(at);
  const inKernel = outcome.stage === 'handoff' || outcome.stage === 'banner';
  const whose = name === undefined ? ', no code of the stub' : ` (${name}, the stub's own code)`;
  const lines = [paragraph(`At ${hex(at.runtimeAddress)} stand ${bytesText(at)}${inKernel ? '' : whose}.`)];
  return writer === undefined ? lines : [...lines, paragraph(writerText(writer))];
}

function writerText({ instruction, source }: Writer): string {
  const from = source === undefined ? '' : ` It copied them from ${hex(source)}.`;
  return `They were written by \`${instructionText(instruction)}\` at ${placeText(instruction)}.${from}`;
}

/** @param cause is proved: then a message about the end is about a symptom */
export function lastWordsLines({ silent, lastWords, outcome }: Evidence, proved: boolean): Line[] {
  if (silent) return [paragraph('Nothing had been printed.')];
  if (lastWords === '') return [paragraph('Nothing but blanks had been printed.')];
  const misleading = proved && (outcome.kind === 'halt' || outcome.kind === 'panic');
  const comment = misleading
    ? ' They mislead: with the instruction below rewritten, and everything else the same, that does not happen.'
    : '';
  return [paragraph(`Its last words: "${printable(lastWords)}".${comment}`)];
}

export const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
