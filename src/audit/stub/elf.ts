// The boot stub as an ELF file (arch/x86/boot/compressed/vmlinux): sections say what is code, symbols name it.

import { type Reader, readerOf } from '../../bits/cursor.ts';
import type { Bits } from '../../code/disassembly.ts';
import { type Program, programOfElf, type Start, stretchAt } from '../../code/program.ts';
import { readSections, UPPER_HALF } from '../../image/elf.ts';
import { ENTRY_64_OFFSET } from '../../image/setup-header.ts';
import { ownSymbols, type SymbolTable } from '../../image/symbols.ts';

const PT_LOAD = 1;

/** Whether this ELF file is a kernel rather than a stub: linked to the upper half. */
export function isKernel(bytes: Uint8Array): boolean {
  const file = readerOf(bytes, 'the ELF file');
  return programHeaders(file, PT_LOAD).some((at) => file.u64(at + 16) >= UPPER_HALF);
}

function programHeaders(file: Reader, type: number): number[] {
  const table = file.size64(32, 'e_phoff');
  const all = Array.from({ length: file.u16(56) }, (_, i) => table + i * 56);
  return all.filter((at) => file.u32(at) === type);
}

/** e_entry as a link address: some name it by its physical address, where a segment is loaded otherwise than it is linked. */
function entryVirtual(file: Reader): bigint {
  const entry = file.u64(24);
  const loads = programHeaders(file, PT_LOAD).map((at) => ({
    ...{ virtual: file.u64(at + 16), physical: file.u64(at + 24), size: file.u64(at + 40) },
  }));
  const within = (start: bigint, size: bigint): boolean => entry >= start && entry < start + size;
  if (loads.some(({ virtual, size }) => within(virtual, size))) return entry;
  const home = loads.find(({ physical, size }) => within(physical, size));
  return home === undefined ? entry : home.virtual + (entry - home.physical);
}

/** Entry points by the names that the kernel gives them. */
const ENTRY_NAMES: ReadonlyMap<string, Bits> = new Map<string, Bits>([
  ['startup_32', 32],
  ['startup_64', 64],
  ['efi32_stub_entry', 32],
  ['efi32_pe_entry', 32],
  ['efi64_stub_entry', 64],
  ['efi_stub_entry', 64],
  ['efi_pe_entry', 64],
]);

export type ElfStub = {
  readonly program: Program;
  /** Offsets of further symbols in code. */
  readonly named: readonly number[];
};

/** @param given symbols from elsewhere, for a file that was stripped */
export function elfStub(bytes: Uint8Array, given: SymbolTable | undefined): ElfStub {
  const file = readerOf(bytes, 'the ELF file');
  const symbols = given ?? ownSymbols(bytes);
  const base = linkBase(bytes);
  const entry = Number(entryVirtual(file) - base);
  const named =
    symbols === undefined ? [] : symbols.symbols.map((s) => ({ at: Number(s.address - base), name: s.name }));
  const known = named.flatMap(({ at, name }): Start[] => {
    const bits = ENTRY_NAMES.get(name);
    return bits === undefined ? [] : [{ at, bits }];
  });
  // e_entry is startup_64 in a 64-bit stub, startup_32 in older ones: the boot protocol tells them apart.
  const first: Start = { at: entry, bits: entry === ENTRY_64_OFFSET ? 64 : 32 };
  const starts = known.some(({ at }) => at === entry) ? known : [first, ...known];
  const program = programOfElf(bytes, base, starts, symbols);
  return { program, named: named.map(({ at }) => at).filter((at) => stretchAt(program, at)?.holds === 'code') };
}

/** Stubs are linked at 0; one that is not has its addresses counted from its first section. */
function linkBase(bytes: Uint8Array): bigint {
  const loaded = readSections(readerOf(bytes, 'the ELF file')).filter((s) => (s.flags & 2n) !== 0n && s.size > 0);
  return loaded.reduce((least, s) => (s.address < least ? s.address : least), loaded[0]?.address ?? 0n);
}
