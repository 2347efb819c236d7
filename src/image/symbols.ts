// Names for addresses: from the .symtab of an ELF file (the stub's own vmlinux, or the kernel's) or from System.map text.
// Addresses are link addresses as the file gives them; whoever asks has taken the load bias off.
import type { Reader } from '../bits/cursor.ts';
import { readerOf } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import { cString } from '../bits/text.ts';
import { checkElfHeader, type ElfSection, isElf, readSections, SHT_SYMTAB, sectionBytes } from './elf.ts';
import { readSections32 } from './elf32.ts';

export interface SymbolEntry {
  readonly address: bigint;
  /** In bytes; 0 where the source gives none (labels in assembly, System.map). */
  readonly size: bigint;
  readonly name: string;
  /** Of type FUNC in an ELF file: code, from its address on for its size. */
  readonly isFunction?: true;
}

export interface SymbolTable {
  /** By address; one entry an address, the best name of those there. */
  readonly symbols: readonly SymbolEntry[];
}

export interface SymbolHit {
  readonly name: string;
  /** Bytes from the symbol's start. */
  readonly offset: number;
}

const SYM_SIZE = 24;
const SYM32_SIZE = 16;
const SHN_UNDEF = 0;
const SHN_ABS = 0xfff1;
const STT_FUNC = 2;
const STT_SECTION = 3;
const STT_FILE = 4;
const STT_TLS = 6;
const STB_LOCAL = 0;
const LONGEST_NAME = 4096;
/** A name without a size, and with nothing after it, is not stretched further than this. */
const LONGEST_REACH = 1n << 20n;

/** Symbols of an ELF file or of System.map text, told apart by the ELF magic. Throws an InputError where there are none. */
export function parseSymbols(bytes: Uint8Array): SymbolTable {
  return isElf(bytes) ? elfSymbols(bytes) : systemMapSymbols(new TextDecoder().decode(bytes));
}

/** The .symtab of an ELF64 file for x86-64. */
function elfSymbols(bytes: Uint8Array): SymbolTable {
  const file = readerOf(bytes, 'the symbols file');
  checkElfHeader(file);
  const sections = readSections(file);
  const table = sections.find((s) => s.type === SHT_SYMTAB);
  if (table === undefined)
    throw new InputError('the symbols file is an ELF file without a symbol table (it was stripped)');
  if (table.entrySize !== SYM_SIZE)
    throw new InputError(`the symbol table has entries of ${table.entrySize} bytes, not ${SYM_SIZE}`);
  return tableOf(rankedSymbols(file, table, sections));
}

/** The symbols of an ELF file; undefined where it has none, or a table that cannot be used. */
export function ownSymbols(bytes: Uint8Array): SymbolTable | undefined {
  try {
    return isElf(bytes) && bytes[EI_CLASS] === ELFCLASS32 ? elf32Symbols(bytes) : elfSymbols(bytes);
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
}

const EI_CLASS = 4;
const ELFCLASS32 = 1;

/** The .symtab of a 32-bit ELF file. */
function elf32Symbols(bytes: Uint8Array): SymbolTable | undefined {
  const file = readerOf(bytes, 'the ELF file');
  const sections = readSections32(file);
  const table = sections.find((s) => s.type === SHT_SYMTAB);
  const names = table && sections[table.link];
  if (table === undefined || names === undefined || table.entrySize !== SYM32_SIZE) return undefined;
  const strings = sectionBytes(file, names);
  const entries = readerOf(sectionBytes(file, table), 'the symbol table');
  const count = Math.floor(entries.bytes.length / SYM32_SIZE);
  const found = Array.from({ length: count }, (_, i) => i * SYM32_SIZE).map((at) =>
    ranked(strings, {
      ...{ name: entries.u32(at), address: BigInt(entries.u32(at + 4)), size: BigInt(entries.u32(at + 8)) },
      ...{ info: entries.u8(at + 12), section: entries.u16(at + 14) },
    }),
  );
  return tableOf(found.filter((s) => s !== undefined));
}

interface Ranked extends SymbolEntry {
  /** Higher is the better name for the address. */
  readonly rank: number;
}

function rankedSymbols(file: Reader, table: ElfSection, sections: readonly ElfSection[]): Ranked[] {
  const names = sections[table.link];
  if (names === undefined)
    throw new InputError(`the symbol table's names are said to be in section ${table.link}, which is not there`);
  const strings = sectionBytes(file, names);
  const entries = readerOf(sectionBytes(file, table), 'the symbol table');
  const count = Math.floor(entries.bytes.length / SYM_SIZE);
  return Array.from({ length: count }, (_, i) => rankedSymbol(entries, i * SYM_SIZE, strings)).filter(
    (s) => s !== undefined,
  );
}

function rankedSymbol(entries: Reader, at: number, strings: Uint8Array): Ranked | undefined {
  return ranked(strings, {
    ...{ name: entries.u32(at), address: entries.u64(at + 8), size: entries.u64(at + 16) },
    ...{ info: entries.u8(at + 4), section: entries.u16(at + 6) },
  });
}

type RawSymbol = {
  readonly name: number;
  readonly address: bigint;
  readonly size: bigint;
  readonly info: number;
  readonly section: number;
};

function ranked(strings: Uint8Array, { name: at, address, size, info, section }: RawSymbol): Ranked | undefined {
  const type = info & 0xf;
  if (section === SHN_UNDEF || section === SHN_ABS) return undefined;
  if (type === STT_SECTION || type === STT_FILE || type === STT_TLS) return undefined;
  const name = cString(strings, at, LONGEST_NAME);
  if (name === undefined || name === '') return undefined;
  const rank = (type === 0 ? 0 : 4) + (size > 0n ? 2 : 0) + (info >> 4 === STB_LOCAL ? 0 : 1);
  return { address, size, name, rank, ...(type === STT_FUNC ? { isFunction: true } : {}) };
}

const MAP_LINE = /^([0-9a-fA-F]{1,16}) ([A-Za-z?-]) (\S+)(?:\s+\[\S+\])?$/;

/** System.map text (nm's form: address, type letter, name). Absolute and undefined symbols are left out. */
export function systemMapSymbols(text: string): SymbolTable {
  const found: Ranked[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    const trimmed = line.trim();
    if (trimmed === '' || /^\s*[UwvAa] \S+$/.test(trimmed)) continue;
    const match = MAP_LINE.exec(trimmed);
    if (match === null)
      throw new InputError(`line ${index + 1} of the symbols file is no System.map line ("address type name")`);
    const [, address = '', letter = '', name = ''] = match;
    if (/[AaUNn?-]/.test(letter)) continue;
    found.push({ address: BigInt(`0x${address}`), size: 0n, name, rank: letter === letter.toUpperCase() ? 1 : 0 });
  }
  return tableOf(found);
}

function tableOf(found: readonly Ranked[]): SymbolTable {
  if (found.length === 0) throw new InputError('the symbols file holds no symbols');
  const best = new Map<bigint, Ranked>();
  for (const symbol of found) {
    const other = best.get(symbol.address);
    if (other === undefined || symbol.rank > other.rank) best.set(symbol.address, symbol);
  }
  const symbols = [...best.values()].map(
    ({ address, size, name, isFunction }): SymbolEntry => ({
      ...{ address, size, name },
      ...(isFunction === true ? { isFunction } : {}),
    }),
  );
  return { symbols: symbols.sort((a, b) => (a.address < b.address ? -1 : 1)) };
}

/**
 * The symbol an address belongs to: the last one at or below it whose size reaches it; one without a size reaches to
 * the next symbol. Undefined where none does.
 */
export function symbolAt(table: SymbolTable, address: number | bigint): SymbolHit | undefined {
  const wanted = BigInt(address);
  const index = lastAtOrBelow(table.symbols, wanted);
  const symbol = table.symbols[index];
  if (symbol === undefined) return undefined;
  const offset = wanted - symbol.address;
  const next = table.symbols[index + 1];
  const reach = symbol.size > 0n ? symbol.size : next === undefined ? LONGEST_REACH : next.address - symbol.address;
  const bounded = symbol.size === 0n && reach > LONGEST_REACH ? LONGEST_REACH : reach;
  return offset < bounded ? { name: symbol.name, offset: Number(offset) } : undefined;
}

/** `name` or `name+0x1c`, as objdump prints it. */
export function symbolText(hit: SymbolHit): string {
  return hit.offset === 0 ? hit.name : `${hit.name}+0x${hit.offset.toString(16)}`;
}

function lastAtOrBelow(symbols: readonly SymbolEntry[], wanted: bigint): number {
  let low = 0;
  let high = symbols.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const symbol = symbols[middle];
    if (symbol !== undefined && symbol.address <= wanted) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
