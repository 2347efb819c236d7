// The second pass: what lies between proven code and was never reached, decoded from its start to its end. It may be code
// that only a pointer leads to, or a table; so only bytes that a linker alone writes are believed, and less.

import { Decoder, DecoderOptions, Instruction } from 'iced-x86';
import type { CodeInstruction, CodeMap } from '../../code/codeMap.ts';
import type { Program, Stretch } from '../../code/program.ts';
import { type Candidate, candidatesOf } from './scan.ts';

export type Swept = { readonly instructions: number; readonly candidates: readonly Candidate[] };

export function sweep(program: Program, map: CodeMap): Swept {
  const scratch = new Instruction();
  const candidates: Candidate[] = [];
  let instructions = 0;
  for (const stretch of program.stretches) {
    if (stretch.holds === 'data') continue;
    for (const [from, to] of gapsIn(stretch, map.instructions)) {
      instructions += sweepGap(program, stretch, from, to, scratch, candidates);
    }
  }
  scratch.free();
  return { instructions, candidates };
}

/** Between the first and the last proven instruction; all of a section that says it is code. */
function gapsIn(stretch: Stretch, instructions: readonly CodeInstruction[]): [number, number][] {
  const end = stretch.at + stretch.size;
  const own = instructions.filter((i) => i.at >= stretch.at && i.at < end);
  const first = own[0];
  if (first === undefined) return stretch.holds === 'code' ? [[stretch.at, end]] : [];
  const gaps: [number, number][] = [];
  let covered = stretch.holds === 'code' ? stretch.at : first.at;
  for (const { at, length } of own) {
    if (at > covered) gaps.push([covered, at]);
    covered = at + length;
  }
  if (stretch.holds === 'code' && covered < end) gaps.push([covered, end]);
  return gaps;
}

function sweepGap(
  program: Program,
  stretch: Stretch,
  from: number,
  to: number,
  scratch: Instruction,
  candidates: Candidate[],
): number {
  const start = stretch.fileOffset + from - stretch.at;
  const decoder = new Decoder(64, program.bytes.subarray(start, start + to - from), DecoderOptions.None);
  let count = 0;
  for (let at = from; at < to; ) {
    // Padding: zeros would decode, and swallow the start of what comes behind them.
    if (program.bytes[start + at - from] === 0) {
      at++;
      continue;
    }
    decoder.position = at - from;
    decoder.ip = BigInt(at);
    decoder.decodeOut(scratch);
    const length = scratch.isInvalid ? 1 : scratch.length;
    const found = scratch.isInvalid ? [] : candidatesOf(scratch, { at, length, bits: 64 });
    candidates.push(...found.filter(({ linkerMade }) => linkerMade));
    count++;
    at += length;
  }
  decoder.free();
  return count;
}
