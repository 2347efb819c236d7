// Two listings side by side: GOOD left, BAD right, between them a mark as sdiff sets it.

import type { DifferenceKind, Hunk, Instruction, Row } from '../audit/diff/types.ts';
import type { Line, LineTone } from '../bits/lines.ts';

const MARKS: Readonly<Record<Row['kind'], string>> = {
  equal: ' ',
  'addressing-mode-of-same-target': '!',
  'different-target': '|',
  'different-immediate': '|',
  'different-instruction': '|',
  removed: '<',
  inserted: '>',
  layout: '~',
};

const TONES: Readonly<Record<DifferenceKind, LineTone>> = {
  'addressing-mode-of-same-target': 'bad',
  'different-target': 'limit',
  'different-immediate': 'limit',
  'different-instruction': 'limit',
  removed: 'limit',
  inserted: 'limit',
  layout: 'note',
};

const INDENT = 3;
/** The mark, with a space on either side. */
const MIDDLE = 3;
/** Rows of one function. */
const MOST_ROWS = 60;

/** @param width columns in all */
export function sideBySide(hunks: readonly Hunk[], width: number): Line[] {
  if (hunks.length === 0) return [];
  const cell = Math.floor((width - INDENT - MIDDLE) / 2);
  const addresses = addressWidth(hunks);
  const lines = [whole(`${'GOOD'.padEnd(cell)}   BAD`, 'note')];
  let left = MOST_ROWS;
  for (const [index, hunk] of hunks.entries()) {
    if (left <= 0) break;
    if (index > 0) lines.push(whole('...', 'note'));
    for (const row of hunk.slice(0, left)) lines.push(...rowLines(row, cell, addresses));
    left -= hunk.length;
  }
  const hidden = hunks.reduce((sum, hunk) => sum + hunk.length, 0) - MOST_ROWS;
  return hidden > 0 ? [...lines, whole(`... and ${hidden} rows more, which --json lists`, 'note')] : lines;
}

const whole = (text: string, tone: LineTone): Line => ({ text, tone, indent: INDENT, whole: true });

function addressWidth(hunks: readonly Hunk[]): number {
  const addresses = hunks.flat().flatMap(({ good, bad }) => [good, bad].map((side) => side?.linkAddress ?? 0n));
  return addresses.reduce((widest, address) => Math.max(widest, address.toString(16).length), 0);
}

function rowLines({ kind, good, bad }: Row, cell: number, addresses: number): Line[] {
  const [left, right] = [cellLines(good, cell, addresses), cellLines(bad, cell, addresses)];
  const tone = kind === 'equal' ? 'plain' : TONES[kind];
  return Array.from({ length: Math.max(left.length, right.length) }, (_, n) => {
    const mark = n === 0 ? MARKS[kind] : ' ';
    return whole(`${(left[n] ?? '').padEnd(cell)} ${mark} ${right[n] ?? ''}`.trimEnd(), tone);
  });
}

/** Address and text; what the instruction refers to stands behind it, or below where it does not fit. */
function cellLines(instruction: Instruction | undefined, width: number, addresses: number): string[] {
  if (instruction === undefined) return [];
  const margin = addresses + 2;
  const rows = pieces(wordsOf(instruction), width - margin);
  const address = instruction.linkAddress.toString(16).padStart(addresses);
  return rows.map((row, n) => `${n === 0 ? `${address}  ` : ' '.repeat(margin)}${row}`);
}

/** Text and comment, each of which is kept together where it fits. */
function wordsOf({ text, target }: Instruction): string[] {
  const plain = withoutZeros(text);
  return target === undefined || plain.includes(target) ? [plain] : [plain, `# ${target}`];
}

/** "jne    0x0000000000b67702" as "jne 0xb67702". */
const withoutZeros = (text: string): string => text.replace(/\s+/g, ' ').replace(/\b0x0+(?=[0-9a-f])/g, '0x');

function pieces(words: readonly string[], width: number): string[] {
  const rows: string[] = [];
  for (const word of words) {
    const last = rows.at(-1);
    if (last !== undefined && last.length + 2 + word.length <= width) rows[rows.length - 1] = `${last}  ${word}`;
    else for (let at = 0; at < word.length; at += width) rows.push(word.slice(at, at + width));
  }
  return rows;
}
