// FCOM, FUCOM, FICOM, FTST into the condition codes, FCOMI and FUCOMI into RFLAGS, FXAM.

import type { Instruction } from 'iced-x86';
import { FLAGS } from '../../../x86/flags.ts';
import { type Cpu, type Fault, isFault } from '../../state/cpu.ts';
import { compare, type Ordering } from '../../float/compare.ts';
import { F80, isNan, unpack, type Unpacked } from '../../float/softFloat.ts';
import type { MemoryPlace } from '../operands.ts';
import type { Handler } from '../result.ts';
import * as regs from './registers.ts';
import { FSW } from './registers.ts';
import { placeOf, readShort, type Source } from './sources.ts';
import { contextOf, done, raise, ready, STACK_UNDERFLOW, stackOperand, statusOf } from './step.ts';

const CODES = FSW.C0 | FSW.C2 | FSW.C3;
const CODES_OF: Readonly<Record<Ordering, number>> = {
  greater: 0,
  less: FSW.C0,
  equal: FSW.C3,
  unordered: CODES,
};

/** How a comparison differs: what it takes for invalid, and what it pops. */
type Kind = { readonly signalQuiet: boolean; readonly pops: 0 | 1 | 2 };

type Compared = { readonly order: Ordering; readonly status: number };

const UNDERFLOW: Compared = { order: 'unordered', status: STACK_UNDERFLOW };

const compareWith = (cpu: Cpu, source: Source, signalQuiet: boolean): Compared => {
  const context = contextOf(cpu.state);
  const other = regs.st(cpu.state, 0);
  const order = compare(other, source.bits, F80, context, signalQuiet);
  if (source.denormal && !isNan(unpack(other, F80))) context.flags.denormal = true;
  return { order, status: statusOf(context.flags) };
};

const compareRegister = (cpu: Cpu, n: number, signalQuiet: boolean): Compared => {
  const { state } = cpu;
  if (regs.isEmpty(state, 0) || regs.isEmpty(state, n)) return UNDERFLOW;
  return compareWith(cpu, { bits: regs.st(state, n), denormal: false }, signalQuiet);
};

const popTimes = (cpu: Cpu, times: number): void => {
  for (let n = 0; n < times; n++) regs.pop(cpu.state);
};

/** Processors set the codes even where the exception is unmasked; what is withheld are the pops. */
const intoCodes = (cpu: Cpu, insn: Instruction, { order, status }: Compared, pops: number): void => {
  const delivered = raise(cpu, insn, status);
  regs.setStatusWord(cpu.state, (regs.statusWord(cpu.state) & ~CODES) | CODES_OF[order]);
  if (delivered) popTimes(cpu, pops);
};

const memoryCompared = (cpu: Cpu, insn: Instruction, place: MemoryPlace, kind: Kind): Compared | Fault => {
  const source = readShort(cpu, insn, place);
  if (isFault(source)) return source;
  return regs.isEmpty(cpu.state, 0) ? UNDERFLOW : compareWith(cpu, source, kind.signalQuiet);
};

/** ST(0) with a register (FCOMPP and FUCOMPP name none: ST(1)) or memory. */
const comparison =
  (kind: Kind): Handler =>
  (cpu, insn) => {
    const stop = ready(cpu);
    if (stop) return stop;
    const place = placeOf(cpu, insn);
    const n = insn.opCount === 2 ? stackOperand(insn, 1) : 1;
    const compared = place ? memoryCompared(cpu, insn, place, kind) : compareRegister(cpu, n, kind.signalQuiet);
    if (isFault(compared)) return compared;
    intoCodes(cpu, insn, compared, kind.pops);
    return done(cpu, insn, place);
  };

export const fcom = comparison({ signalQuiet: true, pops: 0 });
export const fcomp = comparison({ signalQuiet: true, pops: 1 });
export const fcompp = comparison({ signalQuiet: true, pops: 2 });
export const fucom = comparison({ signalQuiet: false, pops: 0 });
export const fucomp = comparison({ signalQuiet: false, pops: 1 });
export const fucompp = comparison({ signalQuiet: false, pops: 2 });

export const ftst: Handler = (cpu, insn) => {
  const stop = ready(cpu);
  if (stop) return stop;
  const empty = regs.isEmpty(cpu.state, 0);
  intoCodes(cpu, insn, empty ? UNDERFLOW : compareWith(cpu, { bits: 0n, denormal: false }, true), 0);
  return done(cpu, insn);
};

const ARITHMETIC_FLAGS = FLAGS.OF | FLAGS.SF | FLAGS.ZF | FLAGS.AF | FLAGS.PF | FLAGS.CF;
const FLAGS_OF: Readonly<Record<Ordering, number>> = {
  greater: 0,
  less: FLAGS.CF,
  equal: FLAGS.ZF,
  unordered: FLAGS.ZF | FLAGS.PF | FLAGS.CF,
};

const comparisonIntoFlags =
  (kind: Kind): Handler =>
  (cpu, insn) => {
    const stop = ready(cpu);
    if (stop) return stop;
    const { state } = cpu;
    const { order, status } = compareRegister(cpu, stackOperand(insn, 1), kind.signalQuiet);
    // C1 stays as it is unless the stack is at fault.
    const c1 = status & FSW.SF ? 0 : regs.statusWord(state) & FSW.C1;
    const delivered = raise(cpu, insn, status);
    regs.setStatusWord(state, regs.statusWord(state) | c1);
    state.rflags = (state.rflags & ~ARITHMETIC_FLAGS) | FLAGS_OF[order];
    if (delivered) popTimes(cpu, kind.pops);
    return done(cpu, insn);
  };

export const fcomi = comparisonIntoFlags({ signalQuiet: true, pops: 0 });
export const fcomip = comparisonIntoFlags({ signalQuiet: true, pops: 1 });
export const fucomi = comparisonIntoFlags({ signalQuiet: false, pops: 0 });
export const fucomip = comparisonIntoFlags({ signalQuiet: false, pops: 1 });

/** SDM 2A, FXAM. */
const CLASS_CODES: Readonly<Record<Unpacked['kind'], number>> = {
  unsupported: 0,
  quiet: FSW.C0,
  signaling: FSW.C0,
  finite: FSW.C2,
  infinity: FSW.C2 | FSW.C0,
  zero: FSW.C3,
};
const EMPTY_CODES = FSW.C3 | FSW.C0;
const DENORMAL_CODES = FSW.C3 | FSW.C2;

/** Classifies ST(0), empty included; C1 is its sign in any case. */
export const fxam: Handler = (cpu, insn) => {
  const stop = ready(cpu);
  if (stop) return stop;
  const { state } = cpu;
  const value = unpack(regs.st(state, 0), F80);
  const known = value.denormal ? DENORMAL_CODES : CLASS_CODES[value.kind];
  const codes = (regs.isEmpty(state, 0) ? EMPTY_CODES : known) | (value.sign ? FSW.C1 : 0);
  regs.setStatusWord(state, (regs.statusWord(state) & ~(CODES | FSW.C1)) | codes);
  return done(cpu, insn);
};
