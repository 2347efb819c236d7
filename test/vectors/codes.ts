// Instructions as iced-x86 numbers them, sorted into families: what the recorder and the tests of its vectors share.

import { type Code, CodeExt, Mnemonic, type OpCodeOperandKind as Kind } from 'iced-x86';

export interface Universe {
  byFamily: Map<string, Code[]>;
  /** Code name to reason. */
  leftOut: Map<string, string>;
}

export const mnemonicOf = (code: Code): string => Mnemonic[CodeExt.opCode(code).mnemonic] ?? '?';

export function operandKinds(code: Code): Kind[] {
  const info = CodeExt.opCode(code);
  return Array.from({ length: info.opCount }, (_, operand) => info.opKind(operand));
}
