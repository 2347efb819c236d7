// A compressed file, by its first bytes. The formats are those of kernel payloads; lz4 has another frame outside of kernels.
import type { PackedFormat } from '../unpack/unpack.ts';
import { payloadFormat, startsWith } from './payload.ts';

/** Magic of the lz4 frame that the lz4 program writes; a kernel's payload has the legacy one. */
const LZ4_FRAME = [0x04, 0x22, 0x4d, 0x18];

export function packedFormat(bytes: Uint8Array): PackedFormat | undefined {
  if (startsWith(bytes, LZ4_FRAME)) return 'lz4';
  const format = payloadFormat(bytes);
  return format === 'unknown' || format === 'elf' ? undefined : format;
}
