// The certificate table of a signed image: where Secure Boot's signatures lie (PE format, "The Attribute Certificate
// Table"). Whether a signature is valid is not looked at.
import { inside, type Reader } from '../../bits/cursor.ts';
import { hex } from '../../bits/hex.ts';
import type { PeImage } from '../../image/pe.ts';

const HEADER = 8;
const ALIGNMENT = 8;
const WIN_CERT_REVISION_2 = 0x200;
const PKCS_SIGNED_DATA = 2;

type Directory = PeImage['directories'][number];

/** What is wrong with the table that the directory entry names; undefined where it holds together. */
export function certificateProblem(file: Reader, pe: PeImage, { address, size }: Directory): string | undefined {
  const named = `the certificate table (${hex(address)}, ${hex(size)} bytes)`;
  if (size < HEADER || !inside(address, size, file.bytes.length)) {
    return `${named} does not lie within the file, which ends at ${hex(file.bytes.length)}`;
  }
  if (address % ALIGNMENT !== 0) return `${named} does not begin at a multiple of 8`;
  const covered = pe.sections.find((s) => s.rawSize > 0 && s.rawOffset + s.rawSize > address);
  if (covered !== undefined) return `${named} begins before the section ${covered.name} ends`;
  return entriesProblem(file, address, address + size, named);
}

/** Each entry has its length, revision and type in front, and is padded to 8 bytes. */
function entriesProblem(file: Reader, start: number, end: number, named: string): string | undefined {
  let at = start;
  while (at < end) {
    const length = at + HEADER <= end ? file.u32(at) : 0;
    if (length < HEADER || length > end - at)
      return `${named} has an entry of ${hex(length)} bytes at ${hex(at)}, which cannot be right`;
    const revision = file.u16(at + 4);
    const type = file.u16(at + 6);
    if (revision !== WIN_CERT_REVISION_2 || type !== PKCS_SIGNED_DATA) {
      return `${named} has an entry of revision ${hex(revision)} and type ${type} at ${hex(at)}; signatures have 0x200 and 2`;
    }
    at += Math.ceil(length / ALIGNMENT) * ALIGNMENT;
  }
  return undefined;
}
