// The .symtab of an ELF file as nm lists it (nm(1) of binutils): every symbol with the letter of its kind.
import { readerOf } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import { cString } from '../bits/text.ts';
import { type ElfSection, readSections, SHT_NOBITS, SHT_SYMTAB, sectionBytes } from './elf.ts';

export interface ListedSymbol {
  readonly address: bigint;
  /** T code, D data, R read-only data, B zeros, A absolute, W and V weak; small where local. */
  readonly letter: string;
  readonly name: string;
}

const SYM_SIZE = 24;
const SHN_UNDEF = 0;
const SHN_ABS = 0xfff1;
const STT_OBJECT = 1;
const STT_SECTION = 3;
const STT_FILE = 4;
const STB_LOCAL = 0;
const STB_WEAK = 2;
const SHF_WRITE = 1n;
const SHF_EXECINSTR = 4n;
const LONGEST_NAME = 4096;

/**
 * The defined symbols by address, as `nm -n` lists them; undefined where the file has no symbol table.
 * Throws an InputError where the table leaves the file.
 */
export function listSymbols(bytes: Uint8Array): ListedSymbol[] | undefined {
  const file = readerOf(bytes, 'the ELF file');
  const sections = readSections(file);
  const table = sections.find(({ type }) => type === SHT_SYMTAB);
  if (table === undefined || table.entrySize !== SYM_SIZE) return undefined;
  const names = sections[table.link];
  if (names === undefined) {
    throw new InputError(`the symbol table's names are said to be in section ${table.link}, which is not there`);
  }
  const strings = sectionBytes(file, names);
  const entries = readerOf(sectionBytes(file, table), 'the symbol table');
  const symbols: ListedSymbol[] = [];
  for (let at = SYM_SIZE; at + SYM_SIZE <= entries.bytes.length; at += SYM_SIZE) {
    const [info, section] = [entries.u8(at + 4), entries.u16(at + 6)];
    const type = info & 0xf;
    if (section === SHN_UNDEF || type === STT_SECTION || type === STT_FILE) continue;
    const name = cString(strings, entries.u32(at), LONGEST_NAME);
    // A name with spaces or control characters would not be one in a listing.
    if (name === undefined || !/^[\x21-\x7e]+$/.test(name)) continue;
    symbols.push({ address: entries.u64(at + 8), letter: letterOf(info, section, sections), name });
  }
  return symbols.sort((a, b) => (a.address < b.address ? -1 : a.address > b.address ? 1 : 0));
}

function letterOf(info: number, index: number, sections: readonly ElfSection[]): string {
  if (info >> 4 === STB_WEAK) return (info & 0xf) === STT_OBJECT ? 'V' : 'W';
  const letter = index === SHN_ABS ? 'A' : kindOf(sections[index]);
  return info >> 4 === STB_LOCAL ? letter.toLowerCase() : letter;
}

function kindOf(section: ElfSection | undefined): string {
  if (section === undefined) return '?';
  if ((section.flags & SHF_EXECINSTR) !== 0n) return 'T';
  if (section.type === SHT_NOBITS) return 'B';
  return (section.flags & SHF_WRITE) !== 0n ? 'D' : 'R';
}

/** Lines of a System.map: "ffffffff81000000 T startup_64". */
export function symbolLines(symbols: readonly ListedSymbol[]): string[] {
  return symbols.map(({ address, letter, name }) => `${address.toString(16).padStart(16, '0')} ${letter} ${name}`);
}
