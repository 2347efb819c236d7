// The 64-bit entry that the setup header promises, held against the bytes there: text and data decode, but not into code that
// a loader's jump survives.
import { Decoder, DecoderOptions, FlowControl, Mnemonic } from 'iced-x86';
import { hex } from '../bits/hex.ts';
import type { BzImage } from '../image/bzimage.ts';
import { ENTRY_64_OFFSET } from '../image/setup-header.ts';
import type { Finding } from './types.ts';

/** Instructions looked at; code goes on, and data seldom decodes so far. */
const MOST = 12;
const LONGEST_INSTRUCTION = 15;
/** What nobody begins 64-bit code with: string and port input in letters of text, and the filler of a linker. */
const ODD: ReadonlySet<Mnemonic> = new Set([
  Mnemonic.INVALID,
  Mnemonic.Insb,
  Mnemonic.Insd,
  Mnemonic.Insw,
  Mnemonic.Outsb,
  Mnemonic.Outsd,
  Mnemonic.Outsw,
  Mnemonic.Int3,
]);

/** An error where the image says XLF_KERNEL_64 and no 64-bit code stands at its entry. */
export function entryFindings(image: BzImage): Finding[] {
  if (!image.has64BitEntry) return [];
  const at = image.protectedMode.fileOffset + ENTRY_64_OFFSET;
  const code = image.bytes.subarray(at, Math.min(at + MOST * LONGEST_INSTRUCTION, at + image.protectedMode.size));
  const odd = oddInstruction(code);
  if (odd === undefined) return [];
  const entry = hex(ENTRY_64_OFFSET);
  return [
    {
      rule: 'image-entry',
      severity: 'error',
      confidence: 'high',
      message: `xloadflags promises a 64-bit entry (XLF_KERNEL_64), but at ${entry} of the protected-mode part stands ${wordsFor(code)}.`,
      reason: `Decoded as 64-bit code it comes to ${odd} before anything else leads away. Loaders that enter kernels in 64-bit mode jump there; entered by the 32-bit entry the image may be fine.`,
      fileOffset: at,
      bytes: code.slice(0, 16),
      place: 'the 64-bit entry',
    },
  ];
}

/** The first thing on the straight way that is no code; undefined where all of it may be. */
function oddInstruction(code: Uint8Array): string | undefined {
  const decoder = new Decoder(64, code, DecoderOptions.None);
  try {
    for (let i = 0; i < MOST && decoder.canDecode; i++) {
      const position = decoder.position;
      const instruction = decoder.decode();
      const { mnemonic, flowControl } = instruction;
      instruction.free();
      if (ODD.has(mnemonic)) {
        return mnemonic === Mnemonic.INVALID
          ? `no instruction at ${hex(ENTRY_64_OFFSET + position)}`
          : `port input or output or a breakpoint at ${hex(ENTRY_64_OFFSET + position)}`;
      }
      if (flowControl === FlowControl.UnconditionalBranch || flowControl === FlowControl.Return) return undefined;
      if (flowControl === FlowControl.IndirectBranch || flowControl === FlowControl.Interrupt) return undefined;
    }
    return undefined;
  } finally {
    decoder.free();
  }
}

const wordsFor = (code: Uint8Array): string => {
  const text = String.fromCharCode(...code.subarray(0, 24));
  const printable = /^[\x20-\x7e]{8,}/.exec(text)?.[0];
  return printable === undefined ? 'no code' : `the text "${printable}"`;
};
