// How many bytes an instruction has, where decoding it alone does not tell.

import { Decoder, DecoderError, DecoderOptions } from 'iced-x86';
import type { Bitness } from '../state/codeContext.ts';

export const MAX_INSTRUCTION = 15;

/** Operand size, address size, LOCK, REPNE, REP. */
const OTHER_PREFIXES = new Set([0x66, 0x67, 0xf0, 0xf2, 0xf3]);
const SEGMENT_PREFIXES = new Set([0x26, 0x2e, 0x36, 0x3e, 0x64, 0x65]);

/** Index of a prefix without which the instruction decodes to the same length, or -1. */
function idlePrefix(bytes: Uint8Array): number {
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i] as number;
    if (SEGMENT_PREFIXES.has(byte)) return i;
    if (!OTHER_PREFIXES.has(byte)) return -1;
    if (bytes.indexOf(byte) < i) return i;
  }
  return -1;
}

/**
 * Do the 15 bytes an instruction may have not suffice (SDM 3A 6.15: #GP, where other bad code is #UD)?
 * iced calls a 16th byte invalid like any bad opcode; so one prefix that changes nothing is left out, and where decoding
 * then runs out of bytes it would have needed more than 15. No instruction gets that long without such a prefix.
 */
export function isTooLong(bytes: Uint8Array, bitness: Bitness): boolean {
  if (bytes.length < MAX_INSTRUCTION) return false;
  const idle = idlePrefix(bytes.subarray(0, MAX_INSTRUCTION));
  if (idle < 0) return false;
  const shorter = bytes.slice(0, MAX_INSTRUCTION);
  shorter.copyWithin(idle, idle + 1);
  const decoder = new Decoder(bitness, shorter.subarray(0, MAX_INSTRUCTION - 1), DecoderOptions.None);
  decoder.decode().free();
  const error = decoder.lastError;
  decoder.free();
  return error === DecoderError.NoMoreBytes;
}

/** Does an instruction that begins with these bytes go on behind them? */
export function runsOut(bytes: Uint8Array, bitness: Bitness): boolean {
  const decoder = new Decoder(bitness, bytes, DecoderOptions.None);
  decoder.decode().free();
  const error = decoder.lastError;
  decoder.free();
  return error === DecoderError.NoMoreBytes;
}
