// The bzImage: a real-mode setup part that only a BIOS loader runs, then the protected-mode part (stub, payload) that is
// loaded and entered. Here the header is held against the file; what contradicts it ends in an InputError.
import type { Reader } from '../bits/cursor.ts';
import { inside, readerOf } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import { hex } from '../bits/hex.ts';
import { cString } from '../bits/text.ts';
import { foreignKind } from './foreign.ts';
import { type PayloadFormat, payloadFormat } from './payload.ts';
import {
  BOOT_FLAG,
  definedHeaderEnd,
  ENTRY_64_OFFSET,
  HEADER_MAGIC,
  JUMP_BASE,
  JUMP_OPCODE,
  KERNEL_INFO_MAGIC,
  LOADED_HIGH,
  readSetupHeader,
  type SetupHeader,
  XLF_CAN_BE_LOADED_ABOVE_4G,
  XLF_KERNEL_64,
} from './setup-header.ts';

const SECTOR = 512;
/** "If this field is 0, the real value is 4." */
const SETUP_SECTS_IF_ZERO = 4;
const PARAGRAPH = 16;
/** cmdline_size came with 2.06; the product asks for no older protocol. */
export const OLDEST_PROTOCOL = 0x206;
const MAX_PHYS_ADDR = 2n ** 52n;

export interface FileRange {
  readonly fileOffset: number;
  readonly size: number;
}

export interface Payload {
  readonly fileOffset: number;
  /** Bytes, with the four at its end that hold the unpacked size. */
  readonly length: number;
  readonly format: PayloadFormat;
}

export interface BzImage {
  readonly kind: 'bzImage';
  readonly bytes: Uint8Array;
  readonly header: SetupHeader;
  /** Boot protocol, (major << 8) + minor. */
  readonly protocol: number;
  /** Where the setup header ends in the file, and in struct boot_params. */
  readonly headerEnd: number;
  /** Bytes of the real-mode part: boot sector and setup sectors. */
  readonly setupSize: number;
  /** The part that is loaded. Link address 0 of the stub is its first byte. */
  readonly protectedMode: FileRange;
  /** Undefined where the header names none (before protocol 2.08). */
  readonly payload: Payload | undefined;
  /** Has the 64-bit entry at 0x200 (xloadflags, XLF_KERNEL_64). */
  readonly has64BitEntry: boolean;
  readonly canLoadAbove4G: boolean;
  readonly relocatable: boolean;
  /** Bytes the kernel needs from its run-time start on, before it looks at the memory map (init_size). */
  readonly initSize: number;
  /** The version string the header points to, as text for people. */
  readonly version: string | undefined;
}

export const protocolText = (version: number): string =>
  `${version >> 8}.${(version & 0xff).toString().padStart(2, '0')}`;

/** Reads a bzImage for boot protocol 2.06 or newer. Throws an InputError on anything else. */
export function parseBzImage(bytes: Uint8Array): BzImage {
  checkIsBzImage(bytes);
  const file = readerOf(bytes, 'the kernel image');
  const header = readSetupHeader(file);
  checkProtocol(header);
  const headerEnd = checkedHeaderEnd(header);
  const setupSize = checkedSetupSize(header, headerEnd, bytes.length);
  const fitting = fittingSetupSects(file, header);
  if (fitting !== undefined) throw new InputError(setupSectsText(header, fitting));
  const protectedMode = checkedProtectedMode(header, setupSize, bytes.length);
  const initSize = checkedInitSize(header, protectedMode.size);
  checkAddresses(header);
  checkKernelInfo(file, header, protectedMode);
  return {
    kind: 'bzImage',
    bytes,
    header,
    protocol: header.version,
    headerEnd,
    setupSize,
    protectedMode,
    payload: checkedPayload(file, header, protectedMode),
    has64BitEntry: checked64BitEntry(header, protectedMode),
    canLoadAbove4G: (header.xloadflags & XLF_CAN_BE_LOADED_ABOVE_4G) !== 0,
    relocatable: header.relocatable_kernel !== 0,
    initSize,
    version: versionText(bytes, header, setupSize),
  };
}

/** Does "HdrS" stand where a bzImage has it? */
export function hasSetupHeader(bytes: Uint8Array): boolean {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return bytes.length >= 0x206 && view.getUint32(0x202, true) === HEADER_MAGIC;
}

function checkIsBzImage(bytes: Uint8Array): void {
  if (bytes.length === 0) throw new InputError('the file is empty');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const flagged = bytes.length >= 0x200 && view.getUint16(0x1fe, true) === BOOT_FLAG;
  const named = hasSetupHeader(bytes);
  if (flagged && named) return;
  const foreign = foreignKind(bytes);
  if (foreign !== undefined) throw new InputError(`this is ${foreign}; Firstlight boots kernels for x86`);
  if (bytes.length < 0x206) {
    throw new InputError(`this is not a kernel: ${bytes.length} bytes are too few to hold a setup header`);
  }
  if (named) throw new InputError('this is not a bootable kernel: "HdrS" stands at 0x202, but boot_flag is not 0xaa55');
  if (flagged) throw new InputError('this is a boot sector, but no bzImage: "HdrS" is missing at 0x202');
  throw new InputError('this is not a kernel: neither a bzImage (no "HdrS" at 0x202) nor an ELF file');
}

function checkProtocol(header: SetupHeader): void {
  const { version } = header;
  if (version >> 8 !== 2)
    throw new InputError(`the header says boot protocol ${protocolText(version)}, which is unknown`);
  if (version < OLDEST_PROTOCOL) {
    throw new InputError(`the image speaks boot protocol ${protocolText(version)}; Firstlight needs 2.06 or newer`);
  }
  if ((header.loadflags & LOADED_HIGH) === 0) {
    throw new InputError(
      'this is a zImage (loadflags without LOADED_HIGH), made to be loaded at 0x10000; it cannot be booted here',
    );
  }
}

/** "The end of setup header can be calculated as 0x0202 + byte value at offset 0x0201" */
function checkedHeaderEnd(header: SetupHeader): number {
  const opcode = header.jump & 0xff;
  const distance = header.jump >> 8;
  if (opcode !== JUMP_OPCODE)
    throw new InputError(`the setup header begins with ${hex(opcode, 2)} at 0x200, not with a short jump (0xeb)`);
  if (distance > 0x7f)
    throw new InputError(
      `the setup header's jump at 0x200 goes backwards (${hex(distance)}), so the header has no end`,
    );
  const end = JUMP_BASE + distance;
  const defined = definedHeaderEnd(header.version);
  if (end < defined) {
    throw new InputError(
      `the setup header ends at ${hex(end)}, but protocol ${protocolText(header.version)} has fields up to ${hex(defined)}`,
    );
  }
  return end;
}

function checkedSetupSize(header: SetupHeader, headerEnd: number, fileSize: number): number {
  const sectors = realSectors(header.setup_sects);
  const size = (sectors + 1) * SECTOR;
  if (size >= fileSize) {
    throw new InputError(
      `the file ends at ${hex(fileSize)}, its header promises ${size} bytes of setup alone (setup_sects ${sectors})`,
    );
  }
  if (headerEnd > size)
    throw new InputError(`the setup header ends at ${hex(headerEnd)}, beyond the setup part (${hex(size)})`);
  return size;
}

/** Formats whose magic numbers have four bytes and more. */
const TELLING: ReadonlySet<PayloadFormat> = new Set(['xz', 'zstd', 'lz4', 'lzo', 'elf']);

const realSectors = (setupSects: number): number => (setupSects === 0 ? SETUP_SECTS_IF_ZERO : setupSects);

export const setupSectsText = ({ setup_sects }: SetupHeader, fitting: number): string =>
  `setup_sects is ${setup_sects}, but what the header names in the protected-mode part lies where it has to be with ${fitting}`;

/**
 * What setup_sects should be: the one value with which everything that the header names in the protected-mode part is
 * there (the payload by its magic number, kernel_info by its own), where with the present one nothing is.
 */
export function fittingSetupSects(file: Reader, header: SetupHeader): number | undefined {
  const { payload_offset: payload, payload_length: length, kernel_info_offset: info } = header;
  if (length === 0) return undefined;
  const infoAt = (sectors: number): boolean => {
    const at = (sectors + 1) * SECTOR + info;
    return inside(at, 4, file.bytes.length) && file.u32(at) === KERNEL_INFO_MAGIC;
  };
  const formatAt = (sectors: number): PayloadFormat => {
    const at = (sectors + 1) * SECTOR + payload;
    return inside(at, 8, file.bytes.length) ? payloadFormat(file.slice(at, 8)) : 'unknown';
  };
  const payloadAt = (sectors: number): boolean => formatAt(sectors) !== 'unknown';
  const present = realSectors(header.setup_sects);
  if (payloadAt(present) || (info !== 0 && infoAt(present))) return undefined;
  // Two or three bytes of a magic number stand anywhere by chance.
  const certain = (n: number): boolean => (info === 0 ? TELLING.has(formatAt(n)) : infoAt(n));
  const fits = Array.from({ length: 255 }, (_, i) => i + 1).filter((n) => payloadAt(n) && certain(n));
  return fits.length === 1 ? fits[0] : undefined;
}

/** syssize counts paragraphs, rounded up; a signature or padding may follow in the file, and is not loaded. */
function checkedProtectedMode(header: SetupHeader, setupSize: number, fileSize: number): FileRange {
  const promised = header.syssize * PARAGRAPH;
  const present = fileSize - setupSize;
  if (promised === 0) throw new InputError('the header says that the protected-mode part is empty (syssize 0)');
  if (promised - present >= PARAGRAPH) {
    throw new InputError(
      `the file ends at ${hex(fileSize)}, its header promises ${setupSize + promised} bytes (${hex(setupSize + promised)}): truncated, or syssize is wrong`,
    );
  }
  return { fileOffset: setupSize, size: Math.min(promised, present) };
}

function checkedInitSize(header: SetupHeader, size: number): number {
  if (header.version < 0x20a) return size;
  if (header.init_size < size) {
    throw new InputError(
      `init_size is ${hex(header.init_size)}, less than the ${hex(size)} bytes of protected-mode code it must hold`,
    );
  }
  return header.init_size;
}

function checkAddresses(header: SetupHeader): void {
  const { kernel_alignment: alignment } = header;
  if (header.relocatable_kernel !== 0 && (alignment === 0 || !isPowerOfTwo(alignment))) {
    throw new InputError(`kernel_alignment is ${hex(alignment)}, not a power of two, in a relocatable kernel`);
  }
  if (header.pref_address >= MAX_PHYS_ADDR) {
    throw new InputError(`pref_address is ${hex(header.pref_address)}, beyond any physical address (52 bits)`);
  }
}

const isPowerOfTwo = (value: number): boolean => value > 0 && (value & (value - 1)) === 0;

function checkKernelInfo(file: Reader, header: SetupHeader, part: FileRange): void {
  const offset = header.kernel_info_offset;
  if (offset === 0) return;
  if (!inside(offset, 16, part.size)) {
    throw new InputError(
      `kernel_info_offset is ${hex(offset)}, beyond the protected-mode part (${hex(part.size)} bytes)`,
    );
  }
  if (file.u32(part.fileOffset + offset) !== KERNEL_INFO_MAGIC) {
    throw new InputError(`kernel_info_offset is ${hex(offset)}, but no kernel_info ("LToP") stands there`);
  }
}

function checkedPayload(file: Reader, header: SetupHeader, part: FileRange): Payload | undefined {
  const { payload_offset: offset, payload_length: length } = header;
  if (offset === 0 && length === 0) return undefined;
  if (!inside(offset, length, part.size)) {
    throw new InputError(
      `the payload (payload_offset ${hex(offset)}, payload_length ${hex(length)}) does not lie within the protected-mode part (${hex(part.size)} bytes)`,
    );
  }
  if (length === 0) throw new InputError(`payload_offset is ${hex(offset)}, but payload_length is 0`);
  const fileOffset = part.fileOffset + offset;
  return { fileOffset, length, format: payloadFormat(file.slice(fileOffset, length)) };
}

function checked64BitEntry(header: SetupHeader, part: FileRange): boolean {
  if ((header.xloadflags & XLF_KERNEL_64) === 0) return false;
  if (part.size > ENTRY_64_OFFSET) return true;
  throw new InputError(
    `xloadflags promises a 64-bit entry at ${hex(ENTRY_64_OFFSET)}, but the protected-mode part has ${hex(part.size)} bytes`,
  );
}

/** The longest string looked for; real ones have some 100 to 200 characters. */
const VERSION_LIMIT = 1024;

function versionText(bytes: Uint8Array, header: SetupHeader, setupSize: number): string | undefined {
  if (header.kernel_version === 0 || header.kernel_version + 0x200 >= setupSize) return undefined;
  const text = cString(bytes.subarray(0, setupSize), header.kernel_version + 0x200, VERSION_LIMIT);
  return text !== undefined && /^[\x20-\x7e]+$/.test(text) ? text : undefined;
}
