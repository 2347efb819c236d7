// How an ELF stub (arch/x86/boot/compressed/vmlinux) was linked. It is flattened and runs wherever it was loaded, with
// nobody to apply relocations, so what a dynamic loader would repair is wrong here.
import { type Reader, readerOf } from '../../bits/cursor.ts';
import { hex } from '../../bits/hex.ts';
import { cString } from '../../bits/text.ts';
import {
  type ElfImage,
  type ElfSection,
  parseElf,
  readSections,
  SHT_NOBITS,
  SHT_SYMTAB,
  UPPER_HALF,
} from '../../image/elf.ts';
import { LINKED_WITHOUT_PIE } from '../../words/link.ts';
import type { Confidence, Finding, Severity } from '../types.ts';

const SHT_RELA = 4;
const SHT_DYNAMIC = 6;
const SHT_REL = 9;
const SHT_DYNSYM = 11;
const SHT_RELR = 19;
/** Section types of relocations, with the bytes an entry has. */
const RELOCATION_SIZES = [
  [SHT_RELA, 24],
  [SHT_REL, 16],
  [SHT_RELR, 8],
] as const;
const SHF_ALLOC = 2n;
const PF_X = 1;
const PF_W = 2;
const DT_TEXTREL = 22n;
const DT_FLAGS = 30n;
const DF_TEXTREL = 4n;
const STB_WEAK = 2;
const SYMBOL_SIZE = 24;
const SLOT = 8;
/** .got.plt begins with three words for a dynamic loader: the first is the link address of .dynamic, and harmless. */
const RESERVED_SLOTS = 3;
const MOST_NAMED = 4;
const LONGEST_NAME = 256;

/** Of tables the first of their kind is read: linkers make one, and a hostile file has no more work to give. */
type Elf = { readonly file: Reader; readonly image: ElfImage; readonly sections: readonly ElfSection[] };

type Place = { readonly fileOffset: number; readonly size: number; readonly text: string; readonly place?: string };

const NOT_PIE = 'e_type = ET_EXEC';

/** Whether a finding says that -pie is lost, which harms only code that needs it. */
export const saysNotPie = ({ rule, text }: Finding): boolean => rule === 'elf-layout' && text === NOT_PIE;

type ElfRow = {
  readonly severity: Severity;
  readonly confidence: Confidence;
  readonly problem: (elf: Elf) => { readonly message: string; readonly at?: Place } | undefined;
  readonly reason: string;
  readonly advice?: string;
};

const ELF_ROWS: readonly ElfRow[] = [
  {
    severity: 'warning',
    confidence: 'high',
    problem: ({ image }) =>
      image.type === 'EXEC' && image.segments.some((s) => s.virtAddr === 0n)
        ? {
            message: 'The stub was linked without -pie: it is ET_EXEC with link address 0, where it never runs.',
            at: { fileOffset: 16, size: 2, text: NOT_PIE },
          }
        : undefined,
    reason:
      'Relocatable x86 kernels link their stub with -pie since 4.6. Without it, ld may turn a load from the GOT into an absolute immediate, and leaves no relocation that would tell.',
    advice: LINKED_WITHOUT_PIE,
  },
  {
    severity: 'warning',
    confidence: 'high',
    problem: textRelocations,
    reason: 'DT_TEXTREL says that code or read-only data has relocations for a dynamic loader. The stub has none.',
  },
  {
    severity: 'warning',
    confidence: 'high',
    problem: dynamicRelocations,
    reason:
      'The stub has no code that applies them, so the places they name keep link addresses. Kernels since 5.10 assert that there are none.',
  },
  {
    severity: 'warning',
    confidence: 'high',
    problem: undefinedSymbols,
    reason: 'A symbol that nothing defines has the address 0, and nobody looks it up when the stub runs.',
  },
  {
    severity: 'note',
    confidence: 'high',
    problem: filledGot,
    reason:
      'Slots of the GOT hold link addresses. Stubs up to 5.9 add the load address to them before use; later ones have no such code, and assert that the GOT is empty.',
  },
  {
    severity: 'note',
    confidence: 'high',
    problem: ({ image }) => {
      const open = image.segments.find((s) => (s.flags & (PF_X | PF_W)) === (PF_X | PF_W));
      return open && { message: `The segment at ${hex(open.virtAddr)} is writable and executable.` };
    },
    reason:
      'The stub is flattened before it is loaded and segments protect nothing then; under EFI the sections of the PE header do.',
  },
];

/**
 * Findings of how a stub was linked; none for a kernel linked to the upper half. Throws an InputError where the ELF file
 * cannot be read.
 */
export function auditElfLayout(bytes: Uint8Array): Finding[] {
  const image = parseElf(bytes);
  if (image.segments.some((s) => s.virtAddr >= UPPER_HALF)) return [];
  const file = readerOf(bytes, 'the ELF file');
  const elf = { file, image, sections: readSections(file) };
  return ELF_ROWS.flatMap((row) => {
    const found = row.problem(elf);
    return found === undefined ? [] : [elfFinding(row, found.message, found.at, bytes)];
  });
}

function elfFinding(row: ElfRow, message: string, at: Place | undefined, bytes: Uint8Array): Finding {
  const { severity, confidence, reason, advice } = row;
  return {
    rule: 'elf-layout',
    severity,
    confidence,
    message,
    reason,
    ...(advice === undefined ? {} : { advice }),
    ...(at === undefined
      ? {}
      : {
          fileOffset: at.fileOffset,
          bytes: bytes.slice(at.fileOffset, at.fileOffset + at.size),
          text: at.text,
          place: at.place ?? 'ELF header',
        }),
  };
}

function textRelocations(elf: Elf): { message: string; at?: Place } | undefined {
  const section = elf.sections.find((s) => s.type === SHT_DYNAMIC);
  if (section === undefined) return undefined;
  for (const at of entriesOf(elf, section, 16)) {
    const tag = elf.file.u64(at);
    const flagged = tag === DT_FLAGS && (elf.file.u64(at + 8) & DF_TEXTREL) !== 0n;
    if (tag !== DT_TEXTREL && !flagged) continue;
    const text = tag === DT_TEXTREL ? 'DT_TEXTREL' : 'DT_FLAGS with DF_TEXTREL';
    const place = { fileOffset: at, size: 16, text, place: section.name };
    return { message: `The stub has text relocations (${text}).`, at: place };
  }
  return undefined;
}

/** File offsets of a table's whole entries, as far as the file has them. */
function entriesOf(elf: Elf, section: ElfSection, size: number): number[] {
  const end = Math.min(section.fileOffset + section.size, elf.file.bytes.length);
  const count = section.type === SHT_NOBITS ? 0 : Math.max(0, Math.floor((end - section.fileOffset) / size));
  return Array.from({ length: count }, (_, i) => section.fileOffset + i * size);
}

/**
 * Only those that would be loaded: --emit-relocs leaves others, for the reader. What is relocated in the GOT is left to
 * the row about the GOT, because old stubs relocate that themselves.
 */
function dynamicRelocations(elf: Elf): { message: string; at?: Place } | undefined {
  const got = ['.got', '.got.plt'].flatMap((name) => elf.sections.find((s) => s.name === name) ?? []);
  const inGot = (address: bigint): boolean =>
    got.some((s) => address >= s.address && address < s.address + BigInt(s.size));
  for (const [type, size] of RELOCATION_SIZES) {
    const section = elf.sections.find((s) => s.type === type && (s.flags & SHF_ALLOC) !== 0n && s.size > 0);
    if (section === undefined) continue;
    const entries = entriesOf(elf, section, size).filter((at) => type === SHT_RELR || !inGot(elf.file.u64(at)));
    const [first] = entries;
    if (first === undefined) continue;
    const text = `r_offset = ${hex(elf.file.u64(first))}`;
    return {
      message: `The stub has ${entries.length} run-time relocation${entries.length === 1 ? '' : 's'} outside the GOT, in ${section.name}, and nobody applies them.`,
      at: { fileOffset: first, size, text, place: section.name },
    };
  }
  return undefined;
}

function undefinedSymbols(elf: Elf): { message: string; at?: Place } | undefined {
  const names = new Set<string>();
  for (const type of [SHT_SYMTAB, SHT_DYNSYM]) {
    const table = elf.sections.find((s) => s.type === type);
    for (const name of table === undefined ? [] : undefinedIn(elf, table)) names.add(name);
  }
  if (names.size === 0) return undefined;
  const some = [...names].slice(0, MOST_NAMED).join(', ');
  const more = names.size > MOST_NAMED ? ` and ${names.size - MOST_NAMED} more` : '';
  return { message: `Nothing defines ${some}${more}, which the stub refers to.` };
}

function undefinedIn(elf: Elf, table: ElfSection): string[] {
  const strings = elf.sections[table.link];
  if (strings === undefined || strings.type === SHT_NOBITS) return [];
  const text = elf.file.bytes.subarray(strings.fileOffset, strings.fileOffset + strings.size);
  // The first entry is the null symbol.
  return entriesOf(elf, table, SYMBOL_SIZE)
    .slice(1)
    .filter((at) => elf.file.u16(at + 6) === 0 && elf.file.u8(at + 4) >> 4 !== STB_WEAK)
    .map((at) => cString(text, elf.file.u32(at), LONGEST_NAME) ?? '')
    .filter((name) => name !== '');
}

function filledGot(elf: Elf): { message: string; at?: Place } | undefined {
  for (const [name, reserved] of [
    ['.got', 0],
    ['.got.plt', RESERVED_SLOTS],
  ] as const) {
    const section = elf.sections.find((s) => s.name === name);
    if (section === undefined) continue;
    const filled = entriesOf(elf, section, SLOT)
      .slice(reserved)
      .filter((at) => elf.file.u64(at) !== 0n);
    const [first] = filled;
    if (first === undefined) continue;
    return {
      message: `${name} of the stub holds ${filled.length} address${filled.length === 1 ? '' : 'es'}, right only at the link address.`,
      at: { fileOffset: first, size: SLOT, text: `.quad ${hex(elf.file.u64(first))}`, place: name },
    };
  }
  return undefined;
}
