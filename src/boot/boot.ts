// Which protocol an image is entered by: a bzImage by the Linux boot protocol; an ELF file by its Multiboot header where it
// has one, else by its PVH note, but for a Linux kernel's x86-64 one: that, and one that has neither, as a vmlinux, in long mode.
import { InputError } from '../bits/errors.ts';
import { hex } from '../bits/hex.ts';
import type { Elf32Image } from '../image/elf32.ts';
import type { ElfImage } from '../image/elf.ts';
import type { KernelImage } from '../image/image.ts';
import {
  findMultibootHeader,
  hasMultibootHeader,
  type MultibootImage,
  type MultibootLoad,
} from '../image/multiboot.ts';
import { pvhEntryOf } from '../image/pvhNote.ts';
import { type Boot, type BootOptions, bootLinux, type WritableMemory } from './linux.ts';
import { multiboot } from './multiboot.ts';
import { bootProgram, type Program, type ProgramOptions } from './program.ts';
import { pvh } from './pvh.ts';

export const ENTRIES = [32, 64, 'multiboot', 'pvh'] as const;
/** 32 and 64: the entries of the Linux boot protocol. */
export type Entry = (typeof ENTRIES)[number];

export type ImageOptions = Omit<BootOptions, 'entry'> & ProgramOptions & { readonly entry?: Entry | undefined };

/** Loads `image` into `memory`. Throws an InputError where the options, the image and the RAM do not go together. */
export function bootImage(options: ImageOptions, image: KernelImage, memory: WritableMemory): Boot {
  const { entry = defaultEntry(image), ...rest } = options;
  if (image.kind === 'bzImage' || (image.kind === 'elf' && typeof entry !== 'string')) {
    return bootLinux({ ...rest, entry: linuxEntry(entry, options) }, image, memory);
  }
  if (typeof entry === 'number') {
    throw new InputError(`this image has no entry of the Linux boot protocol; it is entered by ${defaultEntry(image)}`);
  }
  const cmdline = options.cmdline ?? '';
  return entry === 'pvh'
    ? bootProgram(options, pvhProgram(image), pvh(cmdline), memory)
    : bootProgram(options, multibootProgram(image), multiboot(cmdline), memory);
}

/** Is the image entered by Multiboot, as bare-metal test programs are? */
export const isMultibootEntry = (entry: Entry | undefined, image: KernelImage): boolean =>
  (entry ?? defaultEntry(image)) === 'multiboot';

/** Is the image entered by another protocol than Linux's? */
export const isForeign = (entry: Entry | undefined, image: KernelImage): boolean =>
  typeof (entry ?? defaultEntry(image)) === 'string';

/** No Linux kernel: entered by another protocol, or, as memtest86+ is, a bzImage with nothing to unpack. */
export const isProgram = (entry: Entry | undefined, image: KernelImage): boolean =>
  isForeign(entry, image) || (image.kind === 'bzImage' && image.payload === undefined);

/** Undefined where the Linux boot protocol has to choose. */
function defaultEntry(image: KernelImage): Entry | undefined {
  if (image.kind === 'bzImage') return undefined;
  if (image.kind === 'multiboot' || hasMultibootHeader(image.bytes)) return 'multiboot';
  return image.kind === 'elf32' ? 'pvh' : image.defaultEntry;
}

function linuxEntry(entry: Entry | undefined, { modules }: ImageOptions): 32 | 64 | undefined {
  if (typeof entry === 'string') {
    throw new InputError(`a bzImage is entered by the Linux boot protocol, not by ${entry}`);
  }
  if (modules !== undefined && modules.length > 0) {
    throw new InputError('the Linux boot protocol has no modules; it has one initial RAM disk');
  }
  return entry;
}

type ProgramImage = ElfImage | Elf32Image | MultibootImage;

/** By the header's addresses where it has them, and they go before what an ELF header says (3.1.3); else as ELF. */
function multibootProgram(image: ProgramImage): Program {
  if (image.kind === 'multiboot') return addressed(image.bytes, image.load);
  const header = findMultibootHeader(image.bytes);
  if (header === undefined) throw new InputError('this ELF file has no Multiboot header in its first 8192 bytes');
  if (header.load !== undefined) return addressed(image.bytes, header.load);
  return { bytes: image.bytes, entry: image.entryPhysical, segments: image.segments };
}

const addressed = (bytes: Uint8Array, load: MultibootLoad): Program => ({ bytes, entry: load.entry, segments: [load] });

function pvhProgram(image: ProgramImage): Program {
  const entry = image.kind === 'multiboot' ? undefined : pvhEntryOf(image.bytes);
  if (image.kind === 'multiboot' || entry === undefined) {
    throw new InputError('this file has no PVH entry (no ELF note XEN_ELFNOTE_PHYS32_ENTRY)');
  }
  if (!image.segments.some((s) => entry >= s.physAddr && entry < s.physAddr + s.memSize)) {
    throw new InputError(`the PVH entry point ${hex(entry)} lies in no loaded segment`);
  }
  return { bytes: image.bytes, entry, segments: image.segments };
}
