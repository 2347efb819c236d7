// What the linkers make of the relocations of object files: counts for all of them, words for those that -pie decides.

import type { Linker, LinkPrediction, LinkResult } from '../audit/types.ts';
import { hex } from '../bits/hex.ts';
import { instructionText } from '../diagnose/instructionText.ts';
import { BLANK, type Line, paragraph, tableRows } from '../bits/lines.ts';
import { countText } from './numbers.ts';

const LINKERS: readonly Linker[] = ['bfd', 'gold', 'lld', 'mold'];

/** Columns of the table, and the words of a single relocation. */
const RESULTS: Readonly<Record<LinkResult, { readonly column: string; readonly words: string }>> = {
  'pc-relative': { column: 'PC-relative', words: 'computed from RIP' },
  got: { column: 'GOT', words: 'read from the GOT, final at link time' },
  'got-relative': { column: 'GOT+reloc', words: 'read from the GOT, with a run-time relocation' },
  absolute: { column: 'fixed', words: 'a fixed number' },
  'absolute-relative': { column: 'fixed+reloc', words: 'a number with a run-time relocation' },
  error: { column: 'refused', words: 'refused' },
};
const RESULT_KINDS = Object.keys(RESULTS) as readonly LinkResult[];

/** Relocations told in full. */
const IN_FULL = 20;

export function predictionLines(predictions: readonly LinkPrediction[]): Line[] {
  const differing = predictions.filter(differs);
  const objects = new Set(predictions.map(({ object }) => object)).size;
  const relocations = plural(predictions.length, 'relocation');
  return [
    BLANK,
    paragraph(`What the linkers make of ${relocations} in ${plural(objects, 'object')}:`, 'heading'),
    ...countLines(predictions),
    BLANK,
    paragraph(differenceText(differing.length)),
    ...differing.slice(0, IN_FULL).flatMap(predictionLine),
    ...(differing.length > IN_FULL
      ? [paragraph(`and ${countText(differing.length - IN_FULL)} more, which --json lists.`)]
      : []),
  ];
}

function differenceText(count: number): string {
  if (count === 0) return 'None of them depends on -pie.';
  return count === 1 ? 'One of them depends on -pie:' : `${countText(count)} of them depend on -pie:`;
}

const plural = (count: number, word: string): string => `${countText(count)} ${word}${count === 1 ? '' : 's'}`;

const differs = ({ results }: LinkPrediction): boolean =>
  LINKERS.some((linker) => results[linker].pie !== results[linker].noPie);

/** A row for each linker and output; kinds of result that none has are left out. */
function countLines(predictions: readonly LinkPrediction[]): Line[] {
  const rows = LINKERS.flatMap((linker) =>
    (['pie', 'noPie'] as const).map((output) => ({
      linker,
      output,
      counts: countsOf(predictions.map(({ results }) => results[linker][output])),
    })),
  );
  const kinds = RESULT_KINDS.filter((kind) => rows.some(({ counts }) => (counts.get(kind) ?? 0) > 0));
  const table = rows.map(({ linker, output, counts }) => [
    linker,
    output === 'pie' ? 'with -pie' : 'without',
    ...kinds.map((kind) => countText(counts.get(kind) ?? 0)),
  ]);
  const head = ['linker', 'link', ...kinds.map((kind) => RESULTS[kind].column)];
  return tableRows([head, ...table]).map((text) => ({ text, indent: 4, whole: true }));
}

function countsOf(results: readonly LinkResult[]): Map<LinkResult, number> {
  const counts = new Map<LinkResult, number>();
  for (const result of results) counts.set(result, (counts.get(result) ?? 0) + 1);
  return counts;
}

function predictionLine(prediction: LinkPrediction): Line[] {
  const { object, section, offset, relocation, symbol, text } = prediction;
  const inside = text === undefined ? '' : `, in \`${instructionText({ text })}\``;
  return [
    { text: `${object}, ${section}+${hex(offset)}: ${relocation} of ${symbol}${inside}`, indent: 4, hanging: 2 },
    ...outcomesOf(prediction).map((text): Line => ({ text, indent: 8, hanging: 2 })),
  ];
}

/** Linkers that do the same, in one line. */
function outcomesOf({ results }: LinkPrediction): string[] {
  const linkers = new Map<string, string[]>();
  for (const linker of LINKERS) {
    const { pie, noPie } = results[linker];
    const words =
      pie === noPie
        ? `${RESULTS[pie].words}, with -pie or without`
        : `with -pie ${RESULTS[pie].words}, without ${RESULTS[noPie].words}`;
    linkers.set(words, [...(linkers.get(words) ?? []), linker]);
  }
  return [...linkers].map(([words, names]) => `${names.join(', ')}: ${words}`);
}
