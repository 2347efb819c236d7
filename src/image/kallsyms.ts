// The symbol table that a kernel carries for itself (CONFIG_KALLSYMS; kernel/kallsyms.c). kallsymsTables.ts finds it in the
// file; here names are expanded and addresses decoded. A kernel for x86-64 is linked to the top 2 GiB, its per-CPU
// variables formerly to 0, so every link address is the sign extension of 32 bits, and is kept as those.
import { viewOf } from '../bits/cursor.ts';
import { type ElfSegment, parseElf, UPPER_HALF } from './elf.ts';
import { findKallsyms, type KallsymsPlaces, LONGEST_SYMBOL, nameHead } from './kallsymsTables.ts';
import type { ListedSymbol } from './nm.ts';
import type { SymbolEntry, SymbolTable } from './symbols.ts';

/** How the addresses are written. */
export type KallsymsForm =
  /** 64-bit addresses. */
  | 'absolute'
  /** Unsigned distances from kallsyms_relative_base. */
  | 'base-relative'
  /** Not negative: per-CPU offsets; negative: base - 1 - address. Kernels for several processors, up to 6.14. */
  | 'base-relative-percpu'
  /** Signed distances from the place of each. */
  | 'place-relative';

export interface Kallsyms {
  readonly form: KallsymsForm;
  /** Low 32 bits of each link address, to be sign-extended; ascending as 64-bit addresses. */
  readonly addresses: Int32Array;
  /** nm's letter for the type, then the name: "Tstart_kernel". */
  readonly names: readonly string[];
}

/** Characters of all names together; a large kernel has 10 million. */
const MOST_CHARACTERS = 1 << 26;

/**
 * The symbols that a kernel's ELF file carries for itself; undefined where it has none (CONFIG_KALLSYMS is not set).
 * Takes time in proportion to the file and memory to its symbols. Throws an InputError where it is no ELF executable.
 */
export function readKallsyms(bytes: Uint8Array): Kallsyms | undefined {
  const { segments } = parseElf(bytes);
  const places = findKallsyms(bytes);
  if (places === undefined) return undefined;
  const names = expandNames(viewOf(bytes), places);
  const found = names === undefined ? undefined : decodeAddresses(bytes, places, segments);
  return found === undefined || names === undefined ? undefined : { ...found, names };
}

/** The same with one name an address, as everything that names addresses takes it. */
export function kallsyms(bytes: Uint8Array): SymbolTable | undefined {
  const found = readKallsyms(bytes);
  return found === undefined ? undefined : symbolTableOf(found);
}

const kallsymsAddress = (address: number): bigint => BigInt.asUintN(64, BigInt(address));

/** The best name of each address. */
function symbolTableOf({ addresses, names }: Kallsyms): SymbolTable {
  const symbols: SymbolEntry[] = [];
  for (let first = 0; first < names.length; ) {
    let best = names[first] as string;
    let next = first + 1;
    for (; next < names.length && addresses[next] === addresses[first]; next++) {
      const other = names[next] as string;
      if (rank(other) > rank(best)) best = other;
    }
    symbols.push({ address: kallsymsAddress(addresses[first] as number), size: 0n, name: best.slice(1) });
    first = next;
  }
  return { symbols };
}

/** Global before local; and startup_64 before _text, memcpy before __memcpy. */
function rank(name: string): number {
  const letter = name.charCodeAt(0);
  return (letter < 0x60 ? 2 : 0) + (name.charCodeAt(1) === 0x5f ? 0 : 1);
}

/** Every symbol, as nm lists them. */
export function kallsymsList({ addresses, names }: Kallsyms): ListedSymbol[] {
  return names.map((name, i) => ({
    address: kallsymsAddress(addresses[i] as number),
    letter: name.charAt(0),
    name: name.slice(1),
  }));
}

function expandNames(view: DataView, { names, count, tokens }: KallsymsPlaces): string[] | undefined {
  const expanded: string[] = [];
  let characters = 0;
  let at = names;
  for (let i = 0; i < count; i++) {
    const { length, size } = nameHead(view, at);
    at += size;
    let name = '';
    for (const end = at + length; at < end; at++) name += tokens[view.getUint8(at)] as string;
    characters += name.length;
    // A letter for the type and at least one of the name.
    if (name.length < 2 || name.length > LONGEST_SYMBOL || characters > MOST_CHARACTERS) return undefined;
    expanded.push(name);
  }
  return expanded;
}

type Addresses = Pick<Kallsyms, 'form' | 'addresses'>;

/** The first reading that gives ascending addresses within the kernel. */
function decodeAddresses(
  bytes: Uint8Array,
  { count, numSyms, end }: KallsymsPlaces,
  segments: readonly ElfSegment[],
): Addresses | undefined {
  const around = [
    // Since 6.4 behind the other tables; before, in front of them. kallsyms_relative_base follows, at a multiple of 8.
    { offsets: end, base: (end + 4 * count + 7) & ~7, quads: end },
    { offsets: (numSyms - 8 - 4 * count) & ~7, base: numSyms - 8, quads: numSyms - 8 * count },
  ];
  for (const { offsets, base, quads } of around) {
    const readings = [
      ...baseRelative(bytes, offsets, base, count),
      ...placeRelative(bytes, offsets, count, segments),
      ...absolute(bytes, quads, count),
    ];
    const found = readings.find(({ addresses }) => isPlausible(addresses, segments));
    if (found !== undefined) return found;
  }
  return undefined;
}

const fits = (bytes: Uint8Array, at: number, size: number): boolean => at >= 0 && at + size <= bytes.length;

function baseRelative(bytes: Uint8Array, offsets: number, baseAt: number, count: number): Addresses[] {
  if (!fits(bytes, offsets, 4 * count) || !fits(bytes, baseAt, 8)) return [];
  const view = viewOf(bytes);
  const base = view.getInt32(baseAt, true);
  if (base >= 0 || view.getInt32(baseAt + 4, true) !== -1) return [];
  const plain = new Int32Array(count);
  const percpu = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const offset = view.getInt32(offsets + 4 * i, true);
    plain[i] = base + offset;
    percpu[i] = offset < 0 ? base - 1 - offset : offset;
  }
  return [
    { form: 'base-relative-percpu', addresses: percpu },
    { form: 'base-relative', addresses: plain },
  ];
}

function placeRelative(
  bytes: Uint8Array,
  offsets: number,
  count: number,
  segments: readonly ElfSegment[],
): Addresses[] {
  const segment = segments.find((s) => offsets >= s.fileOffset && offsets < s.fileOffset + s.fileSize);
  if (segment === undefined || !fits(bytes, offsets, 4 * count)) return [];
  const view = viewOf(bytes);
  const start = Number(BigInt.asIntN(32, segment.virtAddr + BigInt(offsets - segment.fileOffset)));
  const addresses = Int32Array.from({ length: count }, (_, i) => start + 4 * i + view.getInt32(offsets + 4 * i, true));
  return [{ form: 'place-relative', addresses }];
}

function absolute(bytes: Uint8Array, quads: number, count: number): Addresses[] {
  if (!fits(bytes, quads, 8 * count)) return [];
  const view = viewOf(bytes);
  const addresses = new Int32Array(count);
  for (let i = 0; i < count; i++) {
    const low = view.getInt32(quads + 8 * i, true);
    if (view.getInt32(quads + 8 * i + 4, true) !== low >> 31) return [];
    addresses[i] = low;
  }
  return [{ form: 'absolute', addresses }];
}

/** Ascending as unsigned numbers of 64 bits, those of the upper half within what is loaded, and some there. */
function isPlausible(addresses: Int32Array, segments: readonly ElfSegment[]): boolean {
  const upper = segments.filter((s) => s.virtAddr >= UPPER_HALF);
  const lowest = Math.min(...upper.map((s) => Number(BigInt.asIntN(64, s.virtAddr))));
  const end = Math.max(...upper.map((s) => Number(BigInt.asIntN(64, s.virtAddr)) + s.memSize));
  let before = 0;
  for (const address of addresses) {
    // As an unsigned number of 32 bits the order is the same: the upper half is above.
    if (address >>> 0 < before) return false;
    before = address >>> 0;
    if (address < 0 && (address < lowest || address > end)) return false;
  }
  return before > 0x7fffffff;
}
