import { describe, expect, it } from 'vitest';
import { auditHeaderOf } from '../../../src/audit/header/auditHeader.ts';
import { headerFacts } from '../../../src/audit/header/facts.ts';
import { unsignedCrc } from '../../../src/audit/header/checksum.ts';
import { putU16, putU32 } from '../../../src/bits/cursor.ts';
import { parsePe, peChecksum } from '../../../src/image/pe.ts';
import { CERTIFICATE_ENTRY, healthyImage, OPTIONAL, PART_SIZE, SETUP_SIZE } from './healthy.ts';

const CRC_AT = SETUP_SIZE + PART_SIZE - 4;

/** As tools/build.c leaves an image. */
function built(version: string): Uint8Array {
  const image = healthyImage({ version });
  putU32(image, CRC_AT, unsignedCrc(image.subarray(0, CRC_AT), headerFacts(image).pe));
  return image;
}

/** As signing leaves it: a table behind, its place in the header, the sum over all. */
function signed(image: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(image.length + 0x20);
  bytes.set(image);
  putU32(bytes, image.length, 0x20);
  putU16(bytes, image.length + 4, 0x200);
  putU16(bytes, image.length + 6, 2);
  putU32(bytes, CERTIFICATE_ENTRY, image.length);
  putU32(bytes, CERTIFICATE_ENTRY + 4, 0x20);
  const pe = parsePe(bytes);
  if (pe === undefined) throw new Error('no PE header');
  putU32(bytes, OPTIONAL + 64, peChecksum(bytes, pe));
  return bytes;
}

describe('checksums', () => {
  it('hold in an image as it was built, and as it was signed', () => {
    expect(auditHeaderOf(built('6.1.0-test'))).toEqual([]);
    expect(auditHeaderOf(signed(built('6.1.0-test')))).toEqual([]);
  });

  it('tell in a note that a byte was changed', () => {
    const image = signed(built('6.1.0-test'));
    image[SETUP_SIZE + 0x1f00] = 0xcc;
    const findings = auditHeaderOf(image);
    expect(findings.map((f) => [f.rule, f.severity])).toEqual([
      ['checksum', 'note'],
      ['checksum', 'note'],
    ]);
    expect(findings[0]).toMatchObject({ fileOffset: CRC_AT });
  });

  it('say nothing of kernels that have no CRC, or of which nothing is known', () => {
    for (const version of ['6.15.0', '7.1.0', 'strange']) {
      const image = healthyImage({ version });
      putU32(image, CRC_AT, 0x12345678);
      expect(auditHeaderOf(image)).toEqual([]);
    }
  });

  it('sum an odd last byte, too', () => {
    const image = healthyImage({ behind: Uint8Array.of(0) });
    const pe = parsePe(image);
    if (pe === undefined) throw new Error('no PE header');
    const even = peChecksum(image.subarray(0, image.length - 1), pe);
    expect(peChecksum(image, pe)).toBe(even + 1);
  });
});
