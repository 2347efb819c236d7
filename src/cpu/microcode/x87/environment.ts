// FSTENV, FLDENV, FSAVE, FRSTOR in the layouts of each mode (SDM 1 figures 8-9 to 8-12).
// The selectors of instruction and operand read as zero, as on processors that say so (CPUID.(7,0).EBX bit 13).

import type { Instruction } from 'iced-x86';
import { type AccessBytes, type Cpu, type Fault, isFault } from '../../state/cpu.ts';
import type { CpuState } from '../../state/state.ts';
import { isProtected, isVm86 } from '../modes.ts';
import { type MemoryPlace, next, probeWrite, readAt, writeAt } from '../operands.ts';
import type { Handler } from '../result.ts';
import * as regs from './registers.ts';
import { placeOf, readTen } from './sources.ts';
import { ready, x87Denied } from './step.ts';

const TOP = 0x3800;

/** Real-address and virtual-8086 mode have layouts of their own. */
const isReal = (state: CpuState): boolean => !isProtected(state) || isVm86(state);

/** The seven fields of an environment, each as wide as the operand size. */
const environmentOf = (state: CpuState, wide: boolean): readonly number[] => {
  const fip = Number(regs.instructionPointer(state) & 0xffff_ffffn);
  const fdp = Number(regs.dataPointer(state) & 0xffff_ffffn);
  const fop = regs.lastOpcode(state);
  const words = [regs.controlWord(state), regs.statusWord(state), regs.fullTags(state)];
  const above = (pointer: number): number => (pointer >>> 16) << 12;
  if (!wide) {
    const tail = isReal(state) ? [fip, above(fip) | fop, fdp, above(fdp)] : [fip, 0, fdp, 0];
    return [...words, ...tail].map((word) => word & 0xffff);
  }
  const tail = isReal(state)
    ? [fip | 0xffff_0000, above(fip) | fop, fdp | 0xffff_0000, above(fdp)]
    : [fip, fop << 16, fdp, 0xffff_0000];
  return [...words.map((word) => word | 0xffff_0000), ...tail].map((word) => word >>> 0);
};

/** What the fields say of FIP, FOP and FDP. */
const pointersOf = (
  fields: readonly number[],
  wide: boolean,
  real: boolean,
): { fip: number; fop: number; fdp: number } => {
  const [, , , a = 0, b = 0, c = 0, d = 0] = fields;
  const joined = (low: number, high: number): number => (((high >>> 12) << 16) | (low & 0xffff)) >>> 0;
  if (real) return { fip: joined(a, b), fop: b & 0x7ff, fdp: joined(c, d) };
  return { fip: a, fop: wide ? (b >>> 16) & 0x7ff : 0, fdp: c };
};

const loadEnvironment = (state: CpuState, fields: readonly number[], wide: boolean): void => {
  const [control = 0, status = 0, tag = 0] = fields;
  const { fip, fop, fdp } = pointersOf(fields, wide, isReal(state));
  // The registers stay where they are; TOP moves past them.
  regs.rotate(state, ((status & TOP) >> 11) - regs.top(state));
  regs.setControlWord(state, control);
  regs.setStatusWord(state, status & 0xffff);
  regs.setTags(state, regs.abridge(tag & 0xffff));
  regs.setInstructionPointer(state, BigInt(fip));
  regs.setDataPointer(state, BigInt(fdp));
  regs.setLastOpcode(state, fop);
};

const FIELDS = 7;
const TEN = 10;
/** The image is aligned to 2 or 4 bytes as its environment is, and its registers lie where they lie (SDM 3A table 6-7). */
const IN_IMAGE = { unaligned: true } as const;
const fieldBytes = (wide: boolean): AccessBytes => (wide ? 4 : 2);

const writeEnvironment = (cpu: Cpu, place: MemoryPlace, wide: boolean): Fault | undefined => {
  const bytes = fieldBytes(wide);
  for (const [n, field] of environmentOf(cpu.state, wide).entries()) {
    const failed = writeAt(cpu, place, n * bytes, bytes, BigInt(field));
    if (failed) return failed;
  }
  return undefined;
};

const readEnvironment = (cpu: Cpu, place: MemoryPlace, wide: boolean): number[] | Fault => {
  const bytes = fieldBytes(wide);
  const fields: number[] = [];
  for (let n = 0; n < FIELDS; n++) {
    const field = readAt(cpu, place, n * bytes, bytes);
    if (isFault(field)) return field;
    fields.push(Number(field));
  }
  return fields;
};

/** Stores the environment and what may follow it; then the state changes. @param more bytes behind the environment */
const storing =
  (
    wide: boolean,
    more: number,
    write: (cpu: Cpu, place: MemoryPlace, from: number) => Fault | undefined,
    then: (state: CpuState) => void,
  ): Handler =>
  (cpu, insn) => {
    const denied = x87Denied(cpu);
    if (denied) return denied;
    const place = placeOf(cpu, insn);
    if (place === undefined) return next(cpu, insn);
    const from = FIELDS * fieldBytes(wide);
    const failed =
      probeWrite(cpu, place, 0, from + more) ?? writeEnvironment(cpu, place, wide) ?? write(cpu, place, from);
    if (failed) return failed;
    then(cpu.state);
    return next(cpu, insn);
  };

/** FNSTENV; it masks all exceptions afterwards. */
export const fnstenv = (wide: boolean): Handler =>
  storing(
    wide,
    0,
    () => undefined,
    (state) => regs.setControlWord(state, regs.controlWord(state) | 0x3f),
  );

export const fldenv =
  (wide: boolean): Handler =>
  (cpu, insn) => {
    const stop = ready(cpu);
    if (stop) return stop;
    const place = placeOf(cpu, insn);
    const fields = place ? readEnvironment(cpu, place, wide) : [];
    if (isFault(fields)) return fields;
    loadEnvironment(cpu.state, fields, wide);
    return next(cpu, insn);
  };

const writeRegisters = (cpu: Cpu, place: MemoryPlace, from: number): Fault | undefined => {
  for (let n = 0; n < 8; n++) {
    const value = regs.st(cpu.state, n);
    const failed =
      writeAt(cpu, place, from + TEN * n, 8, value & 0xffff_ffff_ffff_ffffn, IN_IMAGE) ??
      writeAt(cpu, place, from + TEN * n + 8, 2, value >> 64n, IN_IMAGE);
    if (failed) return failed;
  }
  return undefined;
};

/** FNSAVE; the FPU is as after FNINIT then. */
export const fnsave = (wide: boolean): Handler => storing(wide, 8 * TEN, writeRegisters, regs.initialise);

const readRegisters = (cpu: Cpu, place: MemoryPlace, from: number): bigint[] | Fault => {
  const values: bigint[] = [];
  for (let n = 0; n < 8; n++) {
    const value = readTen(cpu, place, from + TEN * n, IN_IMAGE);
    if (isFault(value)) return value;
    values.push(value);
  }
  return values;
};

export const frstor =
  (wide: boolean): Handler =>
  (cpu: Cpu, insn: Instruction) => {
    const stop = ready(cpu);
    if (stop) return stop;
    const place = placeOf(cpu, insn);
    if (place === undefined) return next(cpu, insn);
    const fields = readEnvironment(cpu, place, wide);
    if (isFault(fields)) return fields;
    const values = readRegisters(cpu, place, FIELDS * fieldBytes(wide));
    if (isFault(values)) return values;
    loadEnvironment(cpu.state, fields, wide);
    for (const [n, value] of values.entries()) regs.setStored(cpu.state, n, value);
    return next(cpu, insn);
  };
