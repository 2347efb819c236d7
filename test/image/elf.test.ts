import { describe, expect, it } from 'vitest';
import { putU16, putU32, putU64 } from '../../src/bits/cursor.ts';
import { InputError } from '../../src/bits/errors.ts';
import type { ElfImage } from '../../src/image/elf.ts';
import { parseImage } from '../../src/image/image.ts';
import { makeElf } from './synthetic.ts';

function parsed(bytes: Uint8Array): ElfImage {
  const image = parseImage(bytes);
  if (image.kind !== 'elf') throw new Error(`parsed as ${image.kind}`);
  return image;
}

/** An ELF with one change in its bytes. */
function changed(change: (bytes: Uint8Array) => void): Uint8Array {
  const bytes = makeElf();
  change(bytes);
  return bytes;
}

describe('an ELF image', () => {
  it('gives its segments and entry', () => {
    const image = parsed(makeElf());
    expect(image).toMatchObject({ type: 'EXEC', entry: 0x1000000n, entryPhysical: 0x1000000 });
    expect(image.segments).toEqual([
      {
        fileOffset: 120,
        fileSize: 0x100,
        memSize: 0x3000,
        physAddr: 0x1000000,
        virtAddr: 0xffffffff81000000n,
        flags: 5,
      },
    ]);
  });

  it('translates a virtual entry to the physical address of its segment', () => {
    expect(parsed(makeElf({ entry: 0xffffffff81000040n })).entryPhysical).toBe(0x1000040);
  });

  it('sorts segments by physical address', () => {
    const segment = (physAddr: bigint) => ({ physAddr, virtAddr: physAddr, memSize: 0x10n, bytes: new Uint8Array(16) });
    const image = parsed(makeElf({ segments: [segment(0x1002000n), segment(0x1000000n)] }));
    expect(image.segments.map((s) => s.physAddr)).toEqual([0x1000000, 0x1002000]);
  });
});

describe('an ELF file that cannot be booted', () => {
  it.each([
    ['for AArch64', makeElf({ machine: 183 }), /this is an ELF file for AArch64; Firstlight boots kernels for x86/],
    ['for i386', makeElf({ machine: 3 }), /ELF file for i386/],
    [
      'for big-endian PowerPC64',
      changed((b) => b.set([2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 21], 5)),
      /PowerPC64 \(big-endian\)/,
    ],
    ['for an unknown processor', makeElf({ machine: 0x7777 }), /e_machine 30583/],
    ['of 32 bits', changed((b) => b.set([1], 4)), /32-bit ELF file/],
    ['that is an object', makeElf({ type: 1 }), /an object file for x86-64, never linked \(ET_REL\)/],
    ['that is a core dump', makeElf({ type: 4 }), /core dump/],
    ['with an entry outside', makeElf({ entry: 0x5000n }), /entry point 0x5000 lies in no loaded segment/],
    ['without program headers', changed((b) => putU16(b, 56, 0)), /no program headers/],
    ['with program headers beyond its end', changed((b) => putU16(b, 56, 99)), /its program headers at/],
    [
      'with program headers nowhere',
      changed((b) => putU64(b, 32, 0xffff_ffff_ffff_ff00n)),
      /e_phoff is 0xffffffffffffff00/,
    ],
    ['with a segment beyond its end', changed((b) => putU64(b, 64 + 32, 0x2000n)), /takes 0x2000 bytes from 0x78/],
    ['with a segment smaller in memory', changed((b) => putU64(b, 64 + 40, 0x10n)), /only 0x10 in memory/],
    ['with a segment beyond 52 bits', changed((b) => putU64(b, 64 + 24, 1n << 52n)), /beyond any physical address/],
    ['with nothing to load', changed((b) => putU32(b, 64, 4)), /nothing to load/],
  ])('%s is one clear line', (_, bytes, message) => {
    expect(() => parseImage(bytes)).toThrow(InputError);
    expect(() => parseImage(bytes)).toThrow(message);
  });

  it('has segments that overlap', () => {
    const segment = (physAddr: bigint) => ({
      physAddr,
      virtAddr: physAddr,
      memSize: 0x2000n,
      bytes: new Uint8Array(16),
    });
    expect(() => parseImage(makeElf({ segments: [segment(0x1000000n), segment(0x1001000n)] }))).toThrow(/overlap/);
  });
});
