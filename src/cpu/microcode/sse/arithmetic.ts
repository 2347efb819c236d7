// ADDxx, SUBxx, MULxx, DIVxx, MINxx, MAXxx, SQRTxx, CMPxx and (U)COMISx: one or all elements of an XMM register.

import { type Instruction, type Mnemonic, Mnemonic as M } from 'iced-x86';
import { FLAGS, STATUS_FLAGS } from '../../../x86/flags.ts';
import { isFault } from '../../state/cpu.ts';
import { add, divide, multiply, squareRoot, subtract } from '../../float/arithmetic.ts';
import { compare, maximum, minimum, type Ordering } from '../../float/compare.ts';
import * as at from '../../state/layout.ts';
import { sseDenied } from '../fpuState.ts';
import { next } from '../operands.ts';
import type { Handler } from '../result.ts';
import { type Lane, laneByLane } from './lanes.ts';
import { contextOf, settle } from './mxcsr.ts';
import { element, PD, PS, readSource, readXmm, SD, type Shape, SS, sourceBytes } from './vector.ts';

const root: Lane = (_, b, format, context) => squareRoot(b, format, context);

type Predicate = { readonly holds: readonly Ordering[]; readonly signalQuiet: boolean };

/** CMPxx by the low three bits of its immediate (SDM 2A table 3-1). */
const PREDICATES: readonly Predicate[] = [
  { holds: ['equal'], signalQuiet: false },
  { holds: ['less'], signalQuiet: true },
  { holds: ['less', 'equal'], signalQuiet: true },
  { holds: ['unordered'], signalQuiet: false },
  { holds: ['less', 'greater', 'unordered'], signalQuiet: false },
  { holds: ['equal', 'greater', 'unordered'], signalQuiet: true },
  { holds: ['greater', 'unordered'], signalQuiet: true },
  { holds: ['less', 'equal', 'greater'], signalQuiet: false },
];

const comparison = (insn: Instruction): Lane => {
  const { holds, signalQuiet } = PREDICATES[insn.immediate8 & 7] as Predicate;
  return (a, b, format, context) =>
    holds.includes(compare(a, b, format, context, signalQuiet)) ? (1n << BigInt(format.width)) - 1n : 0n;
};

/** What comparisons to flags set. */
export const ORDER_FLAGS: Readonly<Record<Ordering, number>> = {
  unordered: FLAGS.ZF | FLAGS.PF | FLAGS.CF,
  greater: 0,
  less: FLAGS.CF,
  equal: FLAGS.ZF,
};

const compareToFlags =
  (shape: Shape, signalQuiet: boolean): Handler =>
  (cpu, insn) => {
    const denied = sseDenied(cpu);
    if (denied) return denied;
    const source = readSource(cpu, insn, sourceBytes(shape));
    if (isFault(source)) return source;
    const { format } = shape;
    const context = contextOf(cpu.state.u32(at.MXCSR));
    const a = element(readXmm(cpu.state, insn.opRegister(0)), 0, format.width);
    const order = compare(a, element(source, 0, format.width), format, context, signalQuiet);
    const failed = settle(cpu, context.flags);
    if (failed) return failed;
    cpu.state.rflags = (cpu.state.rflags & ~STATUS_FLAGS) | ORDER_FLAGS[order];
    return next(cpu, insn);
  };

const each = (lane: Lane, names: readonly [Mnemonic, Mnemonic, Mnemonic, Mnemonic]): (readonly [Mnemonic, Handler])[] =>
  [SS, PS, SD, PD].map((shape, n) => [names[n] as Mnemonic, laneByLane(shape, () => lane)] as const);

/** Arithmetic instructions and their handlers. */
export const ARITHMETIC: readonly (readonly [Mnemonic, Handler])[] = [
  ...each(add, [M.Addss, M.Addps, M.Addsd, M.Addpd]),
  ...each(subtract, [M.Subss, M.Subps, M.Subsd, M.Subpd]),
  ...each(multiply, [M.Mulss, M.Mulps, M.Mulsd, M.Mulpd]),
  ...each(divide, [M.Divss, M.Divps, M.Divsd, M.Divpd]),
  ...each(minimum, [M.Minss, M.Minps, M.Minsd, M.Minpd]),
  ...each(maximum, [M.Maxss, M.Maxps, M.Maxsd, M.Maxpd]),
  ...each(root, [M.Sqrtss, M.Sqrtps, M.Sqrtsd, M.Sqrtpd]),
  [M.Comiss, compareToFlags(SS, true)],
  [M.Comisd, compareToFlags(SD, true)],
  [M.Ucomiss, compareToFlags(SS, false)],
  [M.Ucomisd, compareToFlags(SD, false)],
];

export const cmpss = laneByLane(SS, comparison);
export const cmpps = laneByLane(PS, comparison);
export const cmpsd = laneByLane(SD, comparison);
export const cmppd = laneByLane(PD, comparison);
