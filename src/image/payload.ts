// What the payload of a bzImage is packed with, by its first bytes ("payload_offset" in the boot protocol; lzop's magic is
// lzop's own, the protocol does not list it).

export type PayloadFormat = 'gzip' | 'bzip2' | 'lzma' | 'xz' | 'lzo' | 'lz4' | 'zstd' | 'elf' | 'unknown';

/** Longest first where one could be the start of another. */
const MAGICS: readonly (readonly [PayloadFormat, readonly number[]])[] = [
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['lzo', [0x89, 0x4c, 0x5a, 0x4f]],
  ['lz4', [0x02, 0x21, 0x4c, 0x18]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['elf', [0x7f, 0x45, 0x4c, 0x46]],
  ['lzma', [0x5d, 0x00, 0x00]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['gzip', [0x1f, 0x8b]],
  ['gzip', [0x1f, 0x9e]],
];

export function payloadFormat(bytes: Uint8Array): PayloadFormat {
  const found = MAGICS.find(([, magic]) => startsWith(bytes, magic));
  return found === undefined ? 'unknown' : found[0];
}

export function startsWith(bytes: Uint8Array, magic: readonly number[], offset = 0): boolean {
  return magic.every((byte, i) => bytes[offset + i] === byte);
}
