// Parts of a kernel for tests: the symbol table that scripts/kallsyms.c writes, in each of the ways it has written it, and
// ELF notes. See src/image/kallsymsTables.ts.
import { putU16, putU32, putU64 } from '../../src/bits/cursor.ts';
import type { KallsymsForm } from '../../src/image/kallsyms.ts';
import { concat, makeElf } from './synthetic.ts';

export const BASE = 0xffffffff81000000n;

export interface NamedAddress {
  readonly address: bigint;
  /** The type's letter and the name. */
  readonly name: string;
}

export interface KallsymsParts {
  readonly symbols: readonly NamedAddress[];
  readonly form: KallsymsForm;
  /** Addresses first (until 6.3), or behind the other tables. */
  readonly order: 'until 6.3' | 'since 6.4';
  /** Bytes of a marker; 8 until 4.19. */
  readonly marker?: 4 | 8;
  /** Where parts start; 4 in kernels of 2026. */
  readonly align?: 4 | 8;
  /** With seqs_of_names. */
  readonly seqs?: boolean;
}

/** Codes of printable characters stand for themselves; three others for words, the rest for themselves in hexadecimal. */
const WORDS: Readonly<Record<number, string>> = { 1: 'kernel', 2: 'start_', 3: '_init' };
export const TOKENS: readonly string[] = Array.from({ length: 256 }, (_, code) => {
  const printable = code > 0x20 && code < 0x7f;
  return printable ? String.fromCharCode(code) : (WORDS[code] ?? `x${code.toString(16)}`);
});

/** Enough symbols for several markers, a few with names that people know. Addresses ascend from BASE, some twice. */
export function someSymbols(count = 1100, percpu = false): NamedAddress[] {
  const special: Readonly<Record<number, string>> = {
    0: 'T_stext',
    1: 'Tstartup_64',
    2: 'tlocal_one',
    400: 'Tstart_kernel',
    1099: 'B_end',
  };
  const symbols = Array.from({ length: count }, (_, i) => ({
    address: BASE + BigInt(i < 3 ? 0 : 16 * i),
    name: special[i] ?? `tfunction_${i}`,
  }));
  return percpu
    ? [{ address: 0n, name: 'A__per_cpu_start' }, { address: 0x6000n, name: 'Dcpu_tss_rw' }, ...symbols]
    : symbols;
}

/** A kernel's ELF file with nothing but its symbol table in its one segment, behind `lead` bytes. */
export function makeKernelWithSymbols(
  parts: KallsymsParts,
  lead = 64,
  extra: Uint8Array = new Uint8Array(),
): Uint8Array {
  const table = kallsymsBytes(parts, lead);
  const bytes = concat([new Uint8Array(lead).fill(0x90), table, new Uint8Array(64).fill(0xcc), extra]);
  return makeElf({ segments: [{ physAddr: 0x1000000n, virtAddr: BASE, memSize: 0x100000n, bytes }] });
}

function kallsymsBytes(parts: KallsymsParts, lead: number): Uint8Array {
  const { symbols, align = 8, order, seqs = false } = parts;
  const aligned = (bytes: Uint8Array): Uint8Array =>
    concat([bytes, new Uint8Array(Math.ceil(bytes.length / align) * align - bytes.length)]);
  const names = symbols.map(({ name }) => encodedName(name));
  const sequence = seqs ? [aligned(new Uint8Array(3 * symbols.length).fill(0x01))] : [];
  const count = new Uint8Array(4);
  putU32(count, 0, symbols.length);
  const head = [aligned(count), aligned(concat(names)), aligned(markersOf(names, parts.marker ?? 4))];
  const tokens = [aligned(new TextEncoder().encode(`${TOKENS.join('\0')}\0`)), tokenIndex()];
  if (order === 'until 6.3') return concat([...addressesOf(parts, 0, aligned), ...head, ...sequence, ...tokens]);
  const before = concat([...head, ...tokens]);
  return concat([before, ...addressesOf(parts, lead + before.length, aligned), ...sequence]);
}

/** The longest tokens first, a length of one or two bytes before them. */
function encodedName(name: string): Uint8Array {
  const codes: number[] = [];
  for (let at = 0; at < name.length; ) {
    const word = Object.entries(WORDS).find(([, text]) => name.startsWith(text, at));
    codes.push(word === undefined ? name.charCodeAt(at) : Number(word[0]));
    at += word === undefined ? 1 : word[1].length;
  }
  const { length } = codes;
  return Uint8Array.from([...(length < 0x80 ? [length] : [(length & 0x7f) | 0x80, length >> 7]), ...codes]);
}

function markersOf(names: readonly Uint8Array[], size: number): Uint8Array {
  const markers = new Uint8Array(Math.ceil(names.length / 256) * size);
  let offset = 0;
  for (const [i, name] of names.entries()) {
    if (i % 256 === 0) putU32(markers, (i / 256) * size, offset);
    offset += name.length;
  }
  return markers;
}

function tokenIndex(): Uint8Array {
  const index = new Uint8Array(512);
  let offset = 0;
  for (const [i, token] of TOKENS.entries()) {
    putU16(index, 2 * i, offset);
    offset += token.length + 1;
  }
  return index;
}

/** @param at where they will lie, from the start of the segment */
function addressesOf(
  { symbols, form }: KallsymsParts,
  at: number,
  aligned: (bytes: Uint8Array) => Uint8Array,
): Uint8Array[] {
  const size = form === 'absolute' ? 8 : 4;
  const table = new Uint8Array(symbols.length * size);
  for (const [i, { address }] of symbols.entries()) {
    if (form === 'absolute') putU64(table, 8 * i, address);
    else if (form === 'base-relative') putU32(table, 4 * i, Number(address - BASE));
    else if (form === 'place-relative') putU32(table, 4 * i, Number(address - BASE) - (at + 4 * i));
    else putU32(table, 4 * i, Number(address >= BASE ? BASE - 1n - address : address));
  }
  const base = new Uint8Array(8);
  putU64(base, 0, BASE);
  return form.startsWith('base-relative') ? [aligned(table), base] : [aligned(table)];
}

/** A note of the gABI: owner and contents padded to 4 bytes. */
export function note(owner: string, type: number, contents: Uint8Array): Uint8Array {
  const padded = (bytes: Uint8Array): Uint8Array => concat([bytes, new Uint8Array(-bytes.length & 3)]);
  const name = new TextEncoder().encode(`${owner}\0`);
  const header = new Uint8Array(12);
  putU32(header, 0, name.length);
  putU32(header, 4, contents.length);
  putU32(header, 8, type);
  return concat([header, padded(name), padded(contents)]);
}

/** Makes the program header `index` of an ELF file a PT_NOTE. */
export function asNoteSegment(elf: Uint8Array, index: number): Uint8Array {
  putU32(elf, 64 + 56 * index, 4);
  return elf;
}
