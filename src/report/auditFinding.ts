// One finding of an audit in words: what and where it is, where it comes from, how sure that is, and what to do.

import type { Finding, Target } from '../audit/types.ts';
import { hex, hexBytes } from '../bits/hex.ts';
import { isOfCode } from '../words/rules.ts';
import { instructionText } from '../diagnose/instructionText.ts';
import { BLANK, type Line, paragraph, tableRows } from '../bits/lines.ts';

/** Paragraphs that many findings share are told with the first: by text, the number of the finding that has it. */
export type Told = Map<string, number>;

/** A finding in full. @param number which one it is, from 1 on, over all files */
export function findingLines(finding: Finding, number: number, told: Told): Line[] {
  const tone = finding.severity === 'error' ? 'bad' : 'limit';
  const parts = [
    originPart(finding, number, told),
    confidencePart(finding, number, told),
    finding.advice === undefined ? undefined : oncePart('What to do', finding.advice, number, told),
  ];
  return [
    BLANK,
    { text: `FINDING ${number}: ${finding.rule}`, tone },
    paragraph(finding.message, tone),
    ...factLines(finding),
    ...apart(parts.filter((part) => part !== undefined)),
  ];
}

type Part = {
  readonly lines: readonly Line[];
  /** It only refers to another finding. */
  readonly shared: boolean;
};

/** Blank lines between parts, but not between mere references. */
function apart(parts: readonly Part[]): Line[] {
  return parts.flatMap(({ lines, shared }, index) => (shared && parts[index - 1]?.shared ? lines : [BLANK, ...lines]));
}

/** What is known of it, a row each. */
function factLines(finding: Finding): Line[] {
  const { fileOffset, linkAddress, bytes, text, place, target } = finding;
  const code = isOfCode(finding.rule);
  const rows: string[][] = [];
  if (text !== undefined) rows.push([code ? 'instruction' : 'what it is', shortened(oneLine(text))]);
  if (bytes !== undefined && bytes.length > 0) rows.push(['bytes', hexBytes(bytes)]);
  if (fileOffset !== undefined) rows.push(['in the file at', `offset ${hex(fileOffset)}`]);
  if (linkAddress !== undefined) rows.push(['linked at', hex(linkAddress)]);
  if (place !== undefined) rows.push(['in', place]);
  if (target !== undefined) rows.push(['points to', targetText(target)]);
  rows.push(...repairRows(finding));
  const lines = tableRows(rows).map((row): Line => ({ text: row, indent: 4, whole: true }));
  return lines.length === 0 ? [] : [BLANK, ...lines];
}

/** A link command has hundreds of words; the JSON carries them all. */
const LONGEST_TEXT = 160;
const shortened = (text: string): string => (text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)} ...` : text);

/** Only an instruction in a file that is to be run can be repaired there. */
function repairRows({ rule, repair, fileOffset }: Finding): string[][] {
  if (repair) return [['repair in place', `${hexBytes(repair.bytes)}  ${oneLine(repair.text)}`]];
  if (rule === 'breaks-without-pie' || !isOfCode(rule) || fileOffset === undefined) return [];
  return [['repair in place', 'none: no position-independent form is as long']];
}

const oneLine = (text: string): string => instructionText({ text });

/** "0x18040  trampoline_32bit_src, start of a function". */
function targetText({ linkAddress, symbol, what }: Target): string {
  const words = [symbol, what].filter((word) => word !== undefined).join(', ');
  return `${hex(linkAddress)}${words === '' ? '' : `  ${words}`}`;
}

function originPart({ relocation, decision }: Finding, number: number, told: Told): Part | undefined {
  const texts = [];
  if (relocation !== undefined) texts.push(`Relocation in the object file: ${sentence(relocation)}`);
  if (decision !== undefined) texts.push(decision);
  return texts.length === 0 ? undefined : oncePart('Where it comes from', texts.join('\n'), number, told);
}

const sentence = (text: string): string => (text.endsWith('.') ? text : `${text}.`);

function confidencePart({ confidence, reason }: Finding, number: number, told: Told): Part {
  const first = told.get(reason);
  if (first === undefined) told.set(reason, number);
  const why = first === undefined ? reason : `Why: as at finding ${first}.`;
  return { lines: [paragraph(`Confidence: ${confidence}. ${why}`)], shared: first !== undefined };
}

function oncePart(title: string, text: string, number: number, told: Told): Part {
  const first = told.get(text);
  if (first !== undefined) return { lines: [paragraph(`${title}: as at finding ${first}.`)], shared: true };
  told.set(text, number);
  const rows = text.split('\n').map((line): Line => ({ text: line, indent: 4 }));
  return { lines: [paragraph(`${title}:`, 'heading'), ...rows], shared: false };
}

/** Names are cut to this in a table. */
const LONGEST_CELL = 36;

/** A finding as the row of a table, for where there are too many to tell them all in full. */
export function findingRow(finding: Finding, number: number): string[] {
  const { fileOffset, linkAddress, text, message, confidence } = finding;
  const where = finding.place ?? (linkAddress === undefined ? '' : hex(linkAddress));
  return [
    `${number}`,
    fileOffset === undefined ? '-' : hex(fileOffset),
    cut(where),
    cut(text === undefined ? message : oneLine(text)),
    confidence,
  ];
}

/** The columns of `findingRow`. */
export const FINDING_COLUMNS = ['finding', 'offset', 'in', 'what', 'confidence'] as const;

const cut = (text: string): string => (text.length > LONGEST_CELL ? `${text.slice(0, LONGEST_CELL - 3)}...` : text);

/** A finding in one line, for `--quiet`: a reference by what it is, anything else by what is wrong with it. */
export function quietFinding(name: string, finding: Finding): string {
  const { rule, severity, text, message, confidence } = finding;
  const isReference = text !== undefined && (isOfCode(rule) || rule === 'position-dependent-pointer');
  const what = isReference ? `${oneLine(text)}${whereText(finding)}` : message;
  return `${name}: ${severity}: ${rule}: ${what} (confidence ${confidence})`;
}

function whereText({ fileOffset, place, target }: Finding): string {
  const at = fileOffset === undefined ? '' : ` at file offset ${hex(fileOffset)}`;
  const inside = place === undefined ? '' : ` in ${place}`;
  return `${at}${inside}${target === undefined ? '' : `, address of ${target.symbol ?? hex(target.linkAddress)}`}`;
}
