// Small kernels, byte by byte: one segment at 0xffffffff81000000 with startup code at its beginning, and a relocation table
// behind the file.
import { putU32, putU64 } from '../../../src/bits/cursor.ts';
import { concat, type ElfSymbolParts, makeElf } from '../../image/synthetic.ts';

export const TEXT = 0xffffffff81000000n;
/** Some data of the kernel. */
export const DATA = 0x2000;
const SIZE = 0x3000;

export interface KernelParts {
  /** Instructions from the entry on. */
  readonly code: readonly (readonly number[])[];
  /** Offsets from TEXT of words that the table lists; undefined for no table. */
  readonly abs32?: readonly number[];
  readonly abs64?: readonly number[];
  /** 64-bit words of data, by offset. */
  readonly data?: Readonly<Record<number, bigint>>;
  readonly align?: bigint;
  readonly entry?: bigint;
  readonly type?: number;
  readonly symbols?: readonly ElfSymbolParts[];
}

export function makeKernel(parts: KernelParts): Uint8Array {
  const bytes = new Uint8Array(SIZE).fill(0xcc);
  bytes.set(parts.code.flat());
  for (const [at, value] of Object.entries(parts.data ?? {})) putU64(bytes, Number(at), value);
  const elf = makeElf({
    segments: [{ physAddr: 0x1000000n, virtAddr: TEXT, memSize: BigInt(SIZE), bytes }],
    ...(parts.entry === undefined ? {} : { entry: parts.entry }),
    ...(parts.type === undefined ? {} : { type: parts.type }),
    ...(parts.symbols === undefined ? {} : { symbols: parts.symbols }),
  });
  putU64(elf, 64 + 48, parts.align ?? 0x200000n);
  return concat([elf, tableOf(parts)]);
}

function tableOf({ abs32, abs64 }: KernelParts): Uint8Array {
  if (abs32 === undefined && abs64 === undefined) return new Uint8Array();
  const entries = (list: readonly number[] = []): number[] => list.map((at) => 0x81000000 + at);
  return wordsOf([0, ...entries(abs64), 0, 0, ...entries(abs32)]);
}

export function wordsOf(words: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * words.length);
  for (const [i, word] of words.entries()) putU32(bytes, 4 * i, word >>> 0);
  return bytes;
}

export const le32 = (value: number): number[] => [...wordsOf([value])];

/** Low half of a kernel address, as imm32 and disp32 hold it. */
export const at32 = (offset: number): number[] => le32(0x81000000 + offset);

export const LEA_RDI = (displacement: number): number[] => [0x48, 0x8d, 0x3d, ...le32(displacement)];
export const MOV_RDI = (offset: number): number[] => [0x48, 0xc7, 0xc7, ...at32(offset)];
export const LOAD_RAX_RDI = [0x48, 0x8b, 0x07];
/** mov %rax,%cr3; mov $TEXT+0x100,%rax; jmp *%rax: 12 bytes. */
export const ENTER_MAPPING = [0x0f, 0x22, 0xd8, 0x48, 0xc7, 0xc0, ...at32(0x100), 0xff, 0xe0];
