// The answer of `firstlight diff` in words: what was compared, then the functions that differ, side by side, then the sum.

import {
  DIFFERENCE_KINDS,
  type DifferenceKind,
  type DiffReport,
  type FunctionDifference,
  type FunctionPlace,
  type SideFacts,
} from '../audit/diff/types.ts';
import { hex } from '../bits/hex.ts';
import { sideBySide } from './diffRows.ts';
import { BLANK, type Line, REPORT_WIDTH, tableRows } from '../bits/lines.ts';
import { countText, instructionsText } from './numbers.ts';

/** Files as the command line names them. */
export type DiffNames = { readonly good: string; readonly bad: string };

/** Functions told in full; of the others there is a row of a table each. */
const IN_FULL = 20;
/** Rows of those tables, and functions that only one side has. */
const LISTED = 100;

const COMPARED_STUB =
  'Code is compared that control flow reaches or a symbol names. Data, the packed kernel and real-mode code are not.';
const COMPARED_KERNEL = 'Code is compared. Data is not.';

/** @param width columns for the listings */
export function diffLines(report: DiffReport, names: DiffNames, width = REPORT_WIDTH): Line[] {
  const { differing, onlyGood, onlyBad, good, bad } = report;
  const kernel = good.what.startsWith('kernel');
  return printable([
    sideLine('GOOD', names.good, good),
    sideLine('BAD ', names.bad, bad),
    { text: kernel ? COMPARED_KERNEL : COMPARED_STUB, tone: 'note' },
    ...differing.slice(0, IN_FULL).flatMap((one, index) => functionLines(one, index + 1, width)),
    ...restLines(differing.slice(IN_FULL)),
    ...onlyLines('GOOD', onlyGood),
    ...onlyLines('BAD', onlyBad),
    BLANK,
    { text: sumText(report), tone: isEqual(report) ? 'good' : 'bad' },
  ]);
}

/** `--quiet`: a line for each function, and the sum. */
export function quietDiffLines(report: DiffReport): string[] {
  const differing = report.differing.map((one) => `${functionText(one)}: ${countsText(one.counts)}`);
  const only = (side: string, places: readonly FunctionPlace[]): string[] =>
    places.map((place) => `${placeText(place)}: only in ${side}`);
  return [...differing, ...only('GOOD', report.onlyGood), ...only('BAD', report.onlyBad), sumText(report)].map(clean);
}

/** No difference in meaning. */
export const isEqual = ({ functions, onlyGood, onlyBad }: DiffReport): boolean =>
  functions.differing === 0 && onlyGood.length === 0 && onlyBad.length === 0;

// Names of symbols and files come from outside, and a terminal obeys what it is sent.
const clean = (text: string): string => text.replace(/\p{Cc}/gu, '?');
const printable = (lines: readonly Line[]): Line[] => lines.map((line) => ({ ...line, text: clean(line.text) }));

const sideLine = (which: string, name: string, { what, size, functions, instructions, named }: SideFacts): Line => ({
  text: `${which} ${name}: ${what}, ${countText(size)} bytes; ${instructionsText(instructions)} in ${functionsText(functions)}${named ? '' : ', without symbols'}`,
  hanging: 5,
});

function functionLines(one: FunctionDifference, number: number, width: number): Line[] {
  const tone = one.kind === 'addressing-mode-of-same-target' ? 'bad' : 'heading';
  const notes = one.hunks.flat().flatMap(({ note }) => (note === undefined ? [] : [note]));
  return [
    BLANK,
    { text: `${number}. ${functionText(one)}: ${countsText(one.counts)}`, tone, hanging: 4 },
    ...notes.map((text): Line => ({ text, tone: 'bad', indent: 3 })),
    ...sideBySide(one.hunks, width),
  ];
}

/** "paging_prepare (GOOD 0x18140, BAD 0x1a540)". */
function functionText({ good, bad }: FunctionDifference): string {
  const names = [...new Set([good.name, bad.name])].filter((name) => name !== undefined);
  const places = `GOOD ${hex(good.linkAddress)}, BAD ${hex(bad.linkAddress)}`;
  if (names.length > 0) return `${names.join(' / ')} (${places})`;
  return good.linkAddress === bad.linkAddress ? `function ${hex(good.linkAddress)}` : `function at ${places}`;
}

const placeText = ({ name, linkAddress }: FunctionPlace): string =>
  name === undefined ? `function ${hex(linkAddress)}` : `${name} (${hex(linkAddress)})`;

const WORDS: Readonly<Record<DifferenceKind, readonly [one: string, many: string]>> = {
  'addressing-mode-of-same-target': [
    'addressing mode of the same target changed',
    'addressing modes of the same target changed',
  ],
  'different-target': ['other target', 'other targets'],
  'different-immediate': ['other number', 'other numbers'],
  'different-instruction': ['other instruction', 'other instructions'],
  removed: ['instruction only in GOOD', 'instructions only in GOOD'],
  inserted: ['instruction only in BAD', 'instructions only in BAD'],
  layout: ['number that follows from the layout', 'numbers that follow from the layout'],
};

/** "1 addressing mode of the same target changed, 2 other numbers". */
function countsText(counts: FunctionDifference['counts']): string {
  return DIFFERENCE_KINDS.flatMap((kind) => {
    const count = counts[kind] ?? 0;
    return count === 0 ? [] : [`${countText(count)} ${WORDS[kind][count === 1 ? 0 : 1]}`];
  }).join(', ');
}

function restLines(rest: readonly FunctionDifference[]): Line[] {
  if (rest.length === 0) return [];
  const rows = rest.slice(0, LISTED).map((one) => [functionText(one), countsText(one.counts)]);
  return [
    BLANK,
    { text: `AND ${countText(rest.length)} MORE`, tone: 'heading' },
    ...rows.map(([name, counts]): Line => ({ text: `${name}: ${counts}`, indent: 2, hanging: 4 })),
    ...moreLine(rest.length),
  ];
}

function onlyLines(side: string, places: readonly FunctionPlace[]): Line[] {
  if (places.length === 0) return [];
  const rows = places
    .slice(0, LISTED)
    .map(({ name, linkAddress, instructions }) => [hex(linkAddress), instructionsText(instructions), name ?? '']);
  return [
    BLANK,
    { text: `ONLY IN ${side}`, tone: 'heading' },
    ...tableRows(rows).map((text): Line => ({ text, indent: 2, whole: true })),
    ...moreLine(places.length),
  ];
}

const moreLine = (count: number): Line[] =>
  count > LISTED ? [{ text: `and ${countText(count - LISTED)} more, which --json lists`, indent: 2 }] : [];

const functionsText = (count: number): string => `${countText(count)} ${count === 1 ? 'function' : 'functions'}`;

const layoutText = (count: number): string =>
  `${countText(count)} equal but for numbers that follow from the layout (shown by --all)`;

/** "1 function of 37 differs; 12 moved and equal." */
function sumText({ functions, onlyGood, onlyBad, good, bad }: DiffReport): string {
  const { matched, differing, moved, layoutOnly } = functions;
  const first =
    differing === 0
      ? `None of ${functionsText(matched)} differs in meaning`
      : `${functionsText(differing)} of ${countText(matched)} ${differing === 1 ? 'differs' : 'differ'}`;
  const parts = [
    first,
    ...(moved > 0 ? [`${countText(moved)} moved and equal`] : []),
    ...(onlyGood.length > 0 ? [`${countText(onlyGood.length)} only in GOOD`] : []),
    ...(onlyBad.length > 0 ? [`${countText(onlyBad.length)} only in BAD`] : []),
    ...(layoutOnly > 0 ? [layoutText(layoutOnly)] : []),
    ...leftText(good.bytesLeft, bad.bytesLeft),
  ];
  return `${parts.join('; ')}.`;
}

/** A sum says nothing of what was not compared. */
function leftText(good: number | undefined, bad: number | undefined): string[] {
  const sides = [
    ['GOOD', good ?? 0],
    ['BAD', bad ?? 0],
  ] as const;
  const told = sides
    .filter(([, bytes]) => bytes > 0)
    .map(([side, bytes]) => `${countText(bytes)} bytes of code in ${side}`);
  if (told.length === 0) return [];
  return [`${told.join(' and ')} are reached by no control flow and no symbol, and were not compared`];
}
