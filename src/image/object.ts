// Relocatable ELF64 files for x86-64, as compilers and assemblers write them: sections, symbols and RELA relocations
// (System V gABI, "Sections", "Symbol Table", "Relocation"; field names as there). Every index and size is checked here, so
// that whoever reads an ObjectFile can follow them.
import type { Reader } from '../bits/cursor.ts';
import { inside, readerOf } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import { hex } from '../bits/hex.ts';
import { cString } from '../bits/text.ts';
import { checkElfHeader, type ElfSection, isElf, readSections, SHT_NOBITS, SHT_SYMTAB, sectionBytes } from './elf.ts';

export const SHF_WRITE = 1n;
export const SHF_ALLOC = 2n;
export const SHF_EXECINSTR = 4n;
const ET_REL = 1;
const SHT_RELA = 4;
const SHT_REL = 9;
const SHT_SYMTAB_SHNDX = 18;
const E_SHOFF = 40;
const SHDR_SIZE = 64;
const SH_INFO = 44;
const SYM_SIZE = 24;
const RELA_SIZE = 24;
const SHN_UNDEF = 0;
const SHN_LORESERVE = 0xff00;
const SHN_ABS = 0xfff1;
const SHN_COMMON = 0xfff2;
const SHN_XINDEX = 0xffff;
const LONGEST_NAME = 4096;
/** Names share their bytes in .strtab; the most that all of them together may come to, in bytes of the file. */
const NAMES_PER_FILE_BYTE = 16;

export type SymbolBinding = 'local' | 'global' | 'weak' | 'other';
export type SymbolType = 'notype' | 'object' | 'func' | 'section' | 'file' | 'common' | 'tls' | 'ifunc' | 'other';
export type SymbolVisibility = 'default' | 'internal' | 'hidden' | 'protected';

export interface ObjectSymbol {
  /** A section symbol without a name has its section's. */
  readonly name: string;
  readonly binding: SymbolBinding;
  readonly type: SymbolType;
  readonly visibility: SymbolVisibility;
  /** Index of its section, or what it has instead of one. 'reserved' is an SHN_* value that says nothing to us. */
  readonly section: number | 'undefined' | 'absolute' | 'common' | 'reserved';
  readonly value: bigint;
  readonly size: bigint;
}

export interface ObjectRelocation {
  /** Index of the section it changes. */
  readonly section: number;
  /** r_offset: bytes from the start of that section; not checked against its size. */
  readonly offset: number;
  /** Relocation type, see relocationTypes.ts. */
  readonly type: number;
  /** Index in `symbols`; 0 is no symbol. */
  readonly symbol: number;
  readonly addend: bigint;
}

export interface ObjectFile {
  readonly kind: 'object';
  readonly bytes: Uint8Array;
  readonly sections: readonly ElfSection[];
  /** Symbol 0 is the empty one. */
  readonly symbols: readonly ObjectSymbol[];
  /** By section, then by offset. */
  readonly relocations: readonly ObjectRelocation[];
}

/** Whether the bytes are an ELF file whose e_type is ET_REL. */
export const isObject = (bytes: Uint8Array): boolean => isElf(bytes) && bytes[16] === ET_REL && bytes[17] === 0;

/**
 * Reads a relocatable object file.
 * @param what the file as messages name it: "head_64.o"
 * Throws an InputError where it is no such file, or contradicts itself. Memory is proportional to the file.
 */
export function parseObject(bytes: Uint8Array, what = 'the object file'): ObjectFile {
  const file = readerOf(bytes, what);
  if (!isElf(bytes)) throw new InputError(`${what} is no ELF file${lookalike(bytes)}`);
  checkElfHeader(file);
  const type = file.u16(16);
  if (type !== ET_REL) throw new InputError(`${what} is no object file (e_type ${type}, not ET_REL)`);
  const sections = readSections(file);
  const tables = sections.filter((s) => s.type === SHT_SYMTAB);
  if (tables.length > 1) throw new InputError(`${what} has ${tables.length} symbol tables; an object file has one`);
  const table = tables[0];
  const symbols = table === undefined ? [] : readSymbols(file, sections, table, what);
  return { kind: 'object', bytes, sections, symbols, relocations: readRelocations(file, sections, symbols, what) };
}

/** Bytes of a section of the object; none for .bss. Throws an InputError where they leave the file. */
export function objectSectionBytes(object: ObjectFile, section: ElfSection): Uint8Array {
  return sectionBytes(readerOf(object.bytes, `section ${section.name}`), section);
}

/** LLVM bitcode, which -flto puts into files named .o. */
function lookalike(bytes: Uint8Array): string {
  const bitcode = bytes[0] === 0x42 && bytes[1] === 0x43 && bytes[2] === 0xc0 && bytes[3] === 0xde;
  return bitcode ? ' but LLVM bitcode, made with -flto: only the link makes code of it' : '';
}

function readSymbols(file: Reader, sections: readonly ElfSection[], table: ElfSection, what: string): ObjectSymbol[] {
  if (table.entrySize !== SYM_SIZE)
    throw new InputError(`${what}: the symbol table has entries of ${table.entrySize} bytes, not ${SYM_SIZE}`);
  const names = sections[table.link];
  if (names === undefined)
    throw new InputError(
      `${what}: the symbol table's names are said to be in section ${table.link}, which is not there`,
    );
  const strings = sectionBytes(file, names);
  const entries = readerOf(sectionBytes(file, table), `${what}: the symbol table`);
  const extended = extendedIndexes(file, sections, table);
  const count = Math.floor(entries.bytes.length / SYM_SIZE);
  const symbols: ObjectSymbol[] = [];
  let nameBytes = 0;
  for (let i = 0; i < count; i++) {
    const symbol = readSymbol(entries, i, strings, sections, extended);
    nameBytes += symbol.name.length;
    if (nameBytes > file.bytes.length * NAMES_PER_FILE_BYTE)
      throw new InputError(`${what}: the names of its symbols are longer than the file can hold`);
    symbols.push(symbol);
  }
  return symbols;
}

/** Section indexes of symbols that need more than 16 bits (gABI, SHT_SYMTAB_SHNDX). */
function extendedIndexes(file: Reader, sections: readonly ElfSection[], table: ElfSection): Reader {
  const own = sections.find((s) => s.type === SHT_SYMTAB_SHNDX && sections[s.link] === table);
  return readerOf(own === undefined ? new Uint8Array() : sectionBytes(file, own), 'the extended section indexes');
}

const BINDINGS: readonly SymbolBinding[] = ['local', 'global', 'weak'];
const TYPES: readonly SymbolType[] = ['notype', 'object', 'func', 'section', 'file', 'common', 'tls'];
const STT_GNU_IFUNC = 10;
const VISIBILITIES = ['default', 'internal', 'hidden', 'protected'] as const;

function readSymbol(
  entries: Reader,
  index: number,
  strings: Uint8Array,
  sections: readonly ElfSection[],
  extended: Reader,
): ObjectSymbol {
  const at = index * SYM_SIZE;
  const info = entries.u8(at + 4);
  const raw = entries.u16(at + 6);
  const section = symbolSection(raw === SHN_XINDEX ? extended.u32(index * 4) : raw, raw, sections.length);
  const type = (info & 0xf) === STT_GNU_IFUNC ? 'ifunc' : (TYPES[info & 0xf] ?? 'other');
  const own = cString(strings, entries.u32(at), LONGEST_NAME) ?? '';
  return {
    name: own === '' && type === 'section' && typeof section === 'number' ? (sections[section]?.name ?? '') : own,
    binding: BINDINGS[info >> 4] ?? 'other',
    type,
    visibility: VISIBILITIES[entries.u8(at + 5) & 3] ?? 'default',
    section,
    value: entries.u64(at + 8),
    size: entries.u64(at + 16),
  };
}

function symbolSection(index: number, raw: number, count: number): ObjectSymbol['section'] {
  if (raw === SHN_UNDEF) return 'undefined';
  if (raw === SHN_ABS) return 'absolute';
  if (raw === SHN_COMMON) return 'common';
  if (raw >= SHN_LORESERVE && raw !== SHN_XINDEX) return 'reserved';
  return index < count ? index : 'reserved';
}

function readRelocations(
  file: Reader,
  sections: readonly ElfSection[],
  symbols: readonly ObjectSymbol[],
  what: string,
): ObjectRelocation[] {
  const tables = [...sections.entries()].filter(([, s]) => s.type === SHT_RELA);
  const rel = sections.find((s) => s.type === SHT_REL && s.size > 0);
  if (rel !== undefined)
    throw new InputError(`${what}: ${rel.name} has relocations without addends (SHT_REL), which x86-64 does not use`);
  const total = tables.reduce((sum, [, s]) => sum + s.size, 0);
  if (total > file.bytes.length) throw new InputError(`${what}: its relocation sections are larger than the file`);
  // Sections of a compiler's file do not overlap; where many do, reading them all would take for ever.
  const targets = new Set(tables.map(([index]) => sections[sectionInfo(file, index)]));
  const bytes = [...targets].reduce((sum, s) => sum + (s === undefined || s.type === SHT_NOBITS ? 0 : s.size), 0);
  if (bytes > file.bytes.length)
    throw new InputError(`${what}: its sections with relocations are larger than the file`);
  return tables.flatMap(([index]) => readTable(file, sections, index, symbols.length, what));
}

function readTable(
  file: Reader,
  sections: readonly ElfSection[],
  index: number,
  symbolCount: number,
  what: string,
): ObjectRelocation[] {
  const table = sections[index]!;
  const info = sectionInfo(file, index);
  if (table.entrySize !== RELA_SIZE)
    throw new InputError(`${what}: ${table.name} has entries of ${table.entrySize} bytes, not ${RELA_SIZE}`);
  const target = sections[info];
  if (target === undefined || target === table)
    throw new InputError(`${what}: ${table.name} is said to be for section ${info}, which cannot be`);
  const entries = readerOf(sectionBytes(file, table), `${what}: ${table.name}`);
  const count = Math.floor(entries.bytes.length / RELA_SIZE);
  const limit = target.type === SHT_NOBITS ? 0 : target.size;
  const found = Array.from({ length: count }, (_, i) => readRelocation(entries, i * RELA_SIZE, info));
  for (const { offset, symbol } of found) {
    if (!inside(offset, 1, limit))
      throw new InputError(`${what}: ${table.name} has a relocation at ${hex(offset)}, past its section`);
    if (symbol > 0 && symbol >= symbolCount)
      throw new InputError(`${what}: ${table.name} names symbol ${symbol} of ${symbolCount}`);
  }
  return found.sort((a, b) => a.offset - b.offset);
}

/** sh_info: of a relocation section, the section it is for. The headers were checked by readSections. */
const sectionInfo = (file: Reader, index: number): number =>
  file.u32(file.size64(E_SHOFF, 'e_shoff') + index * SHDR_SIZE + SH_INFO);

function readRelocation(entries: Reader, at: number, section: number): ObjectRelocation {
  const offset = entries.size64(at, 'r_offset');
  const type = entries.u32(at + 8);
  return { section, offset, type, symbol: entries.u32(at + 12), addend: BigInt.asIntN(64, entries.u64(at + 16)) };
}
