// ELF32 executables, as far as loading needs it (System V gABI, "Object Files"). They are entered by Multiboot or by PVH;
// nothing else here starts 32-bit code of an ELF file.
import { inside, type Reader, readerOf } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import { checkedSegments, type ElfSegment, EM_X86_64, isElf, physicalEntry } from './elf.ts';
import { hasMultibootHeader } from './multiboot.ts';
import { pvhEntryOf } from './pvhNote.ts';

const EM_386 = 3;
const EHDR_SIZE = 52;
const PHDR_SIZE = 32;
const PT_LOAD = 1;
const ET_EXEC = 2;
const ET_DYN = 3;

export interface Elf32Image {
  readonly kind: 'elf32';
  readonly bytes: Uint8Array;
  readonly entryPhysical: number;
  /** PT_LOAD with something to load, by physical address; they do not overlap. */
  readonly segments: readonly ElfSegment[];
}

/** A 32-bit x86 ELF file that says how it wants to be entered? */
export const isBootableElf32 = (bytes: Uint8Array): boolean =>
  isElf32(bytes) && (hasMultibootHeader(bytes) || pvhEntryOf(bytes) !== undefined);

function isElf32(bytes: Uint8Array): boolean {
  if (!isElf(bytes) || bytes.length < EHDR_SIZE || bytes[4] !== 1 || bytes[5] !== 1) return false;
  const machine = (bytes[18] as number) | ((bytes[19] as number) << 8);
  return machine === EM_386 || machine === EM_X86_64;
}

/** Throws an InputError where the file contradicts itself. @param bytes of a file for which isBootableElf32 */
export function parseElf32(bytes: Uint8Array): Elf32Image {
  const file = readerOf(bytes, 'the ELF file');
  const type = file.u16(16);
  if (type !== ET_EXEC && type !== ET_DYN) {
    throw new InputError(`this ELF file is no executable (e_type ${type}); Firstlight boots ET_EXEC and ET_DYN`);
  }
  const segments = checkedSegments(readLoads(file), bytes.length);
  return { kind: 'elf32', bytes, entryPhysical: physicalEntry(BigInt(file.u32(24)), segments), segments };
}

function readLoads(file: Reader): ElfSegment[] {
  const table = file.u32(28);
  const count = file.u16(44);
  if (count > 0 && file.u16(42) !== PHDR_SIZE) {
    throw new InputError(
      `this ELF file's program headers have ${file.u16(42)} bytes each (e_phentsize), not ${PHDR_SIZE}`,
    );
  }
  if (!inside(table, count * PHDR_SIZE, file.bytes.length)) {
    throw new InputError('the ELF file ends within its program headers');
  }
  const all = Array.from({ length: count }, (_, i) => table + i * PHDR_SIZE);
  return all.filter((at) => file.u32(at) === PT_LOAD).map((at) => readLoad(file, at));
}

const readLoad = (file: Reader, at: number): ElfSegment => ({
  fileOffset: file.u32(at + 4),
  virtAddr: BigInt(file.u32(at + 8)),
  physAddr: file.u32(at + 12),
  fileSize: file.u32(at + 16),
  memSize: file.u32(at + 20),
  flags: file.u32(at + 24),
});
