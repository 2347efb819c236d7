// What the frames of lz4 and zstd have in common: a magic number each, and frames that are to be skipped.
import { inside, type Reader, readerOf } from '../bits/cursor.ts';

/** The first of sixteen magic numbers. */
const SKIPPABLE_MAGIC = 0x184d_2a50;

/** Whether one of the magic numbers, or that of a frame to be skipped, stands at `at`. */
export function isMagicAt(source: Reader, at: number, magics: readonly number[]): boolean {
  if (!inside(at, 4, source.bytes.length)) return false;
  const magic = source.u32(at);
  return magics.includes(magic) || magic >>> 4 === SKIPPABLE_MAGIC >>> 4;
}

/**
 * Whether another frame starts at `at`. A magic number alone is no frame to go on with: the size word that ends a
 * kernel's payload could look like one.
 */
export const frameStartsAt = (bytes: Uint8Array, at: number, what: string, magics: readonly number[]): boolean =>
  at + 4 < bytes.length && isMagicAt(readerOf(bytes, what), at, magics);
