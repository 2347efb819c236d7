// Where a packed stream ends, from its frames alone, without unpacking it. zstd: RFC 8878, 3.1.1; xz: "The .xz File
// Format", 2.1.2; lz4: the legacy frame that the kernel's build writes.
import { readerOf } from '../../bits/cursor.ts';
import { InputError } from '../../bits/errors.ts';
import type { PayloadFormat } from '../../image/payload.ts';

/** The four bytes behind a stream that tell its size once unpacked. */
const SIZE_BYTES = 4;
const XZ_FOOTER = 0x5a59;

/**
 * How many bytes of `packed`, a payload with the size behind it, the stream takes; 'beyond' where it does not end in
 * them, undefined where the format has no frames that could be walked.
 */
export function packedEnd(format: PayloadFormat, packed: Uint8Array): number | 'beyond' | undefined {
  const walk = format === 'zstd' ? zstdEnd : format === 'lz4' ? lz4End : format === 'xz' ? xzEnd : undefined;
  if (walk === undefined) return undefined;
  try {
    const end = walk(packed);
    return end > packed.length ? 'beyond' : end;
  } catch (error) {
    if (error instanceof InputError) return 'beyond';
    throw error;
  }
}

/** One frame: magic, header descriptor, window, dictionary, content size, blocks, checksum. */
function zstdEnd(packed: Uint8Array): number {
  const file = readerOf(packed, 'the zstd stream');
  const descriptor = file.u8(4);
  const singleSegment = (descriptor & 0x20) !== 0;
  const contentSize = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] as number;
  const dictionary = [0, 1, 2, 4][descriptor & 3] as number;
  let at = 5 + (singleSegment ? 0 : 1) + dictionary + contentSize;
  for (;;) {
    const block = file.u16(at) | (file.u8(at + 2) << 16);
    const rle = ((block >> 1) & 3) === 1;
    at += 3 + (rle ? 1 : block >> 3);
    if ((block & 1) !== 0) return at + ((descriptor & 4) !== 0 ? 4 : 0);
  }
}

/** Blocks with their packed size in front; nothing marks the last one but that the data ends. */
function lz4End(packed: Uint8Array): number {
  const file = readerOf(packed, 'the lz4 stream');
  let at = 4;
  while (at < packed.length - SIZE_BYTES) at += 4 + file.u32(at);
  return at;
}

/** Where the footer is not found at the end it is not searched for: it is two bytes. */
function xzEnd(packed: Uint8Array): number {
  const end = packed.length - SIZE_BYTES;
  return readerOf(packed, 'the xz stream').u16(end - 2) === XZ_FOOTER ? end : Number.POSITIVE_INFINITY;
}
