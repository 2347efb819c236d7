// Debug registers and access to them (SDM 3B 18.2). What they do is in stepping.ts and breakpoints.ts.

import { Register } from 'iced-x86';
import {
  CR4_DE,
  DR6_BD,
  DR6_FIXED_ONES,
  DR6_WRITABLE,
  DR7_FIXED_ONES,
  DR7_GD,
  DR7_WRITABLE,
} from '../../x86/control.ts';
import { VECTOR } from '../../x86/vectors.ts';
import { type Cpu, type Fault, isFault, fault } from '../state/cpu.ts';
import * as at from '../state/layout.ts';
import { gp0, next, readRegister, supervisorOnly, ud, writeRegister } from './operands.ts';
import type { Handler } from './result.ts';

const addressOf = (index: number): number => at.DR0 + 8 * index;

/** Which register is meant: DR4 and DR5 are DR6 and DR7 unless CR4.DE is set. */
const resolve = (cpu: Cpu, register: Register): number | Fault => {
  const index = register - Register.DR0;
  if (index > 7) return ud('undefined-opcode');
  if (index === 4 || index === 5) return cpu.state.u64(at.CR4) & CR4_DE ? ud('dr4-dr5-with-de') : index + 2;
  return index;
};

/** Privilege, and DR7.GD which makes every access a #DB (17.2.4). */
const denies = (cpu: Cpu): Fault | undefined => {
  const denied = supervisorOnly(cpu);
  if (denied) return denied;
  const guarded = cpu.state.u64(addressOf(7)) & DR7_GD;
  return guarded ? { ...fault('general-detect', VECTOR.DB), dr6: DR6_BD } : undefined;
};

export const movFromDebug: Handler = (cpu, insn) => {
  const index = resolve(cpu, insn.op1Register);
  if (isFault(index)) return index;
  const denied = denies(cpu);
  if (denied) return denied;
  writeRegister(cpu.state, insn.op0Register, cpu.state.u64(addressOf(index)));
  return next(cpu, insn);
};

const settled = (index: number, value: bigint): bigint => {
  if (index === 6) return (value & DR6_WRITABLE) | DR6_FIXED_ONES;
  return index === 7 ? (value & DR7_WRITABLE) | DR7_FIXED_ONES : value;
};

export const movToDebug: Handler = (cpu, insn) => {
  const index = resolve(cpu, insn.op0Register);
  if (isFault(index)) return index;
  const denied = denies(cpu);
  if (denied) return denied;
  const value = readRegister(cpu.state, insn.op1Register);
  if (index >= 6 && value >> 32n) return gp0('debug-register-upper-half');
  cpu.state.setU64(addressOf(index), settled(index, value));
  return next(cpu, insn);
};
