// The Multiboot 1 header (Multiboot Specification 0.6.96, section 3.1): a magic number, flags and a checksum, somewhere in
// the first 8192 bytes of the file, and, where flag 16 says so, five addresses by which the file is loaded without its
// own headers (a.out kludge).
import { viewOf } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import { hex } from '../bits/hex.ts';

const MAGIC = 0x1bad_b002;
const SEARCH_LIMIT = 8192;
/** Magic, flags, checksum. */
const LEAST_SIZE = 12;
const WITH_ADDRESSES = 32;
const FLAG_ADDRESSES = 1 << 16;
/** Flags 0 to 15 are demands; those behind bit 2 are unknown, and an unknown demand has to be refused (3.1.2). */
const UNKNOWN_DEMANDS = 0xfff8;

/** A stretch of the file that is loaded as it stands, by the header's own addresses. */
export interface MultibootLoad {
  readonly fileOffset: number;
  readonly fileSize: number;
  readonly physAddr: number;
  /** With what lies behind the file's bytes and is zero. */
  readonly memSize: number;
  readonly entry: number;
}

export interface MultibootHeader {
  /** File offset of the magic number. */
  readonly offset: number;
  /** Bit 0: modules on page boundaries; 1: memory information; 2: video mode; 16: address fields. */
  readonly flags: number;
  /** Where flag 16 is set: what to load instead of what an ELF header says. */
  readonly load: MultibootLoad | undefined;
}

/** The first valid header, or undefined. Throws an InputError for one that asks for the unknown or contradicts the file. */
export function findMultibootHeader(bytes: Uint8Array): MultibootHeader | undefined {
  const offset = headerOffset(bytes);
  if (offset === undefined) return undefined;
  const flags = viewOf(bytes).getUint32(offset + 4, true);
  if (flags & UNKNOWN_DEMANDS) {
    throw new InputError(`the Multiboot header demands what no loader knows (flags ${hex(flags)})`);
  }
  return { offset, flags, load: flags & FLAG_ADDRESSES ? addressLoad(bytes, offset) : undefined };
}

/** Is there a header with a right checksum? */
export const hasMultibootHeader = (bytes: Uint8Array): boolean => headerOffset(bytes) !== undefined;

/** How far behind the limit a misplaced header is looked for. */
const LATE_LIMIT = 2 ** 20;

/** Where a valid header stands that no loader finds, because the specification has it in the first 8192 bytes. */
export function multibootHeaderBehindLimit(bytes: Uint8Array): number | undefined {
  return headerOffset(bytes, SEARCH_LIMIT - LEAST_SIZE, LATE_LIMIT);
}

function headerOffset(bytes: Uint8Array, from = 0, limit = SEARCH_LIMIT): number | undefined {
  const view = viewOf(bytes);
  const last = Math.min(bytes.length, limit) - LEAST_SIZE;
  for (let at = from; at <= last; at += 4) {
    if (view.getUint32(at, true) !== MAGIC) continue;
    const sum = MAGIC + view.getUint32(at + 4, true) + view.getUint32(at + 8, true);
    if (sum % 2 ** 32 === 0) return at;
  }
  return undefined;
}

/** 3.1.3: load_end_addr 0 means to the end of the file, bss_end_addr 0 means no bss. */
function addressLoad(bytes: Uint8Array, offset: number): MultibootLoad {
  if (offset + WITH_ADDRESSES > bytes.length) {
    throw new InputError(`the file ends at ${hex(bytes.length)}, within the addresses of its Multiboot header`);
  }
  const view = viewOf(bytes);
  const field = (index: number): number => view.getUint32(offset + 12 + 4 * index, true);
  const [header, start, end, bssEnd, entry] = [field(0), field(1), field(2), field(3), field(4)];
  const fileOffset = offset - (header - start);
  if (start > header || fileOffset < 0) {
    throw new InputError(
      `the Multiboot header says that it lies at ${hex(header)} and loading begins at ${hex(start)}; its file offset ${hex(offset)} does not allow that`,
    );
  }
  const fileSize = end === 0 ? bytes.length - fileOffset : end - start;
  if (fileSize <= 0 || fileOffset + fileSize > bytes.length) {
    throw new InputError(
      `the Multiboot header loads ${hex(start)} to ${hex(end)} from file offset ${hex(fileOffset)}, but the file ends at ${hex(bytes.length)}`,
    );
  }
  const memSize = bssEnd === 0 ? fileSize : bssEnd - start;
  if (memSize < fileSize) {
    throw new InputError(`the Multiboot header ends the bss at ${hex(bssEnd)}, before the end of what it loads`);
  }
  if (entry < start || entry >= start + memSize) {
    throw new InputError(`the Multiboot header's entry point ${hex(entry)} lies outside what it loads`);
  }
  return { fileOffset, fileSize, physAddr: start, memSize, entry };
}

/** A file that is loaded by the addresses of its Multiboot header alone. */
export interface MultibootImage {
  readonly kind: 'multiboot';
  readonly bytes: Uint8Array;
  readonly load: MultibootLoad;
}

/** Reads a Multiboot file that is no ELF file. Throws an InputError where its header does not say what to load. */
export function parseMultiboot(bytes: Uint8Array): MultibootImage {
  const load = findMultibootHeader(bytes)?.load;
  if (load === undefined) {
    throw new InputError('this file has a Multiboot header without load addresses (flag 16), and is no ELF file');
  }
  return { kind: 'multiboot', bytes, load };
}
