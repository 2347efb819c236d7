// The instructions with a VEX prefix that microcode does, by mnemonic. What CPUID has to say is in cpu/decode/offered.ts.

import { Mnemonic as M } from 'iced-x86';
import { isFault } from '../../state/cpu.ts';
import * as at from '../../state/layout.ts';
import { MXCSR_MASK } from '../fpuState.ts';
import { gp0, next, readOperand, writeOperand } from '../operands.ts';
import { AVX_ARITHMETIC, type Row } from './arithmetic.ts';
import { AVX_CONVERSIONS } from './convert.ts';
import { FUSED } from './fused.ts';
import { MASKED } from './masked.ts';
import { vex } from './vector.ts';

const loadMxcsr = vex((cpu, insn) => {
  const value = readOperand(cpu, insn, 0, 4);
  if (isFault(value)) return value;
  if (value & ~BigInt(MXCSR_MASK)) return gp0('mxcsr-reserved-bit');
  cpu.state.setU32(at.MXCSR, Number(value));
  return next(cpu, insn);
});

const storeMxcsr = vex(
  (cpu, insn) => writeOperand(cpu, insn, 0, 4, BigInt(cpu.state.u32(at.MXCSR))) ?? next(cpu, insn),
);

export const AVX_ROWS: readonly Row[] = [
  ...AVX_ARITHMETIC,
  ...AVX_CONVERSIONS,
  ...FUSED,
  ...MASKED,
  [M.Vldmxcsr, loadMxcsr],
  [M.Vstmxcsr, storeMxcsr],
];
