// A small encoder of ACPI machine language (ACPI 6.4, chapter 20) and of resource descriptors (6.4): just what our DSDT is
// made of. Everything is an array of bytes; nothing here knows what the names mean.

export type Aml = readonly number[];

const ZERO_OP = 0x00;
const ONE_OP = 0x01;
const NAME_OP = 0x08;
const BYTE_PREFIX = 0x0a;
const WORD_PREFIX = 0x0b;
const DWORD_PREFIX = 0x0c;
const STRING_PREFIX = 0x0d;
const SCOPE_OP = 0x10;
const METHOD_OP = 0x14;
const ARG0_OP = 0x68;
const STORE_OP = 0x70;
const IF_OP = 0xa0;
const RETURN_OP = 0xa4;
const BUFFER_OP = 0x11;
const PACKAGE_OP = 0x12;
const DEVICE_OP = [0x5b, 0x82];
const ROOT_CHAR = 0x5c;

const u16 = (value: number): number[] => [value & 0xff, (value >>> 8) & 0xff];
const u32 = (value: number): number[] => [...u16(value), ...u16(value >>> 16)];
const ascii = (text: string): number[] => [...new TextEncoder().encode(text)];

/** PkgLength counts itself too (20.2.4). Throws RangeError from 1 MiB on. */
function withLength(content: Aml): number[] {
  if (content.length + 1 < 0x40) return [content.length + 1, ...content];
  for (let more = 1; more <= 3; more++) {
    const length = content.length + 1 + more;
    if (length >= 1 << (4 + 8 * more)) continue;
    const high = Array.from({ length: more }, (_, i) => (length >>> (4 + 8 * i)) & 0xff);
    return [(more << 6) | (length & 0xf), ...high, ...content];
  }
  throw new RangeError(`${content.length} bytes are too long for a package`);
}

/** One name segment, filled up with underscores; a backslash before it for the root. */
function nameString(name: string): number[] {
  const rooted = name.startsWith('\\');
  const segment = rooted ? name.slice(1) : name;
  return [...(rooted ? [ROOT_CHAR] : []), ...ascii(segment.padEnd(4, '_'))];
}

/** An integer below 2^32 in its shortest form. */
export function integer(value: number): Aml {
  if (value === 0) return [ZERO_OP];
  if (value === 1) return [ONE_OP];
  if (value < 0x100) return [BYTE_PREFIX, value];
  return value < 0x1_0000 ? [WORD_PREFIX, ...u16(value)] : [DWORD_PREFIX, ...u32(value)];
}

export const string = (text: string): Aml => [STRING_PREFIX, ...ascii(text), 0];

/** "PNP0501" as EISA writes it: three letters of 5 bits, four hexadecimal digits, high byte first (ASL's EISAID). */
export function eisaId(text: string): Aml {
  const letters = ascii(text.slice(0, 3)).reduce((id, char) => (id << 5) | (char & 0x1f), 0);
  const product = Number.parseInt(text.slice(3), 16);
  return [DWORD_PREFIX, letters >>> 8, letters & 0xff, product >>> 8, product & 0xff];
}

/** What a name stands for, as an operand. */
export const named = (of: string): Aml => nameString(of);

/** The first argument of a method. */
export const ARG0: Aml = [ARG0_OP];

/** A method that others need not wait for (20.2.5.2). @param args how many it takes, 0 to 7 */
export const method = (of: string, args: number, terms: readonly Aml[]): Aml => [
  METHOD_OP,
  ...withLength([...nameString(of), args, ...terms.flat()]),
];

export const store = (value: Aml, target: Aml): Aml => [STORE_OP, ...value, ...target];
export const ifTrue = (predicate: Aml, terms: readonly Aml[]): Aml => [
  IF_OP,
  ...withLength([...predicate, ...terms.flat()]),
];
export const giveBack = (value: Aml): Aml => [RETURN_OP, ...value];

export const name = (of: string, value: Aml): Aml => [NAME_OP, ...nameString(of), ...value];

export const packageOf = (elements: readonly Aml[]): Aml => [
  PACKAGE_OP,
  ...withLength([elements.length, ...elements.flat()]),
];

const buffer = (bytes: Aml): Aml => [BUFFER_OP, ...withLength([...integer(bytes.length), ...bytes])];

export const scope = (of: string, terms: readonly Aml[]): Aml => [
  SCOPE_OP,
  ...withLength([...nameString(of), ...terms.flat()]),
];

export const device = (of: string, terms: readonly Aml[]): Aml => [
  ...DEVICE_OP,
  ...withLength([...nameString(of), ...terms.flat()]),
];

// Resource descriptors --------------------------------------------------------------------------------------------------

const IO_PORT = 0x47;
const DECODES_16_BITS = 1;
const IRQ_NO_FLAGS = 0x22;
const END_TAG = 0x79;
const MEMORY_32_FIXED = 0x86;
const WORD_SPACE = 0x88;
const DWORD_SPACE = 0x87;
const BUS_NUMBERS = 2;
const IO_SPACE = 1;
const MEMORY_SPACE = 0;
/** _MIF, _MAF: both ends are fixed; the bridge produces, and decodes positively. */
const FIXED = 0x0c;
const ENTIRE_IO_RANGE = 0x03;
const MEMORY_READ_WRITE = 0x01;

/** A range of ports at a fixed place. */
export const ioPorts = (first: number, count: number): Aml => [
  IO_PORT,
  DECODES_16_BITS,
  ...u16(first),
  ...u16(first),
  1,
  count,
];

/** Memory at a fixed place, writable. */
export const memoryAt = (first: number, size: number): Aml => [
  MEMORY_32_FIXED,
  ...u16(9),
  1,
  ...u32(first),
  ...u32(size),
];

/** One ISA interrupt, edge-triggered and active high. */
export const isaIrq = (irq: number): Aml => [IRQ_NO_FLAGS, ...u16(1 << irq)];

/** What a bridge passes on, from first to last (inclusive). */
export type Window = { readonly first: number; readonly last: number };

const wordSpace = (type: number, flags: number, { first, last }: Window): Aml => {
  const content = [type, FIXED, flags, ...[0, first, last, 0, last - first + 1].flatMap(u16)];
  return [WORD_SPACE, ...u16(content.length), ...content];
};

export const busNumbers = (window: Window): Aml => wordSpace(BUS_NUMBERS, 0, window);
export const ioWindow = (window: Window): Aml => wordSpace(IO_SPACE, ENTIRE_IO_RANGE, window);

export const memoryWindow = ({ first, last }: Window): Aml => {
  const content = [
    MEMORY_SPACE,
    FIXED,
    MEMORY_READ_WRITE,
    ...[0, first, last, 0, last - first + 1].flatMap((value) => u32(value)),
  ];
  return [DWORD_SPACE, ...u16(content.length), ...content];
};

/** ResourceTemplate: descriptors and the end tag, whose checksum 0 means that there is none. */
export const resources = (...descriptors: readonly Aml[]): Aml => buffer([...descriptors.flat(), END_TAG, 0]);
