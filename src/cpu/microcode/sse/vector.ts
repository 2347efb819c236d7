// XMM registers and 128-bit memory operands as bigint, and the elements in them.

import { type Instruction, OpKind, Register } from 'iced-x86';
import type { AccessBytes, Cpu, Fault } from '../../state/cpu.ts';
import { isFault } from '../../state/cpu.ts';
import { F32, F64, type Format } from '../../float/softFloat.ts';
import * as at from '../../state/layout.ts';
import type { CpuState } from '../../state/state.ts';
import { linearMask } from '../modes.ts';
import { gp0, linearAddress, memoryPlace } from '../operands.ts';

/** What an instruction works on: so many elements of a format, from the low end of the register. */
export type Shape = { readonly format: Format; readonly lanes: number };

export const SS: Shape = { format: F32, lanes: 1 };
export const PS: Shape = { format: F32, lanes: 4 };
export const SD: Shape = { format: F64, lanes: 1 };
export const PD: Shape = { format: F64, lanes: 2 };

const XMM0 = at.FXSTATE + 160;

/** Address in the state block of an XMM register. */
const xmmAddress = (register: Register): number => {
  const index = register - Register.XMM0;
  if (index < 0 || index > 15) throw new RangeError(`not an SSE register: ${register}`);
  return XMM0 + 16 * index;
};

export const readXmm = (state: CpuState, register: Register): bigint => {
  const address = xmmAddress(register);
  return state.u64(address) | (state.u64(address + 8) << 64n);
};

export const writeXmm = (state: CpuState, register: Register, value: bigint): void => {
  const address = xmmAddress(register);
  state.setU64(address, value);
  state.setU64(address + 8, value >> 64n);
};

/** 16 bytes of memory; they have to be aligned (SDM 1 10.4.1.1). */
const readAligned = (cpu: Cpu, insn: Instruction): bigint | Fault => {
  const place = memoryPlace(cpu, insn);
  const linear = linearAddress(cpu, place.segment, place.offset, 16, false);
  if (isFault(linear)) return linear;
  if (linear & 15n) return gp0('vector-misaligned');
  const low = cpu.readLinear(linear, 8);
  if (isFault(low)) return low;
  const high = cpu.readLinear((linear + 8n) & linearMask(cpu.state), 8);
  return isFault(high) ? high : low | (high << 64n);
};

/** The second operand: `bytes` or more of a register, or of memory; 16 of them have to be aligned there. */
export const readSource = (cpu: Cpu, insn: Instruction, bytes: number): bigint | Fault => {
  if (insn.opKind(1) === OpKind.Register) {
    const register = insn.opRegister(1);
    return bytes === 16 ? readXmm(cpu.state, register) : cpu.state.u64(xmmAddress(register));
  }
  if (bytes === 16) return readAligned(cpu, insn);
  const place = memoryPlace(cpu, insn);
  const linear = linearAddress(cpu, place.segment, place.offset, bytes, false);
  return isFault(linear) ? linear : cpu.readLinear(linear, bytes as AccessBytes);
};

export const sourceBytes = (shape: Shape): number => (shape.lanes * shape.format.width) >> 3;

export const element = (vector: bigint, index: number, width: number): bigint =>
  BigInt.asUintN(width, vector >> BigInt(index * width));

/** The vector with its low elements replaced. */
export const withElements = (vector: bigint, elements: readonly bigint[], width: number): bigint => {
  const bits = BigInt(elements.length * width);
  const low = elements.reduceRight((all, one) => (all << BigInt(width)) | one, 0n);
  return ((vector >> bits) << bits) | low;
};
