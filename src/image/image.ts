// An image that can be booted, read by the reader of its kind; anything else is named and refused.
import { InputError } from '../bits/errors.ts';
import { type BzImage, parseBzImage } from './bzimage.ts';
import { classify, type FileIdentity } from './classify.ts';
import { type Elf32Image, parseElf32 } from './elf32.ts';
import { type ElfImage, parseElf } from './elf.ts';
import { type MultibootImage, parseMultiboot } from './multiboot.ts';
import { pvhEntryOf } from './pvhNote.ts';

/** Bytes that say nothing of themselves, for a boot protocol that is asked for by its name. */
export interface FlatImage {
  readonly kind: 'flat';
  readonly bytes: Uint8Array;
}

export type KernelImage = BzImage | ElfImage | Elf32Image | MultibootImage | FlatImage;

/** Has the image a stub that is linked at 0, runs wherever it was loaded, and unpacks the kernel? A bzImage has. */
export const stubOf = (image: KernelImage): BzImage | undefined => (image.kind === 'bzImage' ? image : undefined);

/** Reads a kernel image. Throws an InputError, one line in plain words, for whatever cannot be booted here. */
export function parseImage(bytes: Uint8Array): KernelImage {
  return parseAs(bytes, classify(bytes));
}

function parseAs(bytes: Uint8Array, identity: FileIdentity): KernelImage {
  const { kind, what, bits, lacks } = identity;
  switch (kind) {
    case 'bzImage':
    case 'linux-program':
      return parseBzImage(bytes);
    case 'multiboot':
      if (what.startsWith('a flat')) return parseMultiboot(bytes);
      return bits === 32 ? parseElf32(bytes) : parseElf(bytes);
    case 'pvh':
      return bits === 32 ? parseElf32(bytes) : { ...parseElf(bytes), defaultEntry: 'pvh' };
    case 'vmlinux':
      return bits === 32 ? parseVmlinux32(bytes, what) : parseElf(bytes);
    case 'stub':
    case 'elf':
      // ELF64 without a protocol of its own is entered as a vmlinux is; nothing says how to enter the 32-bit one.
      if (bits === 32) throw refusal(identity, 'nothing in it says how it is entered');
      return lacks === undefined ? parseElf(bytes) : { ...parseElf(bytes), lacks };
    case 'multiboot2':
      throw refusal(identity, 'Multiboot 2 is not entered yet');
    case 'object':
    case 'module':
    case 'archive':
    case 'uki':
    case 'other':
    default:
      throw refusal(identity, 'Firstlight boots kernels for x86');
  }
}

function parseVmlinux32(bytes: Uint8Array, what: string): Elf32Image {
  if (pvhEntryOf(bytes) !== undefined) return parseElf32(bytes);
  throw new InputError(`this is ${what} without a PVH note: nothing in it says how it is entered; boot its bzImage`);
}

const refusal = ({ what }: FileIdentity, why: string): InputError => new InputError(`this is ${what}; ${why}`);
