import { describe, expect, it } from 'vitest';
import { attText, decodeOne } from '../../src/code/disassembly.ts';
import { bytesOfHex } from '../../src/bits/hex.ts';

const textOf = (hex: string, ip = 0n): string => {
  const insn = decodeOne(bytesOfHex(hex), ip, 64);
  const text = attText(insn).replaceAll(/\s+/g, ' ');
  insn.free();
  return text;
};

describe('the text of an instruction', () => {
  it.each([
    ['48 b8 00 00 00 00 00 7f 00 00', 'movabs $0x7f0000000000,%rax'],
    ['48 b8 05 00 00 00 01 00 00 00', 'movabs $0x100000005,%rax'],
    ['48 a1 05 00 00 00 01 00 00 00', 'movabs 0x100000005,%rax'],
    ['48 b8 0a 00 00 00 01 00 00 00', 'movabs $0x10000000a,%rax'],
    ['48 b8 05 00 00 00 00 00 00 00', 'movabs $5,%rax'],
    ['48 c1 e0 03', 'shl $3,%rax'],
  ])('has both halves of a number: %s', (hex, text) => {
    expect(textOf(hex)).toBe(text);
  });

  it('has both halves of a branch target', () => {
    expect(textOf('e9 fb ff ff ff', 0x1_0000_0000n)).toBe('jmp 0x0000000100000000');
    expect(textOf('e9 00 00 00 00', 0x100_0000n)).toBe('jmp 0x0000000001000005');
  });
});
