// What a file holds: the one way in. A bzImage and an ELF file are read here; anything else is named and refused.
import { type BzImage, parseBzImage } from './bzimage.ts';
import { type ElfImage, isElf, parseElf } from './elf.ts';

export type KernelImage = BzImage | ElfImage;

/** Reads a kernel image. Throws an InputError, one line in plain words, for whatever cannot be booted here. */
export function parseImage(bytes: Uint8Array): KernelImage {
  return isElf(bytes) ? parseElf(bytes) : parseBzImage(bytes);
}
