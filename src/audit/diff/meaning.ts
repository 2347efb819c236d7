// What one instruction does, in a form in which two that were written differently can be compared: its operation, its
// registers, and the addresses it claims to know, each with the way by which it comes to them.
import { type Instruction, Mnemonic, OpKind, Register, RegisterExt } from 'iced-x86';
import { viewOf } from '../../bits/cursor.ts';
import { type Bits, decodeOne } from '../../code/disassembly.ts';
import { fileOffsetOf, type Program } from '../../code/program.ts';
import { absoluteReference } from '../../code/references.ts';
import type { Functions } from './functions.ts';

/** How an instruction comes to an address. */
export type Way =
  /** lea x(%rip), or memory at x(%rip). */
  | 'rip'
  /** From a word that holds the address, as the GOT does. */
  | 'got'
  /** As a number. */
  | 'immediate'
  /** Memory at a fixed address. */
  | 'absolute'
  /** A direct jump or call. */
  | 'branch';

export type Claim = {
  /** The address itself, or what lies in memory there. */
  readonly what: 'address' | 'memory';
  /** Link address, as an offset from the program's base. */
  readonly at: number;
  readonly way: Way;
  /** Which operand says so. */
  readonly operand: number;
  /** Its form alone says that it is an address: no compiler writes a plain number so. */
  readonly sure: boolean;
};

export type Meaning = {
  /** Mnemonic; lea and mov are one where an address is loaded. */
  readonly operation: Mnemonic;
  /** Registers and memory by registers, in order; 64-bit names for all widths. */
  readonly operands: readonly string[];
  readonly claims: readonly Claim[];
};

/** The link address of an offset, as the processor would have it. */
export const linkAddressOf = ({ base }: Program, offset: number): bigint => BigInt.asUintN(64, base + BigInt(offset));

/** Decodes one instruction of a listing, at its link address. The caller frees it. */
export function decodeAt({ side: { program }, listing }: Functions, index: number): Instruction {
  return decodeOne(
    bytesAt(program, listing.at[index] as number, listing.length[index] as number),
    linkAddressOf(program, listing.at[index] as number),
    listing.bits[index] as Bits,
  );
}

export function bytesAt(program: Program, offset: number, length: number): Uint8Array {
  const at = fileOffsetOf(program, offset) ?? program.bytes.length;
  return program.bytes.subarray(at, at + length);
}

export function meaningOf(insn: Instruction, program: Program): Meaning {
  const claims: Claim[] = [];
  const operands: string[] = [];
  for (let i = 0; i < insn.opCount; i++) {
    const found = claimsOf(insn, i, program);
    if (found.length > 0) claims.push(...found);
    else operands.push(operandText(insn, i));
  }
  const operation = insn.mnemonic === Mnemonic.Lea ? Mnemonic.Mov : insn.mnemonic;
  return { operation, operands, claims };
}

const IMMEDIATES: ReadonlySet<number> = new Set([OpKind.Immediate32, OpKind.Immediate64, OpKind.Immediate32to64]);
const BRANCHES: ReadonlySet<number> = new Set([OpKind.NearBranch16, OpKind.NearBranch32, OpKind.NearBranch64]);

function claimsOf(insn: Instruction, operand: number, program: Program): Claim[] {
  const kind = insn.opKind(operand);
  const claim = (what: Claim['what'], address: bigint, way: Way, sure = true): Claim => {
    return { what, at: Number(BigInt.asIntN(64, address - program.base)), way, operand, sure };
  };
  if (BRANCHES.has(kind)) return [claim('address', insn.nearBranchTarget, 'branch')];
  if (IMMEDIATES.has(kind)) return [claim('address', immediateOf(insn, operand), 'immediate', isLinkersForm(insn))];
  if (kind !== OpKind.Memory || insn.memorySegment === Register.GS || insn.memorySegment === Register.FS) return [];
  const what = insn.mnemonic === Mnemonic.Lea ? 'address' : 'memory';
  if (insn.isIpRelMemoryOperand) {
    const own = claim(what, insn.ipRelMemoryAddress, 'rip');
    const held = what === 'memory' ? heldAddress(program, own.at) : undefined;
    return held === undefined ? [own] : [own, claim('address', held, 'got')];
  }
  if (insn.memoryBase !== Register.None || insn.memoryIndex !== Register.None) return [];
  return [claim(what, BigInt.asIntN(64, insn.memoryDisplacement), 'absolute')];
}

/** The 7-byte mov $imm32,%r64, where compilers and assemblers write a shorter one. */
const isLinkersForm = (insn: Instruction): boolean => absoluteReference(insn)?.form === 'mov-imm32-rex';

/** A 32-bit immediate as the processor extends it where it fits an address of the upper half. */
const immediateOf = (insn: Instruction, operand: number): bigint =>
  BigInt.asIntN(insn.opKind(operand) === OpKind.Immediate32 ? 32 : 64, insn.immediate(operand));

/** The word of data at an offset. */
function heldAddress(program: Program, at: number): bigint | undefined {
  const fileAt = fileOffsetOf(program, at);
  if (fileAt === undefined || fileAt + 8 > program.bytes.length) return undefined;
  return viewOf(program.bytes).getBigUint64(fileAt, true);
}

function operandText(insn: Instruction, operand: number): string {
  const kind = insn.opKind(operand);
  if (kind === OpKind.Register) return `r${RegisterExt.fullRegister(insn.opRegister(operand))}`;
  if (kind === OpKind.Memory) return memoryText(insn);
  if (OpKind[kind]?.startsWith('Immediate')) return `$${BigInt.asIntN(64, insn.immediate(operand))}`;
  return `k${kind}`;
}

function memoryText(insn: Instruction): string {
  const { memoryBase, memoryIndex, memoryIndexScale, memorySegment, memorySize, memoryDisplacement } = insn;
  return `m${[memoryBase, memoryIndex, memoryIndexScale, memorySegment, memorySize, BigInt.asIntN(64, memoryDisplacement)].join(',')}`;
}

/** Prefixes and operand sizes that two encodings of one instruction share. */
export function frameOf(insn: Instruction): string {
  const { hasLockPrefix, hasRepPrefix, hasRepnePrefix, opCount, mnemonic } = insn;
  const kinds = Array.from({ length: opCount }, (_, i) =>
    insn.opKind(i) === OpKind.Register
      ? RegisterExt.size(insn.opRegister(i))
      : insn.opKind(i) === OpKind.Memory
        ? 'm'
        : 'i',
  );
  return [mnemonic, hasLockPrefix, hasRepPrefix, hasRepnePrefix, ...kinds].join(' ');
}
