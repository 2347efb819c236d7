// ELF64 for x86-64, as far as loading and naming need it: program headers, sections, symbols (System V gABI, "Object
// Files"; field names as there). Every offset, size and count is held against the file first.
import type { Reader } from '../bits/cursor.ts';
import { inside, readerOf } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import { hex } from '../bits/hex.ts';
import { cString } from '../bits/text.ts';
import { elfMachineName } from './foreign.ts';
import { startsWith } from './payload.ts';

export const EM_X86_64 = 62;
const ELFCLASS64 = 2;
const ELFDATA2LSB = 1;
const ELFDATA2MSB = 2;
const ET_EXEC = 2;
const ET_DYN = 3;
const PT_LOAD = 1;
const EHDR_SIZE = 64;
const PHDR_SIZE = 56;
const SHDR_SIZE = 64;
export const SHT_SYMTAB = 2;
/** Where kernels are linked: the upper half of the canonical addresses. A stub is linked at a small address. */
export const UPPER_HALF = 1n << 63n;
export const SHT_NOBITS = 8;
const MAX_PHYS_ADDR = 2 ** 52;
const LONGEST_NAME = 4096;

export interface ElfSegment {
  readonly fileOffset: number;
  readonly fileSize: number;
  /** At least fileSize; the rest is zero. */
  readonly memSize: number;
  readonly physAddr: number;
  readonly virtAddr: bigint;
  /** PF_X 1, PF_W 2, PF_R 4. */
  readonly flags: number;
}

export interface ElfImage {
  readonly kind: 'elf';
  readonly bytes: Uint8Array;
  readonly type: 'EXEC' | 'DYN';
  /** e_entry as it stands in the file. */
  readonly entry: bigint;
  /** e_entry as a physical address: itself, or translated where it is a virtual address of a segment. */
  readonly entryPhysical: number;
  /** PT_LOAD with something to load, by physical address; they do not overlap. */
  readonly segments: readonly ElfSegment[];
  /** Set where the file is no Linux kernel and its PVH note says how it is entered. */
  readonly defaultEntry?: 'pvh';
  /** Set where nothing in the file says how it is entered: what it has not. */
  readonly lacks?: string;
}

export interface ElfSection {
  readonly name: string;
  readonly type: number;
  readonly flags: bigint;
  readonly address: bigint;
  readonly fileOffset: number;
  readonly size: number;
  readonly link: number;
  readonly entrySize: number;
}

export const isElf = (bytes: Uint8Array): boolean => startsWith(bytes, [0x7f, 0x45, 0x4c, 0x46]);

/** Reads an executable ELF image. Throws an InputError where it is for another machine, or contradicts itself. */
export function parseElf(bytes: Uint8Array): ElfImage {
  const file = readerOf(bytes, 'the ELF file');
  checkElfHeader(file);
  const type = file.u16(16);
  if (type !== ET_EXEC && type !== ET_DYN) {
    throw new InputError(`this ELF file is no executable (${elfTypeText(type)}); Firstlight boots ET_EXEC and ET_DYN`);
  }
  const segments = readSegments(file);
  const entry = file.u64(24);
  return {
    kind: 'elf',
    bytes,
    type: type === ET_EXEC ? 'EXEC' : 'DYN',
    entry,
    entryPhysical: physicalEntry(entry, segments),
    segments,
  };
}

function elfTypeText(type: number): string {
  if (type === 1) return 'ET_REL, an object file that was never linked';
  return type === 4 ? 'ET_CORE, a core dump' : `e_type ${type}`;
}

/** Class, byte order and machine, so that the message names the processor the file is for. */
export function checkElfHeader(file: Reader): void {
  const elfClass = file.u8(4);
  const order = file.u8(5);
  if (order !== ELFDATA2LSB && order !== ELFDATA2MSB)
    throw new InputError(`this ELF file has no byte order (EI_DATA ${order})`);
  const machine = order === ELFDATA2LSB ? file.u16(18) : (file.u8(18) << 8) | file.u8(19);
  if (machine !== EM_X86_64) {
    const big = order === ELFDATA2MSB ? ' (big-endian)' : '';
    throw new InputError(`this is an ELF file for ${elfMachineName(machine)}${big}, not for x86-64`);
  }
  if (order === ELFDATA2MSB) throw new InputError('this ELF file says x86-64 and big-endian, which no x86-64 is');
  if (elfClass !== ELFCLASS64)
    throw new InputError(`this is a 32-bit ELF file (EI_CLASS ${elfClass}), not a 64-bit one`);
  if (file.bytes.length < EHDR_SIZE)
    throw new InputError(`the ELF file ends at ${hex(file.bytes.length)}, within its own header`);
}

function readSegments(file: Reader): ElfSegment[] {
  const table = file.size64(32, 'e_phoff');
  const entrySize = file.u16(54);
  const count = file.u16(56);
  if (count === 0) throw new InputError('this ELF file has no program headers: nothing in it says what to load');
  if (entrySize !== PHDR_SIZE)
    throw new InputError(
      `this ELF file's program headers have ${entrySize} bytes each (e_phentsize), not ${PHDR_SIZE}`,
    );
  if (!inside(table, count * PHDR_SIZE, file.bytes.length)) {
    throw new InputError(
      `the ELF file ends at ${hex(file.bytes.length)}, its program headers at ${hex(table + count * PHDR_SIZE)}`,
    );
  }
  const all = Array.from({ length: count }, (_, i) => table + i * PHDR_SIZE);
  const loads = all.filter((at) => file.u32(at) === PT_LOAD).map((at) => readSegment(file, at));
  return checkedSegments(loads, file.bytes.length);
}

/**
 * PT_LOAD segments that have something to load, by physical address, held against the file and each other.
 * Throws an InputError where one leaves the file or memory, two overlap, or there is none.
 */
export function checkedSegments(loads: readonly ElfSegment[], fileLength: number): ElfSegment[] {
  for (const segment of loads) checkSegment(segment, fileLength);
  const segments = loads.filter((s) => s.memSize > 0).sort((a, b) => a.physAddr - b.physAddr);
  if (segments.length === 0) throw new InputError('this ELF file has nothing to load (no PT_LOAD segment)');
  checkNoOverlap(segments);
  return segments;
}

const readSegment = (file: Reader, at: number): ElfSegment => ({
  flags: file.u32(at + 4),
  fileOffset: file.size64(at + 8, 'p_offset'),
  virtAddr: file.u64(at + 16),
  physAddr: file.size64(at + 24, 'p_paddr'),
  fileSize: file.size64(at + 32, 'p_filesz'),
  memSize: file.size64(at + 40, 'p_memsz'),
});

function checkSegment(segment: ElfSegment, fileLength: number): void {
  const where = `the segment at ${hex(segment.physAddr)}`;
  if (!inside(segment.fileOffset, segment.fileSize, fileLength)) {
    throw new InputError(
      `the ELF file ends at ${hex(fileLength)}, but ${where} takes ${hex(segment.fileSize)} bytes from ${hex(segment.fileOffset)} on`,
    );
  }
  if (segment.memSize < segment.fileSize) {
    throw new InputError(
      `${where} has ${hex(segment.fileSize)} bytes in the file, but only ${hex(segment.memSize)} in memory`,
    );
  }
  if (!inside(segment.physAddr, segment.memSize, MAX_PHYS_ADDR)) {
    throw new InputError(`${where} with ${hex(segment.memSize)} bytes goes beyond any physical address (52 bits)`);
  }
}

function checkNoOverlap(sorted: readonly ElfSegment[]): void {
  sorted.reduce((before, segment) => {
    if (before.physAddr + before.memSize > segment.physAddr) {
      throw new InputError(`two segments overlap in memory, at ${hex(before.physAddr)} and ${hex(segment.physAddr)}`);
    }
    return segment;
  });
}

/** A vmlinux names its entry by physical address; others name a virtual one. Throws an InputError for neither. */
export function physicalEntry(entry: bigint, segments: readonly ElfSegment[]): number {
  const within = (start: bigint, size: number): boolean => entry >= start && entry < start + BigInt(size);
  if (segments.some((s) => within(BigInt(s.physAddr), s.memSize))) return Number(entry);
  const virtual = segments.find((s) => within(s.virtAddr, s.memSize));
  if (virtual !== undefined) return virtual.physAddr + Number(entry - virtual.virtAddr);
  throw new InputError(`the entry point ${hex(entry)} lies in no loaded segment`);
}

/** All section headers; an empty list for a file that has none. Throws an InputError where they leave the file. */
export function readSections(file: Reader): ElfSection[] {
  const table = file.size64(40, 'e_shoff');
  if (table === 0) return [];
  const entrySize = file.u16(58);
  if (entrySize !== SHDR_SIZE)
    throw new InputError(
      `this ELF file's section headers have ${entrySize} bytes each (e_shentsize), not ${SHDR_SIZE}`,
    );
  const first = rawSection(file, table);
  // gABI: where there are too many sections for e_shnum and e_shstrndx, section 0 holds the numbers.
  const count = file.u16(60) === 0 ? first.size : file.u16(60);
  const namesIndex = file.u16(62) === 0xffff ? first.link : file.u16(62);
  if (!inside(table, count * SHDR_SIZE, file.bytes.length)) {
    throw new InputError(
      `the ELF file ends at ${hex(file.bytes.length)}, its section headers at ${hex(table + count * SHDR_SIZE)}`,
    );
  }
  const raw = Array.from({ length: count }, (_, i) => rawSection(file, table + i * SHDR_SIZE));
  const names =
    namesIndex === 0 || raw[namesIndex] === undefined ? new Uint8Array() : sectionBytes(file, raw[namesIndex]);
  return withNames(raw, names);
}

/** Names of all sections together; a hostile file has a million sections with long names. */
const ALL_NAMES = 16 * 2 ** 20;

function withNames(raw: readonly RawSection[], names: Uint8Array): ElfSection[] {
  let left = ALL_NAMES;
  return raw.map((section) => {
    const name = cString(names, section.nameOffset, Math.min(LONGEST_NAME, left)) ?? '';
    left -= name.length;
    return { ...section, name };
  });
}

type RawSection = Omit<ElfSection, 'name'> & { readonly nameOffset: number };

function rawSection(file: Reader, at: number): RawSection {
  return {
    nameOffset: file.u32(at),
    type: file.u32(at + 4),
    flags: file.u64(at + 8),
    address: file.u64(at + 16),
    fileOffset: file.size64(at + 24, 'sh_offset'),
    size: file.size64(at + 32, 'sh_size'),
    link: file.u32(at + 40),
    entrySize: file.size64(at + 56, 'sh_entsize'),
  };
}

/** The bytes a section has in the file (none for SHT_NOBITS). */
export function sectionBytes(file: Reader, section: Pick<ElfSection, 'type' | 'fileOffset' | 'size'>): Uint8Array {
  return section.type === SHT_NOBITS ? new Uint8Array() : file.slice(section.fileOffset, section.size);
}
