// FADD, FSUB, FMUL, FDIV in all their forms, FSQRT, FRNDINT, FABS, FCHS.

import type { Instruction } from 'iced-x86';
import { type Cpu, type Fault, isFault } from '../../state/cpu.ts';
import { add, divide, multiply, squareRoot, subtract } from '../../float/arithmetic.ts';
import { roundToInteger } from '../../float/convert.ts';
import { F80, type FloatContext, type Format, isNan, unpack } from '../../float/softFloat.ts';
import type { Handler, Microresult } from '../result.ts';
import * as regs from './registers.ts';
import { hasMemory, placeOf, readShort, type Source } from './sources.ts';
import { contextOf, done, INDEFINITE, raise, ready, STACK_UNDERFLOW, stackOperand, statusOf } from './step.ts';

type Binary = (x: bigint, y: bigint, format: Format, context: FloatContext) => bigint;
const reversed =
  (operation: Binary): Binary =>
  (x, y, format, context) =>
    operation(y, x, format, context);

/** Stores into ST(n) unless an unmasked exception withholds it, pops if asked to. */
const deliver = (cpu: Cpu, insn: Instruction, n: number, bits: bigint, status: number, pops: boolean): void => {
  if (!raise(cpu, insn, status)) return;
  regs.setSt(cpu.state, n, bits);
  if (pops) regs.pop(cpu.state);
};

/** A denormal in memory counts as one unless a NaN or an invalid operation comes first (SDM 1 4.9.2). */
const noteSource = (context: FloatContext, source: Source, other: bigint): void => {
  const { flags } = context;
  if (!source.denormal || flags.invalid || flags.divideByZero || isNan(unpack(other, F80))) return;
  flags.denormal = true;
};

const withMemory = (cpu: Cpu, insn: Instruction, operation: Binary): Fault | Microresult => {
  const { state } = cpu;
  const place = placeOf(cpu, insn);
  if (place === undefined) return done(cpu, insn);
  const source = readShort(cpu, insn, place);
  if (isFault(source)) return source;
  if (regs.isEmpty(state, 0)) {
    deliver(cpu, insn, 0, INDEFINITE, STACK_UNDERFLOW, false);
  } else {
    const context = contextOf(state, true);
    const other = regs.st(state, 0);
    const bits = operation(other, source.bits, F80, context);
    noteSource(context, source, other);
    deliver(cpu, insn, 0, bits, statusOf(context.flags), false);
  }
  return done(cpu, insn, place);
};

const withRegisters = (cpu: Cpu, insn: Instruction, operation: Binary, pops: boolean): Microresult => {
  const { state } = cpu;
  const destination = stackOperand(insn, 0);
  const source = stackOperand(insn, 1);
  if (regs.isEmpty(state, destination) || regs.isEmpty(state, source)) {
    deliver(cpu, insn, destination, INDEFINITE, STACK_UNDERFLOW, pops);
    return done(cpu, insn);
  }
  const context = contextOf(state, true);
  const bits = operation(regs.st(state, destination), regs.st(state, source), F80, context);
  deliver(cpu, insn, destination, bits, statusOf(context.flags), pops);
  return done(cpu, insn);
};

/** The destination (the first operand, ST(0) where the other is memory) is the left operand. */
const arithmetic =
  (operation: Binary, pops = false): Handler =>
  (cpu, insn) => {
    const stop = ready(cpu);
    if (stop) return stop;
    return hasMemory(insn) ? withMemory(cpu, insn, operation) : withRegisters(cpu, insn, operation, pops);
  };

export const fadd = arithmetic(add);
export const faddp = arithmetic(add, true);
export const fsub = arithmetic(subtract);
export const fsubp = arithmetic(subtract, true);
export const fsubr = arithmetic(reversed(subtract));
export const fsubrp = arithmetic(reversed(subtract), true);
export const fmul = arithmetic(multiply);
export const fmulp = arithmetic(multiply, true);
export const fdiv = arithmetic(divide);
export const fdivp = arithmetic(divide, true);
export const fdivr = arithmetic(reversed(divide));
export const fdivrp = arithmetic(reversed(divide), true);

type Unary = (x: bigint, format: Format, context: FloatContext) => bigint;

/** ST(0) becomes a function of itself. */
const unary =
  (operation: Unary, precisionControl: boolean): Handler =>
  (cpu, insn) => {
    const stop = ready(cpu);
    if (stop) return stop;
    const { state } = cpu;
    if (regs.isEmpty(state, 0)) {
      deliver(cpu, insn, 0, INDEFINITE, STACK_UNDERFLOW, false);
    } else {
      const context = contextOf(state, precisionControl);
      const bits = operation(regs.st(state, 0), F80, context);
      deliver(cpu, insn, 0, bits, statusOf(context.flags), false);
    }
    return done(cpu, insn);
  };

const SIGN = 1n << 79n;

export const fsqrt = unary(squareRoot, true);
export const frndint = unary(roundToInteger, false);
/** Signs of NaNs and of encodings that nothing else accepts change like any other. */
export const fabs = unary((x) => x & ~SIGN, false);
export const fchs = unary((x) => x ^ SIGN, false);
