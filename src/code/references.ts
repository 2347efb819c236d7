// Forms in which an instruction carries an absolute address where position-independent code would compute it from RIP:
// what linkers make of GOTPCRELX loads in a link that is not -pie (psABI, "Optimize GOTPCRELX Relocations"), and what
// compilers make without -fPIE. One row a form, with where the constant stands in the instruction.

import { type Instruction, Mnemonic, OpKind, Register } from 'iced-x86';

export type ReferenceForm =
  /** REX.W C7 /0: mov $imm32 sign-extended, 7 bytes; compilers and assemblers write the shorter B8 form. */
  | 'mov-imm32-rex'
  /** B8+r: mov $imm32,%r32; C7 /0 where a linker made it of a 32-bit load from the GOT. */
  | 'mov-imm32'
  /** REX.W B8+r: movabs $imm64. */
  | 'movabs'
  /** 81 /n: cmp, add, sub, and, or, xor, adc, sbb, and F7 /0 test with a 32-bit immediate. */
  | 'alu-imm32'
  | 'push-imm32'
  /** A memory operand that is an absolute 32-bit address, with or without an index. */
  | 'disp32';

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

/** The absolute reference an instruction of 64-bit code may be, by its form alone; its value decides whether it is one. */
export function absoluteReference(insn: Instruction): Reference | undefined {
  return immediateReference(insn) ?? displacementReference(insn);
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
  if (insn.mnemonic === Mnemonic.Mov) {
    if (kind === OpKind.Immediate64) return 'movabs';
    if (kind === OpKind.Immediate32) return insn.opKind(0) === OpKind.Register ? 'mov-imm32' : undefined;
    return insn.opKind(0) === OpKind.Register ? 'mov-imm32-rex' : undefined;
  }
  if (insn.mnemonic === Mnemonic.Push) return 'push-imm32';
  return ALU.has(insn.mnemonic) && insn.opKind(0) === OpKind.Register ? 'alu-imm32' : undefined;
}

function displacementReference(insn: Instruction): Reference | undefined {
  for (let i = 0; i < insn.opCount; i++) {
    if (insn.opKind(i) !== OpKind.Memory) continue;
    if (insn.memoryBase !== Register.None || insn.memoryDisplSize < 4) return undefined;
    // The displacement is last unless an immediate follows it; forms with both are left alone.
    if (insn.opCount > 1 && isImmediate(insn.opKind(insn.opCount - 1))) return undefined;
    return { form: 'disp32', constant: BigInt.asIntN(64, insn.memoryDisplacement), offset: insn.length - 4, bytes: 4 };
  }
  return undefined;
}

const isImmediate = (kind: OpKind): boolean => OpKind[kind].startsWith('Immediate');
