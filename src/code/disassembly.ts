// One instruction: decoded from bytes, and as AT&T text.

import { Decoder, DecoderOptions, Formatter, FormatterSyntax, type Instruction } from 'iced-x86';

export type Bits = 16 | 32 | 64;

/** Decodes the instruction that `bytes` start with. The caller frees it. @param ip its address */
export function decodeOne(bytes: Uint8Array, ip: bigint, bitness: Bits): Instruction {
  const decoder = new Decoder(bitness, bytes, DecoderOptions.None);
  decoder.ip = BigInt.asUintN(64, ip);
  const insn = decoder.decode();
  decoder.free();
  return insn;
}

let formatter: Formatter | undefined;

/** AT&T text as objdump writes it, but numbers with 0x. */
export function attText(insn: Instruction): string {
  if (!formatter) {
    formatter = new Formatter(FormatterSyntax.Gas);
    formatter.hexPrefix = '0x';
    formatter.hexSuffix = '';
    formatter.uppercaseHex = false;
    formatter.spaceAfterOperandSeparator = false;
    formatter.firstOperandCharIndex = 7;
    formatter.ripRelativeAddresses = true;
  }
  return formatter.format(insn).trimEnd();
}
