// Sums of kernel addresses, load addresses and numbers, as compilers write them in startup code.
import { describe, expect, it } from 'vitest';
import { auditVmlinux } from '../../../src/audit/vmlinux/audit.ts';
import { at32, DATA, ENTER_MAPPING, LEA_RDI, le32, makeKernel } from './support.ts';

/** All constants are in the table, so that only what is done with them counts. */
const audit = (code: readonly (readonly number[])[]) => {
  const bytes = [...code, ENTER_MAPPING].flat();
  const abs32 = bytes.flatMap((byte, i) => (byte === 0x81 && i >= 3 ? [i - 3] : []));
  return auditVmlinux(makeKernel({ code: [...code, ENTER_MAPPING], abs32 })).findings.map(({ text, repair }) => [
    (text ?? '').replace(/\s+/g, ' '),
    repair === undefined ? 'no repair' : 'repair',
  ]);
};

/** lea TEXT(%rip),%rdi; mov %rdi,%r13; sub $TEXT,%r13; add $__START_KERNEL_map,%r13 */
const LOAD_DELTA = [
  LEA_RDI(-7),
  [0x49, 0x89, 0xfd],
  [0x49, 0x81, 0xed, ...at32(0)],
  [0x49, 0x81, 0xc5, ...le32(0x80000000)],
];
/** mov $DATA,%rcx; mov $DATA+8,%rdx; cmovae %rcx,%rdx; add %r13,%rdx */
const CHOSEN = [
  [0x48, 0xc7, 0xc1, ...at32(DATA)],
  [0x48, 0xc7, 0xc2, ...at32(DATA + 8)],
  [0x48, 0x0f, 0x43, 0xd1],
  [0x4c, 0x01, 0xea],
];
/** mov $-__START_KERNEL_map + flags,%r8d; add %r8,%rdx; mov %rdx,(%rsi) */
const storedWith = (number: number) => [
  [0x41, 0xb8, ...le32(number)],
  [0x4c, 0x01, 0xc2],
  [0x48, 0x89, 0x16],
];

describe('an entry of a page table made of a kernel address', () => {
  it('is a physical address once the start of the mapping is taken off, with flags in the same number', () => {
    expect(audit([...LOAD_DELTA, ...CHOSEN, ...storedWith(0x80000067)])).toEqual([]);
    expect(audit([...LOAD_DELTA, ...CHOSEN, ...storedWith(0x80000000)])).toEqual([]);
  });

  it('is still a virtual one where another number is added, and the lea alone would not repair that', () => {
    expect(audit([...LOAD_DELTA, ...CHOSEN, ...storedWith(0x67)])).toEqual([
      ['mov $0xffffffff81002000,%rcx', 'no repair'],
      ['mov $0xffffffff81002008,%rdx', 'no repair'],
    ]);
  });
});

describe('a kernel address that is negated', () => {
  /** mov $TEXT,%rax; neg %rax */
  const NEGATED = [
    [0x48, 0xc7, 0xc0, ...at32(0)],
    [0x48, 0xf7, 0xd8],
  ];

  it('takes another off, so that a displacement on the load address is right', () => {
    // mov DATA(%rdi,%rax),%r15d
    const code = [LEA_RDI(-7), ...NEGATED, [0x44, 0x8b, 0xbc, 0x07, ...at32(DATA)]];
    expect(audit(code)).toEqual([]);
  });

  it('does nothing to one it is not added to', () => {
    const code = [LEA_RDI(-7), ...NEGATED, [0x44, 0x8b, 0xbf, ...at32(DATA)]];
    expect(audit(code)).toEqual([['mov -0x7effe000(%rdi),%r15d', 'no repair']]);
  });
});
