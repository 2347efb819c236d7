// Forms in which an instruction carries an absolute address where position-independent code would compute it from RIP:
// what linkers make of GOTPCRELX loads in a link that is not -pie (psABI, "Optimize GOTPCRELX Relocations"), and what
// compilers make without -fPIE. One row a form, with where the constant stands in the instruction.

import { Code, EncodingKind, type Instruction, Mnemonic, OpKind, Register } from 'iced-x86';

export type ReferenceForm =
  /** REX.W C7 /0: mov $imm32 sign-extended, 7 bytes; where the value is no kernel address the B8 form would be shorter. */
  | 'mov-imm32-rex'
  /** B8+r: mov $imm32,%r32; C7 /0 where a linker made it of a 32-bit load from the GOT. */
  | 'mov-imm32'
  /** REX.W B8+r: movabs $imm64. */
  | 'movabs'
  /** 81 /n: cmp, add, sub, and, or, xor, adc, sbb, and F7 /0 test of a register with a 32-bit immediate. */
  | 'alu-imm32'
  /** The same of memory: cmp $imm32,mem. No linker makes it: the GOT slot was the memory operand. */
  | 'alu-imm32-mem'
  /** C7 /0 to memory: an address is stored without having been in a register. */
  | 'store-imm32'
  | 'push-imm32'
  /** A memory operand that is an absolute 32-bit address, with or without an index; a moffs has 64 bits. */
  | 'disp32'
  /**
   * The 32-bit displacement on a base register. Hand-written code of a stub addresses so rightly, with its load address
   * in the base: what the base holds decides.
   */
  | 'base-disp32';

export type Reference = {
  readonly form: ReferenceForm;
  /** The address as it stands in the instruction, sign-extended. */
  readonly constant: bigint;
  /** Where its bytes stand in the instruction. */
  readonly offset: number;
  readonly bytes: 4 | 8;
};

const ALU = new Set([
  Mnemonic.Cmp,
  Mnemonic.Add,
  Mnemonic.Sub,
  Mnemonic.And,
  Mnemonic.Or,
  Mnemonic.Xor,
  Mnemonic.Adc,
  Mnemonic.Sbb,
  Mnemonic.Test,
]);

/**
 * The absolute reference an instruction of 64-bit or 32-bit code may be, by its form alone; its value decides whether it is
 * one. Of two in one instruction the immediate.
 */
export function absoluteReference(insn: Instruction): Reference | undefined {
  return immediateReference(insn) ?? displacementReference(insn);
}

/** Both where there are two: `movq $function,table(,%rax,8)`. */
export function absoluteReferences(insn: Instruction): Reference[] {
  return [immediateReference(insn), displacementReference(insn)].filter((r) => r !== undefined);
}

function immediateReference(insn: Instruction): Reference | undefined {
  const operand = insn.opCount - 1;
  if (operand < 0) return undefined;
  const kind = insn.opKind(operand);
  const wide = kind === OpKind.Immediate64;
  if (!wide && kind !== OpKind.Immediate32 && kind !== OpKind.Immediate32to64) return undefined;
  const form = immediateForm(insn, kind);
  if (!form) return undefined;
  const bytes = wide ? 8 : 4;
  const constant = BigInt.asIntN(kind === OpKind.Immediate32 ? 32 : 64, insn.immediate(operand));
  return { form, constant, offset: insn.length - bytes, bytes };
}

function immediateForm(insn: Instruction, kind: OpKind): ReferenceForm | undefined {
  const { mnemonic } = insn;
  if (mnemonic === Mnemonic.Push) return 'push-imm32';
  const toRegister = insn.opKind(0) === OpKind.Register;
  if (mnemonic === Mnemonic.Mov) {
    if (!toRegister) return 'store-imm32';
    if (kind === OpKind.Immediate64) return 'movabs';
    return kind === OpKind.Immediate32 ? 'mov-imm32' : 'mov-imm32-rex';
  }
  if (!ALU.has(mnemonic)) return undefined;
  return toRegister ? 'alu-imm32' : 'alu-imm32-mem';
}

/** Offset and size of the displacement follow from the end: only an immediate stands behind it (SDM volume 2, 2.1). */
function displacementReference(insn: Instruction): Reference | undefined {
  // The size of a displacement is that of the address; one of a single byte is no address.
  if (insn.memoryDisplSize < 4 || insn.isIpRelMemoryOperand || !hasMemory(insn)) return undefined;
  const bytes = insn.memoryDisplSize === 8 && MOFFS.has(insn.code) ? 8 : 4;
  const form = insn.memoryBase === Register.None ? 'disp32' : 'base-disp32';
  const constant = BigInt.asIntN(insn.memoryDisplSize === 4 ? 32 : 64, insn.memoryDisplacement);
  return { form, constant, offset: insn.length - bytes - immediateBytes(insn), bytes };
}

function hasMemory(insn: Instruction): boolean {
  for (let i = 0; i < insn.opCount; i++) if (insn.opKind(i) === OpKind.Memory) return true;
  return false;
}

/** Moves between the accumulator and an address without ModRM; in code of 64 bits it has 8 bytes. */
const MOFFS: ReadonlySet<Code> = new Set([
  ...[Code.Mov_AL_moffs8, Code.Mov_AX_moffs16, Code.Mov_EAX_moffs32, Code.Mov_RAX_moffs64],
  ...[Code.Mov_moffs8_AL, Code.Mov_moffs16_AX, Code.Mov_moffs32_EAX, Code.Mov_moffs64_RAX],
]);

const IMMEDIATE_BYTES: ReadonlyMap<OpKind, number> = new Map([
  [OpKind.Immediate8, 1],
  [OpKind.Immediate8to16, 1],
  [OpKind.Immediate8to32, 1],
  [OpKind.Immediate8to64, 1],
  [OpKind.Immediate16, 2],
  [OpKind.Immediate32, 4],
  [OpKind.Immediate32to64, 4],
]);

/** Shifts by one, whose operand is part of the opcode. */
const IMPLIED: ReadonlySet<Code> = new Set(
  Object.entries(Code).flatMap(([name, code]) => (name.endsWith('_1') && typeof code === 'number' ? [code] : [])),
);

function immediateBytes(insn: Instruction): number {
  if (insn.opCount < 2 || IMPLIED.has(insn.code)) return 0;
  const last = insn.opKind(insn.opCount - 1);
  // VEX instructions of four registers name the fourth in a byte of its own at the end (SDM volume 2, /is4).
  if (last === OpKind.Register) return insn.opCount === 4 && insn.encoding === EncodingKind.VEX ? 1 : 0;
  return IMMEDIATE_BYTES.get(last) ?? 0;
}
