// A form together with the input that is being made for it, and access to its operands' values.
import { OpKind, RegisterExt } from 'iced-x86';
import type { Form } from './forms.ts';
import type { Random } from './random.ts';
import { readMemory, readPart, registerPart, type State, writeMemory, writePart } from './state.ts';

export interface Draft {
  form: Form;
  state: State;
  random: Random;
  /** How many inputs this form had before. */
  index: number;
  /** Linear address and size in bits of the memory operand. */
  memory: { address: bigint; bits: number } | undefined;
}

/** Size of an operand in bits, register or memory. */
export function operandBits(draft: Draft, operand: number): number {
  const { instruction } = draft.form;
  if (instruction.opKind(operand) === OpKind.Register) return RegisterExt.size(instruction.opRegister(operand)) * 8;
  return draft.memory?.bits ?? 0;
}

export function readOperand(draft: Draft, operand: number): bigint {
  const { instruction } = draft.form;
  if (instruction.opKind(operand) === OpKind.Register) {
    const part = registerPart(instruction.opRegister(operand));
    return part ? readPart(draft.state, part) : 0n;
  }
  return draft.memory ? readMemory(draft.state, draft.memory.address, draft.memory.bits) : 0n;
}

/** Sets an operand's value; false when its register is taken up by the address. */
export function writeOperand(draft: Draft, operand: number, value: bigint): boolean {
  const { instruction } = draft.form;
  if (instruction.opKind(operand) !== OpKind.Register) {
    if (draft.memory) writeMemory(draft.state, draft.memory.address, draft.memory.bits, value);
    return true;
  }
  const part = registerPart(instruction.opRegister(operand));
  if (!part || draft.form.address?.registers.includes(part.index)) return false;
  writePart(draft.state, part, value);
  return true;
}
