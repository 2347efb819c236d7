// What a file holds: the one way in. A bzImage, an ELF file and a Multiboot program are read here; anything else is named
// and refused.
import { type BzImage, hasSetupHeader, parseBzImage } from './bzimage.ts';
import { type Elf32Image, isBootableElf32, parseElf32 } from './elf32.ts';
import { type ElfImage, isElf, parseElf } from './elf.ts';
import { hasMultibootHeader, type MultibootImage, parseMultiboot } from './multiboot.ts';

export type KernelImage = BzImage | ElfImage | Elf32Image | MultibootImage;

/** Reads a kernel image. Throws an InputError, one line in plain words, for whatever cannot be booted here. */
export function parseImage(bytes: Uint8Array): KernelImage {
  if (isElf(bytes)) return isBootableElf32(bytes) ? parseElf32(bytes) : parseElf(bytes);
  return !hasSetupHeader(bytes) && hasMultibootHeader(bytes) ? parseMultiboot(bytes) : parseBzImage(bytes);
}
