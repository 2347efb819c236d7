// What becomes of a constant decides whether it is an address that nobody corrects.
import { describe, expect, it } from 'vitest';
import { auditOf, END, FUNCTION, found, le32, le64, STRING, TEXT, VARIABLE } from './stubs.ts';

/** lea of the stub's first byte, as the load address: 7 bytes at the start of the text. */
const LOAD_ADDRESS_IN_RBX = `48 8d 1d ${le32(-(TEXT + 7))}`;

describe('a constant that is no address', () => {
  it.each([
    ['a number of bytes, shifted into a count for rep movsq', `48 c7 c1 ${le32(END)} 48 c1 e9 03 fd f3 48 a5`],
    ['a number of bytes, as it is a count', `48 c7 c1 ${le32(END)} f3 aa`],
    ['a size that is multiplied with', `48 c7 c0 ${le32(END)} 48 0f af c1 48 89 c6`],
    [
      'an offset that the load address is added to',
      `${LOAD_ADDRESS_IN_RBX} 48 c7 c0 ${le32(VARIABLE)} 48 01 d8 48 8b 00`,
    ],
    ['an offset that is added to the load address', `${LOAD_ADDRESS_IN_RBX} 48 81 c3 ${le32(VARIABLE)} 48 8b 03`],
    ['a displacement on the load address', `${LOAD_ADDRESS_IN_RBX} 48 8d 83 ${le32(VARIABLE)} 48 8b 00`],
    ['an access by a displacement on the load address', `${LOAD_ADDRESS_IN_RBX} 8b 83 ${le32(VARIABLE)}`],
    ['a displacement on an address that is fixed itself', `48 c7 c3 ${le32(0)} 8b 83 ${le32(VARIABLE)}`],
    ['a displacement on a base that the caller left', `41 8b 84 24 ${le32(VARIABLE)}`],
    [
      'the displacement of the other way, where both meet',
      `${LOAD_ADDRESS_IN_RBX} 74 05 bb 00 00 20 00 8b 83 ${le32(VARIABLE)}`,
    ],
    ['the distance from a GOT whose address was computed', `4c 8d 35 00 00 00 00 48 b8 ${le64(0)} 4a 8d 4c 30 ff`],
    ['what is taken off an address where the code runs', `${LOAD_ADDRESS_IN_RBX} 48 81 eb ${le32(FUNCTION)}`],
    [
      'a stack in the copy, found by what is read less the end of the stub',
      `8b 9e 60 02 00 00 81 eb ${le32(END)} 48 81 c3 00 00 00 01 48 8d a3 ${le32(VARIABLE)}`,
    ],
    [
      'what is negated and then added to one',
      `48 c7 c0 ${le32(FUNCTION)} 48 f7 d8 48 8d 15 00 00 00 00 48 01 d0 48 8b 00`,
    ],
  ])('is left alone: %s', (_, text) => {
    expect(found({ text }).filter((line) => !line.startsWith('mov $0,%rbx'))).toEqual([]);
  });

  it('is left alone in 32-bit code that adds its load address by hand', () => {
    // call 1f; 1: pop %ebp; sub $1b,%ebp; mov $END,%eax; add %ebp,%eax; mov %eax,%esp
    const head = `e8 00 00 00 00 5d 81 ed ${le32(5)}`;
    expect(found({ entry32: `${head} b8 ${le32(VARIABLE)} 01 e8 89 c4` })).toEqual([]);
    expect(found({ entry32: `${head} 8b 85 ${le32(VARIABLE)}` })).toEqual([]);
    // The same without the addition.
    expect(found({ entry32: `${head} b8 ${le32(VARIABLE)} 89 c4 50` })).toEqual(['mov $0x1880,%eax: high']);
  });

  it('keeps a second constant from being believed: a count does not say that the link fixed addresses', () => {
    const text = `48 c7 c1 ${le32(END)} 48 c1 e9 03 f3 48 a5 48 c7 c5 ${le32(0x100)}`;
    expect(found({ text })).toEqual(['mov $0x100,%rbp: low']);
  });
});

describe('an address that nobody corrects', () => {
  it.each([
    ['an index is added to', `48 c7 c0 ${le32(VARIABLE)} 48 01 d0 48 8b 00`, ['mov $0x1880,%rax: high']],
    ['as displacement on an index', `0f b6 c0 8a 90 ${le32(VARIABLE)}`, ['mov 0x1880(%rax),%dl: high']],
    ['as displacement on a sum', `48 8d bc 00 ${le32(STRING)} 8a 07`, ['lea 0x1840(%rax,%rax),%rdi: high']],
    ['before an immediate', `f6 82 ${le32(VARIABLE)} 20`, ['testb $0x20,0x1880(%rdx): high']],
    ['of a function, stored', `48 c7 03 ${le32(FUNCTION)}`, ['movq $0x1600,(%rbx): medium']],
    ['of a function, stored on the stack', `48 c7 44 24 d8 ${le32(FUNCTION)}`, ['movq $0x1600,-0x28(%rsp): medium']],
    ['compared with memory', `48 81 3b ${le32(VARIABLE)}`, ['cmpq $0x1880,(%rbx): high']],
    [
      'as the end of what is cleared, where the start is computed',
      `48 8d 3d ${le32(VARIABLE - TEXT - 7)} 48 c7 c1 ${le32(END)} 48 29 f9 48 c1 e9 03 f3 48 ab`,
      ['mov $0x1900,%rcx: high'],
    ],
    [
      'as the start of what is cleared, where the end is computed',
      `48 c7 c7 ${le32(VARIABLE)} 48 8d 0d ${le32(END - TEXT - 14)} 48 29 f9 48 c1 e9 03 f3 48 ab`,
      ['mov $0x1880,%rdi: high'],
    ],
    [
      'as the start of what a function is to clear, where the end is computed',
      `48 c7 c7 ${le32(VARIABLE)} 48 8d 15 ${le32(END - TEXT - 14)} 48 29 fa e8 00 00 00 00`,
      ['mov $0x1880,%rdi: high'],
    ],
    [
      'handed on, though on another way something is counted in the register',
      `49 c7 c6 ${le32(VARIABLE)} 4c 89 f6 e8 00 00 00 00 49 c1 e6 04`,
      ['mov $0x1880,%r14: high'],
    ],
    [
      'on what is read, with nothing of the stub taken off it',
      `8b 9e 60 02 00 00 48 8d a3 ${le32(VARIABLE)}`,
      ['lea 0x1880(%rbx),%rsp: high'],
    ],
    ['on one of two ways', `74 07 48 c7 c2 ${le32(VARIABLE)} 48 8b 02`, ['mov $0x1880,%rdx: high']],
    ['chosen by a conditional move', `b9 ${le32(VARIABLE)} 48 0f 43 d1 48 8b 02`, ['mov $0x1880,%ecx: high']],
    ['beside a number', `c7 04 25 ${le32(VARIABLE)} 01 00 00 00`, ['movl $1,0x1880: high']],
  ])('is found: %s', (_, text, expected) => {
    expect(found({ text })).toEqual(expected);
  });

  it('has a repair, unless it is compared with another fixed address, which would stay', () => {
    const [alone] = auditOf({ text: `48 c7 c6 ${le32(VARIABLE)} 48 8b 06` }).findings;
    expect(alone?.repair?.text).toMatch(/^lea/);
    const [paired, compare] = auditOf({
      text: `48 c7 c6 ${le32(VARIABLE)} 48 8b 06 48 81 fe ${le32(FUNCTION)}`,
    }).findings;
    expect([paired?.text, paired?.repair]).toEqual(['mov    $0x1880,%rsi', undefined]);
    expect(compare?.text).toMatch(/^cmp/);
  });
});
