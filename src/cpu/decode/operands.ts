// Operands as a record has them: where registers lie in the state block, the fields of a memory operand, the widths of
// immediates.

import { type Instruction, MemorySizeExt, OpKind, Register } from 'iced-x86';
import type { Bitness } from '../state/codeContext.ts';
import * as at from '../state/layout.ts';
import * as rec from '../binding/recordLayout.ts';

/** General registers: their number, where they lie in the state block, and how much of them the name means. */
export const GPR = new Map<number, { index: number; address: number; bytes: 1 | 2 | 4 | 8 }>();
const LOW_BYTES = [
  Register.AL,
  Register.CL,
  Register.DL,
  Register.BL,
  Register.SPL,
  Register.BPL,
  Register.SIL,
  Register.DIL,
];
for (let index = 0; index < 16; index++) {
  const address = at.regAddress(index);
  const low = LOW_BYTES[index] ?? Register.R8L + (index - 8);
  GPR.set(low, { index, address, bytes: 1 });
  GPR.set(Register.AX + index, { index, address, bytes: 2 });
  GPR.set(Register.EAX + index, { index, address, bytes: 4 });
  GPR.set(Register.RAX + index, { index, address, bytes: 8 });
  if (index < 4) GPR.set(Register.AH + index, { index, address: address + 1, bytes: 1 });
}

/** XMM and MMX registers, as the FXSAVE image in the state block has them (with TOP 0), and their letters in keys. */
export const VECTOR_REGISTERS = new Map<number, { address: number; text: string }>();
for (let index = 0; index < 16; index++) {
  VECTOR_REGISTERS.set(Register.XMM0 + index, { address: at.xmmAddress(index), text: 'x128' });
  VECTOR_REGISTERS.set(Register.YMM0 + index, { address: at.xmmAddress(index), text: 'y256' });
  if (index < 8) VECTOR_REGISTERS.set(Register.MM0 + index, { address: at.ST0 + 16 * index, text: 'y64' });
}

export const SEGMENT_INDEX = new Map<number, number>([
  [Register.ES, 0],
  [Register.CS, 1],
  [Register.SS, 2],
  [Register.DS, 3],
  [Register.FS, 4],
  [Register.GS, 5],
]);

export const IMMEDIATE_BITS = new Map<number, number>([
  [OpKind.Immediate8, 8],
  [OpKind.Immediate8_2nd, 8],
  [OpKind.Immediate16, 16],
  [OpKind.Immediate32, 32],
  [OpKind.Immediate64, 64],
  [OpKind.Immediate8to16, 16],
  [OpKind.Immediate8to32, 32],
  [OpKind.Immediate8to64, 64],
  [OpKind.Immediate32to64, 64],
]);

export const addressSize = (bits: number): number =>
  bits === 64 ? 0 : bits === 32 ? rec.ADDRESSING_32 : rec.ADDRESSING_16;

const LOG2 = [0, 0, 1, 0, 2, 0, 0, 0, 3] as const;

export type MemoryFields = { flat: boolean; addressing: number; base: number; index: number; disp: bigint };

export function memoryFields(insn: Instruction, bitness: Bitness): MemoryFields {
  const base = insn.memoryBase;
  const index = insn.memoryIndex;
  const bits = addressBits(insn, base, index);
  const segment = SEGMENT_INDEX.get(insn.memorySegment) ?? 3;
  const scale = LOG2[insn.memoryIndexScale] ?? 0;
  const flat = bitness === 64 && bits === 64 && segment < 4;
  const size = addressSize(bits);
  return {
    flat,
    addressing: flat ? scale : scale | (segment << rec.ADDRESSING_SEGMENT_SHIFT) | size,
    base: GPR.get(base)?.address ?? at.ZERO,
    index: GPR.get(index)?.address ?? at.ZERO,
    disp: displacement(insn),
  };
}

function addressBits(insn: Instruction, base: Register, index: Register): number {
  if (base === Register.RIP) return 64;
  if (base === Register.EIP) return 32;
  const named = GPR.get(base) ?? GPR.get(index);
  if (named) return named.bytes * 8;
  return insn.memoryDisplSize * 8;
}

function displacement(insn: Instruction): bigint {
  const value = insn.memoryDisplacement;
  return insn.memoryDisplSize === 4 && insn.memoryBase !== Register.RIP && insn.memoryBase !== Register.EIP
    ? BigInt.asIntN(32, value)
    : BigInt.asIntN(64, value);
}

const STRING_ADDRESS = new Map<number, number>([
  [OpKind.MemorySegSI, 16],
  [OpKind.MemorySegDI, 16],
  [OpKind.MemoryESDI, 16],
  [OpKind.MemorySegESI, 32],
  [OpKind.MemorySegEDI, 32],
  [OpKind.MemoryESEDI, 32],
  [OpKind.MemorySegRSI, 64],
  [OpKind.MemorySegRDI, 64],
  [OpKind.MemoryESRDI, 64],
]);

/** Address size of a string instruction or a masked store; undefined where none of its operands has one. */
export function stringAddressBits(insn: Instruction): number | undefined {
  for (let i = 0; i < insn.opCount; i++) {
    const bits = STRING_ADDRESS.get(insn.opKind(i));
    if (bits !== undefined) return bits;
  }
  return undefined;
}

/** The operands of an instruction, as its record has them. */
export type Operands = {
  /** Addresses of the registers, in order. */
  readonly registers: readonly number[];
  readonly memory: MemoryFields | undefined;
  /** Which operand is memory; -1 for none. */
  readonly place: number;
  /** The immediate, and a second one where there are two. */
  readonly immediates: readonly bigint[];
  /** What keys of handlers have for each, memory without the letter of its form. */
  readonly letters: readonly string[];
};

/** The first `count` operands; undefined where one is of a kind that no handler knows. */
export function operandsOf(insn: Instruction, count: number, bitness: Bitness): Operands | undefined {
  const registers: number[] = [];
  const immediates: bigint[] = [];
  const letters: string[] = [];
  let memory: MemoryFields | undefined;
  let place = -1;
  for (let i = 0; i < count; i++) {
    const kind = insn.opKind(i);
    if (kind === OpKind.Register) {
      const register = registerOperand(insn.opRegister(i));
      if (!register) return undefined;
      letters.push(register.text);
      registers.push(register.address);
    } else if (kind === OpKind.Memory) {
      memory = memoryFields(insn, bitness);
      place = i;
      letters.push(`${MemorySizeExt.size(insn.memorySize) * 8}`);
    } else {
      const bits = IMMEDIATE_BITS.get(kind);
      if (bits === undefined) return undefined;
      immediates.push(BigInt.asIntN(bits, insn.immediate(i)));
      letters.push(`i${bits}`);
    }
  }
  return { registers, memory, place, immediates, letters };
}

function registerOperand(register: Register): { address: number; text: string } | undefined {
  const general = GPR.get(register);
  return general ? { address: general.address, text: `r${general.bytes * 8}` } : VECTOR_REGISTERS.get(register);
}
