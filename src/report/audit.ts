// The answer of `firstlight audit` in words: for each file what it is, what was looked at, what was found; then the sum.

import type { AuditReport, Coverage, Finding, RuleId } from '../audit/types.ts';
import { FINDING_COLUMNS, findingLines, findingRow, quietFinding, type Told } from './auditFinding.ts';
import { predictionLines } from './auditPredictions.ts';
import { BLANK, type Line, paragraph, tableRows } from '../bits/lines.ts';
import { countText, instructionsText } from './numbers.ts';

/** A report and the file it is about, as the command line names it. */
export type AuditedFile = { readonly name: string; readonly report: AuditReport };

/** Findings of one rule in one file that are told in full; of the others there is a row of a table each. */
const IN_FULL = 10;
/** Notes of one rule in one file. */
const NOTES = 10;

/** @param unreadable how many of the files given could not be used */
export function auditLines(files: readonly AuditedFile[], unreadable = 0): Line[] {
  const told: Told = new Map();
  const lines: Line[] = [];
  let number = 1;
  for (const file of files) {
    if (lines.length > 0) lines.push(BLANK);
    lines.push(...fileLines(file, number, told, files.length === 1));
    number += file.report.findings.length;
  }
  const tone = countFindings(files) > 0 ? 'bad' : unreadable > 0 ? 'limit' : 'good';
  return printable([...lines, BLANK, { text: endText(files, unreadable), tone }]);
}

/** `--quiet`: a line for each finding, and the sum. */
export function quietAuditLines(files: readonly AuditedFile[], unreadable = 0): string[] {
  const findings = files.flatMap(({ name, report }) => report.findings.map((finding) => quietFinding(name, finding)));
  return [...findings, endText(files, unreadable)].map(clean);
}

/** Errors and warnings; notes do not count. */
export const countFindings = (files: readonly AuditedFile[]): number =>
  files.reduce((sum, { report }) => sum + report.findings.length, 0);

// Names of symbols and files come from outside, and a terminal obeys what it is sent.
const clean = (text: string): string => text.replace(/\p{Cc}/gu, '?');
const printable = (lines: readonly Line[]): Line[] => lines.map((line) => ({ ...line, text: clean(line.text) }));

/** @param first the number of its first finding  @param alone the sum at the end says where nothing was found */
function fileLines({ name, report }: AuditedFile, first: number, told: Told, alone: boolean): Line[] {
  const { what, size, coverage, predictions, findings, notes } = report;
  return [
    { text: name, tone: 'heading' },
    { text: `${what}, ${countText(size)} bytes`, indent: 2, hanging: 2 },
    ...(coverage === undefined ? [] : [{ text: coverageText(coverage), indent: 2, hanging: 2 }]),
    ...(predictions === undefined || predictions.length === 0 ? [] : predictionLines(predictions)),
    ...(findings.length === 0 && !alone ? [paragraph('No findings.', 'good')] : []),
    ...findingsLines(findings, first, told),
    ...(notes.length === 0 ? [] : noteLines(notes)),
  ];
}

/** "No findings" is worth as much as what was looked at. */
function coverageText({ followed, swept, constants, dataWords }: Coverage): string {
  const widths = ([16, 32, 64] as const).filter((bits) => followed[bits] > 0);
  const total = widths.reduce((sum, bits) => sum + followed[bits], 0);
  const modes = widths.map((bits) => `${countText(followed[bits])} of ${bits}-bit code`);
  const inModes = modes.length > 0 ? ` (${listText(modes)})` : '';
  const more = swept > 0 ? `, ${countText(swept)} more that only a linear sweep found` : '';
  const words = `${countText(constants)} ${constants === 1 ? 'constant' : 'constants'} and ${countText(dataWords)} ${dataWords === 1 ? 'word' : 'words'} of data`;
  return `Looked at: ${instructionsText(total)} reached from the entry points${inModes}${more}; ${words} were held against the link addresses.`;
}

const listText = (items: readonly string[]): string =>
  items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;

type Numbered = { readonly finding: Finding; readonly number: number };

/** In the order of the report; what exceeds a rule's share comes behind, as tables. */
function findingsLines(findings: readonly Finding[], first: number, told: Told): Line[] {
  const numbered = findings.map((finding, index) => ({ finding, number: first + index }));
  const rules = byRule(numbered, ({ finding }) => finding.rule);
  const rest = new Set([...rules.values()].flatMap((group) => group.slice(IN_FULL)));
  return [
    ...numbered.filter((one) => !rest.has(one)).flatMap(({ finding, number }) => findingLines(finding, number, told)),
    ...[...rules].flatMap(([rule, group]) => restLines(rule, group.slice(IN_FULL))),
  ];
}

function byRule<T>(items: readonly T[], ruleOf: (item: T) => RuleId): Map<RuleId, T[]> {
  const groups = new Map<RuleId, T[]>();
  for (const item of items) {
    const rule = ruleOf(item);
    const group = groups.get(rule);
    if (group) group.push(item);
    else groups.set(rule, [item]);
  }
  return groups;
}

function restLines(rule: RuleId, rest: readonly Numbered[]): Line[] {
  if (rest.length === 0) return [];
  const rows = rest.map(({ finding, number }) => findingRow(finding, number));
  const tone = rest.some(({ finding }) => finding.severity === 'error') ? 'bad' : 'limit';
  return [
    BLANK,
    { text: `AND ${countText(rest.length)} MORE: ${rule}`, tone },
    ...tableRows([FINDING_COLUMNS, ...rows]).map((text): Line => ({ text, indent: 2, whole: true })),
  ];
}

function noteLines(notes: readonly Finding[]): Line[] {
  const lines = [...byRule(notes, ({ rule }) => rule)].flatMap(([rule, group]) => [
    ...group.slice(0, NOTES).map(({ message }): Line => ({ text: `${rule}: ${message}`, indent: 2, hanging: 4 })),
    ...(group.length > NOTES
      ? [paragraph(`${rule}: and ${countText(group.length - NOTES)} more, which --json lists.`)]
      : []),
  ]);
  return [BLANK, { text: 'NOTES', tone: 'heading' }, ...lines];
}

/** "1 finding in 1 file.", "No findings in 3 files; 1 file could not be audited." */
function endText(files: readonly AuditedFile[], unreadable: number): string {
  const count = countFindings(files);
  const affected = files.filter(({ report }) => report.findings.length > 0).length;
  const where =
    count === 0 || affected === files.length ? filesText(files.length) : `${affected} of ${filesText(files.length)}`;
  const found = count === 0 ? 'No findings' : count === 1 ? '1 finding' : `${countText(count)} findings`;
  const missing = unreadable === 0 ? '' : `; ${filesText(unreadable)} could not be audited`;
  return `${found} in ${where}${missing}.`;
}

const filesText = (count: number): string => `${countText(count)} ${count === 1 ? 'file' : 'files'}`;
