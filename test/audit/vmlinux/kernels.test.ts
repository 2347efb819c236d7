// The kernels inside Debian's images: healthy ones without findings, and some of their mutants.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { auditVmlinux } from '../../../src/audit/vmlinux/audit.ts';
import { parseBzImage } from '../../../src/image/bzimage.ts';
import { type PackedFormat, unpack } from '../../../src/unpack/unpack.ts';
import { kernel } from '../../support/kernels.ts';
import { kernelMutants, scoreMutants } from './mutants.ts';

function vmlinuxOf(name: string): Uint8Array {
  const bytes = new Uint8Array(readFileSync(kernel(name)?.path ?? ''));
  const { payload } = parseBzImage(bytes);
  if (payload === undefined) throw new Error(`${name} has no payload`);
  const packed = bytes.subarray(payload.fileOffset, payload.fileOffset + payload.length);
  return unpack(payload.format as PackedFormat, packed, 1 << 27);
}

/** Every one of so many is tried here. */
const STRIDE = 9;

describe.each(['debian-6.1', 'debian-6.12-cloud'])('the kernel inside %s', (name) => {
  describe.skipIf(!kernel(name))('unpacked', () => {
    const unpacked = kernel(name) === undefined ? new Uint8Array() : vmlinuxOf(name);

    it('has no findings, and startup code that was followed to the write of CR3', () => {
      const { findings, notes, coverage, what } = auditVmlinux(unpacked);
      expect(findings).toEqual([]);
      expect(what).toContain('with an appended relocation table');
      expect(coverage.followed[64]).toBeGreaterThan(700);
      expect(notes.some((n) => n.message.includes('CR3'))).toBe(false);
    });

    it('names each mutant that the relocation table does not list, and nothing else', () => {
      const some = kernelMutants(unpacked).filter((_, i) => i % STRIDE === 0);
      expect(some.length).toBeGreaterThan(3);
      expect(scoreMutants(unpacked, some, false)).toEqual({ mutants: some.length, named: some.length, others: 0 });
    });

    it('names mutants that access memory at an absolute address, listed or not', () => {
      const some = kernelMutants(unpacked)
        .filter((m) => m.kind === 'memory')
        .filter((_, i) => i % STRIDE === 0);
      expect(scoreMutants(unpacked, some, true)).toEqual({ mutants: some.length, named: some.length, others: 0 });
    });
  });
});
