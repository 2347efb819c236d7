// Addresses in data: a word of 8 bytes that holds the link address of something in the stub is wrong wherever the stub runs
// elsewhere, unless the stub itself adds its load address to it (old kernels treat their GOT so).

import { viewOf } from '../../bits/cursor.ts';
import type { Stretch } from '../../code/program.ts';
import { type Layout, type TargetFacts, targetFacts } from './targets.ts';

export type Pointer = {
  readonly at: number;
  readonly fileOffset: number;
  readonly value: number;
  readonly facts: TargetFacts;
};

export type Pointers = { readonly words: number; readonly found: readonly Pointer[]; readonly adjusted: number };

/** A target where a pointer would point: not merely some aligned place. */
const BELIEVED = new Set(['symbol', 'function', 'section', 'referenced', 'string']);

/** @param most pointers that are told of */
export function pointersIn(layout: Layout, most: number): Pointers {
  const found: Pointer[] = [];
  let words = 0;
  let adjusted = 0;
  for (const stretch of layout.program.stretches) {
    if (stretch.holds === 'code' || isHead(layout, stretch)) continue;
    words += wordsIn(layout, stretch, (pointer) => {
      if (isAdjusted(layout, pointer.at)) adjusted++;
      else if (found.length < most) found.push(pointer);
    });
  }
  return { words, found, adjusted };
}

/** Before the payload there is hand-written code, and small numbers. */
const isHead = ({ payload }: Layout, { at }: Stretch): boolean => payload !== undefined && at < payload.at;

const isAdjusted = ({ scan }: Layout, at: number): boolean =>
  scan.adjusted.some(({ from, to }) => at >= from && at < to);

function wordsIn(layout: Layout, stretch: Stretch, take: (pointer: Pointer) => void): number {
  const view = viewOf(layout.program.bytes);
  const end = stretch.at + stretch.size;
  const start = layout.payload === undefined ? 0 : layout.payload.at + layout.payload.size;
  let words = 0;
  for (let at = Math.ceil(dataStart(layout, stretch) / 8) * 8; at + 8 <= end; at += 8) {
    words++;
    const fileOffset = stretch.fileOffset + at - stretch.at;
    if (isRelative(view, fileOffset, stretch.fileOffset + stretch.size)) {
      at += ENTRY_BYTES - 8;
      words += 2;
      continue;
    }
    // The upper half first: nearly every word is settled by it, and without a bigint.
    if (view.getUint32(fileOffset + 4, true) !== 0) continue;
    const value = view.getUint32(fileOffset, true);
    if (value <= start || value >= layout.knownEnd) continue;
    const facts = targetFacts(layout, value);
    if (BELIEVED.has(facts.known)) take({ at, fileOffset, value, facts });
  }
  return words;
}

/** Elf64_Rela */
const ENTRY_BYTES = 24;
const R_X86_64_RELATIVE = 8;

/** An entry of .rela.dyn: a place, the type (for symbol 0), an address. Its place is judged by what stands there. */
function isRelative(view: DataView, offset: number, end: number): boolean {
  if (offset + ENTRY_BYTES > end) return false;
  const words = [4, 8, 12, 20].map((at) => view.getUint32(offset + at, true));
  return words[0] === 0 && words[1] === R_X86_64_RELATIVE && words[2] === 0 && words[3] === 0;
}

/** Behind the last proven code, where a stretch holds both: tables between functions are distances. */
function dataStart({ map }: Layout, stretch: Stretch): number {
  if (stretch.holds === 'data') return stretch.at;
  const end = stretch.at + stretch.size;
  let start = stretch.at;
  for (const { at, length } of map.instructions) if (at >= stretch.at && at < end) start = Math.max(start, at + length);
  return start;
}
