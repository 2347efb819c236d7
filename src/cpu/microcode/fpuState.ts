// State of the x87 FPU and of SSE, kept as FXSAVE lays it out (SDM 1 10.5.1, 2A FXSAVE table 3-43). No arithmetic.

import { Code, type Instruction, Mnemonic } from 'iced-x86';
import { CR0_EM, CR0_MP, CR0_TS, CR4_OSFXSR } from '../../x86/control.ts';
import { GPR } from '../../x86/registers.ts';
import { type AccessBytes, type Cpu, type Fault, isFault } from '../state/cpu.ts';
import * as at from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import { linearMask } from './modes.ts';
import { gp0, linearAddress, memoryPlace, next, nm, probeLinear, readOperand, ud, writeOperand } from './operands.ts';
import type { Handler } from './result.ts';
import * as regs from './x87/registers.ts';
import { pending, ready, x87Denied } from './x87/step.ts';

// Offsets in the FXSAVE area.
const FTW = 4;
const FIP = 8;
const FDP = 16;
const MXCSR_AT = 24;
const MXCSR_MASK_AT = 28;
const ST0 = 32;
const XMM0 = 160;
const XMM8 = 288;
/** Where the processor's part ends; what follows is reserved or the program's own. */
const SAVED_BYTES = 416;

export const MXCSR_DEFAULT = 0x1f80;
/** MXCSR bits that exist, denormals-are-zero included. */
export const MXCSR_MASK = 0xffff;
/** What FNCLEX clears: B, ES, SF and the exceptions. */
const CLEARED = 0x80ff;

const anyOf = (cpu: Cpu, bits: bigint): boolean => (cpu.state.u64(at.CR0) & bits) !== 0n;

/** SSE needs EM clear and CR4.OSFXSR set, else #UD; TS set is #NM. */
export const sseDenied = (cpu: Cpu): Fault | undefined => {
  if (anyOf(cpu, CR0_EM)) return ud('x87-emulated');
  if (!(cpu.state.u64(at.CR4) & CR4_OSFXSR)) return ud('osfxsr-not-enabled');
  return anyOf(cpu, CR0_TS) ? nm('task-switched') : undefined;
};

/** x87 state as FNINIT leaves it. */
export const initialiseX87 = regs.initialise;

export const fninit: Handler = (cpu, insn) => {
  const denied = x87Denied(cpu);
  if (denied) return denied;
  initialiseX87(cpu.state);
  return next(cpu, insn);
};

export const fnclex: Handler = (cpu, insn) => {
  const denied = x87Denied(cpu);
  if (denied) return denied;
  regs.setStatusWord(cpu.state, regs.statusWord(cpu.state) & ~CLEARED);
  return next(cpu, insn);
};

export const fnstsw: Handler = (cpu, insn) => {
  const denied = x87Denied(cpu);
  if (denied) return denied;
  const value = BigInt(regs.statusWord(cpu.state));
  if (insn.code === Code.Fnstsw_AX) {
    cpu.state.setReg(GPR.RAX, (cpu.state.reg(GPR.RAX) & ~0xffffn) | value);
    return next(cpu, insn);
  }
  return writeOperand(cpu, insn, 0, 2, value) ?? next(cpu, insn);
};

export const fnstcw: Handler = (cpu, insn) =>
  x87Denied(cpu) ?? writeOperand(cpu, insn, 0, 2, BigInt(regs.controlWord(cpu.state))) ?? next(cpu, insn);

/** Unmasking an exception that is flagged already makes it pending. */
export const fldcw: Handler = (cpu, insn) => {
  const denied = ready(cpu);
  if (denied) return denied;
  const value = readOperand(cpu, insn, 0, 2);
  if (isFault(value)) return value;
  regs.setControlWord(cpu.state, Number(value));
  return next(cpu, insn);
};

/** FWAIT: #NM where a task switch is pending and monitored, #MF where an exception is. */
export const fwait: Handler = (cpu, insn) => {
  const cr0 = cpu.state.u64(at.CR0);
  if ((cr0 & (CR0_MP | CR0_TS)) === (CR0_MP | CR0_TS)) return nm('task-switched');
  return pending(cpu) ?? next(cpu, insn);
};

/** EMMS marks all x87 registers empty; TOP is 0 as after any MMX instruction. */
export const emms: Handler = (cpu, insn) => {
  if (anyOf(cpu, CR0_EM)) return ud('x87-emulated');
  const denied = anyOf(cpu, CR0_TS) ? nm('task-switched') : pending(cpu);
  if (denied) return denied;
  regs.enterMmx(cpu.state);
  regs.setTags(cpu.state, 0);
  return next(cpu, insn);
};

export const ldmxcsr: Handler = (cpu, insn) => {
  const denied = sseDenied(cpu);
  if (denied) return denied;
  const value = readOperand(cpu, insn, 0, 4);
  if (isFault(value)) return value;
  if (value & ~BigInt(MXCSR_MASK)) return gp0('mxcsr-reserved-bit');
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
  return linear & 15n ? gp0('fxsave-area-misaligned') : linear;
};

/** XMM8 to XMM15 are saved and restored in 64-bit mode only. */
const areaBytes = (cpu: Cpu): number => (cpu.state.mode64 ? SAVED_BYTES : XMM8);

/** Instruction and data pointers have 64 bits with REX.W; else 32, and selectors that read as zero. */
const isWide = (insn: Instruction): boolean =>
  insn.mnemonic === Mnemonic.Fxsave64 || insn.mnemonic === Mnemonic.Fxrstor64;

/** Eight bytes of the area FXSAVE writes. @param wide instruction and data pointers of 64 bits */
export const areaField = (state: CpuState, offset: number, wide: boolean): bigint => {
  const value = state.u64(at.FXSTATE + offset);
  if (!wide && (offset === FIP || offset === FDP)) return value & 0xffff_ffffn;
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
    const failed = cpu.writeLinear(address, 8, areaField(cpu.state, offset, isWide(insn)));
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

/** What is loaded of eight bytes of the area: reserved bits of tags, opcode and x87 registers are not. */
export const areaFieldKept = (offset: number, word: bigint, wide: boolean): bigint => {
  if (offset === 0) return word & ((0x7ff_00ffn << BigInt(8 * FTW)) | 0xffff_ffffn);
  if (!wide && (offset === FIP || offset === FDP)) return word & 0xffff_ffffn;
  return offset >= ST0 && offset < XMM0 && (offset & 8) !== 0 ? word & 0xffffn : word;
};

export const fxrstor: Handler = (cpu, insn) => {
  const area = areaAddress(cpu, insn, false);
  if (isFault(area)) return area;
  const words = readArea(cpu, area);
  if (isFault(words)) return words;
  const mxcsr = (words[MXCSR_AT / 8] ?? 0n) & 0xffff_ffffn;
  if (mxcsr & ~BigInt(MXCSR_MASK)) return gp0('mxcsr-reserved-bit');
  for (const [n, word] of words.entries()) {
    const offset = 8 * n;
    cpu.state.setU64(at.FXSTATE + offset, offset === MXCSR_AT ? mxcsr : areaFieldKept(offset, word, isWide(insn)));
  }
  // Reserved bits of the control word, and the summary of pending exceptions, are not the program's to choose.
  regs.setControlWord(cpu.state, regs.controlWord(cpu.state));
  return next(cpu, insn);
};
