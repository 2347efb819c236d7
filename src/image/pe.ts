// The PE/COFF header that the EFI stub of a bzImage wears (Microsoft's "PE Format"; header.S of the kernel). It is
// read, not judged: only what cannot be read at all is an InputError. PE32 is what 32-bit kernels have, PE32+ the others.
import { inside, type Reader, readerOf, viewOf } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import { hex } from '../bits/hex.ts';
import type { FileRange } from './bzimage.ts';
import { peMachine } from './foreign.ts';
import { startsWith } from './payload.ts';

export const PE_MACHINE_I386 = 0x14c;
export const PE_MACHINE_X86_64 = 0x8664;
export const PE_SUBSYSTEM_EFI_APPLICATION = 10;
/** COFF Characteristics */
export const PE_RELOCS_STRIPPED = 0x0001;
export const PE_EXECUTABLE_IMAGE = 0x0002;
/** DllCharacteristics */
export const PE_NX_COMPAT = 0x0100;
/** Section flags */
export const PE_MEM_EXECUTE = 0x2000_0000;
export const PE_MEM_WRITE = 0x8000_0000;

const PE_MAGIC = [0x50, 0x45, 0, 0];
const COFF_SIZE = 20;
const SECTION_SIZE = 40;
const PE32 = 0x10b;
const PE32_PLUS = 0x20b;
/** The certificate table is the one data directory whose address is a file offset. */
const CERTIFICATE_TABLE = 4;
/** "NumberOfRvaAndSizes": the format knows 16. */
const MOST_DIRECTORIES = 16;

/** "NumberOfSections": "the Windows loader limits the number of sections to 96". */
const MOST_SECTIONS = 96;

/** Where the fields of the optional header lie, from its start; the same in PE32 and PE32+. */
const OPTIONAL_FIELDS = [
  { name: 'SizeOfCode', offset: 4, size: 4 },
  { name: 'AddressOfEntryPoint', offset: 16, size: 4 },
  { name: 'BaseOfCode', offset: 20, size: 4 },
  { name: 'SectionAlignment', offset: 32, size: 4 },
  { name: 'FileAlignment', offset: 36, size: 4 },
  { name: 'SizeOfImage', offset: 56, size: 4 },
  { name: 'SizeOfHeaders', offset: 60, size: 4 },
  { name: 'CheckSum', offset: 64, size: 4 },
  { name: 'Subsystem', offset: 68, size: 2 },
  { name: 'DllCharacteristics', offset: 70, size: 2 },
] as const;

/** And those of the COFF header, from its start. */
const COFF_FIELDS = [
  { name: 'Machine', offset: 0, size: 2 },
  { name: 'NumberOfSections', offset: 2, size: 2 },
  { name: 'SizeOfOptionalHeader', offset: 16, size: 2 },
  { name: 'Characteristics', offset: 18, size: 2 },
] as const;

export type PeField = (typeof OPTIONAL_FIELDS)[number]['name'] | (typeof COFF_FIELDS)[number]['name'];

/** Where a field stands in the file. */
export type PeFieldPlace = { readonly fileOffset: number; readonly size: number };

export type PeSection = {
  readonly name: string;
  /** Of the section header in the file. */
  readonly headerOffset: number;
  /** Bytes in memory. */
  readonly virtualSize: number;
  /** From the start of the loaded image. */
  readonly virtualAddress: number;
  /** SizeOfRawData and PointerToRawData; not held against the file here. */
  readonly rawSize: number;
  readonly rawOffset: number;
  readonly characteristics: number;
};

export type PeImage = {
  /** Of "PE\0\0". */
  readonly headerOffset: number;
  readonly plus: boolean;
  readonly fields: Readonly<Record<PeField, number>>;
  readonly places: Readonly<Record<PeField, PeFieldPlace>>;
  /** Where the image would like to be loaded. */
  readonly imageBase: bigint;
  readonly sections: readonly PeSection[];
  /** The section table, which ends the headers. */
  readonly sectionTable: FileRange;
  /** The data directories that are there: address (for the certificates a file offset) and size in bytes. */
  readonly directories: readonly { readonly address: number; readonly size: number; readonly fileOffset: number }[];
};

/** The PE image in a file that begins with "MZ"; undefined without. Throws an InputError where its headers leave the file. */
export function parsePe(bytes: Uint8Array): PeImage | undefined {
  if (!startsWith(bytes, [0x4d, 0x5a])) return undefined;
  const file = readerOf(bytes, 'the PE image');
  const headerOffset = file.u32(0x3c);
  const coff = headerOffset + PE_MAGIC.length;
  if (!startsWith(bytes, PE_MAGIC, headerOffset)) {
    throw new InputError(`the file begins with "MZ", but no PE header stands at ${hex(headerOffset)}, where it points`);
  }
  const optional = coff + COFF_SIZE;
  const magic = file.u16(optional);
  if (magic !== PE32 && magic !== PE32_PLUS) {
    throw new InputError(`the PE image's optional header has the magic ${hex(magic)}, neither PE32 nor PE32+`);
  }
  const places = placesFrom(coff, optional);
  const fields = mapRecord(places, ({ fileOffset, size }) =>
    size === 4 ? file.u32(fileOffset) : file.u16(fileOffset),
  );
  const plus = magic === PE32_PLUS;
  const table = optional + fields.SizeOfOptionalHeader;
  return {
    headerOffset,
    plus,
    fields,
    places,
    imageBase: plus ? file.u64(optional + 24) : BigInt(file.u32(optional + 28)),
    sections: readPeSections(file, table, fields.NumberOfSections),
    sectionTable: { fileOffset: table, size: fields.NumberOfSections * SECTION_SIZE },
    directories: readDirectories(file, optional + (plus ? 108 : 92), table),
  };
}

/** Machine and section names, as far as they can be read: enough to tell what the file is. */
export function peGlance(bytes: Uint8Array): (Pick<PeImage, 'sections'> & { readonly machine: number }) | undefined {
  const machine = peMachine(bytes);
  if (machine === undefined) return undefined;
  try {
    return { machine, sections: parsePe(bytes)?.sections ?? [] };
  } catch (error) {
    if (error instanceof InputError) return { machine, sections: [] };
    throw error;
  }
}

function placesFrom(coff: number, optional: number): Record<PeField, PeFieldPlace> {
  const from = (base: number) => (f: { name: PeField; offset: number; size: number }) =>
    [f.name, { fileOffset: base + f.offset, size: f.size }] as const;
  return Object.fromEntries([...COFF_FIELDS.map(from(coff)), ...OPTIONAL_FIELDS.map(from(optional))]) as Record<
    PeField,
    PeFieldPlace
  >;
}

function mapRecord(places: Record<PeField, PeFieldPlace>, read: (place: PeFieldPlace) => number) {
  return Object.fromEntries(Object.entries(places).map(([name, place]) => [name, read(place)])) as Record<
    PeField,
    number
  >;
}

function readPeSections(file: Reader, table: number, count: number): PeSection[] {
  if (count > MOST_SECTIONS) throw new InputError(`the PE image has ${count} sections; loaders take ${MOST_SECTIONS}`);
  if (!inside(table, count * SECTION_SIZE, file.bytes.length)) {
    throw new InputError(`the PE image has ${count} section headers at ${hex(table)}, beyond the end of the file`);
  }
  return Array.from({ length: count }, (_, i) => readPeSection(file, table + i * SECTION_SIZE));
}

function readPeSection(file: Reader, at: number): PeSection {
  const name = file.slice(at, 8);
  const end = name.indexOf(0);
  return {
    name: String.fromCharCode(...name.subarray(0, end < 0 ? 8 : end)).replace(/[^\x20-\x7e]/g, '?'),
    headerOffset: at,
    virtualSize: file.u32(at + 8),
    virtualAddress: file.u32(at + 12),
    rawSize: file.u32(at + 16),
    rawOffset: file.u32(at + 20),
    characteristics: file.u32(at + 36),
  };
}

/** As many as the header names and has room for. */
function readDirectories(file: Reader, countAt: number, end: number): PeImage['directories'] {
  const first = countAt + 4;
  const room = Math.max(0, Math.floor((end - first) / 8));
  const count = Math.min(file.u32(countAt), room, MOST_DIRECTORIES);
  return Array.from({ length: count }, (_, i) => {
    const fileOffset = first + 8 * i;
    return { address: file.u32(fileOffset), size: file.u32(fileOffset + 4), fileOffset };
  });
}

/** The certificate table's directory entry (signatures of Secure Boot); undefined where the image is not signed. */
export function certificateDirectory(pe: PeImage): PeImage['directories'][number] | undefined {
  const entry = pe.directories[CERTIFICATE_TABLE];
  return entry === undefined || (entry.address === 0 && entry.size === 0) ? undefined : entry;
}

/** Where the certificate table's directory entry stands, signed or not. */
export function certificateEntryOffset(pe: PeImage): number | undefined {
  return pe.directories[CERTIFICATE_TABLE]?.fileOffset;
}

/** What CheckSum should be: the sum of all 16-bit words with the carries added back, and the file's size. */
export function peChecksum(bytes: Uint8Array, pe: PeImage): number {
  const view = viewOf(bytes);
  const even = bytes.length & ~1;
  let sum = bytes.length === even ? 0 : (bytes[even] as number);
  // 2^53 is not reached before 2^37 words.
  for (let i = 0; i < even; i += 2) sum += view.getUint16(i, true);
  const at = pe.places.CheckSum.fileOffset;
  for (let i = at; i < at + 4; i++) sum -= (bytes[i] as number) * (i % 2 === 0 ? 1 : 256);
  while (sum > 0xffff) sum = Math.floor(sum / 0x10000) + (sum % 0x10000);
  return (sum + bytes.length) >>> 0;
}
