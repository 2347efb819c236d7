// The PE header against the PE format, against what UEFI firmware asks for, and against the setup header. Severity goes
// by consequence: an error keeps firmware from starting the image.
import { PAGE_SIZE } from '../../bits/address.ts';
import { inside } from '../../bits/cursor.ts';
import { hex } from '../../bits/hex.ts';
import {
  certificateDirectory,
  PE_EXECUTABLE_IMAGE,
  PE_MACHINE_I386,
  PE_MACHINE_X86_64,
  PE_MEM_EXECUTE,
  PE_MEM_WRITE,
  PE_NX_COMPAT,
  PE_RELOCS_STRIPPED,
  PE_SUBSYSTEM_EFI_APPLICATION,
  type PeField,
  type PeImage,
  type PeSection,
} from '../../image/pe.ts';
import type { Confidence, Finding, Severity } from '../types.ts';
import { certificateProblem } from './certificates.ts';
import type { HeaderFacts } from './facts.ts';
import { isPowerOfTwo, sentence, when } from './row.ts';

const SECTION_HEADER_SIZE = 40;

/** What a finding of the PE header points to: a field, a section's header, or a place in the file. */
type Where = PeField | PeSection | { readonly fileOffset: number; readonly size: number };

/** The file, and the setup header of the bzImage that wears the PE header, where it is one. */
export type PeFacts = Pick<HeaderFacts, 'bytes' | 'file'> & { readonly kernel?: HeaderFacts };

type Problem = { readonly where: Where; readonly message: string };

type PeRow = {
  readonly severity: Severity;
  readonly confidence: Confidence;
  readonly problems: (pe: PeImage, facts: PeFacts) => readonly Problem[];
  readonly reason: string;
  readonly advice?: string;
};

/** A row about one field. */
const fieldRow = (
  field: PeField,
  severity: Severity,
  confidence: Confidence,
  problem: (pe: PeImage, facts: PeFacts) => string | undefined,
  reason: string,
  advice?: string,
): PeRow => ({
  severity,
  confidence,
  problems: (pe, facts) => {
    const message = problem(pe, facts);
    return message === undefined ? [] : [{ where: field, message }];
  },
  reason,
  ...(advice === undefined ? {} : { advice }),
});

/** A row asked of each section. */
const sectionRow = (
  severity: Severity,
  confidence: Confidence,
  problem: (section: PeSection, pe: PeImage, facts: PeFacts) => string | undefined,
  reason: string,
): PeRow => ({
  severity,
  confidence,
  problems: (pe, facts) =>
    pe.sections.flatMap((section) => {
      const message = problem(section, pe, facts);
      return message === undefined ? [] : [{ where: section, message: `the PE section ${section.name} ${message}` }];
    }),
  reason,
});

const has = (section: PeSection, bits: number): boolean => (section.characteristics & bits) !== 0;
const writableCode = (section: PeSection): boolean => has(section, PE_MEM_WRITE) && has(section, PE_MEM_EXECUTE);
const nxCompatible = (pe: PeImage): boolean => (pe.fields.DllCharacteristics & PE_NX_COMPAT) !== 0;

const PE_ROWS: readonly PeRow[] = [
  fieldRow('Machine', 'error', 'high', machineProblem, 'Firmware starts only images for its own processor.'),
  fieldRow(
    'Characteristics',
    'error',
    'high',
    ({ fields: { Characteristics: bits } }) =>
      when((bits & PE_EXECUTABLE_IMAGE) === 0, `Characteristics is ${hex(bits)}, without EXECUTABLE_IMAGE`),
    'Without the bit the file says of itself that it was not linked to an end.',
  ),
  fieldRow(
    'Characteristics',
    'warning',
    'high',
    ({ fields: { Characteristics: bits } }) =>
      when((bits & PE_RELOCS_STRIPPED) !== 0, `Characteristics is ${hex(bits)}, with RELOCS_STRIPPED`),
    'Firmware loads an image with this bit at its ImageBase or not at all; kernels leave it clear because the stub runs anywhere.',
  ),
  fieldRow(
    'Subsystem',
    'error',
    'high',
    ({ fields: { Subsystem: value } }) =>
      when(value !== PE_SUBSYSTEM_EFI_APPLICATION, `Subsystem is ${value}, not 10 (EFI application)`),
    'Firmware refuses to start what is no EFI image, and treats drivers differently.',
  ),
  fieldRow(
    'FileAlignment',
    'error',
    'high',
    ({ fields: { FileAlignment: file, SectionAlignment: section } }) =>
      when(
        !isPowerOfTwo(file) || !isPowerOfTwo(section) || section < file,
        `FileAlignment ${hex(file)} and SectionAlignment ${hex(section)} are not powers of two with the second at least the first`,
      ),
    'PE format, "Optional Header Windows-Specific Fields".',
  ),
  fieldRow(
    'SizeOfHeaders',
    'error',
    'high',
    headersProblem,
    'Firmware copies SizeOfHeaders bytes and reads the section table there; sections begin behind them.',
  ),
  fieldRow(
    'AddressOfEntryPoint',
    'error',
    'high',
    entryProblem,
    'Firmware jumps to this address, which must be code that came out of the file.',
  ),
  fieldRow(
    'SizeOfImage',
    'error',
    'high',
    imageSizeProblem,
    'Firmware reserves SizeOfImage bytes for the loaded image, and refuses one whose sections do not fit.',
  ),
  fieldRow(
    'SizeOfImage',
    'warning',
    'medium',
    inPlaceProblem,
    'In kernels whose .text is larger in memory than in the file and whose ImageBase is pref_address, the stub unpacks the kernel where firmware loaded it, and needs init_size bytes there.',
  ),
  sectionRow(
    'error',
    'high',
    ({ rawOffset, rawSize }, _, { bytes }) =>
      when(
        rawSize > 0 && !inside(rawOffset, rawSize, bytes.length),
        `takes ${hex(rawSize)} bytes from ${hex(rawOffset)} on, beyond the end of the file (${hex(bytes.length)})`,
      ),
    'Firmware refuses an image whose sections leave the file.',
  ),
  sectionRow(
    'error',
    'high',
    overlapProblem,
    'Two sections cannot own the same bytes: the later one overwrites the earlier when the image is loaded.',
  ),
  sectionRow(
    'warning',
    'high',
    alignmentProblem,
    'PE format, "Section Table": addresses are multiples of SectionAlignment, file offsets of FileAlignment.',
  ),
  sectionRow(
    'warning',
    'high',
    (section, pe) =>
      when(writableCode(section) && nxCompatible(pe), 'is writable and executable, in an image that says NX_COMPAT'),
    'NX_COMPAT tells firmware that it may forbid memory that is both. It may then refuse the image, or the stub faults.',
  ),
  sectionRow(
    'note',
    'high',
    (section, pe) => when(writableCode(section) && !nxCompatible(pe), 'is writable and executable'),
    'Firmware that forbids memory that is both does not start such images. Kernels split code and data in 6.7 (and distributions brought that to older ones).',
  ),
  fieldRow(
    'DllCharacteristics',
    'warning',
    'high',
    (pe) =>
      when(
        nxCompatible(pe) && pe.fields.SectionAlignment < PAGE_SIZE,
        `DllCharacteristics says NX_COMPAT, but SectionAlignment is ${hex(pe.fields.SectionAlignment)}`,
      ),
    'Protection goes by pages of 4 KiB; sections that share a page cannot be protected apart.',
  ),
  fieldRow(
    'DllCharacteristics',
    'note',
    'high',
    (pe) => when(!nxCompatible(pe), 'the PE header does not say NX_COMPAT'),
    'UEFI firmware that enforces memory protection, and a shim that asks for it, refuse the image. Boot on other firmware is not affected.',
  ),
  {
    severity: 'error',
    confidence: 'high',
    problems: (pe, { file }) => {
      const entry = certificateDirectory(pe);
      const message = entry === undefined ? undefined : certificateProblem(file, pe, entry);
      return entry === undefined || message === undefined
        ? []
        : [{ where: { fileOffset: entry.fileOffset, size: 8 }, message }];
    },
    reason: 'With Secure Boot, firmware walks this table for signatures, and refuses the image where it cannot.',
  },
  sectionRow(
    'warning',
    'high',
    compatProblem,
    '.compat names a second entry point for another processor mode: a type of 1, a length of 8, the machine, the address ("EFI mixed mode").',
  ),
  sectionRow(
    'warning',
    'high',
    (section, _, { bytes }) => {
      if (section.name !== '.sbat' || !inside(section.rawOffset, 5, bytes.length)) return undefined;
      const text = String.fromCharCode(...bytes.subarray(section.rawOffset, section.rawOffset + 5));
      return when(text !== 'sbat,', 'does not begin with an SBAT record ("sbat,")');
    },
    'shim reads the section as lines of comma-separated text, the first of which names the format.',
  ),
];

/** Findings of the PE header; none for a kernel that has none. */
export function auditPe(facts: HeaderFacts): Finding[] {
  const { pe, peProblem, bytes, file } = facts;
  if (peProblem !== undefined) return [unreadable(peProblem, bytes)];
  return pe === undefined ? [] : auditPeImage(pe, { bytes, file, kernel: facts });
}

/** Findings of any EFI program's headers: what is asked of a kernel's alone is not asked where there is none. */
export function auditPeImage(pe: PeImage, facts: PeFacts): Finding[] {
  const { bytes } = facts;
  return PE_ROWS.flatMap((row) => row.problems(pe, facts).map((problem) => peFinding(row, problem, pe, bytes)));
}

const unreadable = (problem: string, bytes: Uint8Array): Finding => ({
  rule: 'pe-header',
  severity: 'error',
  confidence: 'high',
  message: sentence(problem),
  reason: 'A file that begins with "MZ" is a PE image to firmware, and this one cannot be read as one.',
  fileOffset: 0x3c,
  bytes: bytes.slice(0x3c, 0x40),
  place: 'PE header',
});

function peFinding(row: PeRow, problem: Problem, pe: PeImage, bytes: Uint8Array): Finding {
  const { where } = problem;
  const named = typeof where === 'string';
  const place = named ? pe.places[where] : placeOf(where);
  return {
    rule: 'pe-header',
    severity: row.severity,
    confidence: row.confidence,
    message: sentence(problem.message),
    reason: row.reason,
    fileOffset: place.fileOffset,
    bytes: bytes.slice(place.fileOffset, place.fileOffset + place.size),
    place: 'PE header',
    ...(named ? { text: `${where} = ${hex(pe.fields[where])}` } : {}),
    ...(row.advice === undefined ? {} : { advice: row.advice }),
  };
}

const placeOf = (where: Exclude<Where, PeField>): { fileOffset: number; size: number } =>
  'headerOffset' in where ? { fileOffset: where.headerOffset, size: SECTION_HEADER_SIZE } : where;

function machineProblem({ fields: { Machine: machine } }: PeImage, { kernel }: PeFacts): string | undefined {
  if (machine !== PE_MACHINE_X86_64 && machine !== PE_MACHINE_I386) {
    return `Machine is ${hex(machine)}, neither x86-64 (0x8664) nor i386 (0x14c)`;
  }
  // xloadflags came with protocol 2.12.
  if (kernel === undefined || kernel.header.version < 0x20c) return undefined;
  const { is64Bit } = kernel;
  const expected = is64Bit ? PE_MACHINE_X86_64 : PE_MACHINE_I386;
  return when(
    machine !== expected,
    `Machine is ${hex(machine)}, but by xloadflags this is a ${is64Bit ? 64 : 32}-bit kernel (${hex(expected)})`,
  );
}

function headersProblem(pe: PeImage): string | undefined {
  const size = pe.fields.SizeOfHeaders;
  const end = pe.sectionTable.fileOffset + pe.sectionTable.size;
  if (end > size) return `SizeOfHeaders is ${hex(size)}, but the section table ends at ${hex(end)}`;
  const first = pe.sections.find((s) => s.rawSize > 0 && s.rawOffset < size);
  return when(first !== undefined, `SizeOfHeaders is ${hex(size)}, but the section ${first?.name} begins before that`);
}

function entryProblem(pe: PeImage, { kernel }: PeFacts): string | undefined {
  const entry = pe.fields.AddressOfEntryPoint;
  const section = pe.sections.find((s) => inside(entry - s.virtualAddress, 1, Math.min(s.rawSize, s.virtualSize)));
  if (section === undefined) return `AddressOfEntryPoint is ${hex(entry)}, in no section's bytes`;
  if (!has(section, PE_MEM_EXECUTE)) {
    return `AddressOfEntryPoint is ${hex(entry)}, in the section ${section.name}, which is not executable`;
  }
  if (kernel === undefined) return undefined;
  const { header, setupSize } = kernel;
  const inPart = entry - section.virtualAddress + section.rawOffset - setupSize;
  const { payload_offset: offset, payload_length: length } = header;
  return when(inside(inPart - offset, 1, length), `AddressOfEntryPoint is ${hex(entry)}, inside the payload`);
}

function imageSizeProblem(pe: PeImage): string | undefined {
  const size = pe.fields.SizeOfImage;
  const last = pe.sections.find((s) => s.virtualAddress + s.virtualSize > size);
  if (last !== undefined) {
    return `SizeOfImage is ${hex(size)}, but the section ${last.name} ends at ${hex(last.virtualAddress + last.virtualSize)}`;
  }
  return when(size < pe.fields.SizeOfHeaders, `SizeOfImage is ${hex(size)}, less than SizeOfHeaders`);
}

function inPlaceProblem(pe: PeImage, { kernel }: PeFacts): string | undefined {
  if (kernel === undefined) return undefined;
  const { header, setupSize } = kernel;
  const text = pe.sections.find((s) => s.name === '.text');
  const inPlace = text !== undefined && text.virtualSize > text.rawSize && pe.imageBase === header.pref_address;
  const need = setupSize + header.init_size;
  return when(
    inPlace && pe.imageBase !== 0n && pe.fields.SizeOfImage < need,
    `SizeOfImage is ${hex(pe.fields.SizeOfImage)}, but setup part and init_size together take ${hex(need)} bytes`,
  );
}

function overlapProblem(section: PeSection, pe: PeImage): string | undefined {
  const others = pe.sections.slice(pe.sections.indexOf(section) + 1);
  const inMemory = others.find((o) =>
    overlap(section.virtualAddress, section.virtualSize, o.virtualAddress, o.virtualSize),
  );
  if (inMemory !== undefined) return `overlaps ${inMemory.name} in memory`;
  const inFile = others.find((o) => overlap(section.rawOffset, section.rawSize, o.rawOffset, o.rawSize));
  return when(inFile !== undefined, `overlaps ${inFile?.name} in the file`);
}

const overlap = (a: number, aSize: number, b: number, bSize: number): boolean => a < b + bSize && b < a + aSize;

function alignmentProblem(section: PeSection, { fields }: PeImage): string | undefined {
  const { SectionAlignment: inMemory, FileAlignment: inFile } = fields;
  if (!isPowerOfTwo(inMemory) || !isPowerOfTwo(inFile)) return undefined;
  if (section.virtualAddress % inMemory !== 0) {
    return `has the address ${hex(section.virtualAddress)}, not a multiple of SectionAlignment (${hex(inMemory)})`;
  }
  return when(
    section.rawSize > 0 && section.rawOffset % inFile !== 0,
    `begins at ${hex(section.rawOffset)} in the file, not at a multiple of FileAlignment (${hex(inFile)})`,
  );
}

function compatProblem(section: PeSection, pe: PeImage, { file, bytes }: PeFacts): string | undefined {
  if (section.name !== '.compat' || !inside(section.rawOffset, 8, bytes.length)) return undefined;
  const at = section.rawOffset;
  if (file.u8(at) !== 1 || file.u8(at + 1) !== 8) return 'does not begin with an entry of type 1 and length 8';
  const entry = file.u32(at + 4);
  const target = pe.sections.find((s) => inside(entry - s.virtualAddress, 1, s.virtualSize));
  return when(
    target === undefined || !has(target, PE_MEM_EXECUTE),
    `names the entry ${hex(entry)}, which lies in no executable section`,
  );
}
