// One of the two images as a program whose code can be listed: a boot stub, from its bzImage or its ELF file, or a kernel.
import { readerOf } from '../../bits/cursor.ts';
import { InputError } from '../../bits/errors.ts';
import { findCode } from '../../code/codeMap.ts';
import { type Program, programOfBzImage, programOfElf } from '../../code/program.ts';
import { parseBzImage } from '../../image/bzimage.ts';
import type { FileIdentity, FileKind } from '../../image/classify.ts';
import { checkElfHeader, isElf, readSections, UPPER_HALF } from '../../image/elf.ts';
import { kallsyms } from '../../image/kallsyms.ts';
import { openFile } from '../../image/open.ts';
import { ownSymbols, type SymbolTable } from '../../image/symbols.ts';
import { elfStub, isKernel } from '../stub/elf.ts';
import { bytesLeft, withNamedCode } from './byName.ts';
import { type AddressRange, type Listing, listingOfCode, listingOfSections } from './listing.ts';

export type Side = {
  /** For people, without an article: "bzImage 6.1.0-56-amd64". */
  readonly what: string;
  readonly kernel: boolean;
  readonly program: Program;
  /** No link address beyond it, as an offset from the base. */
  readonly end: number;
  /** Offsets of symbols in code, rising. */
  readonly named: Int32Array;
  /** Numbers that follow from sizes, with a name each: where both sides have one's number, they mean the same. */
  readonly sizes: ReadonlyMap<string, number>;
};

export type Code = {
  readonly listing: Listing;
  /** Offsets where functions may start, in any order. */
  readonly starts: readonly Int32Array[];
  /** Bytes of code that are in no instruction listed; undefined where the file does not say what is code. */
  readonly bytesLeft: number | undefined;
};

const ET_EXEC = 2;
const ET_DYN = 3;
/** Sections; kernels have some 40 to 80. */
const MOST_STRETCHES = 512;
/** Offsets are kept in 32 bits. */
const LARGEST_OFFSET = 0x7fff_0000;

/** @param symbols from elsewhere; an ELF file's own serve otherwise, and a kernel's kallsyms. Throws an InputError. */
export function readSide(bytes: Uint8Array, symbols: SymbolTable | undefined): Side {
  const { bytes: image, identity } = openFile(bytes);
  checkKind(identity);
  const side = isElf(image) ? elfSide(image, symbols) : bzImageSide(image, symbols);
  const { stretches } = side.program;
  if (stretches.length > MOST_STRETCHES) throw new InputError(`${stretches.length} sections are too many to compare`);
  if (side.end > LARGEST_OFFSET)
    throw new InputError('its addresses are more than 2 GiB apart, so it is no kernel image');
  return side;
}

/** Kinds whose code can be listed: by following it from known entries, or by sections. */
const COMPARED: ReadonlySet<FileKind> = new Set([
  'bzImage',
  'linux-program',
  'stub',
  'vmlinux',
  'multiboot',
  'pvh',
  'elf',
]);

function checkKind({ kind, what, bits }: FileIdentity): void {
  const refused = (why: string): InputError => new InputError(`this is ${what}; ${why}`);
  if (!COMPARED.has(kind)) throw refused('diff compares boot stubs and kernels');
  const isHeader = kind === 'bzImage' || kind === 'linux-program';
  if (!isHeader && bits === 32) throw refused('diff reads 64-bit ELF files only');
}

function bzImageSide(bytes: Uint8Array, symbols: SymbolTable | undefined): Side {
  const image = parseBzImage(bytes);
  const program = programOfBzImage(image, symbols);
  const { protectedMode, payload, initSize, version } = image;
  const release = (version ?? '').split(' ')[0] ?? '';
  const sizes = new Map<string, number>([['init_size', initSize]]);
  if (payload !== undefined) sizes.set('unpacked', unpackedSize(bytes, payload.fileOffset + payload.length));
  return {
    what: release === '' ? 'bzImage' : `bzImage ${release}`,
    kernel: false,
    program,
    end: Math.max(protectedMode.size, initSize),
    named: namedIn(program, symbols),
    sizes: withPayload(sizes, program),
  };
}

/** The payload's last four bytes: the size of what it unpacks to. */
function unpackedSize(bytes: Uint8Array, end: number): number {
  return end < 4 ? 0 : readerOf(bytes, 'the kernel image').u32(end - 4);
}

function withPayload(sizes: Map<string, number>, { payload }: Program): Map<string, number> {
  if (payload === undefined) return sizes;
  return sizes.set('payload', payload.size).set('packed', payload.size - 4);
}

function elfSide(bytes: Uint8Array, symbols: SymbolTable | undefined): Side {
  const file = readerOf(bytes, 'the ELF file');
  checkElfHeader(file);
  const type = file.u16(16);
  if (type !== ET_EXEC && type !== ET_DYN)
    throw new InputError('this ELF file was never linked; compare linked images');
  const kernel = isKernel(bytes);
  const program = kernel
    ? kernelProgram(bytes, symbols ?? ownSymbols(bytes) ?? kallsyms(bytes))
    : elfStub(bytes, symbols).program;
  return {
    what: kernel ? 'kernel (vmlinux)' : 'ELF boot stub',
    kernel,
    program,
    end: program.end ?? 0,
    named: namedIn(program, program.symbols),
    sizes: withPayload(new Map(), program),
  };
}

const SHF_ALLOC = 2n;

/** Offsets count from the lowest section of the upper half; per-CPU variables, linked at 0, are no part of it. */
function kernelProgram(bytes: Uint8Array, symbols: SymbolTable | undefined): Program {
  const sections = readSections(readerOf(bytes, 'the ELF file'));
  const linked = sections.filter((s) => (s.flags & SHF_ALLOC) !== 0n && s.address >= UPPER_HALF);
  const base = linked.reduce((least, s) => (s.address < least ? s.address : least), linked[0]?.address ?? 0n);
  return programOfElf(bytes, base, [], symbols);
}

function namedIn({ stretches, base }: Program, symbols: SymbolTable | undefined): Int32Array {
  const code = stretches.filter(({ holds }) => holds !== 'data');
  const offsets: number[] = [];
  let index = 0;
  for (const { address } of symbols?.symbols ?? []) {
    const at = Number(address - base);
    while (index < code.length && at >= endOf(code[index])) index++;
    const stretch = code[index];
    if (stretch !== undefined && at >= stretch.at) offsets.push(at);
  }
  return Int32Array.from(offsets);
}

const endOf = (stretch: { at: number; size: number } | undefined): number =>
  stretch === undefined ? Number.POSITIVE_INFINITY : stretch.at + stretch.size;

/** Which numbers may be addresses, of either side: a token has to come out alike on both. */
export function rangeOf(side: Side, other: Side): AddressRange {
  const base = Number(BigInt.asIntN(64, side.program.base));
  const to = Math.max(side.end, other.end);
  // A stub's first page holds its entries, whose link addresses look like flags and sizes.
  return side.kernel ? { base, from: 0, to, certain: true } : { base, from: 0x400, to, certain: false };
}

/** @param extra offsets where the other side suggests that functions start */
export function codeOf(side: Side, range: AddressRange, extra: readonly number[]): Code {
  const { program, named, kernel } = side;
  if (kernel) {
    const listing = listingOfSections(program, named, range);
    return { listing, starts: [named, Int32Array.from(extra)], bytesLeft: 0 };
  }
  const elf = program.stretches.some(({ holds }) => holds === 'code');
  const map = findCode(program, [...(elf ? named : []), ...extra]);
  const code = withNamedCode(program, map);
  const listing = listingOfCode(program, code.instructions, range);
  const starts = [Int32Array.from(map.functions), named, code.starts, Int32Array.from(extra)];
  return { listing, starts, bytesLeft: elf ? bytesLeft(program, code.instructions) : undefined };
}
