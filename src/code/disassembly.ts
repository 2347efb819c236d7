// One instruction: decoded from bytes, and as AT&T text.

import { Decoder, DecoderOptions, Formatter, FormatterSyntax, type Instruction, OpKind } from 'iced-x86';

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
  formatter ??= newFormatter();
  formatter.smallHexNumbersInDecimal = !hasMisreadNumber(insn);
  return formatter.format(insn).trimEnd();
}

function newFormatter(): Formatter {
  const made = new Formatter(FormatterSyntax.Gas);
  made.hexPrefix = '0x';
  made.hexSuffix = '';
  made.uppercaseHex = false;
  made.spaceAfterOperandSeparator = false;
  made.firstOperandCharIndex = 7;
  made.ripRelativeAddresses = true;
  return made;
}

const SMALL = 10n;
const MASK32 = 0xffff_ffffn;

/** iced-x86 takes a number for a small one, and writes its lower half alone, where only that half is below ten. */
function hasMisreadNumber(insn: Instruction): boolean {
  const isMisread = (value: bigint): boolean => value > MASK32 && (value & MASK32) < SMALL;
  for (let operand = 0; operand < insn.opCount; operand++) {
    const kind = insn.opKind(operand);
    if (kind === OpKind.Immediate64 && isMisread(insn.immediate64)) return true;
    if (kind === OpKind.NearBranch64 && isMisread(insn.nearBranchTarget)) return true;
    if (kind === OpKind.Memory && isMisread(insn.memoryDisplacement)) return true;
  }
  return false;
}
