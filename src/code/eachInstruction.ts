// Goes over instructions that were found before.

import { Decoder, DecoderOptions, Instruction } from 'iced-x86';
import type { CodeInstruction } from './codeMap.ts';
import type { Program, Stretch } from './program.ts';

/** Decodes instructions that are known to be there, in order. The instruction handed over is only lent. */
export function eachInstruction(
  program: Program,
  instructions: readonly CodeInstruction[],
  take: (instruction: Instruction, place: CodeInstruction) => void,
): void {
  const scratch = new Instruction();
  let index = 0;
  for (const stretch of program.stretches) {
    const from = index;
    while (index < instructions.length && (instructions[index] as CodeInstruction).at < stretch.at + stretch.size)
      index++;
    if (index > from) decodeStretch(program, stretch, instructions.slice(from, index), scratch, take);
  }
  scratch.free();
}

function decodeStretch(
  program: Program,
  stretch: Stretch,
  instructions: readonly CodeInstruction[],
  scratch: Instruction,
  take: (instruction: Instruction, place: CodeInstruction) => void,
): void {
  const bytes = program.bytes.subarray(stretch.fileOffset, stretch.fileOffset + stretch.size);
  const decoders = {
    16: newDecoder(16, bytes, stretch.at),
    32: newDecoder(32, bytes, stretch.at),
    64: newDecoder(64, bytes, stretch.at),
  };
  for (const place of instructions) {
    const decoder = decoders[place.bits];
    const position = place.at - stretch.at;
    if (decoder.position !== position) {
      decoder.position = position;
      decoder.ip = BigInt(place.at);
    }
    decoder.decodeOut(scratch);
    take(scratch, place);
  }
  for (const decoder of Object.values(decoders)) decoder.free();
}

function newDecoder(bits: number, bytes: Uint8Array, at: number): Decoder {
  const decoder = new Decoder(bits, bytes, DecoderOptions.None);
  decoder.ip = BigInt(at);
  return decoder;
}
