// The answer of `firstlight info` in words.

import type { BzImageInfo, ConfigInfo, ElfInfo, FieldInfo, ImageInfo, KernelInfo, SymbolsInfo } from '../audit/info.ts';
import { flagMeaning } from '../audit/infoFlags.ts';
import { keySymbols } from '../audit/infoSymbols.ts';
import { hex } from '../bits/hex.ts';
import { protocolText } from '../image/bzimage.ts';
import {
  PE_MACHINE_X86_64,
  PE_MEM_EXECUTE,
  PE_MEM_WRITE,
  PE_SUBSYSTEM_EFI_APPLICATION,
  type PeImage,
} from '../image/pe.ts';
import { fieldMeaning } from './infoFields.ts';
import { BLANK, type Line, paragraph, tableRows } from '../bits/lines.ts';
import { countText } from './numbers.ts';

/** @param name the file as the command line names it  @param packed the payload was left packed on purpose */
export function infoLines(name: string, info: ImageInfo, packed = false): Line[] {
  const { bzImage, elf, payload, kernel, kind } = info;
  const lines = [
    { text: name, tone: 'heading' } as const,
    {
      text: `${kindText(info)}, ${bytesText(info.size)}${info.origin === undefined ? '' : `, ${info.origin}`}`,
      indent: 2,
      hanging: 2,
    },
    ...(bzImage === undefined ? [] : bzImageLines(bzImage, info)),
    ...(info.uki === undefined ? [] : ukiLines(info.uki)),
    ...(info.entries.length === 0
      ? []
      : [BLANK, heading('How it is entered'), ...info.entries.map((text) => paragraph(text))]),
    ...(elf === undefined ? [] : elfFileLines(elf)),
    ...(bzImage === undefined && payload !== undefined ? [BLANK, heading('Payload'), ...payloadLines(payload)] : []),
    ...(kernel === undefined ? [] : kernelLines(kind === 'vmlinux' ? 'Kernel' : 'Kernel, unpacked', kernel)),
    ...(packed && kind !== 'vmlinux' ? [BLANK, paragraph('The payload was left packed (--header-only).', 'note')] : []),
  ];
  return lines.map((line) => ({ ...line, text: clean(line.text) }));
}

// Names of files, sections and versions come from outside, and a terminal obeys what it is sent.
const clean = (text: string): string => text.replace(/\p{Cc}/gu, '?');
const heading = (text: string): Line => ({ text, tone: 'heading' });
/** Section flag IMAGE_SCN_MEM_READ. */
const PE_MEM_READ = 0x4000_0000;
const bytesText = (value: number): string => (value === 1 ? '1 byte' : `${countText(value)} bytes`);
const table = (rows: readonly (readonly string[])[]): Line[] =>
  tableRows(rows).map((text) => ({ text, indent: 2, whole: true }));

const elf32 = ({ kernel }: ImageInfo): boolean => kernel?.elf?.bits === 32;

function kindText(info: ImageInfo): string {
  const { kind, bzImage } = info;
  if (kind === 'vmlinux') return elf32(info) ? '32-bit kernel ELF file (vmlinux)' : 'kernel ELF file (vmlinux)';
  if (kind === 'stub') return "ELF file of a boot stub (arch/x86/boot/compressed/vmlinux), not the kernel's";
  if (kind !== 'bzImage' || bzImage === undefined) return info.what.replace(/^an? /, '');
  const [release] = (bzImage.version ?? '').split(' ');
  return `bzImage${release === '' ? '' : ` ${release}`} (boot protocol ${protocolText(bzImage.protocol)})`;
}

function ukiLines({ sections, cmdline, system, release }: NonNullable<ImageInfo['uki']>): Line[] {
  return [
    BLANK,
    heading('Unified kernel image'),
    ...(system === undefined ? [] : [paragraph(`System: ${system}`)]),
    ...(release === undefined ? [] : [paragraph(`Kernel release: ${release}`)]),
    paragraph(`Command line: ${cmdline ?? 'none'}`),
    ...table(sections.map(({ name, fileOffset, bytes }) => [name, hex(fileOffset), bytesText(bytes.length)])),
  ];
}

function bzImageLines(bzImage: BzImageInfo, { payload, size }: ImageInfo): Line[] {
  const { version, fields, pe, peProblem } = bzImage;
  return [
    ...(version === undefined ? [] : [{ text: `Version ${version}`, indent: 2, hanging: 2 }]),
    BLANK,
    heading('Setup header'),
    ...table(fields.flatMap(fieldRows)),
    BLANK,
    heading('Layout'),
    ...table(layoutRows(bzImage, size, payload)),
    ...(payload === undefined ? [] : payloadLines(payload)),
    BLANK,
    heading('PE header'),
    ...(pe === undefined ? [paragraph(peProblem ?? 'None: the image has no EFI stub.')] : peLines(pe, bzImage)),
  ];
}

function fieldRows({ name, offset, value, flags }: FieldInfo): string[][] {
  const row = [hex(offset), name, hex(value), fieldMeaning(name, value)];
  if (flags === undefined) return [row];
  const rows = flags.map((flag) => ['', '', '', `${flag}: ${flagMeaning(name, flag)}`]);
  return [[...row.slice(0, 3), flags.length === 0 ? 'no flags' : (rows[0]?.[3] ?? '')], ...rows.slice(1)];
}

function layoutRows(bzImage: BzImageInfo, size: number, payload: ImageInfo['payload']): string[][] {
  const { setupSize, headerEnd, protectedMode, behind } = bzImage;
  const row = (from: number, length: number, what: string): string[] => [
    hex(from),
    `to ${hex(from + length)}`,
    bytesText(length),
    what,
  ];
  return [
    row(0, setupSize, `boot sector and setup; the header ends at ${hex(headerEnd)}`),
    row(protectedMode.fileOffset, protectedMode.size, 'protected-mode part'),
    ...(payload === undefined ? [] : [row(payload.fileOffset, payload.length, 'payload, in it')]),
    ...(behind === 0 ? [] : [row(size - behind, behind, 'behind the protected-mode part; not loaded')]),
  ];
}

function payloadLines({ format, length, unpackedSize, fileOffset }: NonNullable<ImageInfo['payload']>): Line[] {
  const packed =
    format === 'unknown' ? 'packed in an unknown format' : format === 'elf' ? 'not packed' : `packed with ${format}`;
  const to = unpackedSize === undefined ? '' : `; its size word says ${bytesText(unpackedSize)} unpacked`;
  return [
    paragraph(
      `The payload is ${packed}: ${bytesText(length)} at ${hex(fileOffset)} in the file${format === 'elf' ? '' : to}.`,
    ),
  ];
}

function peLines(pe: PeImage, { nxCompat, certificates }: BzImageInfo): Line[] {
  const { fields } = pe;
  const signed =
    certificates === undefined
      ? 'Not signed: there is no certificate table.'
      : `Signed: a certificate table of ${bytesText(certificates.size)} at ${hex(certificates.fileOffset)}; whether the signature is right was not checked.`;
  const facts = [
    fields.Machine === PE_MACHINE_X86_64 ? 'for x86-64' : `for machine ${hex(fields.Machine)}`,
    fields.Subsystem === PE_SUBSYSTEM_EFI_APPLICATION ? 'an EFI application' : `subsystem ${fields.Subsystem}`,
    `entry ${hex(fields.AddressOfEntryPoint)}`,
    `SizeOfImage ${hex(fields.SizeOfImage)}`,
    `SectionAlignment ${hex(fields.SectionAlignment)}`,
    `FileAlignment ${hex(fields.FileAlignment)}`,
  ];
  return [
    { text: `${pe.plus ? 'PE32+' : 'PE32'} at ${hex(pe.headerOffset)}: ${facts.join(', ')}`, indent: 2, hanging: 2 },
    paragraph(
      `NX_COMPAT ${nxCompat ? 'is set' : 'is not set'} (DllCharacteristics ${hex(fields.DllCharacteristics)}).`,
    ),
    paragraph(signed),
    ...table([
      ['section', 'address', 'in memory', 'in the file', 'bytes', ''],
      ...pe.sections.map((s) => [
        s.name === '' ? '(no name)' : s.name,
        hex(s.virtualAddress),
        countText(s.virtualSize),
        hex(s.rawOffset),
        countText(s.rawSize),
        `${(s.characteristics & PE_MEM_READ) === 0 ? '-' : 'r'}${(s.characteristics & PE_MEM_WRITE) === 0 ? '-' : 'w'}${(s.characteristics & PE_MEM_EXECUTE) === 0 ? '-' : 'x'}`,
      ]),
    ]),
  ];
}

function kernelLines(title: string, kernel: KernelInfo): Line[] {
  const { banner, config, elf, size } = kernel;
  return [
    BLANK,
    heading(title),
    paragraph(`${bytesText(size)}${elf === undefined ? ', no ELF executable' : ''}`),
    ...(elf === undefined ? [] : elfLines(elf)),
    { text: `Banner: ${banner ?? 'none'}`, indent: 2, hanging: 2 },
    paragraph(buildIdText(kernel)),
    paragraph(`Configuration: ${config === undefined ? 'not in the file (CONFIG_IKCONFIG)' : configText(config)}`),
    ...symbolsText(kernel),
  ];
}

/** A file that is no kernel has neither banner nor configuration. */
function elfFileLines(info: KernelInfo): Line[] {
  const { elf } = info;
  return [
    BLANK,
    heading('ELF file'),
    ...(elf === undefined ? [] : elfLines(elf)),
    paragraph(buildIdText(info)),
    ...symbolsText(info),
  ];
}

const buildIdText = ({ buildId }: KernelInfo): string =>
  `Build id: ${buildId === undefined ? 'none' : hexDigits(buildId)}`;

const symbolsText = ({ symbols, elf }: KernelInfo): Line[] =>
  symbols.length === 0
    ? [paragraph(elf?.bits === 32 ? 'Symbols: not read of 32-bit files' : 'Symbols: none')]
    : symbols.flatMap(symbolsLines);

export const hexDigits = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');

function elfLines({ type, bits, entry, entryPhysical, segments, sections, relocations }: ElfInfo): Line[] {
  const counted =
    bits === 32
      ? '32-bit'
      : sections === undefined
        ? 'section headers that cannot be read'
        : `${sections} section headers`;
  return [
    paragraph(`ET_${type}, entry ${hex(entry)} (physical ${hex(entryPhysical)}), ${counted}`),
    ...table([
      ['virtual address', 'physical', 'in the file', 'bytes', 'in memory', ''],
      ...segments.map((s) => [
        hex(s.virtAddr, 16),
        hex(s.physAddr),
        hex(s.fileOffset),
        countText(s.fileSize),
        countText(s.memSize),
        `${s.flags & 4 ? 'r' : '-'}${s.flags & 2 ? 'w' : '-'}${s.flags & 1 ? 'x' : '-'}`,
      ]),
    ]),
    ...(relocations === undefined ? [] : [paragraph(relocationsText(relocations))]),
  ];
}

function relocationsText({ abs64, abs32, inverse32, from }: NonNullable<ElfInfo['relocations']>): string {
  const where = from === 'appended' ? 'appended table' : '.rela sections';
  const inverse = inverse32 === 0 ? '' : `, ${countText(inverse32)} inverse 32-bit`;
  return `Relocations (${where}): ${countText(abs64)} 64-bit words, ${countText(abs32)} 32-bit${inverse}`;
}

function configText({ version, options: { y, m, n, other } }: ConfigInfo): string {
  const of = version === undefined ? '' : `of ${version}, `;
  return `in the file, ${of}${countText(y + m + n + other)} options (${countText(y)} y, ${countText(m)} m, ${countText(other)} with another value, ${countText(n)} not set)`;
}

const SOURCES = { symtab: 'in the symbol table (.symtab)', kallsyms: "in the kernel's own table (kallsyms)" } as const;

function symbolsLines({ from, list }: SymbolsInfo, index: number): Line[] {
  const count = paragraph(`Symbols: ${countText(list.length)} ${SOURCES[from]}`);
  // The second table says the same again.
  if (index > 0) return [count];
  return [count, ...table(keySymbols(list).map(({ address, letter, name }) => [hex(address, 16), letter, name]))];
}
