// State of the x87 FPU and of SSE, kept as FXSAVE lays it out (SDM 1 10.5.1, 2A FXSAVE table 3-43). No arithmetic.

import { Code, type Instruction } from 'iced-x86';
import { CR0_EM, CR0_MP, CR0_NE, CR0_TS, CR4_OSFXSR } from '../../x86/control.ts';
import { GPR } from '../../x86/registers.ts';
import { VECTOR } from '../../x86/vectors.ts';
import { type AccessBytes, type Cpu, type Fault, fault, isFault } from '../cpu.ts';
import * as at from '../layout.ts';
import type { CpuState } from '../state.ts';
import { linearMask } from './modes.ts';
import { GP0, linearAddress, memoryPlace, next, probeLinear, readOperand, UD, writeOperand } from './operands.ts';
import type { Handler } from './result.ts';

const NM = fault(VECTOR.NM);
const MF = fault(VECTOR.MF);

// Offsets in the FXSAVE area.
const FCW = 0;
const FSW = 2;
const FTW = 4;
const MXCSR_AT = 24;
const MXCSR_MASK_AT = 28;
const XMM8 = 288;
/** Where the processor's part ends; what follows is reserved or the program's own. */
const SAVED_BYTES = 416;

export const MXCSR_DEFAULT = 0x1f80;
/** MXCSR bits that exist, denormals-are-zero included. */
export const MXCSR_MASK = 0xffff;
const FCW_DEFAULT = 0x37f;
const FSW_ES = 0x80;
const FSW_B = 0x8000;

const half = (state: CpuState, offset: number): number => state.u32(at.FXSTATE + offset) & 0xffff;
const setHalf = (state: CpuState, offset: number, value: number): void => {
  const address = at.FXSTATE + (offset & ~3);
  const shift = 8 * (offset & 3);
  state.setU32(address, ((state.u32(address) & ~(0xffff << shift)) | ((value & 0xffff) << shift)) >>> 0);
};
/** FSW shares a doubleword with FCW. */
const statusWord = (state: CpuState): number => state.u32(at.FXSTATE + FCW) >>> 16;

const anyOf = (cpu: Cpu, bits: bigint): boolean => (cpu.state.u64(at.CR0) & bits) !== 0n;

/** x87 instructions and FXSAVE need CR0.EM and CR0.TS clear (SDM 3A table 2-2). */
const x87Denied = (cpu: Cpu): Fault | undefined => (anyOf(cpu, CR0_EM | CR0_TS) ? NM : undefined);

/** SSE needs EM clear and CR4.OSFXSR set, else #UD; TS set is #NM. */
const sseDenied = (cpu: Cpu): Fault | undefined => {
  if (anyOf(cpu, CR0_EM) || !(cpu.state.u64(at.CR4) & CR4_OSFXSR)) return UD;
  return anyOf(cpu, CR0_TS) ? NM : undefined;
};

/** A pending unmasked exception, reported by waiting instructions. */
const pending = (cpu: Cpu): Fault | undefined => {
  if (!(statusWord(cpu.state) & FSW_ES)) return undefined;
  if (!anyOf(cpu, CR0_NE)) cpu.unimplemented('x87 error reported through IRQ 13 (CR0.NE = 0)');
  return MF;
};

/** x87 state as FNINIT leaves it. */
export const initialiseX87 = (state: CpuState): void => {
  for (let offset = 0; offset < MXCSR_AT; offset += 8) state.setU64(at.FXSTATE + offset, 0n);
  setHalf(state, FCW, FCW_DEFAULT);
};

export const fninit: Handler = (cpu, insn) => {
  const denied = x87Denied(cpu);
  if (denied) return denied;
  initialiseX87(cpu.state);
  return next(cpu, insn);
};

export const fnclex: Handler = (cpu, insn) => {
  const denied = x87Denied(cpu);
  if (denied) return denied;
  setHalf(cpu.state, FSW, statusWord(cpu.state) & ~(FSW_B | 0xff));
  return next(cpu, insn);
};

export const fnstsw: Handler = (cpu, insn) => {
  const denied = x87Denied(cpu);
  if (denied) return denied;
  const value = BigInt(statusWord(cpu.state));
  if (insn.code === Code.Fnstsw_AX) {
    cpu.state.setReg(GPR.RAX, (cpu.state.reg(GPR.RAX) & ~0xffffn) | value);
    return next(cpu, insn);
  }
  return writeOperand(cpu, insn, 0, 2, value) ?? next(cpu, insn);
};

export const fnstcw: Handler = (cpu, insn) =>
  x87Denied(cpu) ?? writeOperand(cpu, insn, 0, 2, BigInt(half(cpu.state, FCW))) ?? next(cpu, insn);

export const fldcw: Handler = (cpu, insn) => {
  const denied = x87Denied(cpu) ?? pending(cpu);
  if (denied) return denied;
  const value = readOperand(cpu, insn, 0, 2);
  if (isFault(value)) return value;
  setHalf(cpu.state, FCW, Number(value));
  // Unmasking an exception that is flagged already makes it pending.
  const status = statusWord(cpu.state);
  const unmasked = status & ~Number(value) & 0x3f;
  setHalf(cpu.state, FSW, unmasked ? status | FSW_ES | FSW_B : status & ~(FSW_ES | FSW_B));
  return next(cpu, insn);
};

/** FWAIT: #NM where a task switch is pending and monitored, #MF where an exception is. */
export const fwait: Handler = (cpu, insn) => {
  const cr0 = cpu.state.u64(at.CR0);
  if ((cr0 & (CR0_MP | CR0_TS)) === (CR0_MP | CR0_TS)) return NM;
  return pending(cpu) ?? next(cpu, insn);
};

/** EMMS marks all x87 registers empty. */
export const emms: Handler = (cpu, insn) => {
  if (anyOf(cpu, CR0_EM)) return UD;
  const denied = anyOf(cpu, CR0_TS) ? NM : pending(cpu);
  if (denied) return denied;
  setHalf(cpu.state, FTW, half(cpu.state, FTW) & 0xff00);
  return next(cpu, insn);
};

export const ldmxcsr: Handler = (cpu, insn) => {
  const denied = sseDenied(cpu);
  if (denied) return denied;
  const value = readOperand(cpu, insn, 0, 4);
  if (isFault(value)) return value;
  if (value & ~BigInt(MXCSR_MASK)) return GP0;
  cpu.state.setU32(at.MXCSR, Number(value));
  return next(cpu, insn);
};

export const stmxcsr: Handler = (cpu, insn) =>
  sseDenied(cpu) ?? writeOperand(cpu, insn, 0, 4, BigInt(cpu.state.u32(at.MXCSR))) ?? next(cpu, insn);

/** Linear address of the 512-byte area; it has to be aligned to 16 bytes. */
const areaAddress = (cpu: Cpu, insn: Instruction, write: boolean): bigint | Fault => {
  const denied = x87Denied(cpu);
  if (denied) return denied;
  const place = memoryPlace(cpu, insn);
  const linear = linearAddress(cpu, place.segment, place.offset, 512, write);
  if (isFault(linear)) return linear;
  return linear & 15n ? GP0 : linear;
};

/** XMM8 to XMM15 are saved and restored in 64-bit mode only. */
const areaBytes = (cpu: Cpu): number => (cpu.state.mode64 ? SAVED_BYTES : XMM8);

const fieldAt = (state: CpuState, offset: number): bigint => {
  const value = state.u64(at.FXSTATE + offset);
  if (offset !== MXCSR_AT) return value;
  return (value & 0xffff_ffffn) | (BigInt(MXCSR_MASK) << BigInt(8 * (MXCSR_MASK_AT - MXCSR_AT)));
};

export const fxsave: Handler = (cpu, insn) => {
  const area = areaAddress(cpu, insn, true);
  if (isFault(area)) return area;
  const unwritable = probeLinear(cpu, area, areaBytes(cpu));
  if (unwritable) return unwritable;
  for (let offset = 0; offset < areaBytes(cpu); offset += 8) {
    const address = (area + BigInt(offset)) & linearMask(cpu.state);
    const failed = cpu.writeLinear(address, 8, fieldAt(cpu.state, offset));
    if (failed) return failed;
  }
  return next(cpu, insn);
};

const readArea = (cpu: Cpu, area: bigint): bigint[] | Fault => {
  const words: bigint[] = [];
  for (let offset = 0; offset < areaBytes(cpu); offset += 8) {
    const bytes: AccessBytes = 8;
    const word = cpu.readLinear((area + BigInt(offset)) & linearMask(cpu.state), bytes);
    if (isFault(word)) return word;
    words.push(word);
  }
  return words;
};

export const fxrstor: Handler = (cpu, insn) => {
  const area = areaAddress(cpu, insn, false);
  if (isFault(area)) return area;
  const words = readArea(cpu, area);
  if (isFault(words)) return words;
  const mxcsr = (words[MXCSR_AT / 8] ?? 0n) & 0xffff_ffffn;
  if (mxcsr & ~BigInt(MXCSR_MASK)) return GP0;
  for (const [n, word] of words.entries()) cpu.state.setU64(at.FXSTATE + 8 * n, 8 * n === MXCSR_AT ? mxcsr : word);
  return next(cpu, insn);
};
