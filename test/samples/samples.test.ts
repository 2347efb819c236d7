// What samples/README.md says about the built images.
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { hexBytes } from '../../src/bits/hex.ts';
import { parseBzImage } from '../../src/image/bzimage.ts';
import { LEA_LENGTH, mutateLea, repairMov } from '../../src/code/mutant.ts';

const built = resolve(fileURLToPath(import.meta.url), '../../../samples/built');
const image = (name: string): Uint8Array => new Uint8Array(readFileSync(join(built, `${name}.bzImage`)));

function differingOffsets(a: Uint8Array, b: Uint8Array): number[] {
  return [...a.keys()].filter((offset) => a[offset] !== b[offset]);
}

describe('the trampoline sample', () => {
  const good = image('good');
  const bad = image('bad');
  const culprit = 0x1a280;

  it('differs between its two links in one instruction', () => {
    expect(bad.length).toBe(good.length);
    const differing = differingOffsets(good, bad);
    expect(Math.min(...differing)).toBe(culprit + 1);
    expect(Math.max(...differing)).toBeLessThan(culprit + LEA_LENGTH);
    expect(hexBytes(bad.subarray(culprit, culprit + LEA_LENGTH))).toBe('48 c7 c6 40 80 01 00');
  });

  it('is made bad by mutateLea and good by repairMov as by ld', () => {
    expect(differingOffsets(mutateLea(good, culprit), bad)).toEqual([]);
    expect(differingOffsets(repairMov(bad, culprit), good)).toEqual([]);
  });

  it('has a setup header that can be loaded anywhere, with both entries', () => {
    const { header, has64BitEntry } = parseBzImage(bad);
    expect(has64BitEntry).toBe(true);
    expect(header.version).toBe(0x20f);
    expect(header.xloadflags).toBe(0x63);
    expect(header.pref_address).toBe(0x1000000n);
    expect(header.init_size).toBe(0x400000);
  });
});

describe('the compare sample', () => {
  it('has in its bad link a compare with a link address', () => {
    const at = 0x1a025;
    expect(hexBytes(image('compare-good').subarray(at, at + 7))).toBe('48 3b 05 84 07 00 00');
    expect(hexBytes(image('compare-bad').subarray(at, at + 7))).toBe('48 81 f8 00 e0 01 00');
  });
});
