// How a boot died, in words: the end, the first exception, the bytes there and who wrote them, the last words.

import { hex } from '../bits/hex.ts';
import type { Outcome } from '../run/run.ts';
import type { Stage } from '../run/stages.ts';
import type { FaultLink } from '../cpu/microcode/delivery.ts';
import type { Evidence, Jump, Writer } from '../diagnose/types.ts';
import type { Owner } from '../record/location.ts';
import { exceptionText, vectorInfo } from '../x86/vectors.ts';
import { chainLines, interruptText } from '../run/chain.ts';
import { printable } from './console.ts';
import { bytesText, instructionText, nameText, placeText } from '../diagnose/instructionText.ts';
import { type Line, paragraph } from '../bits/lines.ts';
import { endText, whenText } from './outcome.ts';

/** How far that is, for somebody who does not know the names. */
const STAGES: Readonly<Record<Stage, string>> = {
  entry: 'in the boot stub, before it began to unpack the kernel',
  decompress: 'in the boot stub, which had begun to unpack the kernel',
  handoff: 'in the kernel itself, which has not said "Linux version"',
  banner: 'in the kernel itself, after its first line',
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
  return [paragraph(`Fatal exception: ${facts.join(', ')}.`)];
}

/** Whose place it is, where it is not the image's. */
const OWNERS: Readonly<Record<Owner, string>> = {
  boot_params: 'in boot_params, which the boot loader fills in',
  cmdline: 'in the command line that the boot loader put into memory',
  initrd: 'in the initial RAM disk',
  page_tables: 'in the page tables that the boot loader made',
  gdt: 'in the GDT that the boot loader made',
  stack: 'on the stack that the boot loader left',
  bios_data_area: "in the BIOS's data area",
  bios_handlers: "in the BIOS's interrupt handlers",
  acpi_tables: "in the firmware's ACPI tables",
  smbios_tables: "in the firmware's SMBIOS tables",
  boot_information: 'in the information that the boot loader made',
  module: 'in a module that the boot loader loaded',
  interrupt_vectors: "among real mode's interrupt vectors",
  rom: 'where a PC has its ROMs',
  nothing: 'where there is no memory',
};

/** The check that failed, with its values; the bytes at the place of death, where they came from, and who went there. */
export function evidenceLines(evidence: Evidence): Line[] {
  return [...reasonLines(evidence), ...placeLines(evidence)];
}

function reasonLines({ reason, outcome }: Evidence): Line[] {
  const [first] = outcome.kind === 'triple-fault' ? outcome.chain : [];
  if (reason === undefined || first === undefined) return [];
  const { words, manual, facts } = reason;
  const why = paragraph(`Why ${exceptionText(first.vector, first.error)}: ${words} (${manual}).`);
  const width = Math.max(0, ...facts.map(({ name }) => name.length));
  const values = facts.map(
    ({ name, text }): Line => ({
      text: `${name.padEnd(width)}  ${text}`,
      indent: 4,
      whole: true,
    }),
  );
  return [why, ...values];
}

function placeLines({ at, writer, jump, outcome }: Evidence): Line[] {
  if (at === undefined) return [paragraph('The instruction there can be fetched no more.'), ...jumpLines(jump)];
  const name = nameText(at);
  const inKernel = outcome.stage !== 'entry' && outcome.stage !== 'decompress';
  const unknown = at.owner === undefined ? 'no code of the image' : `${OWNERS[at.owner]}: no code`;
  const whose = name === undefined ? `, ${unknown}` : ` (${name})`;
  const lines = [
    paragraph(
      `At ${hex(at.runtimeAddress)} stand ${bytesText(at)}${inKernel && !at.owner && name === undefined ? '' : whose}.`,
    ),
  ];
  return [...lines, ...(writer === undefined ? [] : [paragraph(writerText(writer))]), ...jumpLines(jump)];
}

function jumpLines(jump: Jump | undefined): Line[] {
  if (jump === undefined) return [];
  const { instruction, target } = jump;
  return [
    paragraph(
      `The last of the stub's own instructions before that is \`${instructionText(instruction)}\` at ${placeText(instruction)}, which went to ${hex(target)}.`,
    ),
  ];
}

function writerText({ instruction, source }: Writer): string {
  const from = source === undefined ? '' : ` It copied them from ${hex(source)}.`;
  return `They were written by \`${instructionText(instruction)}\` at ${placeText(instruction)}.${from}`;
}

/** @param repaired with what a proved cause is repaired: then a message about the end is about a symptom */
export function lastWordsLines(evidence: Evidence, repaired?: string): Line[] {
  const { silent, lastWords, lastWordsOn, outcome } = evidence;
  if (silent) return [paragraph('Nothing had been printed.')];
  if (lastWords === '') return [paragraph('Nothing but blanks had been printed.')];
  const misleading = repaired !== undefined && (outcome.kind === 'halt' || outcome.kind === 'panic');
  const comment = misleading
    ? ` They mislead: with ${repaired}, and everything else the same, that does not happen.`
    : '';
  const where = lastWordsOn === 'screen' ? ', on its text screen' : '';
  return [...complaintLines(evidence), paragraph(`Its last words${where}: "${printable(lastWords)}".${comment}`)];
}

function complaintLines({ complaints }: Evidence): Line[] {
  if (complaints.length === 0) return [];
  return [
    paragraph('What it says of it itself:'),
    ...complaints.map((text): Line => ({ text: printable(text), indent: 4, hanging: 2 })),
  ];
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);
