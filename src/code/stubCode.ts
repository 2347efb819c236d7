// The code of a bzImage's stub: what control flow reaches in its protected-mode part, linked at 0.
import type { BzImage } from '../image/bzimage.ts';
import { findCode } from './codeMap.ts';
import { programOfBzImage } from './program.ts';

/** One proven instruction. */
export interface StubInstruction {
  /** Offset in the protected-mode part. */
  readonly linkAddress: number;
  readonly length: number;
  readonly bits: 16 | 32 | 64;
}

/** All instructions proven to be stub code, by link address. */
export function stubInstructions(image: BzImage): StubInstruction[] {
  const { instructions } = findCode(programOfBzImage(image));
  return instructions.map(({ at, length, bits }) => ({ linkAddress: at, length, bits }));
}
