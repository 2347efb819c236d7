// What lies at a link address, and what speaks for it being the address of something: a constant is taken for an
// address only if it could be one, and the more is known to begin there the surer.

import { PAGE_SIZE } from '../../bits/address.ts';
import type { CodeMap } from '../../code/codeMap.ts';
import { BSS_ROOM } from '../../code/facts.ts';
import { startsText, symbolBefore, textFrom } from '../../code/origin.ts';
import { type Extent, type Program, stretchAt } from '../../code/program.ts';
import { symbolAt, symbolText } from '../../image/symbols.ts';
import type { Scan } from './scan.ts';

/** In a bzImage: before the payload, in it, after it in the file, or in the memory behind (.bss, heap, page tables). */
export type Part = 'head' | 'payload' | 'body' | 'bss' | 'outside';

/** What begins at an address, the best there is. */
export type Known =
  | 'symbol'
  | 'function'
  | 'section'
  | 'referenced'
  | 'payload'
  | 'string'
  | 'instruction'
  | 'aligned'
  | 'nothing';

export type TargetFacts = { readonly part: Part; readonly known: Known };

/** Everything about a program that says what its addresses mean. */
export type Layout = {
  readonly program: Program;
  readonly map: CodeMap;
  readonly scan: Scan;
  /** Addresses that were found in instructions which only a linker writes: each speaks for the others. */
  readonly linked: ReadonlySet<number>;
  /** Whether one of them lies beyond the head, where no plain number has its value. */
  readonly fixed: boolean;
  /** Addresses beyond the head that were found in instructions of any form. */
  readonly found: number;
  readonly payload: Extent | undefined;
  /** End of the bytes in the file. */
  readonly fileEnd: number;
  /** End of what the code was seen to use, or of what the file says is linked. */
  readonly knownEnd: number;
  /** End of what may be linked. */
  readonly possibleEnd: number;
};

export function layoutOf(program: Program, map: CodeMap, scan: Scan): Layout {
  const fileEnd = program.stretches.reduce((end, s) => Math.max(end, s.at + s.size), payloadEnd(program));
  const possibleEnd = program.end ?? fileEnd + BSS_ROOM;
  const knownEnd = program.end ?? Math.ceil((lastUsed(map, scan, fileEnd, possibleEnd) + 1) / PAGE_SIZE) * PAGE_SIZE;
  const { payload } = program;
  return { program, map, scan, linked: new Set(), fixed: false, found: 0, payload, fileEnd, knownEnd, possibleEnd };
}

/** No variable of a stub is larger, but for bzip2's heap; and of what lies behind that, more than one place speaks. */
const LARGEST_GAP = 2 ** 20;

/**
 * The last address from `fileEnd` on that the code refers to. A single place that is far from all others says nothing: the sum
 * of an end and an alignment less one, or an instruction that is wrong itself.
 */
function lastUsed(map: CodeMap, scan: Scan, fileEnd: number, possibleEnd: number): number {
  const places = new Map(map.ripTargets);
  for (const at of scan.displacements) places.set(at, (places.get(at) ?? 0) + 1);
  const behind = [...places].filter(([at]) => at > fileEnd && at < possibleEnd).sort(([one], [other]) => one - other);
  let left = behind.reduce((sum, [, count]) => sum + count, 0);
  let used = fileEnd;
  for (const [at, count] of behind) {
    if (at - used > LARGEST_GAP && left === 1) break;
    used = at;
    left -= count;
  }
  return used;
}

const payloadEnd = ({ payload }: Program): number => (payload === undefined ? 0 : payload.at + payload.size);

/** With what was found of addresses beyond the head in instructions that only a linker writes. */
export function layoutWith(layout: Layout, linked: ReadonlySet<number>, found: number): Layout {
  const fixed = [...linked].some((at) => at >= payloadEnd(layout.program) && at < layout.knownEnd);
  return { ...layout, linked, fixed, found };
}

export function targetFacts(layout: Layout, at: number): TargetFacts {
  return { part: partOf(layout, at), known: knownAt(layout, at) };
}

function partOf({ program, payload, fileEnd, possibleEnd }: Layout, at: number): Part {
  if (at < 0 || at > possibleEnd) return 'outside';
  if (payload !== undefined && at < payload.at) return 'head';
  if (payload !== undefined && at < payload.at + payload.size) return 'payload';
  if (at >= fileEnd || program.zeroed.some((z) => at >= z.at && at <= z.at + z.size)) return 'bss';
  // Between the sections of an ELF file lies nothing; its last byte's successor may be the end of one.
  return (stretchAt(program, at) ?? stretchAt(program, at - 1)) ? 'body' : 'outside';
}

function knownAt(layout: Layout, at: number): Known {
  const { program, map, payload } = layout;
  if (symbolStarts(program, at)) return 'symbol';
  if (payload !== undefined && (at === payload.at || at === payload.at + payload.size)) return 'payload';
  if (map.functions.has(at)) return 'function';
  if (map.ripTargets.has(at)) return 'referenced';
  if (program.stretches.some((s) => s.name !== undefined && s.at === at)) return 'section';
  if (map.kindAt(at) === 'start') return 'instruction';
  if (map.kindAt(at) === 'inner') return 'nothing';
  if (startsText(program, at)) return 'string';
  return at % 8 === 0 && !isPadding(program, at) ? 'aligned' : 'nothing';
}

const PADDING = 64;

/** Within a run of zeros in the file: the room between sections, where nothing begins. */
function isPadding(program: Program, at: number): boolean {
  const stretch = stretchAt(program, at);
  if (stretch === undefined) return false;
  const offset = stretch.fileOffset + at - stretch.at;
  const end = stretch.fileOffset + stretch.size;
  const around = program.bytes.subarray(
    Math.max(stretch.fileOffset, offset - PADDING),
    Math.min(end, offset + PADDING),
  );
  return around.every((byte) => byte === 0);
}

function symbolStarts({ symbols, base }: Program, at: number): boolean {
  return symbols !== undefined && symbolAt(symbols, base + BigInt(at))?.offset === 0;
}

/** What lies there in a few words, for people. */
export function targetWords({ part, known }: TargetFacts): string {
  const where = PART_WORDS[part];
  return known === 'nothing' || known === 'aligned' ? where : `${KNOWN_WORDS[known]}, ${where}`;
}

const PART_WORDS: Record<Part, string> = {
  head: 'in the head of the stub, before the payload',
  payload: 'in the payload',
  body: "in the stub's code and data",
  bss: "in the stub's uninitialised memory",
  outside: 'outside the stub',
};

const KNOWN_WORDS: Record<Exclude<Known, 'nothing' | 'aligned'>, string> = {
  symbol: 'start of a symbol',
  function: 'start of a function',
  section: 'start of a section',
  referenced: 'something that other code refers to as well',
  payload: 'start or end of the payload',
  string: 'start of a text',
  instruction: 'start of an instruction',
};

/** `name` or `name+0x1c`, of code. */
export function nameAt({ symbols, base }: Program, at: number): string | undefined {
  const hit = symbols === undefined ? undefined : symbolAt(symbols, base + BigInt(at));
  return hit === undefined ? undefined : symbolText(hit);
}

/** The same of data, where a label that says no size says nothing of what comes after it. */
export function dataNameAt(program: Program, at: number): string | undefined {
  const { symbols, base } = program;
  const symbol = symbols === undefined ? undefined : symbolBefore(symbols, base + BigInt(at));
  return symbol !== undefined && (symbol.size > 0n || symbol.address === base + BigInt(at))
    ? nameAt(program, at)
    : undefined;
}

const MOST_SHOWN = 40;

/** The text that lies there, in quotes; undefined where a symbol starts there, or nothing that reads like one does. */
export function textWords(program: Program, at: number): string | undefined {
  if (symbolStarts(program, at)) return undefined;
  const text = textFrom(program, at);
  if (text === undefined) return undefined;
  const shown = JSON.stringify(text.slice(0, MOST_SHOWN));
  return `the text ${text.length > MOST_SHOWN ? `${shown.slice(0, -1)}..."` : shown}`;
}
