// What every instruction of a kind has in common, asked of the decoder once and kept by its number: a kernel has millions
// of instructions and some hundred kinds.
import { Code, FlowControl, type Instruction, Mnemonic, OpKind } from 'iced-x86';

/** A direct near jump, conditional or not. */
export const JUMP = 1;
/** A direct near call. */
export const CALL = 2;
/** What follows is not reached by falling through. */
export const ENDS = 4;
export const NOP = 8;
/** What linkers and compilers fill gaps with behind code that ends, and code to stop at elsewhere. */
export const FILLER = 16;
const KNOWN = 32;
const IMMEDIATE_SHIFT = 8;

/** Bytes of immediates by kind of operand. */
const IMMEDIATE_BYTES: Readonly<Record<number, number>> = {
  [OpKind.Immediate8]: 1,
  [OpKind.Immediate8_2nd]: 1,
  [OpKind.Immediate16]: 2,
  [OpKind.Immediate32]: 4,
  [OpKind.Immediate64]: 8,
  [OpKind.Immediate8to16]: 1,
  [OpKind.Immediate8to32]: 1,
  [OpKind.Immediate8to64]: 1,
  [OpKind.Immediate32to64]: 4,
};

const NEAR: ReadonlySet<number> = new Set([OpKind.NearBranch16, OpKind.NearBranch32, OpKind.NearBranch64]);
const ENDING: ReadonlySet<number> = new Set([
  FlowControl.UnconditionalBranch,
  FlowControl.IndirectBranch,
  FlowControl.Return,
  FlowControl.Exception,
]);

const known = new Uint16Array(8192);
const mnemonics = new Uint16Array(8192);

/** The flags above, for this instruction's kind. */
export function factsOf(insn: Instruction, code: Code): number {
  const facts = known[code] ?? 0;
  return facts === 0 ? learn(insn, code) : facts;
}

/** Bytes of its immediates. */
export const immediateBytes = (facts: number): number => facts >> IMMEDIATE_SHIFT;

/** Of a kind that `factsOf` was asked about. */
export const mnemonicOf = (code: Code): Mnemonic => mnemonics[code] ?? 0;

function learn(insn: Instruction, code: Code): number {
  const facts = KNOWN | flowFacts(insn) | paddingFacts(insn, code) | (bytesOfImmediates(insn) << IMMEDIATE_SHIFT);
  known[code] = facts;
  mnemonics[code] = insn.mnemonic;
  return facts;
}

function flowFacts(insn: Instruction): number {
  const flow = insn.flowControl;
  const ends = ENDING.has(flow) ? ENDS : 0;
  if (insn.opCount === 0 || !NEAR.has(insn.opKind(0))) return ends;
  return ends | (flow === FlowControl.Call ? CALL : JUMP);
}

function paddingFacts(insn: Instruction, code: Code): number {
  if (insn.mnemonic === Mnemonic.Nop) return NOP;
  return code === Code.Int3 || code === Code.Add_rm8_r8 ? FILLER : 0;
}

function bytesOfImmediates(insn: Instruction): number {
  let bytes = 0;
  for (let i = 0; i < insn.opCount; i++) bytes += IMMEDIATE_BYTES[insn.opKind(i)] ?? 0;
  return bytes;
}
