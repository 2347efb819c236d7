// Unpacks what a kernel build packs. One file a format; each takes one stream to its end, here they are put one after
// the other, as the command-line tools do with files that were joined. What follows the last stream (a kernel's payload
// ends with its unpacked size) is left alone.
import { readerOf, viewOf } from '../bits/cursor.ts';
import { bzip2 } from './bzip2.ts';
import type { Format } from './format.ts';
import { gzip } from './gzip.ts';
import { lz4 } from './lz4.ts';
import { lzma } from './lzma.ts';
import { lzo } from './lzop.ts';
import { outputOf, written } from './output.ts';
import { xz } from './xz.ts';
import { zstd } from './zstd.ts';

export type PackedFormat = 'gzip' | 'bzip2' | 'lzma' | 'xz' | 'lzo' | 'lz4' | 'zstd';

const FORMATS: Readonly<Record<PackedFormat, Format>> = { gzip, bzip2, lzma, xz, lzo, lz4, zstd };

/** A kernel shrinks to a fifth or so; a size word that promises much more is no size word. */
const BELIEVABLE_RATIO = 32;
const USUAL_RATIO = 4;

/** What may come out of a small file whatever its size: so much costs nobody anything. */
const LEAST_LIMIT = 64 << 20;

/** A file that shrinks to less than a 32nd holds no kernel. */
const mostBytes = (packed: number, limit: number): number =>
  Math.min(limit, Math.max(LEAST_LIMIT, BELIEVABLE_RATIO * packed));

/**
 * The unpacked bytes; possibly a view of a larger buffer.
 * Takes time in proportion to input and output, and memory for the output: at most 32 times the input or 64 MiB, whichever is
 * more, and at most the limit; beside it 8 MiB while it grows.
 * @param bytes the payload of a bzImage, with the size word that the kernel's build appends, or a file of the format
 * @param limit most bytes of output
 * @throws InputError, one line, for damaged or truncated data and for data that unpacks to more than `limit` bytes
 */
export function unpack(format: PackedFormat, bytes: Uint8Array, limit: number): Uint8Array {
  const { what, startsAt, unpackAt } = FORMATS[format];
  const source = readerOf(bytes, what);
  const output = outputOf(what, mostBytes(bytes.length, limit), expectedSize(bytes));
  let at = unpackAt(source, 0, output);
  for (;;) {
    if (startsAt === undefined || !startsAt(bytes, at)) return written(output);
    at = unpackAt(source, at, output);
  }
}

function expectedSize(bytes: Uint8Array): number {
  const last = bytes.length < 4 ? 0 : viewOf(bytes).getUint32(bytes.length - 4, true);
  return last >= bytes.length && last <= BELIEVABLE_RATIO * bytes.length ? last : USUAL_RATIO * bytes.length;
}
