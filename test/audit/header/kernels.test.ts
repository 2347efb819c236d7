import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { auditHeaderOf } from '../../../src/audit/header/auditHeader.ts';
import { headerFacts } from '../../../src/audit/header/facts.ts';
import { unsignedCrc } from '../../../src/audit/header/checksum.ts';
import { InputError } from '../../../src/bits/errors.ts';
import { parseImage } from '../../../src/image/image.ts';
import { putHeaderField, type SetupHeaderField } from '../../../src/image/setup-header.ts';
import { randomOf } from '../../image/synthetic.ts';
import { kernels } from '../../support/kernels.ts';
import { healthyImage } from './healthy.ts';

const read = (path: string): Uint8Array => new Uint8Array(readFileSync(path));
const files = kernels().files;

describe.skipIf(files.length === 0)("Debian's kernels", () => {
  it.each(files.map((file) => [file.name, file.path] as const))('%s: the header has nothing wrong', (_, path) => {
    expect(auditHeaderOf(read(path))).toEqual([]);
  });

  it.each(files.map((file) => [file.name, file.path] as const))(
    '%s: the CRC of the build holds once the signature is undone',
    (_, path) => {
      const bytes = read(path);
      const { part, file, pe } = headerFacts(bytes);
      const at = part.fileOffset + part.size - 4;
      expect(file.u32(at)).not.toBe(0);
      expect(unsignedCrc(bytes.subarray(0, at), pe)).toBe(file.u32(at));
    },
  );

  // What is wrong is worked out from what the kernel says itself, so that it holds for each build of the series.
  const WRONG: readonly (readonly [SetupHeaderField, string, (own: number | bigint) => number | bigint, string])[] = [
    ['setup_sects', 'one less', (own) => Number(own) - 1, 'error'],
    ['syssize', '0xd820 less', (own) => Number(own) - 0xd820, 'error'],
    ['xloadflags', 'without bit 5', (own) => Number(own) & ~0x20, 'error'],
    ['payload_offset', 'one more', (own) => Number(own) + 1, 'error'],
    ['payload_length', '139 more', (own) => Number(own) + 139, 'error'],
    ['init_size', '0xc8000 less', (own) => Number(own) - 0xc8000, 'error'],
    ['init_size', '0x98000 less', (own) => Number(own) - 0x98000, 'warning'],
    ['handover_offset', 'at 0x1000', () => 0x1000, 'error'],
    ['kernel_info_offset', '161 more', (own) => Number(own) + 161, 'error'],
    ['pref_address', 'one more', (own) => BigInt(own) + 1n, 'error'],
  ];
  const sixOne = files.find((file) => file.name === 'debian-6.1');

  it.skipIf(sixOne === undefined).each(WRONG)(
    '6.1 with %s %s: one finding beside the checksums',
    (field, _, wrong, severity) => {
      const bytes = read(sixOne?.path ?? '');
      const image = parseImage(bytes);
      if (image.kind !== 'bzImage') throw new Error('this is no bzImage');
      putHeaderField(bytes, field, wrong(image.header[field]));
      const found = auditHeaderOf(bytes).filter((f) => f.rule !== 'checksum');
      expect(found.map((f) => [f.severity, f.text?.split(' ')[0]])).toEqual([[severity, field]]);
    },
  );
});

describe('the bundled samples', () => {
  it.each(['good', 'bad', 'compare-good', 'compare-bad'])('%s.bzImage: a note on the payload', (name) => {
    const bytes = read(fileURLToPath(new URL(`../../../samples/built/${name}.bzImage`, import.meta.url)));
    expect(auditHeaderOf(bytes).map((f) => [f.severity, f.rule])).toEqual([['note', 'payload-layout']]);
  });
});

describe('mutilated headers', () => {
  it('give findings or an InputError, 600 times', () => {
    const random = randomOf(3);
    const outcomes = { findings: 0, clean: 0, refused: 0 };
    for (let round = 0; round < 600; round++) {
      const image = mutilated(healthyImage({ version: round % 2 === 0 ? '6.1.0' : '7.1.0' }), random);
      try {
        outcomes[auditHeaderOf(image).length > 0 ? 'findings' : 'clean']++;
      } catch (error) {
        if (!(error instanceof InputError) || error.message.includes('\n')) throw error;
        outcomes.refused++;
      }
    }
    expect(outcomes.findings).toBeGreaterThan(300);
    expect(outcomes.refused).toBeGreaterThan(10);
  });
});

/** Some bytes of the headers, the payload's start or its end made random, now and then with the file cut short. */
function mutilated(image: Uint8Array, random: (below: number) => number): Uint8Array {
  const areas: readonly (readonly [number, number])[] = [
    [0, 0x1f0],
    [0x1f0, 0x280],
    [0x200, 0x26c],
    [0x3400, 0x3420],
    [0x4400, 0x4420],
    [0x5000, 0x5010],
  ];
  for (let i = random(6) + 1; i > 0; i--) {
    const [start, end] = areas[random(areas.length)] ?? [0, 0];
    image[start + random(end - start)] = [0, 0xff, 0x80, random(256)][random(4)] ?? 0;
  }
  return random(5) === 0 ? image.subarray(0, random(image.length)) : image;
}
