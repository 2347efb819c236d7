// Checksums that nobody checks at boot, but that tell whether the file is as its build, or its signer, left it. They are
// notes: a mismatch alone breaks nothing.
//
// Kernels from 2.6.26 to 6.14 end their protected-mode part with a CRC-32 over all before it (tools/build.c: seed
// 0xffffffff, not inverted). Signing for Secure Boot afterwards fills CheckSum and the certificate entry of the PE
// header and appends the signature, so both are taken as 0, as they were. Later kernels have zeros there.
import { hex } from '../../bits/hex.ts';
import { crc32Register } from '../../bits/crc32.ts';
import { certificateEntryOffset, type PeImage, peChecksum } from '../../image/pe.ts';
import type { Finding } from '../types.ts';
import { type HeaderFacts, isBefore } from './facts.ts';

const CRC_SIZE = 4;

export function auditChecksums(facts: HeaderFacts): Finding[] {
  return [crcFinding(facts), peFinding(facts)].filter((finding) => finding !== undefined);
}

/** Whether the file carries the build's checksum, and it is right: what lies in the image is what the build put there. */
export function matchesBuildChecksum({ bytes, file, part, promised, pe }: HeaderFacts): boolean {
  if (part.size !== promised.size || part.size < CRC_SIZE) return false;
  const at = part.fileOffset + part.size - CRC_SIZE;
  const stored = file.u32(at);
  return stored !== 0 && unsignedCrc(bytes.subarray(0, at), pe) === stored;
}

/** Zero is taken as no checksum; where the version does not tell that there must be one, only a match says something. */
function crcFinding(facts: HeaderFacts): Finding | undefined {
  const { bytes, file, part, promised, pe, version } = facts;
  if (part.size !== promised.size || part.size < CRC_SIZE || !isBefore(version, 6, 15)) return undefined;
  const at = part.fileOffset + part.size - CRC_SIZE;
  const stored = file.u32(at);
  if (stored === 0) return undefined;
  const computed = unsignedCrc(bytes.subarray(0, at), pe);
  if (computed === stored) return undefined;
  return {
    rule: 'checksum',
    severity: 'note',
    confidence: 'high',
    message: `The checksum at the end of the protected-mode part is ${hex(stored)}, but that of the file is ${hex(computed)}: the image was changed after it was built.`,
    reason:
      'Builds of this version write a CRC-32 there. What signing for Secure Boot changes was taken into account. No loader checks it.',
    fileOffset: at,
    bytes: bytes.slice(at, at + CRC_SIZE),
    place: 'end of the protected-mode part',
  };
}

/** The register over `bytes` with the fields that signing fills taken as 0. */
export function unsignedCrc(bytes: Uint8Array, pe: PeImage | undefined): number {
  const entry = pe === undefined ? undefined : certificateEntryOffset(pe);
  const zeroed = [
    ...(pe === undefined ? [] : [{ start: pe.places.CheckSum.fileOffset, size: 4 }]),
    ...(entry === undefined ? [] : [{ start: entry, size: 8 }]),
  ];
  let crc = 0xffffffff;
  let at = 0;
  for (const { start, size } of zeroed.sort((a, b) => a.start - b.start)) {
    crc = crc32Register(bytes.subarray(at, start), crc);
    crc = crc32Register(new Uint8Array(size), crc);
    at = start + size;
  }
  return crc32Register(bytes.subarray(at), crc);
}

function peFinding({ bytes, pe }: HeaderFacts): Finding | undefined {
  const stored = pe?.fields.CheckSum ?? 0;
  if (pe === undefined || stored === 0) return undefined;
  const computed = peChecksum(bytes, pe);
  if (computed === stored) return undefined;
  const { fileOffset, size } = pe.places.CheckSum;
  return {
    rule: 'checksum',
    severity: 'note',
    confidence: 'high',
    message: `CheckSum in the PE header is ${hex(stored)}, but that of the file is ${hex(computed)}: the image was changed after that was written.`,
    reason:
      'Whoever signs an image writes the sum. Firmware does not check it, but a signature over changed bytes is not valid either.',
    fileOffset,
    bytes: bytes.slice(fileOffset, fileOffset + size),
    text: `CheckSum = ${hex(stored)}`,
    place: 'PE header',
  };
}
