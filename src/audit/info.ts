// What an image is, read and not judged: header, layout, and of the kernel inside what identifies it. Plain data; reports
// word it. What cannot be read of a kernel is left out with the reason, so that the rest can still be seen.
import { readerOf } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import { findBanner } from '../image/banner.ts';
import { buildId } from '../image/buildId.ts';
import { type BzImage, type FileRange, type Payload, parseBzImage } from '../image/bzimage.ts';
import { type ElfSegment, isElf, parseElf, readSections } from '../image/elf.ts';
import { type KallsymsForm, kallsymsList, readKallsyms } from '../image/kallsyms.ts';
import type { KernelRelocs } from '../image/kernelRelocs.ts';
import { type ListedSymbol, listSymbols } from '../image/nm.ts';
import { certificateDirectory, PE_NX_COMPAT, type PeImage } from '../image/pe.ts';
import { SETUP_HEADER_FIELDS, type SetupHeaderField } from '../image/setup-header.ts';
import { headerFacts } from './header/facts.ts';
import { flagNames } from './infoFlags.ts';
import { embeddedConfig, payloadOf, unpackPayload } from './payload.ts';
import { isKernel } from './stub/elf.ts';
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
  /** e_entry. */
  readonly entry: bigint;
  readonly entryPhysical: number;
  readonly segments: readonly ElfSegment[];
  /** Undefined where they cannot be read. */
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

export type ImageInfo = {
  readonly kind: 'bzImage' | 'vmlinux' | 'stub' | 'elf';
  readonly size: number;
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

/** Throws an InputError where the file is neither a bzImage nor an ELF executable, or contradicts itself. */
export function imageInfo(bytes: Uint8Array, { headerOnly = false }: InfoOptions = {}): ImageInfo {
  const problems: string[] = [];
  const attempt: Attempt = (work) => unlessProblem(work, problems);
  if (isElf(bytes)) parseElf(bytes);
  const kind = isElf(bytes) ? elfKind(bytes) : 'bzImage';
  const packed = kind === 'vmlinux' ? undefined : attempt(() => payloadOf(bytes));
  const kernelBytes = kind === 'vmlinux' ? bytes : headerOnly ? undefined : unpacked(bytes, packed, attempt);
  return {
    kind,
    size: bytes.length,
    bzImage: kind === 'bzImage' ? bzImageInfo(bytes) : undefined,
    elf: kind === 'stub' || kind === 'elf' ? kernelInfo(bytes, attempt) : undefined,
    payload: packed === undefined ? undefined : { ...packed, unpackedSize: unpackedSize(bytes, packed) },
    kernel: kernelBytes === undefined ? undefined : kernelInfo(kernelBytes, attempt),
    problems,
  };
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

/** A stub is linked to small addresses, and has the kernel in it or an entry of a name that only stubs have. */
function elfKind(bytes: Uint8Array): 'vmlinux' | 'stub' | 'elf' {
  if (isKernel(bytes)) return 'vmlinux';
  const isStub = unlessProblem(() => payloadOf(bytes) !== undefined || hasStubEntry(bytes), []);
  return isStub === true ? 'stub' : 'elf';
}

const hasStubEntry = (bytes: Uint8Array): boolean =>
  (listSymbols(bytes) ?? []).some(({ name }) => name === 'startup_32' || name === 'startup_64');

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
    symbols: elf === undefined ? [] : symbolsOf(bytes, attempt),
  };
}

function elfInfo(bytes: Uint8Array): ElfInfo {
  const { type, entry, entryPhysical, segments } = parseElf(bytes);
  const sections = unlessProblem(() => readSections(readerOf(bytes, 'the ELF file')).length, []);
  const relocs = unlessProblem(() => readKernel(bytes).relocs, []);
  return {
    ...{ type, entry, entryPhysical, segments, sections },
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
