// The Multiboot 2 header (Multiboot2 Specification 2.0, section 3.1.1): recognised, because a kernel that has it is entered in
// 32-bit mode by it, and by nothing else that is in the file.
import { viewOf } from '../bits/cursor.ts';

const MAGIC = 0xe852_50d6;
const SEARCH_LIMIT = 32768;
const HEADER_SIZE = 16;

/** Is there a header with a right checksum, 8-aligned, in the first 32,768 bytes? */
export function hasMultiboot2Header(bytes: Uint8Array): boolean {
  const view = viewOf(bytes);
  const last = Math.min(bytes.length, SEARCH_LIMIT) - HEADER_SIZE;
  for (let at = 0; at <= last; at += 8) {
    if (view.getUint32(at, true) !== MAGIC) continue;
    const words = [4, 8, 12].map((offset) => view.getUint32(at + offset, true));
    if (words.reduce((sum, word) => sum + word, MAGIC) % 2 ** 32 === 0) return true;
  }
  return false;
}
