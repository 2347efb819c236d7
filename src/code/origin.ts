// What a linked stub still tells of where an absolute address came from. Two writers make the same bytes `48 c7 /0 imm32`: GNU
// ld, of a load from the GOT in a link without -pie, and a compiler with -fno-pie -mcmodel=kernel. Only the address of a whole
// symbol goes through the GOT, never that of a text or of a place within a symbol; and a compiler that writes one address
// absolute writes others so, in forms that no linker makes.

import type { SymbolEntry, SymbolTable } from '../image/symbols.ts';
import type { CodeMap } from './codeMap.ts';
import { eachInstruction } from './eachInstruction.ts';
import { type Program, stretchAt } from './program.ts';
import { absoluteReferences, type Reference, type ReferenceForm } from './references.ts';

export type OriginClues = {
  /** What the address is of. */
  readonly target: 'start of a symbol' | 'inside a symbol' | 'text' | 'unknown';
  /** Where else the stub holds addresses in forms that only compilers and assemblers write. */
  readonly beside: 'same function' | 'elsewhere' | 'nowhere';
};

export type OriginFinder = (at: number, reference: Pick<Reference, 'constant'>) => OriginClues;

const COMPILERS: ReadonlySet<ReferenceForm> = new Set([
  ...(['mov-imm32', 'alu-imm32-mem', 'store-imm32', 'push-imm32', 'disp32'] as const),
]);

/** @param program of the stub, with its symbols where they are known */
export function originFinder(program: Program, map: CodeMap): OriginFinder {
  let places: readonly number[] | undefined;
  let starts: readonly number[] | undefined;
  return (at, { constant }) => {
    starts ??= [...map.functions].sort((a, b) => a - b);
    places ??= compilersPlaces(program, map);
    const next = countUpTo(starts, at);
    const from = starts[next - 1] ?? 0;
    const to = starts[next] ?? Number.POSITIVE_INFINITY;
    const isOne = places[countUpTo(places, at) - 1] === at ? 1 : 0;
    const within = countUpTo(places, to - 1) - countUpTo(places, from - 1) - isOne;
    const beside = within > 0 ? 'same function' : places.length > isOne ? 'elsewhere' : 'nowhere';
    return { target: targetOf(program, Number(constant)), beside };
  };
}

/** How many of an ascending list are not above a number. */
function countUpTo(list: readonly number[], most: number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((list[middle] as number) <= most) low = middle + 1;
    else high = middle;
  }
  return low;
}

function targetOf(program: Program, at: number): OriginClues['target'] {
  const symbol = program.symbols && symbolBefore(program.symbols, program.base + BigInt(at));
  const offset = symbol === undefined ? undefined : program.base + BigInt(at) - symbol.address;
  if (offset === 0n) return 'start of a symbol';
  if (startsText(program, at)) return 'text';
  // A label of assembly has no size, and says nothing of what comes after it.
  return offset !== undefined && symbol !== undefined && offset < symbol.size ? 'inside a symbol' : 'unknown';
}

/** The last symbol at or below an address. */
export function symbolBefore({ symbols }: SymbolTable, address: bigint): SymbolEntry | undefined {
  let low = 0;
  let high = symbols.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((symbols[middle] as SymbolEntry).address <= address) low = middle + 1;
    else high = middle;
  }
  return symbols[low - 1];
}

/** From here on few numbers lie within the body of a stub by chance. */
const LARGE = 0x100000n;

/** Instructions that hold an address of the stub in a form that no linker makes. */
function compilersPlaces(program: Program, map: CodeMap): number[] {
  const found: number[] = [];
  const code = map.instructions.filter(({ bits }) => bits === 64);
  eachInstruction(program, code, (instruction, { at }) => {
    if (absoluteReferences(instruction).some((reference) => isCompilers(program, map, reference))) found.push(at);
  });
  return found;
}

function isCompilers(program: Program, map: CodeMap, { form, constant }: Reference): boolean {
  if (!COMPILERS.has(form) || constant <= 0n || constant > BigInt(Number.MAX_SAFE_INTEGER)) return false;
  const at = Number(constant);
  const { payload } = program;
  if (payload !== undefined && at < payload.at + payload.size) return false;
  // Sizes and masks.
  if ((constant & (constant - 1n)) === 0n || stretchAt(program, at) === undefined) return false;
  return constant >= LARGE || map.functions.has(at) || startsText(program, at);
}

const SHORTEST_TEXT = 4;
const LONGEST_TEXT = 1000;

/** Printable text up to a NUL, and a NUL or no text before it. */
export function startsText(program: Program, at: number): boolean {
  const stretch = stretchAt(program, at);
  if (stretch === undefined || textFrom(program, at) === undefined) return false;
  return at === stretch.at || !isText(program.bytes[stretch.fileOffset + at - stretch.at - 1] ?? 0);
}

/** The text from an address to its NUL, which may be the end of a longer one; undefined where there is none. */
export function textFrom(program: Program, at: number): string | undefined {
  const stretch = stretchAt(program, at);
  if (stretch === undefined) return undefined;
  const offset = stretch.fileOffset + at - stretch.at;
  const { bytes } = program;
  let end = offset;
  while (end < bytes.length && end < offset + LONGEST_TEXT && isText(bytes[end] ?? 0)) end++;
  if (end - offset < SHORTEST_TEXT || bytes[end] !== 0) return undefined;
  return String.fromCharCode(...bytes.subarray(offset, end));
}

const isText = (byte: number): boolean => (byte >= 0x20 && byte < 0x7f) || byte === 0x0a || byte === 0x09;
