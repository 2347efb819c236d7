// Images for tests, byte by byte: a bzImage from header fields and code, an ELF64 from segments and symbols.
import { putU16, putU32, putU64 } from '../../src/bits/cursor.ts';
import { putHeaderField, type SetupHeaderField } from '../../src/image/setup-header.ts';

export const SETUP_SIZE = 0x400;

export interface BzImageParts {
  /** Protected-mode bytes before the payload. */
  readonly code?: Uint8Array;
  readonly payload?: Uint8Array;
  /** Protected-mode bytes after the payload. */
  readonly tail?: Uint8Array;
  /** Bytes behind the protected-mode part, as a signature would be. */
  readonly signature?: Uint8Array;
  readonly fields?: Partial<Record<SetupHeaderField, number | bigint>>;
}

/** A relocatable protocol 2.15 kernel with both entries that prefers 16 MiB; fields override what follows from the parts. */
export function makeBzImage(parts: BzImageParts = {}): Uint8Array {
  const code = parts.code ?? new Uint8Array(0x300).fill(0x90);
  const payload = parts.payload ?? Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3, 4, 0, 0x10, 0, 0);
  const tail = parts.tail ?? new Uint8Array(0x20);
  const size = code.length + payload.length + tail.length;
  const bytes = concat([new Uint8Array(SETUP_SIZE), code, payload, tail, parts.signature ?? new Uint8Array()]);
  const fields = { ...defaultFields(size, code.length, payload.length), ...parts.fields };
  for (const [name, value] of Object.entries(fields)) putHeaderField(bytes, name as SetupHeaderField, value);
  return bytes;
}

function defaultFields(size: number, payloadOffset: number, payloadLength: number): Record<string, number | bigint> {
  return {
    setup_sects: 1,
    syssize: Math.ceil(size / 16),
    vid_mode: 0xffff,
    boot_flag: 0xaa55,
    jump: 0x6aeb,
    header: 0x53726448,
    version: 0x20f,
    loadflags: 0x01,
    code32_start: 0x100000,
    initrd_addr_max: 0x7fffffff,
    kernel_alignment: 0x200000,
    relocatable_kernel: 1,
    min_alignment: 21,
    xloadflags: 0x7f,
    cmdline_size: 2047,
    payload_offset: payloadOffset,
    payload_length: payloadLength,
    pref_address: 0x1000000n,
    init_size: 0x1000000,
  };
}

export interface ElfParts {
  readonly segments?: readonly {
    readonly physAddr: bigint;
    readonly virtAddr: bigint;
    readonly memSize: bigint;
    readonly bytes: Uint8Array;
  }[];
  readonly entry?: bigint;
  readonly type?: number;
  readonly machine?: number;
  readonly symbols?: readonly ElfSymbolParts[];
}

export interface ElfSymbolParts {
  readonly name: string;
  readonly address: bigint;
  readonly size?: bigint;
  /** st_info: binding << 4 | type. */
  readonly info?: number;
  readonly section?: number;
}

/** ELF64, little-endian: header, program headers, segment bytes, then .symtab, .strtab and section headers if asked for. */
export function makeElf(parts: ElfParts = {}): Uint8Array {
  const segments = parts.segments ?? [
    { physAddr: 0x1000000n, virtAddr: 0xffffffff81000000n, memSize: 0x3000n, bytes: new Uint8Array(0x100).fill(0x90) },
  ];
  const header = new Uint8Array(64);
  header.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  putU16(header, 16, parts.type ?? 2);
  putU16(header, 18, parts.machine ?? 62);
  putU32(header, 20, 1);
  putU64(header, 24, parts.entry ?? 0x1000000n);
  putU64(header, 32, 64n);
  putU16(header, 52, 64);
  putU16(header, 54, 56);
  putU16(header, 56, segments.length);
  let offset = 64 + 56 * segments.length;
  const programHeaders = segments.map((s) => {
    const at = offset;
    offset += s.bytes.length;
    return programHeader(s, at);
  });
  const loaded = concat([header, ...programHeaders, ...segments.map((s) => s.bytes)]);
  return parts.symbols === undefined ? loaded : withSymbols(loaded, parts.symbols);
}

function programHeader(s: NonNullable<ElfParts['segments']>[number], offset: number): Uint8Array {
  const bytes = new Uint8Array(56);
  putU32(bytes, 0, 1);
  putU32(bytes, 4, 5);
  putU64(bytes, 8, BigInt(offset));
  putU64(bytes, 16, s.virtAddr);
  putU64(bytes, 24, s.physAddr);
  putU64(bytes, 32, BigInt(s.bytes.length));
  putU64(bytes, 40, s.memSize);
  putU64(bytes, 48, 0x1000n);
  return bytes;
}

function withSymbols(elf: Uint8Array, symbols: readonly ElfSymbolParts[]): Uint8Array {
  const names = ['', ...symbols.map((s) => s.name)];
  const strings = new TextEncoder().encode(names.map((n) => `${n}\0`).join(''));
  const table = new Uint8Array(24 * (symbols.length + 1));
  let nameOffset = 1;
  for (const [index, symbol] of symbols.entries()) {
    const at = 24 * (index + 1);
    putU32(table, at, nameOffset);
    table[at + 4] = symbol.info ?? 0x12;
    putU16(table, at + 6, symbol.section ?? 1);
    putU64(table, at + 8, symbol.address);
    putU64(table, at + 16, symbol.size ?? 0n);
    nameOffset += symbol.name.length + 1;
  }
  const sections = new Uint8Array(64 * 3);
  sectionHeader(sections, 64, 2, elf.length, table.length, 2, 24);
  sectionHeader(sections, 128, 3, elf.length + table.length, strings.length, 0, 0);
  const whole = concat([elf, table, strings, sections]);
  putU64(whole, 40, BigInt(elf.length + table.length + strings.length));
  putU16(whole, 58, 64);
  putU16(whole, 60, 3);
  return whole;
}

function sectionHeader(
  sections: Uint8Array,
  at: number,
  type: number,
  offset: number,
  size: number,
  link: number,
  entrySize: number,
): void {
  putU32(sections, at + 4, type);
  putU64(sections, at + 24, BigInt(offset));
  putU64(sections, at + 32, BigInt(size));
  putU32(sections, at + 40, link);
  putU64(sections, at + 56, BigInt(entrySize));
}

export function concat(parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** mulberry32: a small generator with a seed, so that a failing case can be repeated. */
export function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}
