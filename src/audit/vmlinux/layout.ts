// Where the bytes of a kernel lie in its file and in its virtual memory, and what the stub asks of that layout.
//
// Addresses in this folder are numbers, the signed reading of 64-bit ones: 0xffffffff81000000 is -0x7f000000. The whole
// kernel mapping (from __START_KERNEL_map, 0xffffffff80000000) is the negative 32-bit numbers, which is what sign-extended
// immediates and displacements are.
import { inside, type Reader, readerOf } from '../../bits/cursor.ts';
import { InputError } from '../../bits/errors.ts';
import {
  type ElfImage,
  type ElfSection,
  type ElfSegment,
  parseElf,
  readSections,
  SHT_NOBITS,
} from '../../image/elf.ts';
import { type KernelRelocs, parseKernelRelocs, relocsOfRela } from '../../image/kernelRelocs.ts';

/** __START_KERNEL_map, where the kernel mapping begins. */
export const KERNEL_MAP = -0x80000000;

/** A PT_LOAD segment in the kernel mapping. */
export interface KernelSegment {
  readonly start: number;
  /** End of its bytes in the file, and in memory. */
  readonly fileEnd: number;
  readonly end: number;
  readonly fileOffset: number;
  readonly physAddr: number;
}

export interface KernelFile {
  readonly bytes: Uint8Array;
  readonly elf: ElfImage;
  readonly segments: readonly KernelSegment[];
  readonly sections: readonly ElfSection[];
  /** Virtual address of the entry; undefined where it lies in no segment of the mapping. */
  readonly entry: number | undefined;
  /** Link range: from the first segment's start to the last one's end (_end). */
  readonly start: number;
  readonly end: number;
  /** Where the ELF file ends and what is appended to it begins. */
  readonly elfEnd: number;
  readonly relocs: KernelRelocs | undefined;
  /** Why what is appended is no relocation table. */
  readonly relocsProblem: string | undefined;
}

/** The signed reading of a 64-bit address. */
export const signed = (address: bigint): number => Number(BigInt.asIntN(64, address));

/** The 64-bit address of a signed one. */
export const unsigned = (address: number): bigint => BigInt.asUintN(64, BigInt(address));

/** Reads a kernel's ELF file, with or without an appended table. Throws an InputError where it is no x86-64 kernel. */
export function readKernel(bytes: Uint8Array): KernelFile {
  const elf = parseElf(bytes);
  const segments = elf.segments.flatMap(kernelSegment).sort((a, b) => a.start - b.start);
  const [first] = segments;
  if (first === undefined)
    throw new InputError('this ELF file is no x86-64 kernel: nothing in it is linked from 0xffffffff80000000 on');
  const file = readerOf(bytes, 'the ELF file');
  const sections = readSections(file);
  const elfEnd = endOfElf(file, elf.segments, sections);
  return {
    ...{ bytes, elf, segments, sections, elfEnd },
    entry: entryOf(elf, segments),
    start: first.start,
    end: Math.max(...segments.map((s) => s.end)),
    ...readRelocs(file, sections, elfEnd),
  };
}

function kernelSegment({ virtAddr, memSize, fileSize, fileOffset, physAddr }: ElfSegment): KernelSegment[] {
  const start = signed(virtAddr);
  if (start < KERNEL_MAP || start >= 0 || memSize > -start) return [];
  return [{ start, fileEnd: start + fileSize, end: start + memSize, fileOffset, physAddr }];
}

function entryOf(elf: ElfImage, segments: readonly KernelSegment[]): number | undefined {
  const { entryPhysical } = elf;
  const home = segments.find((s) => entryPhysical >= s.physAddr && entryPhysical < s.physAddr + (s.fileEnd - s.start));
  return home === undefined ? undefined : home.start + (entryPhysical - home.physAddr);
}

function endOfElf(file: Reader, segments: readonly ElfSegment[], sections: readonly ElfSection[]): number {
  const headers = sections.length === 0 ? 64 : file.size64(40, 'e_shoff') + 64 * sections.length;
  const inFile = sections.filter((s) => s.type !== SHT_NOBITS && inside(s.fileOffset, s.size, file.bytes.length));
  const end = (list: readonly { fileOffset: number }[], sizeOf: (i: number) => number): number =>
    list.reduce((max, { fileOffset }, i) => Math.max(max, fileOffset + sizeOf(i)), headers);
  return Math.max(
    end(segments, (i) => segments[i]?.fileSize ?? 0),
    end(inFile, (i) => inFile[i]?.size ?? 0),
  );
}

function readRelocs(
  file: Reader,
  sections: readonly ElfSection[],
  elfEnd: number,
): Pick<KernelFile, 'relocs' | 'relocsProblem'> {
  if (elfEnd === file.bytes.length) return { relocs: relocsOfRela(file, sections), relocsProblem: undefined };
  try {
    return { relocs: parseKernelRelocs(file.bytes, elfEnd), relocsProblem: undefined };
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    return { relocs: undefined, relocsProblem: error.message };
  }
}

/** Where the byte at a kernel address stands in the file; undefined where the file has none. */
export function kernelFileOffset(kernel: KernelFile, address: number): number | undefined {
  const home = segmentAt(kernel, address);
  return home === undefined ? undefined : home.fileOffset + (address - home.start);
}

/** The segment whose file bytes hold an address. */
export const segmentAt = (kernel: KernelFile, address: number): KernelSegment | undefined =>
  kernel.segments.find((s) => address >= s.start && address < s.fileEnd);

/** Whether a number may be a kernel address by its value: within the link range, _end included. */
export const inLinkRange = (kernel: KernelFile, value: number): boolean => value >= kernel.start && value <= kernel.end;
