// An ELF file's headers for either class and byte order, read only as far as telling what the file is needs it. Nothing
// here complains: what leaves the file is not there. elf.ts and elf32.ts hold a file against itself.
import { inside } from '../bits/cursor.ts';
import { cString } from '../bits/text.ts';
import { startsWith } from './payload.ts';

/** Headers and names looked at; a kernel module has some hundred sections, and a hostile file as many as it likes. */
const MOST_HEADERS = 4096;
const LONGEST_NAME = 256;

export interface ElfProgramHeader {
  readonly type: number;
  readonly offset: number;
  readonly virtAddr: bigint;
  readonly fileSize: number;
  readonly memSize: number;
}

export interface ElfHead {
  readonly wide: boolean;
  readonly bigEndian: boolean;
  /** EI_OSABI. */
  readonly abi: number;
  readonly type: number;
  readonly machine: number;
  readonly programHeaders: readonly ElfProgramHeader[];
  readonly sectionNames: ReadonlySet<string>;
}

type Words = {
  readonly half: (at: number) => number;
  readonly word: (at: number) => number;
  /** An address or size of the file's class; one of more than 53 bits is no size of anything here. */
  readonly long: (at: number) => bigint;
};

/** Undefined where the bytes have no ELF magic, or end within the header. */
export function elfHead(bytes: Uint8Array): ElfHead | undefined {
  if (!startsWith(bytes, [0x7f, 0x45, 0x4c, 0x46]) || bytes.length < 52) return undefined;
  const wide = bytes[4] === 2;
  if (wide && bytes.length < 64) return undefined;
  const bigEndian = bytes[5] === 2;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const words: Words = {
    half: (at) => view.getUint16(at, !bigEndian),
    word: (at) => view.getUint32(at, !bigEndian),
    long: (at) => (wide ? view.getBigUint64(at, !bigEndian) : BigInt(view.getUint32(at, !bigEndian))),
  };
  return {
    ...{ wide, bigEndian, abi: bytes[7] as number, type: words.half(16), machine: words.half(18) },
    programHeaders: programHeaders(bytes, words, wide),
    sectionNames: sectionNames(bytes, words, wide),
  };
}

/** Starts of a table's rows that lie in the file. */
function rows(bytes: Uint8Array, table: bigint, size: number, count: number): number[] {
  const start = Number(table);
  if (start === 0) return [];
  const all = Array.from({ length: Math.min(count, MOST_HEADERS) }, (_, i) => start + i * size);
  return all.filter((at) => inside(at, size, bytes.length));
}

function programHeaders(bytes: Uint8Array, { half, word, long }: Words, wide: boolean): ElfProgramHeader[] {
  const table = rows(bytes, long(wide ? 32 : 28), wide ? 56 : 32, half(wide ? 56 : 44));
  const [offset, virt, file, memory] = wide ? [8, 16, 32, 40] : [4, 8, 16, 20];
  return table.map((at) => ({
    type: word(at),
    offset: Number(long(at + offset)),
    virtAddr: long(at + virt),
    fileSize: Number(long(at + file)),
    memSize: Number(long(at + memory)),
  }));
}

function sectionNames(bytes: Uint8Array, { half, word, long }: Words, wide: boolean): Set<string> {
  const size = wide ? 64 : 40;
  const table = rows(bytes, long(wide ? 40 : 32), size, half(wide ? 60 : 48));
  const strings = table[half(wide ? 62 : 50)];
  if (strings === undefined) return new Set();
  const [start, length] = wide
    ? [Number(long(strings + 24)), Number(long(strings + 32))]
    : [Number(long(strings + 16)), Number(long(strings + 20))];
  if (!inside(start, length, bytes.length)) return new Set();
  const names = bytes.subarray(start, start + length);
  return new Set(table.map((at) => cString(names, word(at), LONGEST_NAME) ?? ''));
}
