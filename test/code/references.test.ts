import { describe, expect, it } from 'vitest';
import { bytesOfHex, hexBytes } from '../../src/bits/hex.ts';
import { type Bits, decodeOne } from '../../src/code/disassembly.ts';
import { absoluteReferences } from '../../src/code/references.ts';
import { positionIndependentForm } from '../../src/code/repair.ts';

/** The constant 0x01223344, in each instruction. */
const X = '44 33 22 01';

function referencesOf(bytes: string, bits: Bits = 64): string[] {
  const instruction = decodeOne(bytesOfHex(bytes), 0n, bits);
  const list = absoluteReferences(instruction).map(
    ({ form, constant, offset, bytes: size }) => `${form} ${constant.toString(16)} at ${offset}, ${size} bytes`,
  );
  instruction.free();
  return list;
}

describe('an absolute reference', () => {
  it.each([
    ['movq $x,mem relative to RIP', `48 c7 05 10 00 00 00 ${X}`, ['store-imm32 1223344 at 7, 4 bytes']],
    ['movq $x,(%rbx)', `48 c7 03 ${X}`, ['store-imm32 1223344 at 3, 4 bytes']],
    ['movq $x,-0x28(%rsp)', `48 c7 44 24 d8 ${X}`, ['store-imm32 1223344 at 5, 4 bytes']],
    ['cmpq $x,mem', `48 81 3d 10 00 00 00 ${X}`, ['alu-imm32-mem 1223344 at 7, 4 bytes']],
    ['cmp $x,%rax', `48 3d ${X}`, ['alu-imm32 1223344 at 2, 4 bytes']],
    ['mov $x,%eax', `b8 ${X}`, ['mov-imm32 1223344 at 1, 4 bytes']],
    ['mov $x,%rax', `48 c7 c0 ${X}`, ['mov-imm32-rex 1223344 at 3, 4 bytes']],
    ['testb $0x20,x(%rdx)', `f6 82 ${X} 20`, ['base-disp32 1223344 at 2, 4 bytes']],
    ['mov %r9,x(%rsi)', `4c 89 8e ${X}`, ['base-disp32 1223344 at 3, 4 bytes']],
    ['lea x(%rax,%rax,1),%rdi', `48 8d bc 00 ${X}`, ['base-disp32 1223344 at 4, 4 bytes']],
    ['shll x(%rdx), by the one of its opcode', `d1 a2 ${X}`, ['base-disp32 1223344 at 2, 4 bytes']],
    ['cmpb $7,x', `80 3c 25 ${X} 07`, ['disp32 1223344 at 3, 4 bytes']],
    ['a table', `8b 04 85 ${X}`, ['disp32 1223344 at 3, 4 bytes']],
    ['movabs mem,%rax', `48 a1 ${X} 00 00 00 00`, ['disp32 1223344 at 2, 8 bytes']],
    [
      'movl $1,x, whose number is one as well',
      `c7 04 25 ${X} 01 00 00 00`,
      ['store-imm32 1 at 7, 4 bytes', 'disp32 1223344 at 3, 4 bytes'],
    ],
    ['a displacement of one byte', '48 8b 40 08', []],
    ['an operand relative to RIP', `8b 05 ${X}`, []],
  ])('has its place told: %s', (_, bytes, expected) => {
    expect(referencesOf(bytes)).toEqual(expected);
  });

  it('of 32-bit code has its place told, too', () => {
    expect(referencesOf(`a1 ${X}`, 32)).toEqual(['disp32 1223344 at 1, 4 bytes']);
    expect(referencesOf(`8d 85 ${X}`, 32)).toEqual(['base-disp32 1223344 at 2, 4 bytes']);
  });
});

describe('the position-independent form', () => {
  const formOf = (bytes: string): string | undefined => {
    const raw = bytesOfHex(bytes);
    const instruction = decodeOne(raw, 0n, 64);
    const [reference] = absoluteReferences(instruction).filter(({ constant }) => constant === 0x1223344n);
    instruction.free();
    const form = reference && positionIndependentForm(reference, raw, 0x1223340);
    return form && hexBytes(form);
  };

  it.each([
    ['a read', `48 8b 04 25 ${X}`, '3e 48 8b 05 fc ff ff ff'],
    ['a compare with an immediate behind the address', `80 3c 25 ${X} 07`, '3e 80 3d fc ff ff ff 07'],
    ['a store of an immediate behind the address', `c7 04 25 ${X} 01 00 00 00`, '3e c7 05 f9 ff ff ff 01 00 00 00'],
  ])('of %s is as long', (_, bytes, expected) => {
    expect(formOf(bytes)).toBe(expected);
  });

  it.each([
    ['an address that is stored', `48 c7 03 ${X}`],
    ['an address in a compare of memory', `48 81 3b ${X}`],
    ['a displacement on a base', `4c 89 8e ${X}`],
    ['a displacement on an index', `8b 04 85 ${X}`],
    ['the short mov', `b8 ${X}`],
  ])('is not there for %s', (_, bytes) => {
    expect(formOf(bytes)).toBeUndefined();
  });
});
