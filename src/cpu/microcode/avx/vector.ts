// What instructions with a VEX prefix have in common in microcode: who may use them, registers of 128 and 256 bits as
// bigint, memory operands wherever they lie (SDM 1 14.9).

import { EncodingKind, type Instruction, OpKind, Register } from 'iced-x86';
import { CR0_TS, CR4_OSXSAVE } from '../../../x86/control.ts';
import { XSTATE_AVX, XSTATE_SSE } from '../../../x86/xstate.ts';
import { type AccessBytes, type Cpu, type Fault, isFault } from '../../state/cpu.ts';
import * as at from '../../state/layout.ts';
import type { CpuState } from '../../state/state.ts';
import { isProtected, isVm86, linearMask } from '../modes.ts';
import { linearAddress, memoryPlace, nm, probeLinear, ud } from '../operands.ts';
import type { Handler } from '../result.ts';

/** Real mode and virtual-8086 mode have no VEX prefix; vectors need CR4.OSXSAVE and their bits of XCR0, and are #NM while TS is set (SDM 2A 2.4). */
const avxDenied = (cpu: Cpu): Fault | undefined => {
  const { state } = cpu;
  const vectors = XSTATE_SSE | XSTATE_AVX;
  if (!isProtected(state) || isVm86(state)) return ud('vex-needs-protected-mode');
  if (!(state.u64(at.CR4) & CR4_OSXSAVE) || (state.u64(at.XCR0) & vectors) !== vectors) return ud('avx-not-enabled');
  return state.u64(at.CR0) & CR0_TS ? nm('task-switched') : undefined;
};

export const isVex = (insn: Instruction): boolean => insn.encoding === EncodingKind.VEX;

/** Handlers of the encodings with VEX; EVEX has the same mnemonics. */
export const vex =
  (handler: Handler): Handler =>
  (cpu, insn) =>
    isVex(insn) ? (avxDenied(cpu) ?? handler(cpu, insn)) : ud('not-offered');

// Registers -------------------------------------------------------------------------------------------------------------

const FIRST_YMM: number = Register.YMM0;
const isYmm = (register: number): boolean => register >= FIRST_YMM && register < FIRST_YMM + 16;

export const registerBits = (register: Register): 128 | 256 => (isYmm(register) ? 256 : 128);

const place = (register: Register): number => {
  const index = register - (isYmm(register) ? Register.YMM0 : Register.XMM0);
  if (index < 0 || index > 15) throw new RangeError(`not a vector register: ${register}`);
  return at.xmmAddress(index);
};

const read128 = (state: CpuState, address: number): bigint => state.u64(address) | (state.u64(address + 8) << 64n);
const write128 = (state: CpuState, address: number, value: bigint): void => {
  state.setU64(address, value);
  state.setU64(address + 8, value >> 64n);
};

/** All that the register's name covers. */
export const readVector = (state: CpuState, register: Register): bigint => {
  const address = place(register);
  const low = read128(state, address);
  return isYmm(register) ? low | (read128(state, address + at.TO_YMM_HIGH) << 128n) : low;
};

/** Writes what the register's name covers; an instruction that is not done yet leaves the rest. */
export const writePart = (state: CpuState, register: Register, value: bigint): void => {
  const address = place(register);
  write128(state, address, value);
  if (isYmm(register)) write128(state, address + at.TO_YMM_HIGH, value >> 128n);
};

/** Writes 256 bits, whatever the register's name covers: an instruction with VEX clears what is above its result. */
export const writeVector = (state: CpuState, register: Register, value: bigint): void => {
  const address = place(register);
  write128(state, address, value);
  write128(state, address + at.TO_YMM_HIGH, value >> 128n);
};

// Memory ----------------------------------------------------------------------------------------------------------------

const WORD = 8;
const wordsOf = (bytes: number): AccessBytes => (bytes >= WORD ? WORD : (bytes as AccessBytes));

/** Linear address of the memory operand, with the checks of segmentation for all of it. */
const operandAddress = (cpu: Cpu, insn: Instruction, bytes: number, write: boolean): bigint | Fault => {
  const { segment, offset } = memoryPlace(cpu, insn);
  return linearAddress(cpu, segment, offset, bytes, write);
};

/** 2, 4, 8, 16 or 32 bytes of the memory operand; of more than 8 no alignment is asked. */
const readMemory = (cpu: Cpu, insn: Instruction, bytes: number): bigint | Fault => {
  const linear = operandAddress(cpu, insn, bytes, false);
  if (isFault(linear)) return linear;
  let value = 0n;
  for (let offset = 0; offset < bytes; offset += WORD) {
    const address = (linear + BigInt(offset)) & linearMask(cpu.state);
    const word = cpu.readLinear(address, wordsOf(bytes));
    if (isFault(word)) return word;
    value |= word << BigInt(8 * offset);
  }
  return value;
};

/** The fault that writing the memory operand would meet. */
export const probeMemory = (cpu: Cpu, insn: Instruction, bytes: number): Fault | undefined => {
  const linear = operandAddress(cpu, insn, bytes, true);
  return isFault(linear) ? linear : probeLinear(cpu, linear, bytes);
};

/** Writes 8 or 16 bytes, all or none. */
export const writeMemory = (cpu: Cpu, insn: Instruction, bytes: 8 | 16, value: bigint): Fault | undefined => {
  const linear = operandAddress(cpu, insn, bytes, true);
  if (isFault(linear)) return linear;
  const failed = probeLinear(cpu, linear, bytes);
  if (failed) return failed;
  for (let offset = 0; offset < bytes; offset += WORD) {
    const address = (linear + BigInt(offset)) & linearMask(cpu.state);
    const stopped = cpu.writeLinear(address, WORD, value >> BigInt(8 * offset));
    if (stopped) return stopped;
  }
  return undefined;
};

/** An operand: a vector register, or that many bytes of memory. */
export const readOperand = (cpu: Cpu, insn: Instruction, operand: number, bytes: number): bigint | Fault =>
  insn.opKind(operand) === OpKind.Register
    ? readVector(cpu.state, insn.opRegister(operand))
    : readMemory(cpu, insn, bytes);
