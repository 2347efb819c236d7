// What the header audit knows of a bzImage. parseBzImage refuses a file that contradicts itself; here the contradictions
// are what is looked for, so everything is read as far as it goes and what does not hold is left undefined.
import type { Reader } from '../../bits/cursor.ts';
import { inside, readerOf } from '../../bits/cursor.ts';
import { InputError } from '../../bits/errors.ts';
import { cString } from '../../bits/text.ts';
import { classify } from '../../image/classify.ts';
import { type FileRange, type Payload, parseBzImage } from '../../image/bzimage.ts';
import { type PeImage, parsePe } from '../../image/pe.ts';
import { payloadFormat } from '../../image/payload.ts';
import { HEADER_MAGIC, readSetupHeader, type SetupHeader, XLF_KERNEL_64 } from '../../image/setup-header.ts';

const SECTOR = 512;
const PARAGRAPH = 16;
const LONGEST_VERSION = 1024;

export type HeaderFacts = {
  readonly bytes: Uint8Array;
  readonly file: Reader;
  readonly header: SetupHeader;
  /** Bytes of boot sector and setup sectors, as setup_sects says. */
  readonly setupSize: number;
  /** The protected-mode part as setup_sects and syssize say; it may go beyond the file. */
  readonly promised: FileRange;
  /** The same, as far as the file has it. */
  readonly part: FileRange;
  /** Undefined where there is none, or it does not lie within the part. */
  readonly payload: Payload | undefined;
  /** Bytes that the payload says it unpacks to; undefined where its format is unknown, or says nothing. */
  readonly unpackedSize: number | undefined;
  readonly is64Bit: boolean;
  /** A Linux kernel, by its payload or its version; rules about kernels are about no other image. */
  readonly isKernel: boolean;
  readonly pe: PeImage | undefined;
  /** Why there is a PE header that cannot be read. */
  readonly peProblem: string | undefined;
  /** The version string kernel_version points to; undefined where there is none. */
  readonly version: string | undefined;
};

/** Reads what there is. Throws an InputError only for a file that is no bzImage at all. */
export function headerFacts(bytes: Uint8Array): HeaderFacts {
  const file = readerOf(bytes, 'the kernel image');
  // parseBzImage knows what else a file without "HdrS" may be, and says so.
  if (bytes.length < 0x206 || file.u32(0x202) !== HEADER_MAGIC) parseBzImage(bytes);
  // Versions from before the field existed read as 0 otherwise.
  const header = { ...readSetupHeader(file), version: file.u16(0x206) };
  const setupSize = ((header.setup_sects === 0 ? 4 : header.setup_sects) + 1) * SECTOR;
  const promised = { fileOffset: setupSize, size: header.syssize * PARAGRAPH };
  const part = { fileOffset: setupSize, size: Math.max(0, Math.min(promised.size, bytes.length - setupSize)) };
  const payload = payloadOf(file, header, part);
  return {
    bytes,
    file,
    header,
    setupSize,
    promised,
    part,
    payload,
    unpackedSize: payload === undefined ? undefined : unpackedSize(file, payload),
    is64Bit: (header.xloadflags & XLF_KERNEL_64) !== 0,
    isKernel: classify(bytes).kind === 'bzImage',
    ...peOf(bytes),
    version: versionOf(bytes, header, setupSize),
  };
}

function payloadOf(file: Reader, header: SetupHeader, part: FileRange): Payload | undefined {
  const { payload_offset: offset, payload_length: length } = header;
  if (length === 0 || !inside(offset, length, part.size)) return undefined;
  const fileOffset = part.fileOffset + offset;
  return { fileOffset, length, format: payloadFormat(file.slice(fileOffset, length)) };
}

/** gzip ends with the size, and to the other formats the kernel's build appends it ("payload_length"). */
function unpackedSize(file: Reader, payload: Payload): number | undefined {
  if (payload.format === 'unknown' || payload.format === 'elf' || payload.length < 8) return undefined;
  return file.u32(payload.fileOffset + payload.length - 4);
}

function peOf(bytes: Uint8Array): Pick<HeaderFacts, 'pe' | 'peProblem'> {
  try {
    return { pe: parsePe(bytes), peProblem: undefined };
  } catch (error) {
    if (error instanceof InputError) return { pe: undefined, peProblem: error.message };
    throw error;
  }
}

function versionOf(bytes: Uint8Array, header: SetupHeader, setupSize: number): string | undefined {
  if (header.kernel_version === 0) return undefined;
  const text = cString(bytes.subarray(0, setupSize), header.kernel_version + 0x200, LONGEST_VERSION);
  return text !== undefined && /^[\x20-\x7e]+$/.test(text) ? text : undefined;
}

/** `[6, 1]` of a version string that begins "6.1.0-..."; undefined of any other. */
export function releaseOf(version: string | undefined): readonly [number, number] | undefined {
  const match = /^(\d{1,3})\.(\d{1,4})(?!\d)/.exec(version ?? '');
  return match === null ? undefined : [Number(match[1]), Number(match[2])];
}

/** Whether that release is known to be older than `major.minor`. */
export function isBefore(version: string | undefined, major: number, minor: number): boolean {
  const release = releaseOf(version);
  return release !== undefined && (release[0] < major || (release[0] === major && release[1] < minor));
}
