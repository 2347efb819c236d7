// The relocation table of a kernel that can be moved (CONFIG_X86_NEED_RELOCS): what arch/x86/tools/relocs writes and the
// kernel's build appends to vmlinux.bin. The stub walks it from the end of the unpacked file backwards and adds, to each
// word it names, how far KASLR moves the kernel in virtual memory (handle_relocations in boot/compressed/misc.c):
//
//   0, addresses of 64-bit words | 0, addresses of 32-bit words to subtract from | 0, addresses of 32-bit words
//
// The middle list served per-CPU variables linked at 0, and is gone from kernels that link them like others. Every
// entry is the low half of a kernel virtual address, to be sign-extended, and never 0.
//
// Addresses here are numbers: signed, so that 0xffffffff81000000 is -0x7f000000 and its low half is the same number.
import type { Reader } from '../bits/cursor.ts';
import { inside, readerOf } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import { hex } from '../bits/hex.ts';
import { type ElfSection, readSections, sectionBytes } from './elf.ts';
import { relocationType } from './relocationTypes.ts';

/** Addresses of words that move with the kernel, each list ascending. */
export interface KernelRelocs {
  readonly abs64: Int32Array;
  readonly abs32: Int32Array;
  /** 32-bit words that the distance is subtracted from; empty in kernels without such a list. */
  readonly inverse32: Int32Array;
  /** Behind the ELF file, or the .rela sections that `ld --emit-relocs` left and relocs reads. */
  readonly from: 'appended' | 'rela';
}

/**
 * Reads the table that fills `bytes` from `start` to the end.
 * Throws an InputError where it is not two or three lists of whole words.
 */
export function parseKernelRelocs(bytes: Uint8Array, start: number): KernelRelocs {
  if (!inside(start, 4, bytes.length)) throw new InputError('there is no relocation table behind the ELF file');
  const size = bytes.length - start;
  if (size % 4 !== 0) throw noTable(start, `${size} bytes are no whole number of 32-bit words`);
  const words = wordsAt(bytes, start, size / 4);
  if (words[0] !== 0) throw noTable(start, 'its first word is not 0');
  const zeros = zerosIn(words);
  if (zeros.length < 2 || zeros.length > 3)
    throw noTable(
      start,
      `${zeros.length > 3 ? 'more than 3' : zeros.length} of its words are 0, and a table has 2 or 3`,
    );
  const lists = zeros.map((at, i) => words.slice(at + 1, zeros[i + 1] ?? words.length).sort());
  const [abs64 = NONE, second = NONE, third] = lists;
  return { abs64, abs32: third ?? second, inverse32: third === undefined ? NONE : second, from: 'appended' };
}

const NONE = new Int32Array();

const noTable = (start: number, why: string): InputError =>
  new InputError(`what follows the ELF file at ${hex(start)} is no relocation table of a kernel: ${why}`);

/** Little-endian, wherever this runs. */
function wordsAt(bytes: Uint8Array, start: number, count: number): Int32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, count * 4);
  const words = new Int32Array(count);
  for (let i = 0; i < count; i++) words[i] = view.getInt32(4 * i, true);
  return words;
}

/** At most the first four: more is no table. */
function zerosIn(words: Int32Array): number[] {
  const found: number[] = [];
  for (let at = words.indexOf(0); at >= 0 && found.length < 4; at = words.indexOf(0, at + 1)) found.push(at);
  return found;
}

const SHT_RELA = 4;
const SHF_ALLOC = 2n;
const RELA_SIZE = 24;

/** What relocs would make of the .rela sections that `ld --emit-relocs` leaves; undefined where there are none. */
export function relocsOfRela(file: Reader, sections: readonly ElfSection[]): KernelRelocs | undefined {
  const tables = loadedRela(sections);
  if (tables.length === 0) return undefined;
  const wide: number[] = [];
  const narrow: number[] = [];
  for (const table of tables) {
    const entries = readerOf(sectionBytes(file, table), table.name);
    for (let at = 0; at + RELA_SIZE <= table.size; at += RELA_SIZE) {
      const list = entries.u32(at + 8) === ABS64 ? wide : NARROW.has(entries.u32(at + 8)) ? narrow : undefined;
      // Per-CPU sections linked at 0 lie outside the kernel's half of the addresses.
      if (list !== undefined && entries.u32(at + 4) === 0xffffffff) list.push(entries.u32(at) | 0);
    }
  }
  const sorted = (list: number[]): Int32Array => Int32Array.from(list).sort();
  return { abs64: sorted(wide), abs32: sorted(narrow), inverse32: NONE, from: 'rela' };
}

const ABS64 = relocationType('64');
const NARROW: ReadonlySet<number> = new Set([relocationType('32'), relocationType('32S')]);

/** The .rela sections of sections that are loaded. Their r_offset is a link address in a linked file. */
function loadedRela(sections: readonly ElfSection[]): ElfSection[] {
  const loaded = new Set(sections.filter((s) => (s.flags & SHF_ALLOC) !== 0n).map((s) => `.rela${s.name}`));
  return sections.filter((s) => s.type === SHT_RELA && loaded.has(s.name));
}

/** Type and symbol (by index) of the emitted relocation of the word at `address`; undefined where there is none. */
export function emittedRelocation(
  file: Reader,
  address: number,
): { readonly type: number; readonly symbol: number; readonly addend: bigint } | undefined {
  for (const table of loadedRela(readSections(file))) {
    const entries = readerOf(sectionBytes(file, table), table.name);
    for (let at = 0; at + RELA_SIZE <= table.size; at += RELA_SIZE) {
      if ((entries.u32(at) | 0) !== address || entries.u32(at + 4) !== 0xffffffff) continue;
      return {
        type: entries.u32(at + 8),
        symbol: entries.u32(at + 12),
        addend: BigInt.asIntN(64, entries.u64(at + 16)),
      };
    }
  }
  return undefined;
}

/** Whether an ascending list holds an address. */
export function listed(list: Int32Array, address: number): boolean {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((list[middle] as number) < address) low = middle + 1;
    else high = middle;
  }
  return list[low] === address;
}
