// Instructions after which control may be elsewhere.

import { Code, FlowControl, OpKind } from 'iced-x86';

export const BRANCH_KINDS = new Set<number>([OpKind.NearBranch16, OpKind.NearBranch32, OpKind.NearBranch64]);

/** Behind these nothing belongs to the same run. */
export const ENDS = new Set<number>([
  FlowControl.UnconditionalBranch,
  FlowControl.IndirectBranch,
  FlowControl.Return,
  FlowControl.Call,
  FlowControl.IndirectCall,
  FlowControl.Interrupt,
  FlowControl.Exception,
]);

const COUNT_REGISTER = new Map<number, string>([
  [Code.Jcxz_rel8_16, 'cx'],
  [Code.Jcxz_rel8_32, 'cx'],
  [Code.Jecxz_rel8_16, 'ecx'],
  [Code.Jecxz_rel8_32, 'ecx'],
  [Code.Jecxz_rel8_64, 'ecx'],
  [Code.Jrcxz_rel8_16, 'rcx'],
  [Code.Jrcxz_rel8_64, 'rcx'],
]);

/** Count register of JCXZ, LOOP and their kin; undefined for other instructions. */
export function countRegister(code: Code): string | undefined {
  const known = COUNT_REGISTER.get(code);
  if (known) return known;
  const text = Code[code];
  if (!text.startsWith('Loop')) return undefined;
  if (text.endsWith('_RCX')) return 'rcx';
  return text.endsWith('_ECX') ? 'ecx' : 'cx';
}

export const FAR_CODES = new Set<number>([
  Code.Jmp_m1616,
  Code.Jmp_m1632,
  Code.Jmp_m1664,
  Code.Call_m1616,
  Code.Call_m1632,
  Code.Call_m1664,
  Code.Jmp_ptr1616,
  Code.Jmp_ptr1632,
  Code.Call_ptr1616,
  Code.Call_ptr1632,
]);

/** Operand size of near returns. */
export const RETURN_BITS = new Map<number, number>([
  [Code.Retnw, 16],
  [Code.Retnw_imm16, 16],
  [Code.Retnd, 32],
  [Code.Retnd_imm16, 32],
  [Code.Retnq, 64],
  [Code.Retnq_imm16, 64],
]);
