// Instructions and their places in words.

import { hex, hexBytes } from '../bits/hex.ts';
import type { InstructionAt } from './types.ts';

/** Its text without the columns of a listing: "mov $0x18040,%rsi". */
export const instructionText = ({ text }: Pick<InstructionAt, 'text'>): string =>
  text === '(bad)' ? 'no instruction' : text.replace(/\s+/g, ' ');

/** What it is called, or else where the file has it: "memcpy+0x6", "link address 0x18516". */
export function nameText({ symbol, linkAddress }: InstructionAt): string | undefined {
  if (symbol !== undefined) return symbol;
  return linkAddress === undefined ? undefined : `link address ${hex(linkAddress)}`;
}

/** "0x1018516 (memcpy+0x6)". */
export function placeText(instruction: InstructionAt): string {
  const name = nameText(instruction);
  return `${hex(instruction.runtimeAddress)}${name === undefined ? '' : ` (${name})`}`;
}

/** "the bytes 00 00, `add %al,(%rax)`". */
export function bytesText(instruction: InstructionAt): string {
  const bytes = `the bytes ${hexBytes(instruction.bytes)}`;
  return instruction.text === '(bad)' ? `${bytes}, no instruction` : `${bytes}, \`${instructionText(instruction)}\``;
}
