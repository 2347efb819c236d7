import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { auditFile } from '../../../src/audit/audit.ts';
import { diffImages } from '../../../src/audit/diff/diff.ts';
import { elfStub, isKernel } from '../../../src/audit/stub/elf.ts';
import { putU32, putU64 } from '../../../src/bits/cursor.ts';
import { makeElf } from '../../image/synthetic.ts';

const sample = (name: string): Uint8Array =>
  new Uint8Array(readFileSync(new URL(`../../../samples/built/${name}`, import.meta.url)));

/** An ELF file whose one segment is a dynamic section with these tags. */
function dynamic(...tags: readonly bigint[]): Uint8Array {
  const bytes = new Uint8Array(16 * tags.length);
  for (const [i, tag] of tags.entries()) putU64(bytes, 16 * i, tag);
  const elf = makeElf({ segments: [{ physAddr: 0n, virtAddr: 0n, memSize: BigInt(bytes.length), bytes }], entry: 0n });
  putU32(elf, 64, 2);
  return elf;
}

const DT_NEEDED = 1n;
const DT_HASH = 4n;

describe('an ELF file to be audited', () => {
  it('is a kernel where it is linked to the upper half', () => {
    expect(isKernel(makeElf())).toBe(true);
    expect(isKernel(sample('good.elf'))).toBe(false);
  });

  it('is refused where it is a program of user space', () => {
    const refusal = 'this is a dynamically linked program for x86-64, which runs under a kernel';
    expect(() => auditFile(dynamic(DT_HASH, DT_NEEDED), 'ls', {})).toThrow(refusal);
    expect(() => diffImages(dynamic(DT_NEEDED), sample('good.elf'))).toThrow(`cannot use GOOD: ${refusal}`);
  });

  it('may have a dynamic section, as a stub linked with -pie does', () => {
    expect(() => auditFile(dynamic(DT_HASH), 'stub', {})).toThrow(
      'an ELF file for x86-64 that is neither a Linux kernel nor its boot stub',
    );
  });
});

describe('the ELF file of a stub', () => {
  it('is entered by the names the kernel gives its entries', () => {
    expect(elfStub(sample('good.elf'), undefined).program.starts).toEqual([
      { at: 0, bits: 32 },
      { at: 0x200, bits: 64 },
    ]);
  });

  it('has one finding where it was linked without -pie, and names it', () => {
    const { findings } = auditFile(sample('bad.elf'), 'bad.elf', {});
    expect(findings.map(({ rule, place, target }) => [rule, place, target?.symbol])).toEqual([
      ['position-dependent-reference', 'paging_prepare+0x140', 'trampoline_32bit_src'],
      ['elf-layout', 'ELF header', undefined],
    ]);
  });
});
