// The kernel inside an image: where it is packed, and how it comes out.
import { readerOf } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import { hexBytes } from '../bits/hex.ts';
import type { Payload } from '../image/bzimage.ts';
import { parseBzImage } from '../image/bzimage.ts';
import { isElf, readSections } from '../image/elf.ts';
import { findEmbeddedConfig, type KernelConfig, parseKernelConfig } from '../image/kernelConfig.ts';
import { payloadFormat } from '../image/payload.ts';
import { unpack } from '../unpack/unpack.ts';

/** Most bytes a kernel may unpack to. */
export const LARGEST_KERNEL = 512 * 2 ** 20;

/** The section that piggy.S puts the packed kernel into. */
const COMPRESSED_SECTION = '.rodata..compressed';

/**
 * The packed kernel in a bzImage or in the stub's ELF file; undefined where there is none.
 * Throws an InputError where the file is neither, or contradicts itself.
 */
export function payloadOf(bytes: Uint8Array): Payload | undefined {
  if (!isElf(bytes)) return parseBzImage(bytes).payload;
  const file = readerOf(bytes, 'the ELF file');
  const section = readSections(file).find(({ name, size }) => name === COMPRESSED_SECTION && size > 0);
  if (section === undefined) return undefined;
  const { fileOffset, size } = section;
  return { fileOffset, length: size, format: payloadFormat(file.slice(fileOffset, size)) };
}

/** The payload unpacked. Throws an InputError where its format is not known, or it is damaged, or more than `limit` bytes. */
export function unpackPayload(
  bytes: Uint8Array,
  { fileOffset, length, format }: Payload,
  limit = LARGEST_KERNEL,
): Uint8Array {
  const packed = bytes.subarray(fileOffset, fileOffset + length);
  if (format === 'elf') return packed;
  if (format !== 'unknown') return unpack(format, packed, limit);
  throw new InputError(
    `the payload is packed in no format that is known here; it begins with ${hexBytes(packed.subarray(0, 8))}`,
  );
}

const LARGEST_CONFIG = 8 << 20;

export type EmbeddedConfig = { readonly text: string; readonly config: KernelConfig };

/**
 * The configuration that a kernel with CONFIG_IKCONFIG carries; undefined where it carries none. Throws an InputError
 * where it is damaged.
 */
export function embeddedConfig(kernel: Uint8Array): EmbeddedConfig | undefined {
  const range = findEmbeddedConfig(kernel);
  if (range === undefined) return undefined;
  const packed = kernel.subarray(range.fileOffset, range.fileOffset + range.size);
  const text = new TextDecoder().decode(unpack('gzip', packed, LARGEST_CONFIG));
  return { text, config: parseKernelConfig(text) };
}
