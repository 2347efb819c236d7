// Decodes from one address to another, for code whose ends are known.
import { Decoder, DecoderOptions, Instruction } from 'iced-x86';
import type { CodeInstruction } from '../../code/codeMap.ts';
import type { Bits } from '../../code/disassembly.ts';
import type { Program, Stretch } from '../../code/program.ts';

/** Undefined where a byte of it is no instruction, or the last one goes beyond the end. */
export function codeIn(
  program: Program,
  stretch: Stretch,
  from: number,
  to: number,
  bits: Bits,
): CodeInstruction[] | undefined {
  const start = stretch.fileOffset + from - stretch.at;
  const decoder = new Decoder(bits, program.bytes.subarray(start, start + to - from), DecoderOptions.None);
  const instruction = new Instruction();
  const found: CodeInstruction[] = [];
  let valid = true;
  while (valid && decoder.canDecode) {
    const at = from + decoder.position;
    decoder.decodeOut(instruction);
    valid = !instruction.isInvalid;
    found.push({ at, length: instruction.length, bits });
  }
  decoder.free();
  instruction.free();
  return valid ? found : undefined;
}
