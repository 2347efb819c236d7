// ELF32 executables, as far as loading needs it (System V gABI, "Object Files"). They are entered by Multiboot or by PVH;
// nothing else here starts 32-bit code of an ELF file.
import { inside, type Reader, readerOf } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import { checkedSegments, type ElfSection, type ElfSegment, physicalEntry } from './elf.ts';

const PHDR_SIZE = 32;
const PT_LOAD = 1;
const ET_EXEC = 2;
const ET_DYN = 3;

export interface Elf32Image {
  readonly kind: 'elf32';
  readonly bytes: Uint8Array;
  readonly type: 'EXEC' | 'DYN';
  /** e_entry as it stands in the file. */
  readonly entry: bigint;
  readonly entryPhysical: number;
  /** PT_LOAD with something to load, by physical address; they do not overlap. */
  readonly segments: readonly ElfSegment[];
}

/** Throws an InputError where the file contradicts itself. @param bytes of an ELF file of class 32 for x86 */
export function parseElf32(bytes: Uint8Array): Elf32Image {
  const file = readerOf(bytes, 'the ELF file');
  const type = file.u16(16);
  if (type !== ET_EXEC && type !== ET_DYN) {
    throw new InputError(`this ELF file is no executable (e_type ${type}); Firstlight boots ET_EXEC and ET_DYN`);
  }
  const segments = checkedSegments(readLoads(file), bytes.length);
  const entry = BigInt(file.u32(24));
  return {
    ...{ kind: 'elf32', bytes, type: type === ET_EXEC ? 'EXEC' : 'DYN', entry, segments },
    entryPhysical: physicalEntry(entry, segments),
  };
}

const SHDR_SIZE = 40;

/** Section headers, their names left out; none where the table cannot be used. */
export function readSections32(file: Reader): Omit<ElfSection, 'name'>[] {
  const table = file.u32(32);
  const count = file.u16(48);
  const usable = table !== 0 && file.u16(46) === SHDR_SIZE && inside(table, count * SHDR_SIZE, file.bytes.length);
  if (!usable) return [];
  return Array.from({ length: count }, (_, i) => table + i * SHDR_SIZE).map((at) => ({
    ...{ type: file.u32(at + 4), flags: BigInt(file.u32(at + 8)), address: BigInt(file.u32(at + 12)) },
    ...{
      fileOffset: file.u32(at + 16),
      size: file.u32(at + 20),
      link: file.u32(at + 24),
      entrySize: file.u32(at + 36),
    },
  }));
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
