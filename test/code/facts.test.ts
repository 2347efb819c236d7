import { Decoder, DecoderOptions, InstructionInfoFactory } from 'iced-x86';
import { describe, expect, it } from 'vitest';
import { bytesOfHex } from '../../src/bits/hex.ts';
import { isOnlyRead, isRead, isWritten, STRING_MOVES } from '../../src/code/facts.ts';

const decoded = (bytes: string) => new Decoder(64, bytesOfHex(bytes), DecoderOptions.None).decode();

describe('facts about code', () => {
  it.each([
    ['movsb', 'a4', 1],
    ['movsw', '66a5', 2],
    ['movsd', 'a5', 4],
    ['movsq', '48a5', 8],
    ['rep movsq', 'f348a5', 8],
    ['stosq, which reads no memory', '48ab', undefined],
    ['movsd of SSE2', 'f20f10c1', undefined],
  ])('string moves by their size: %s', (_name, bytes, size) => {
    const instruction = decoded(bytes);
    expect(instruction.isStringInstruction ? STRING_MOVES.get(instruction.mnemonic) : undefined).toBe(size);
  });

  it.each([
    ['mov %rbx,%rax', '4889d8', [false, true, false]],
    ['add %rbx,%rax', '4801d8', [true, true, false]],
    ['cmove %rbx,%rax, which may write', '480f44c3', [false, true, false]],
    ['cmp %rbx,%rax', '4839d8', [true, false, true]],
    ['lea (%rbx),%rax, of its memory', '488d03', [false, false, false], 1],
  ])('what becomes of the first operand: %s', (_name, bytes, expected, operand = 0) => {
    const info = new InstructionInfoFactory().info(decoded(bytes));
    const access = operand === 0 ? info.op0Access : info.op1Access;
    expect([isRead(access), isWritten(access), isOnlyRead(access)]).toEqual(expected);
  });
});
