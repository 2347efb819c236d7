// What is left of a kernel address by AND: another address where low bits are cleared, a number where high ones are.
import { expect, it } from 'vitest';
import { auditVmlinux } from '../../../src/audit/vmlinux/audit.ts';
import { assemble, ptr, x86 } from '../../support/assembler.ts';
import { DATA, ENTER_MAPPING, makeKernel, TEXT } from './support.ts';

const { and, mov } = x86;

const audit = (mask: number): string[] => {
  const code = assemble(64, TEXT, [mov('rdi', TEXT + BigInt(DATA)), and('rdi', mask), mov('rax', ptr('rdi'))]);
  const parts = { code: [[...code], ENTER_MAPPING], abs32: [3, code.length + 6] };
  return auditVmlinux(makeKernel(parts)).findings.map(({ rule }) => rule);
};

it.each([
  ['16 bytes', -16],
  ['a page', -4096],
  ['1 GiB', -0x40000000],
])('aligned to %s it is an address, and used too early', (_what, mask) => {
  expect(audit(mask)).toEqual(['kernel-address-before-mapping']);
});

it.each([
  ['its low bits are', 0xfff],
  ['all but flags of a pointer is', -8],
  ['what lies beyond a GiB is', -0x40000001],
])('where %s left it is a number', (_what, mask) => {
  expect(audit(mask)).toEqual([]);
});
