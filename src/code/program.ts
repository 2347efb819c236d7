// A file seen as a program: which bytes lie at which link addresses, where it is entered, and what is no code for certain.
// Offsets here count from `base`, so that they stay numbers also for a kernel linked at 0xffffffff81000000.
import { inside, readerOf } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import type { BzImage } from '../image/bzimage.ts';
import { checkElfHeader, type ElfSection, readSections, SHT_NOBITS } from '../image/elf.ts';
import { ENTRY_64_OFFSET, XLF_EFI_HANDOVER_32, XLF_EFI_HANDOVER_64 } from '../image/setup-header.ts';
import type { SymbolTable } from '../image/symbols.ts';
import type { Bits } from './disassembly.ts';

/** Bytes of the file at consecutive link addresses. */
export interface Stretch {
  /** Offset from the program's base. */
  readonly at: number;
  readonly size: number;
  readonly fileOffset: number;
  /** A bzImage does not say; an ELF section does. */
  readonly holds: 'code' | 'data' | 'unknown';
  /** The section's name, where it is one. */
  readonly name?: string;
}

export interface Start {
  readonly at: number;
  readonly bits: Bits;
}

export interface Program {
  /** The file. */
  readonly bytes: Uint8Array;
  /** Link address of offset 0. */
  readonly base: bigint;
  /** By offset, without overlap; the payload is in none of them. */
  readonly stretches: readonly Stretch[];
  /** Memory behind sections that has no bytes in the file (.bss, page tables); empty where the file does not say. */
  readonly zeroed: readonly Extent[];
  /** Where the packed kernel lies: never code. */
  readonly payload: Extent | undefined;
  /** End of what is linked, .bss included; where the file does not say, undefined. */
  readonly end: number | undefined;
  /** Entry points. */
  readonly starts: readonly Start[];
  readonly symbols: SymbolTable | undefined;
}

export interface Extent {
  readonly at: number;
  readonly size: number;
}

/** The protected-mode part of a bzImage: the stub, linked at 0. @param symbols of the stub, where they are known */
export function programOfBzImage(image: BzImage, symbols?: SymbolTable): Program {
  const { fileOffset, size } = image.protectedMode;
  const payload =
    image.payload === undefined ? undefined : { at: image.payload.fileOffset - fileOffset, size: image.payload.length };
  const stretch = (from: number, to: number): Stretch[] =>
    from < to ? [{ at: from, size: to - from, fileOffset: fileOffset + from, holds: 'unknown' }] : [];
  const stretches =
    payload === undefined ? stretch(0, size) : [...stretch(0, payload.at), ...stretch(payload.at + payload.size, size)];
  return {
    ...{ bytes: image.bytes, base: 0n, stretches, zeroed: [], payload, end: undefined, symbols },
    starts: stubStarts(image),
  };
}

function stubStarts(image: BzImage): Start[] {
  const { xloadflags, handover_offset } = image.header;
  const list: Start[] = [{ at: 0, bits: 32 }];
  if (image.has64BitEntry) list.push({ at: ENTRY_64_OFFSET, bits: 64 });
  if (handover_offset !== 0 && (xloadflags & XLF_EFI_HANDOVER_32) !== 0) list.push({ at: handover_offset, bits: 32 });
  // The 64-bit handover entry stands 0x200 after the offset given ("EFI HANDOVER PROTOCOL").
  if (handover_offset !== 0 && (xloadflags & XLF_EFI_HANDOVER_64) !== 0)
    list.push({ at: handover_offset + 0x200, bits: 64 });
  const pe = peEntry(image);
  if (pe !== undefined) list.push({ at: pe, bits: 64 });
  return list;
}

/** AddressOfEntryPoint of an x86-64 PE header; in a bzImage an RVA is a file offset. */
function peEntry(image: BzImage): number | undefined {
  const setup = readerOf(image.bytes.subarray(0, image.setupSize), 'the setup part');
  const header = setup.u32(0x3c);
  if (setup.u16(0) !== 0x5a4d || header + 0x2c > image.setupSize) return undefined;
  if (setup.u32(header) !== 0x4550 || setup.u16(header + 4) !== 0x8664) return undefined;
  return setup.u32(header + 0x28) - image.setupSize;
}

/** Where the boot sector's jump leads; the setup part is linked at 0 and runs with CS and DS at its first byte. */
const SETUP_ENTRY = 0x200;

/** The setup part of a bzImage, whose code runs in real mode and addresses by segment. */
export function programOfSetup(image: BzImage): Program {
  const size = image.setupSize;
  return {
    bytes: image.bytes,
    base: 0n,
    stretches: [{ at: 0, size, fileOffset: 0, holds: 'unknown' }],
    zeroed: [],
    payload: undefined,
    end: undefined,
    starts: [{ at: SETUP_ENTRY, bits: 16 }],
    symbols: undefined,
  };
}

const SHF_ALLOC = 2n;
const SHF_EXECINSTR = 4n;
/** A kernel has some 80. */
const MOST_SECTIONS = 1024;
/** What the kernel build calls the section of the packed kernel. */
const PAYLOAD_SECTION = '.rodata..compressed';

/** The sections of a linked ELF file that are loaded, as a program. @param starts entry points, as offsets from `base` */
export function programOfElf(
  bytes: Uint8Array,
  base: bigint,
  starts: readonly Start[],
  symbols: SymbolTable | undefined,
): Program {
  const file = readerOf(bytes, 'the ELF file');
  checkElfHeader(file);
  const loaded = readSections(file).filter((s) => (s.flags & SHF_ALLOC) !== 0n && s.size > 0);
  if (loaded.length === 0) throw new InputError('this ELF file has no sections that are loaded (it was stripped)');
  if (loaded.length > MOST_SECTIONS)
    throw new InputError(`this ELF file has ${loaded.length} sections that are loaded; no linked kernel has so many`);
  const offsetOf = (s: ElfSection): number => Number(s.address - base);
  const placed = loaded.filter((s) => inside(offsetOf(s), s.size, 2 ** 40));
  const inFile = placed.filter((s) => s.type !== SHT_NOBITS && inside(s.fileOffset, s.size, bytes.length));
  const packed = inFile.find((s) => s.name === PAYLOAD_SECTION);
  const stretches = inFile.filter((s) => s !== packed).map((s) => stretchOf(s, offsetOf(s)));
  return {
    bytes,
    base,
    stretches: withoutOverlap(stretches),
    zeroed: placed.filter((s) => s.type === SHT_NOBITS).map((s) => ({ at: offsetOf(s), size: s.size })),
    payload: packed === undefined ? undefined : { at: offsetOf(packed), size: packed.size },
    end: placed.reduce((end, s) => Math.max(end, offsetOf(s) + s.size), 0),
    starts,
    symbols,
  };
}

const stretchOf = ({ size, fileOffset, flags, name }: ElfSection, at: number): Stretch => ({
  ...{ at, size, fileOffset, name },
  holds: (flags & SHF_EXECINSTR) === 0n ? 'data' : 'code',
});

/** Per-CPU sections of a kernel are linked over others; the first at an address is kept. */
function withoutOverlap(stretches: Stretch[]): Stretch[] {
  const kept: Stretch[] = [];
  let end = 0;
  for (const stretch of stretches.sort((a, b) => a.at - b.at)) {
    if (stretch.at < end) continue;
    kept.push(stretch);
    end = stretch.at + stretch.size;
  }
  return kept;
}

/** The stretch an offset lies in. */
export function stretchAt(program: Program, at: number): Stretch | undefined {
  return program.stretches.find((s) => at >= s.at && at < s.at + s.size);
}

/** Where the byte at an offset stands in the file. */
export function fileOffsetOf(program: Program, at: number): number | undefined {
  const stretch = stretchAt(program, at);
  return stretch === undefined ? undefined : stretch.fileOffset + at - stretch.at;
}
