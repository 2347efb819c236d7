// The SMBIOS tables that firmware would leave (DMTF DSP0134, version 2.8): what the machine is, for kernels' "DMI:" line,
// dmidecode and memory tests. The entry point lies on a paragraph below 1 MiB, where everybody looks for it (5.2.1), and
// the structures follow it. A string is named by its number among those behind its structure, 0 where there is none.
import { putU16, putU32, putU64 } from '../bits/cursor.ts';
import { KIB, MIB } from '../bits/sizes.ts';
import { alignUp, HIGH_RAM_START, MMIO_HOLE_START } from './layout.ts';

export type SmbiosInput = {
  readonly memoryBytes: number;
  readonly processor?: Processor | undefined;
};

export type Processor = {
  /** EAX and, above it, EDX of CPUID leaf 1. */
  readonly id: bigint;
  readonly vendor: string;
  readonly name: string;
};

type Field = readonly [offset: number, bytes: 1 | 2 | 4 | 8, value: number | bigint];
/** Of a structure all but its header: its length, its fields, and the strings they count through. */
type Structure = {
  readonly type: number;
  readonly handle: number;
  readonly length: number;
  readonly fields: readonly Field[];
  readonly strings?: readonly string[];
};

const MAKER = 'Firstlight';
const PRODUCT = 'Virtual PC';
const VERSION = '1.0';

const HANDLE = {
  bios: 0,
  system: 0x100,
  board: 0x200,
  chassis: 0x300,
  processor: 0x400,
  array: 0x1000,
  module: 0x1100,
};
const MAPPED_HANDLE = 0x1300;
const NO_HANDLE = 0xffff;
const NO_ERROR_INFORMATION = 0xfffe;

/** 7.1. "Characteristics are not supported"; ACPI; the tables describe a virtual machine. */
const BIOS: Structure = {
  type: 0,
  handle: HANDLE.bios,
  length: 0x18,
  fields: [
    ...([4, 5] as const).map((at): Field => [at, 1, at - 3]),
    [6, 2, 0xf000],
    [8, 1, 3],
    [0x0a, 8, 1 << 3],
    [0x12, 1, 1 << 0],
    [0x13, 1, 1 << 4],
    [0x14, 1, 1],
    [0x16, 2, 0xffff],
  ],
  strings: [MAKER, VERSION, '01/01/2025'],
};

/** 7.2. No UUID: all ones. Woken by the power switch. */
const SYSTEM: Structure = {
  type: 1,
  handle: HANDLE.system,
  length: 0x1b,
  fields: [
    [4, 1, 1],
    [5, 1, 2],
    [6, 1, 3],
    [8, 8, (1n << 64n) - 1n],
    [0x10, 8, (1n << 64n) - 1n],
    [0x18, 1, 6],
  ],
  strings: [MAKER, PRODUCT, VERSION],
};

/** 7.3. A motherboard that hosts. */
const BOARD: Structure = {
  type: 2,
  handle: HANDLE.board,
  length: 0x0f,
  fields: [
    [4, 1, 1],
    [5, 1, 2],
    [6, 1, 3],
    [9, 1, 1],
    [0x0b, 2, HANDLE.chassis],
    [0x0d, 1, 0x0a],
  ],
  strings: [MAKER, PRODUCT, VERSION],
};

/** 7.4. Of a kind that is none of the listed; its states are safe, its security unknown. */
const CHASSIS: Structure = {
  type: 3,
  handle: HANDLE.chassis,
  length: 0x15,
  fields: [[4, 1, 1], [5, 1, 1], ...([9, 0x0a, 0x0b] as const).map((at): Field => [at, 1, 3]), [0x0c, 1, 2]],
  strings: [MAKER],
};

/** Of the time stamp counter: it counts guest time in ns. */
const MEGAHERTZ = 1000;

/** 7.5. One core, enabled, of 64 bits; no cache is described. */
const processor = ({ id, vendor, name }: Processor): Structure => ({
  type: 4,
  handle: HANDLE.processor,
  length: 0x2a,
  fields: [
    [4, 1, 1],
    [5, 1, 3],
    [6, 1, 2],
    [7, 1, 2],
    [8, 8, id],
    [0x10, 1, 3],
    [0x14, 2, MEGAHERTZ],
    [0x16, 2, MEGAHERTZ],
    [0x18, 1, 0x41],
    [0x19, 1, 1],
    ...([0x1a, 0x1c, 0x1e] as const).map((at): Field => [at, 2, NO_HANDLE]),
    ...([0x23, 0x24, 0x25] as const).map((at): Field => [at, 1, 1]),
    [0x26, 2, 1 << 2],
    [0x28, 2, 2],
  ],
  strings: ['CPU 0', vendor, name],
});

const USE_EXTENDED_CAPACITY = 0x8000_0000;

/** 7.17. System memory on the board, without error correction. */
const memoryArray = (bytes: number): Structure => {
  const fits = bytes / KIB < USE_EXTENDED_CAPACITY;
  return {
    type: 16,
    handle: HANDLE.array,
    length: 0x17,
    fields: [
      ...([4, 5, 6] as const).map((at): Field => [at, 1, 3]),
      [7, 4, fits ? bytes / KIB : USE_EXTENDED_CAPACITY],
      [0x0b, 2, NO_ERROR_INFORMATION],
      [0x0d, 2, 1],
      [0x0f, 8, fits ? 0 : bytes],
    ],
  };
};

const USE_EXTENDED_SIZE = 0x7fff;
/** 7.18: a size with this bit is in KiB. */
const SIZE_IN_KIB = 0x8000;

function moduleSize(bytes: number): number {
  if (bytes % MIB !== 0 && bytes / KIB < SIZE_IN_KIB) return SIZE_IN_KIB | (bytes / KIB);
  return Math.min(Math.floor(bytes / MIB), USE_EXTENDED_SIZE);
}

/** 7.18. One module of RAM, all of it. */
const memoryModule = (bytes: number): Structure => ({
  type: 17,
  handle: HANDLE.module,
  length: 0x28,
  fields: [
    [4, 2, HANDLE.array],
    [6, 2, NO_ERROR_INFORMATION],
    [8, 2, 64],
    [0x0a, 2, 64],
    [0x0c, 2, moduleSize(bytes)],
    [0x0e, 1, 9],
    [0x10, 1, 1],
    [0x12, 1, 7],
    [0x13, 2, 1 << 1],
    [0x17, 1, 2],
    [0x1c, 4, moduleSize(bytes) === USE_EXTENDED_SIZE ? Math.floor(bytes / MIB) : 0],
  ],
  strings: ['DIMM 0', MAKER],
});

/** 7.20. */
const mappedRange = (start: number, end: number, index: number): Structure => ({
  type: 19,
  handle: MAPPED_HANDLE + index,
  length: 0x1f,
  fields: [
    [4, 4, start / KIB],
    [8, 4, end / KIB - 1],
    [0x0c, 2, HANDLE.array],
    [0x0e, 1, 1],
  ],
});

/** Where RAM is: below the device hole, and the rest above 4 GiB. */
const mappedRanges = (bytes: number): Structure[] => {
  const high = Math.max(0, bytes - MMIO_HOLE_START);
  const ranges = [
    [0, bytes - high],
    [HIGH_RAM_START, HIGH_RAM_START + high],
  ] as const;
  return ranges.slice(0, high > 0 ? 2 : 1).map(([start, end], index) => mappedRange(start, end, index));
};

/** 7.33: no error. 7.45: the end. */
const BOOT_STATUS: Structure = { type: 32, handle: 0x2000, length: 0x0b, fields: [] };
const END: Structure = { type: 127, handle: 0x7f00, length: 4, fields: [] };

function structureBytes({ type, handle, length, fields, strings = [] }: Structure): Uint8Array {
  const text = strings.length > 0 ? strings.map((line) => `${line}\0`).join('') : '\0';
  const bytes = new Uint8Array(length + text.length + 1);
  bytes.set([type, length], 0);
  putU16(bytes, 2, handle);
  for (const [offset, size, value] of fields) {
    if (size === 1) bytes[offset] = Number(value);
    else if (size === 2) putU16(bytes, offset, Number(value));
    else if (size === 4) putU32(bytes, offset, Number(value));
    else putU64(bytes, offset, BigInt(value));
  }
  bytes.set(new TextEncoder().encode(text), length);
  return bytes;
}

const ENTRY_LENGTH = 0x1f;
const INTERMEDIATE = 0x10;

const sumOf = (bytes: Uint8Array): number => bytes.reduce((sum, byte) => sum + byte, 0);

/** 5.2.1: two checksums, that of the intermediate part first. */
function entryPoint(structures: readonly Uint8Array[], table: number): Uint8Array {
  const bytes = new Uint8Array(ENTRY_LENGTH);
  bytes.set(new TextEncoder().encode('_SM_'), 0);
  bytes.set([ENTRY_LENGTH, 2, 8], 5);
  putU16(bytes, 8, Math.max(...structures.map(({ length }) => length)));
  bytes.set(new TextEncoder().encode('_DMI_'), INTERMEDIATE);
  putU16(
    bytes,
    0x16,
    structures.reduce((sum, { length }) => sum + length, 0),
  );
  putU32(bytes, 0x18, table);
  putU16(bytes, 0x1c, structures.length);
  bytes[0x1e] = 0x28;
  bytes[0x15] = -sumOf(bytes.subarray(INTERMEDIATE)) & 0xff;
  bytes[4] = -sumOf(bytes) & 0xff;
  return bytes;
}

/** @param base guest-physical address of the entry point, a multiple of 16 */
export function smbiosTables(base: number, { memoryBytes, processor: cpu }: SmbiosInput): Uint8Array {
  const structures = [
    ...[BIOS, SYSTEM, BOARD, CHASSIS],
    ...(cpu ? [processor(cpu)] : []),
    ...[memoryArray(memoryBytes), memoryModule(memoryBytes), ...mappedRanges(memoryBytes), BOOT_STATUS, END],
  ].map(structureBytes);
  const table = alignUp(base + ENTRY_LENGTH, 16);
  const parts = [entryPoint(structures, table), new Uint8Array(table - base - ENTRY_LENGTH), ...structures];
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}
