// What an image is, read and not judged: header, layout, and of the kernel inside what identifies it. Plain data; reports
// word it. What cannot be read of a kernel is left out with the reason, so that the rest can still be seen.
import { readerOf } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import { hex } from '../bits/hex.ts';
import { findBanner } from '../image/banner.ts';
import { buildId } from '../image/buildId.ts';
import { type BzImage, type FileRange, type Payload, parseBzImage } from '../image/bzimage.ts';
import { classify, type FileIdentity, type FileKind } from '../image/classify.ts';
import { type Elf32Image, parseElf32 } from '../image/elf32.ts';
import { type ElfImage, type ElfSegment, isElf, parseElf, readSections } from '../image/elf.ts';
import { type KallsymsForm, kallsymsList, readKallsyms } from '../image/kallsyms.ts';
import type { KernelRelocs } from '../image/kernelRelocs.ts';
import { type ListedSymbol, listSymbols } from '../image/nm.ts';
import { findMultibootHeader } from '../image/multiboot.ts';
import { hasMultiboot2Header } from '../image/multiboot2.ts';
import { openFile, originText, ukiOf } from '../image/open.ts';
import { certificateDirectory, PE_NX_COMPAT, type PeImage } from '../image/pe.ts';
import { pvhEntryOf } from '../image/pvhNote.ts';
import { SETUP_HEADER_FIELDS, type SetupHeaderField } from '../image/setup-header.ts';
import type { UnifiedImage } from '../image/uki.ts';
import { headerFacts } from './header/facts.ts';
import { flagNames } from './infoFlags.ts';
import { embeddedConfig, payloadOf, unpackPayload } from './payload.ts';
import { readKernel } from './vmlinux/layout.ts';

export type FieldInfo = {
  readonly name: SetupHeaderField;
  /** From the start of the file, and of struct boot_params. */
  readonly offset: number;
  /** In bytes. */
  readonly size: number;
  readonly value: number | bigint;
  /** Of a field of bits, the names of those that are set. */
  readonly flags?: readonly string[];
};

export type BzImageInfo = {
  /** (major << 8) + minor */
  readonly protocol: number;
  /** What kernel_version points to. */
  readonly version: string | undefined;
  /** The fields that the image's protocol has. */
  readonly fields: readonly FieldInfo[];
  readonly headerEnd: number;
  readonly setupSize: number;
  readonly protectedMode: FileRange;
  /** Bytes behind the protected-mode part, as a signature takes them. */
  readonly behind: number;
  readonly pe: PeImage | undefined;
  /** Why there is a PE header that cannot be read. */
  readonly peProblem: string | undefined;
  readonly nxCompat: boolean;
  /** The certificate table, which is there; whether what it says is right is not looked at. */
  readonly certificates: FileRange | undefined;
};

export type ElfInfo = {
  readonly type: 'EXEC' | 'DYN';
  /** Of its class. */
  readonly bits: 32 | 64;
  /** e_entry. */
  readonly entry: bigint;
  readonly entryPhysical: number;
  readonly segments: readonly ElfSegment[];
  /** Undefined where they cannot be read, and of a 32-bit file. */
  readonly sections: number | undefined;
  /** How many words the kernel has moved when it is moved itself; undefined where there is no such table. */
  readonly relocations:
    | {
        readonly abs64: number;
        readonly abs32: number;
        readonly inverse32: number;
        readonly from: KernelRelocs['from'];
      }
    | undefined;
};

export type ConfigInfo = {
  readonly text: string;
  readonly version: string | undefined;
  /** Options by value: y, m, n ("is not set"), anything else. */
  readonly options: { readonly y: number; readonly m: number; readonly n: number; readonly other: number };
};

export type SymbolsInfo = {
  readonly from: 'symtab' | 'kallsyms';
  /** How kallsyms writes addresses. */
  readonly form?: KallsymsForm;
  readonly list: readonly ListedSymbol[];
};

export type KernelInfo = {
  readonly size: number;
  /** Undefined where what was unpacked is no ELF executable, with the reason in `problems`. */
  readonly elf: ElfInfo | undefined;
  readonly banner: string | undefined;
  readonly buildId: Uint8Array | undefined;
  readonly config: ConfigInfo | undefined;
  /** The best table first. */
  readonly symbols: readonly SymbolsInfo[];
};

/** Kinds of file that there is something to show of. */
export type ShownKind = Extract<
  FileKind,
  'bzImage' | 'linux-program' | 'vmlinux' | 'stub' | 'multiboot' | 'multiboot2' | 'pvh' | 'elf'
>;

export type ImageInfo = {
  readonly kind: ShownKind;
  /** The kind in words, with its article. */
  readonly what: string;
  /** Bytes of the image; of the file it came out of `origin` tells. */
  readonly size: number;
  /** What it was unpacked from or found in. */
  readonly origin: string | undefined;
  readonly uki: UnifiedImage | undefined;
  /** How an ELF file or a flat Multiboot image can be entered, a line each. */
  readonly entries: readonly string[];
  readonly bzImage: BzImageInfo | undefined;
  /** Of the stub's or any other ELF file that is no kernel. */
  readonly elf: KernelInfo | undefined;
  readonly payload: (Payload & { readonly unpackedSize: number | undefined }) | undefined;
  /** The kernel itself: unpacked, or the file where it is one. */
  readonly kernel: KernelInfo | undefined;
  /** What could not be read, and why, each a line. */
  readonly problems: readonly string[];
};

export type InfoOptions = {
  /** Leave the payload packed. */
  readonly headerOnly?: boolean;
};

/** Throws an InputError where the file is nothing that is booted, or contradicts itself. */
export function imageInfo(given: Uint8Array, { headerOnly = false }: InfoOptions = {}): ImageInfo {
  const opened = openFile(given);
  const { bytes, identity, layers } = opened;
  const kind = shownKind(identity);
  const problems: string[] = [];
  const attempt: Attempt = (work) => unlessProblem(work, problems);
  if (isElf(bytes)) parseEither(bytes, identity);
  const packed = kind === 'bzImage' || kind === 'stub' ? attempt(() => payloadOf(bytes)) : undefined;
  const kernelBytes = kind === 'vmlinux' ? bytes : headerOnly ? undefined : unpacked(bytes, packed, attempt);
  return {
    ...{ kind, what: identity.what, size: bytes.length, origin: originText(layers), uki: ukiOf(opened) },
    entries: entriesOf(bytes, identity, attempt),
    bzImage: kind === 'bzImage' || kind === 'linux-program' ? bzImageInfo(bytes) : undefined,
    elf: kind !== 'vmlinux' && isElf(bytes) ? kernelInfo(bytes, attempt) : undefined,
    payload: packed === undefined ? undefined : { ...packed, unpackedSize: unpackedSize(bytes, packed) },
    kernel: kernelBytes === undefined ? undefined : kernelInfo(kernelBytes, attempt),
    problems,
  };
}

const SHOWN: readonly string[] = [
  'bzImage',
  'linux-program',
  'vmlinux',
  'stub',
  'multiboot',
  'multiboot2',
  'pvh',
  'elf',
] satisfies readonly ShownKind[];

const isShown = (kind: FileKind): kind is ShownKind => SHOWN.includes(kind);

function shownKind({ kind, what }: FileIdentity): ShownKind {
  if (isShown(kind)) return kind;
  throw new InputError(`this is ${what}; info shows kernels, boot stubs, and other programs that are booted`);
}

const parseEither = (bytes: Uint8Array, { bits }: Pick<FileIdentity, 'bits'>): ElfImage | Elf32Image =>
  bits === 32 ? parseElf32(bytes) : parseElf(bytes);

/** What says how it is entered, for protocols other than Linux's. */
function entriesOf(bytes: Uint8Array, { kind }: FileIdentity, attempt: Attempt): string[] {
  if (kind === 'bzImage' || kind === 'linux-program' || kind === 'stub') return [];
  const entries: string[] = [];
  const header = attempt(() => findMultibootHeader(bytes));
  if (header !== undefined) {
    const { offset, flags, load } = header;
    const by =
      load === undefined
        ? ''
        : `, loads ${hex(load.physAddr)} to ${hex(load.physAddr + load.memSize)}, entry ${hex(load.entry)}`;
    entries.push(`Multiboot 1: header at ${hex(offset)} in the file, flags ${hex(flags)}${by}`);
  }
  if (hasMultiboot2Header(bytes)) entries.push('Multiboot 2, which is not entered here yet');
  const pvh = isElf(bytes) ? pvhEntryOf(bytes) : undefined;
  if (pvh !== undefined) entries.push(`PVH: entry ${hex(pvh)}`);
  return entries;
}

type Attempt = <T>(work: () => T) => T | undefined;

function unlessProblem<T>(work: () => T, problems: string[]): T | undefined {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    if (!problems.includes(error.message)) problems.push(error.message);
    return undefined;
  }
}

function bzImageInfo(bytes: Uint8Array): BzImageInfo {
  const image = parseBzImage(bytes);
  const { pe, peProblem } = headerFacts(bytes);
  const certificates = pe === undefined ? undefined : certificateDirectory(pe);
  const { protocol, version, headerEnd, setupSize, protectedMode } = image;
  return {
    ...{ protocol, version, headerEnd, setupSize, protectedMode, pe, peProblem },
    fields: fieldsOf(image),
    behind: bytes.length - protectedMode.fileOffset - protectedMode.size,
    nxCompat: pe !== undefined && (pe.fields.DllCharacteristics & PE_NX_COMPAT) !== 0,
    certificates:
      certificates === undefined ? undefined : { fileOffset: certificates.address, size: certificates.size },
  };
}

function fieldsOf({ header, protocol }: BzImage): FieldInfo[] {
  return SETUP_HEADER_FIELDS.filter(({ since }) => since <= protocol).map(({ name, offset, size }) => {
    const flags = flagNames(name, Number(header[name]));
    return { name, offset, size, value: header[name], ...(flags === undefined ? {} : { flags }) };
  });
}

/** The build appends the size to every format but gzip, which ends with it anyway ("payload_length"). */
function unpackedSize(bytes: Uint8Array, { fileOffset, length, format }: Payload): number | undefined {
  if (format === 'elf') return length;
  if (format === 'unknown' || length < 8) return undefined;
  return readerOf(bytes, 'the payload').u32(fileOffset + length - 4);
}

function unpacked(bytes: Uint8Array, payload: Payload | undefined, attempt: Attempt): Uint8Array | undefined {
  // In a format that is not known it is the image's own affair.
  if (payload === undefined || payload.format === 'unknown') return undefined;
  return attempt(() => unpackPayload(bytes, payload));
}

function kernelInfo(bytes: Uint8Array, attempt: Attempt): KernelInfo {
  const elf = attempt(() => elfInfo(bytes));
  return {
    size: bytes.length,
    elf,
    banner: findBanner(bytes),
    buildId: elf === undefined ? undefined : attempt(() => buildId(bytes)),
    config: attempt(() => configInfo(bytes)),
    // Tables of 32-bit files are not read.
    symbols: elf === undefined || elf.bits === 32 ? [] : symbolsOf(bytes, attempt),
  };
}

function elfInfo(bytes: Uint8Array): ElfInfo {
  const bits = isElf(bytes) ? classify(bytes).bits : undefined;
  const { type, entry, entryPhysical, segments } = parseEither(bytes, bits === undefined ? {} : { bits });
  const { sections, relocs } = bits === 32 ? { sections: undefined, relocs: undefined } : tablesOf(bytes);
  return {
    ...{ type, bits: bits ?? 64, entry, entryPhysical, segments, sections },
    relocations:
      relocs === undefined
        ? undefined
        : {
            abs64: relocs.abs64.length,
            abs32: relocs.abs32.length,
            inverse32: relocs.inverse32.length,
            from: relocs.from,
          },
  };
}

const tablesOf = (bytes: Uint8Array): { sections: number | undefined; relocs: KernelRelocs | undefined } => ({
  sections: unlessProblem(() => readSections(readerOf(bytes, 'the ELF file')).length, []),
  relocs: unlessProblem(() => readKernel(bytes).relocs, []),
});

function configInfo(bytes: Uint8Array): ConfigInfo | undefined {
  const carried = embeddedConfig(bytes);
  if (carried === undefined) return undefined;
  const { text, config } = carried;
  const { options, version } = config;
  const counts = { y: 0, m: 0, n: 0, other: 0 };
  for (const value of options.values()) counts[value === 'y' || value === 'm' || value === 'n' ? value : 'other']++;
  return { text, version, options: counts };
}

/** A linker's table knows all that kallsyms knows, and more. */
function symbolsOf(bytes: Uint8Array, attempt: Attempt): SymbolsInfo[] {
  const listed = attempt(() => listSymbols(bytes)) ?? [];
  const own = attempt(() => readKallsyms(bytes));
  return [
    ...(listed.length === 0 ? [] : [{ from: 'symtab', list: listed } as const]),
    ...(own === undefined ? [] : [{ from: 'kallsyms', form: own.form, list: kallsymsList(own) } as const]),
  ];
}
