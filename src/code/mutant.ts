// Makes a healthy stub sick as a linker would, and back: `lea sym(%rip),%reg` becomes the `mov $sym,%reg` that ld makes
// of a relaxed R_X86_64_REX_GOTPCRELX without -pie (x86-64 psABI, "Optimize GOTPCRELX relocations"). Both have 7 bytes:
//   REX.W[R] 8d /r disp32   mod=00 rm=101
//   REX.W[B] c7 /0 imm32    mod=11 rm=reg
import { inside, putU32, viewOf } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import { hex, hexBytes } from '../bits/hex.ts';
import type { BzImage } from '../image/bzimage.ts';
import { parseImage, stubOf } from '../image/image.ts';
import { findCode } from './codeMap.ts';
import { programOfBzImage } from './program.ts';

export type Register64 = (typeof REGISTERS)[number];

/** In the order of their numbers in ModRM and REX. */
export const REGISTERS = [
  'rax',
  'rcx',
  'rdx',
  'rbx',
  'rsp',
  'rbp',
  'rsi',
  'rdi',
  'r8',
  'r9',
  'r10',
  'r11',
  'r12',
  'r13',
  'r14',
  'r15',
] as const;

/** Bytes of either form. */
export const LEA_LENGTH = 7;

export interface RipRelativeLea {
  readonly fileOffset: number;
  /** Of the instruction, in the stub that is linked at 0. */
  readonly linkAddress: number;
  readonly register: Register64;
  /** Link address that the lea computes. */
  readonly target: number;
}

/**
 * All RIP-relative `lea disp32(%rip), %r64` in the code of a bzImage's stub, by link address. Only instructions that
 * control flow reaches are listed; payload and data bytes never are.
 * Throws an InputError where `bytes` is no bzImage.
 */
export function listRipRelativeLeas(bytes: Uint8Array): RipRelativeLea[] {
  const image = bzImageOf(bytes);
  const offset = image.protectedMode.fileOffset;
  const { instructions } = findCode(programOfBzImage(image));
  const candidates = instructions.filter((i) => i.bits === 64 && i.length === LEA_LENGTH);
  return candidates.flatMap(({ at }) => readLea(bytes, offset + at, at) ?? []);
}

/**
 * A copy of the image with the lea at `fileOffset` turned into the mov of its target's link address.
 * Throws an InputError where no such lea stands there.
 */
export function mutateLea(bytes: Uint8Array, fileOffset: number): Uint8Array {
  const lea = readLea(bytes, fileOffset, linkAddressOf(bytes, fileOffset));
  if (lea === undefined) throw noSuchInstruction(bytes, fileOffset, 'lea disp32(%rip), %r64');
  if (lea.target < -0x80000000 || lea.target > 0x7fffffff)
    throw new InputError(`${hex(lea.target)} does not fit a mov's immediate`);
  return rewritten(bytes, fileOffset, movBytes(lea.register, lea.target));
}

/**
 * The reverse: a copy of the image with the `mov $imm32, %r64` at `fileOffset` turned into a lea of the same link
 * address, which is right wherever the image is loaded. Throws an InputError where no such mov stands there.
 */
export function repairMov(bytes: Uint8Array, fileOffset: number): Uint8Array {
  const linkAddress = linkAddressOf(bytes, fileOffset);
  const repaired = repairedMovBytes(windowAt(bytes, fileOffset), linkAddress);
  if (repaired === undefined) throw noSuchInstruction(bytes, fileOffset, 'mov $imm32, %r64');
  return rewritten(bytes, fileOffset, repaired);
}

/**
 * The 7 bytes of the lea that computes what the 7 bytes of `mov` load, for code linked at `linkAddress`;
 * undefined where `mov` is no such instruction. For rewriting in memory, without a file.
 */
export function repairedMovBytes(mov: Uint8Array, linkAddress: number): Uint8Array | undefined {
  const [rex = 0, opcode, modrm = 0] = mov;
  if (mov.length !== LEA_LENGTH || (rex & 0xfe) !== 0x48 || opcode !== 0xc7 || (modrm & 0xf8) !== 0xc0)
    return undefined;
  const target = viewOf(mov).getInt32(3, true);
  const register = REGISTERS[((rex & 1) << 3) | (modrm & 7)];
  return register === undefined ? undefined : leaBytes(register, target - (linkAddress + LEA_LENGTH));
}

function bzImageOf(bytes: Uint8Array): BzImage {
  const image = stubOf(parseImage(bytes));
  if (image === undefined) throw new InputError('mutants are made of a bzImage, and this is an ELF file');
  return image;
}

function linkAddressOf(bytes: Uint8Array, fileOffset: number): number {
  const { protectedMode } = bzImageOf(bytes);
  const linkAddress = fileOffset - protectedMode.fileOffset;
  if (!inside(linkAddress, LEA_LENGTH, protectedMode.size)) {
    throw new InputError(`file offset ${hex(Math.max(0, fileOffset))} is not in the protected-mode part`);
  }
  return linkAddress;
}

const windowAt = (bytes: Uint8Array, fileOffset: number): Uint8Array =>
  bytes.subarray(fileOffset, fileOffset + LEA_LENGTH);

function readLea(bytes: Uint8Array, fileOffset: number, linkAddress: number): RipRelativeLea | undefined {
  const window = windowAt(bytes, fileOffset);
  const [rex = 0, opcode, modrm = 0] = window;
  if (window.length !== LEA_LENGTH || (rex & 0xfb) !== 0x48 || opcode !== 0x8d || (modrm & 0xc7) !== 0x05)
    return undefined;
  const register = REGISTERS[((rex & 4) << 1) | (modrm >> 3)];
  if (register === undefined) return undefined;
  const target = linkAddress + LEA_LENGTH + viewOf(window).getInt32(3, true);
  return { fileOffset, linkAddress, register, target };
}

function movBytes(register: Register64, immediate: number): Uint8Array {
  const number = REGISTERS.indexOf(register);
  return withImmediate([0x48 | (number >> 3), 0xc7, 0xc0 | (number & 7)], immediate);
}

export function leaBytes(register: Register64, displacement: number): Uint8Array {
  const number = REGISTERS.indexOf(register);
  return withImmediate([0x48 | ((number >> 3) << 2), 0x8d, 0x05 | ((number & 7) << 3)], displacement);
}

function withImmediate(start: readonly number[], value: number): Uint8Array {
  const bytes = new Uint8Array(LEA_LENGTH);
  bytes.set(start);
  putU32(bytes, 3, value >>> 0);
  return bytes;
}

function rewritten(bytes: Uint8Array, fileOffset: number, instruction: Uint8Array): Uint8Array {
  const copy = new Uint8Array(bytes);
  copy.set(instruction, fileOffset);
  return copy;
}

function noSuchInstruction(bytes: Uint8Array, fileOffset: number, wanted: string): InputError {
  return new InputError(`no ${wanted} at file offset ${hex(fileOffset)}: ${hexBytes(windowAt(bytes, fileOffset))}`);
}
