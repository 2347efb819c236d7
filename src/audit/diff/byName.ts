// Functions that symbols name and control flow does not reach: called through pointers, or by a jump into another mode. A symbol
// of type FUNC says where its code begins and ends, so nothing has to be guessed. And what is left that nobody reaches.
import { Decoder, DecoderOptions, Instruction, Mnemonic } from 'iced-x86';
import type { CodeInstruction, CodeMap } from '../../code/codeMap.ts';
import type { Bits } from '../../code/disassembly.ts';
import { type Program, type Stretch, stretchAt } from '../../code/program.ts';
import { codeIn } from './codeIn.ts';

export type NamedCode = {
  /** By offset, those of `map` among them. */
  readonly instructions: readonly CodeInstruction[];
  /** Where the functions that were added begin. */
  readonly starts: Int32Array;
};

/** A stub has some 20,000 instructions; symbols that overlap are no more work than that. */
const MOST_ADDED = 2_000_000;

export function withNamedCode(program: Program, map: CodeMap): NamedCode {
  const added = new Map<number, CodeInstruction>();
  const starts: number[] = [];
  for (const { address, size, isFunction } of program.symbols?.symbols ?? []) {
    const at = Number(address - program.base);
    if (isFunction !== true || added.size > MOST_ADDED || map.kindAt(at) !== 'none' || added.has(at)) continue;
    const stretch = stretchAt(program, at);
    if (stretch === undefined || stretch.holds === 'data') continue;
    const end = Math.min(at + Number(size), stretch.at + stretch.size);
    const own = sensible(program, stretch, at, end);
    if (own.length === 0) continue;
    starts.push(at);
    for (const one of own) if (map.kindAt(one.at) === 'none') added.set(one.at, one);
  }
  const all = [...map.instructions, ...added.values()];
  return { instructions: all.sort((a, b) => a.at - b.at), starts: Int32Array.from(starts) };
}

/** In the mode in which all of it decodes; none where neither does. */
function sensible(program: Program, stretch: Stretch, at: number, end: number): CodeInstruction[] {
  for (const bits of [64, 32] as const) {
    const found = codeIn(program, stretch, at, end, bits);
    if (found !== undefined) return found;
  }
  return [];
}

/** Bytes of sections that say they are code, padding left out, that are in none of the instructions. */
export function bytesLeft(program: Program, instructions: readonly CodeInstruction[]): number {
  let bytes = 0;
  let index = 0;
  for (const stretch of program.stretches) {
    if (stretch.holds !== 'code') continue;
    let covered = stretch.at;
    const end = stretch.at + stretch.size;
    while (index < instructions.length && (instructions[index] as CodeInstruction).at < stretch.at) index++;
    for (; index < instructions.length && (instructions[index] as CodeInstruction).at < end; index++) {
      const { at, length } = instructions[index] as CodeInstruction;
      if (at > covered) bytes += codeBytes(program, stretch, covered, at, 64);
      covered = Math.max(covered, at + length);
    }
    if (covered < end) bytes += codeBytes(program, stretch, covered, end, 64);
  }
  return bytes;
}

/** What lies in a gap and is no padding. */
function codeBytes(program: Program, stretch: Stretch, from: number, to: number, bits: Bits): number {
  const start = stretch.fileOffset + from - stretch.at;
  const bytes = program.bytes.subarray(start, start + to - from);
  const decoder = new Decoder(bits, bytes, DecoderOptions.None);
  const instruction = new Instruction();
  let count = 0;
  for (let at = 0; at < bytes.length; ) {
    if (bytes[at] === 0) {
      at++;
      continue;
    }
    decoder.position = at;
    decoder.decodeOut(instruction);
    const length = instruction.isInvalid ? 1 : instruction.length;
    if (!PADDING.has(instruction.mnemonic)) count += length;
    at += length;
  }
  decoder.free();
  instruction.free();
  return count;
}

const PADDING: ReadonlySet<Mnemonic> = new Set([Mnemonic.Nop, Mnemonic.Int3]);
