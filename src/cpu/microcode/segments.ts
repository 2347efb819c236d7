// Loads and stores of segment registers (SDM 2B MOV, POP, PUSH; 2A LDS).

import { Code, type Instruction, OpKind, Register } from 'iced-x86';
import { type AccessBytes, type Fault, isFault } from '../state/cpu.ts';
import { SEG } from '../state/state.ts';
import type { Cpu } from '../state/cpu.ts';
import {
  memoryPlace,
  next,
  readAt,
  readOperand,
  registerBytes,
  segmentOf,
  ud,
  writeOperand,
  writeRegister,
} from './operands.ts';
import type { Handler, Microresult } from './result.ts';
import { prepareSegment } from './selectors.ts';
import { shadowOfStack } from './shadow.ts';
import { currentStack, peek, pushAll, setStackPointer } from './stack.ts';

/** Loads a segment register; a load of SS holds interrupts and debug traps off for one instruction where `shadow` asks for it. */
const load = (cpu: Cpu, register: Register, selector: number, shadow: boolean): Fault | undefined => {
  const index = segmentOf(register);
  const segment = prepareSegment(cpu, index, selector);
  if (isFault(segment)) return segment;
  cpu.state.setSegment(index, segment);
  if (index !== SEG.SS) return undefined;
  cpu.modeChanged();
  if (shadow) shadowOfStack(cpu.state);
  return undefined;
};

export const movToSegment: Handler = (cpu, insn) => {
  if (insn.op0Register === Register.CS) return ud('undefined-opcode');
  const selector = readOperand(cpu, insn, 1, 2);
  if (isFault(selector)) return selector;
  return load(cpu, insn.op0Register, Number(selector), true) ?? next(cpu, insn);
};

/** To memory 16 bits, to a register as many as it has, zero-extended. */
export const movFromSegment: Handler = (cpu, insn) => {
  const { selector } = cpu.state.segment(segmentOf(insn.op1Register));
  return writeOperand(cpu, insn, 0, 2, BigInt(selector)) ?? next(cpu, insn);
};

/** Operand size of PUSH and POP by the first letters of the instruction's code. */
const sizes = (codes: Record<2 | 4 | 8, readonly Code[]>): ReadonlyMap<Code, AccessBytes> =>
  new Map(([2, 4, 8] as const).flatMap((bytes) => codes[bytes].map((code): [Code, AccessBytes] => [code, bytes])));

export const PUSH_SIZES = sizes({
  2: [Code.Pushw_ES, Code.Pushw_CS, Code.Pushw_SS, Code.Pushw_DS, Code.Pushw_FS, Code.Pushw_GS],
  4: [Code.Pushd_ES, Code.Pushd_CS, Code.Pushd_SS, Code.Pushd_DS, Code.Pushd_FS, Code.Pushd_GS],
  8: [Code.Pushq_FS, Code.Pushq_GS],
});
export const POP_SIZES = sizes({
  2: [Code.Popw_ES, Code.Popw_SS, Code.Popw_DS, Code.Popw_FS, Code.Popw_GS],
  4: [Code.Popd_ES, Code.Popd_SS, Code.Popd_DS, Code.Popd_FS, Code.Popd_GS],
  8: [Code.Popq_FS, Code.Popq_GS],
});

/** Processors since the Pentium 4 write only 16 bits of a 32-bit push; the rest of the slot keeps its value. */
const pushSelector = (cpu: Cpu, bytes: AccessBytes, selector: number): Fault | undefined => {
  const { state } = cpu;
  const stack = currentStack(state);
  if (bytes !== 4) {
    const sp = pushAll(cpu, stack, bytes, [BigInt(selector)]);
    if (isFault(sp)) return sp;
    setStackPointer(state, stack, sp);
    return undefined;
  }
  const old = peek(cpu, stack, -4, 4);
  if (isFault(old)) return old;
  const sp = pushAll(cpu, stack, 4, [(old & 0xffff_0000n) | BigInt(selector)]);
  if (isFault(sp)) return sp;
  setStackPointer(state, stack, sp);
  return undefined;
};

export const pushSegment: Handler = (cpu, insn) => {
  const { selector } = cpu.state.segment(segmentOf(insn.op0Register));
  return pushSelector(cpu, PUSH_SIZES.get(insn.code) ?? 8, selector) ?? next(cpu, insn);
};

export const popSegment: Handler = (cpu, insn): Fault | Microresult => {
  const { state } = cpu;
  const bytes = POP_SIZES.get(insn.code) ?? 8;
  const stack = currentStack(state);
  const value = peek(cpu, stack, 0, bytes === 4 ? 2 : bytes);
  if (isFault(value)) return value;
  const failed = load(cpu, insn.op0Register, Number(value & 0xffffn), true);
  if (failed) return failed;
  // The stack pointer moves by the size of the stack the selector came from, POP SS included.
  setStackPointer(state, stack, stack.sp + BigInt(bytes));
  return next(cpu, insn);
};

const FAR_POINTER = new Map<number, Register>(
  (
    [
      [Register.ES, [Code.Les_r16_m1616, Code.Les_r32_m1632]],
      [Register.DS, [Code.Lds_r16_m1616, Code.Lds_r32_m1632]],
      [Register.SS, [Code.Lss_r16_m1616, Code.Lss_r32_m1632, Code.Lss_r64_m1664]],
      [Register.FS, [Code.Lfs_r16_m1616, Code.Lfs_r32_m1632, Code.Lfs_r64_m1664]],
      [Register.GS, [Code.Lgs_r16_m1616, Code.Lgs_r32_m1632, Code.Lgs_r64_m1664]],
    ] as const
  ).flatMap(([register, codes]) => codes.map((code): [Code, Register] => [code, register])),
);

/** LDS, LES, LFS, LGS, LSS: offset, then selector, from memory. */
export const loadFarPointer: Handler = (cpu, insn: Instruction) => {
  const register = FAR_POINTER.get(insn.code);
  if (register === undefined || insn.op1Kind !== OpKind.Memory) return ud('undefined-opcode');
  const bytes = registerBytes(insn.op0Register);
  const place = memoryPlace(cpu, insn);
  const offset = readAt(cpu, place, 0, bytes);
  if (isFault(offset)) return offset;
  const selector = readAt(cpu, place, bytes, 2);
  if (isFault(selector)) return selector;
  const failed = load(cpu, register, Number(selector), false);
  if (failed) return failed;
  writeRegister(cpu.state, insn.op0Register, offset);
  return next(cpu, insn);
};
