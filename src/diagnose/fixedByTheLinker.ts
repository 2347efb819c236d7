// Every instruction of a stub that loads one of its addresses in the form that only a linker writes, executed or not.

import { eachInstruction } from '../code/eachInstruction.ts';
import { findCode } from '../code/codeMap.ts';
import { fileOffsetOf, programOfBzImage } from '../code/program.ts';
import { absoluteReference } from '../code/references.ts';
import type { BzImage } from '../image/bzimage.ts';
import type { ExecutedReference } from '../record/references.ts';
import { likelihood, rangesOf } from './likelihood.ts';

/** As references that were never executed; where they run is not known. By link address. */
export function fixedByTheLinker(image: BzImage): ExecutedReference[] {
  const program = programOfBzImage(image);
  const ranges = rangesOf(image);
  const found: ExecutedReference[] = [];
  const code = findCode(program).instructions.filter(({ bits }) => bits === 64);
  eachInstruction(program, code, (instruction, { at, length }) => {
    const reference = absoluteReference(instruction);
    if (reference?.form !== 'mov-imm32-rex' || likelihood(reference, ranges) === 0) return;
    const fileOffset = fileOffsetOf(program, at) ?? 0;
    const bytes = image.bytes.slice(fileOffset, fileOffset + length);
    const link = BigInt(at);
    found.push({ reference, runtime: link, link, fileOffset, bytes, bits: 64, first: 0n, last: 0n, times: 0 });
  });
  return found;
}
