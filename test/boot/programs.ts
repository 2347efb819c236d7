// Small programs for Multiboot and PVH, byte by byte.
import { putU16, putU32 } from '../../src/bits/cursor.ts';
import { bytesOfHex } from '../../src/bits/hex.ts';
import { concat } from '../image/synthetic.ts';

const MAGIC = 0x1bad_b002;

/** Magic, flags, a right checksum, and the five addresses where given. */
export function multibootHeader(flags: number, addresses: readonly number[] = []): Uint8Array {
  const bytes = new Uint8Array(12 + 4 * addresses.length);
  [MAGIC, flags, -(MAGIC + flags) >>> 0, ...addresses].forEach((word, i) => putU32(bytes, 4 * i, word));
  return bytes;
}

export interface Elf32Parts {
  readonly bytes: Uint8Array;
  readonly physAddr?: number;
  readonly memSize?: number;
  readonly entry?: number;
  readonly machine?: number;
  /** The contents of a PT_NOTE segment. */
  readonly notes?: Uint8Array;
}

/** Bytes of headers before the first segment's: one PT_LOAD and one PT_NOTE. */
export const ELF32_HEADERS = 52 + 2 * 32;

/** ELF32 for i386 with one PT_LOAD, loaded and entered at its first byte unless told otherwise. */
export function makeElf32(parts: Elf32Parts): Uint8Array {
  const { bytes, physAddr = 0x100000, notes = new Uint8Array() } = parts;
  const header = new Uint8Array(52);
  header.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]);
  putU16(header, 16, 2);
  putU16(header, 18, parts.machine ?? 3);
  putU32(header, 24, parts.entry ?? physAddr);
  putU32(header, 28, 52);
  putU16(header, 42, 32);
  putU16(header, 44, 2);
  const load = [1, ELF32_HEADERS, physAddr, physAddr, bytes.length, parts.memSize ?? bytes.length, 7, 4];
  const note = [4, ELF32_HEADERS + bytes.length, 0, 0, notes.length, notes.length, 4, 4];
  return concat([header, words(load), words(note), bytes, notes]);
}

const words = (values: readonly number[]): Uint8Array => {
  const out = new Uint8Array(4 * values.length);
  values.forEach((value, i) => putU32(out, 4 * i, value));
  return out;
};

/** A note "Xen" of type XEN_ELFNOTE_PHYS32_ENTRY with an address of 4 or 8 bytes. */
export function pvhNote(address: number, size: 4 | 8 = 4): Uint8Array {
  return concat([words([4, size, 18]), bytesOfHex('58656e00'), words([address, 0]).subarray(0, size)]);
}

/** out %eax, $0xf4 */
export const DEBUG_EXIT = 'e7 f4';
/** hlt; jmp to it */
export const HALT = 'f4 eb fd';
export const codeOf = (...hex: readonly string[]): Uint8Array => bytesOfHex(hex.join(' '));
