// AVX arithmetic: each element of a result from the elements at its place (VADDxx to VMAXxx, VSQRTxx, VCMPxx, VROUNDxx,
// approximations), what works on 128 bits at a time (VADDSUBPx, VHADDPx, VHSUBPx, VDPPx), and comparisons to flags.

import { type Instruction, type Mnemonic, Mnemonic as M } from 'iced-x86';
import { STATUS_FLAGS } from '../../../x86/flags.ts';
import { type Fault, isFault } from '../../state/cpu.ts';
import { add, divide, multiply, squareRoot, subtract } from '../../float/arithmetic.ts';
import { compare, maximum, minimum, type Ordering } from '../../float/compare.ts';
import { F32, F64, type FloatFlags, type Format, noFlags } from '../../float/softFloat.ts';
import * as at from '../../state/layout.ts';
import { next } from '../operands.ts';
import type { Handler } from '../result.ts';
import { reciprocal, reciprocalRoot } from '../sse/approximation.ts';
import { ORDER_FLAGS } from '../sse/arithmetic.ts';
import { addSubtract, dotProduct, neighbours, roundElement, type VectorArithmetic } from '../sse/horizontal.ts';
import type { Lane } from '../sse/lanes.ts';
import { contextOf, settle } from '../sse/mxcsr.ts';
import { element, withElements } from '../sse/vector.ts';
import { readOperand, readVector, registerBits, vex, writeVector } from './vector.ts';

export type Row = readonly [Mnemonic, Handler];

type LaneOf = (insn: Instruction) => Lane;

/** All elements. @param sources 2 where the first source is operand 1; with 1 the lane's first value is none */
const packed = (format: Format, sources: 1 | 2, laneOf: LaneOf): Handler =>
  vex((cpu, insn) => {
    const { state } = cpu;
    const destination = insn.opRegister(0);
    const bits = registerBits(destination);
    const b = readOperand(cpu, insn, sources, bits / 8);
    if (isFault(b)) return b;
    const a = sources === 2 ? readVector(state, insn.opRegister(1)) : b;
    const context = contextOf(state.u32(at.MXCSR));
    const lane = laneOf(insn);
    const { width } = format;
    const results: bigint[] = [];
    for (let n = 0; n < bits / width; n++) {
      results.push(lane(element(a, n, width), element(b, n, width), format, context));
    }
    const failed = settle(cpu, context.flags);
    if (failed) return failed;
    writeVector(state, destination, withElements(0n, results, width));
    return next(cpu, insn);
  });

/** The lowest element; the others of the 128 bits are the second operand's. */
const scalar = (format: Format, laneOf: LaneOf): Handler =>
  vex((cpu, insn) => {
    const { state } = cpu;
    const { width } = format;
    const b = readOperand(cpu, insn, 2, width / 8);
    if (isFault(b)) return b;
    const a = readVector(state, insn.opRegister(1));
    const context = contextOf(state.u32(at.MXCSR));
    const result = laneOf(insn)(element(a, 0, width), element(b, 0, width), format, context);
    const failed = settle(cpu, context.flags);
    if (failed) return failed;
    writeVector(state, insn.opRegister(0), withElements(a, [result], width));
    return next(cpu, insn);
  });

const FORMATS = [
  ['ps', F32],
  ['pd', F64],
] as const;
const SCALARS = [
  ['ss', F32],
  ['sd', F64],
] as const;
/** iced's number of an instruction's name. */
export const mnemonic = (name: string): Mnemonic => {
  const found = (M as unknown as Readonly<Record<string, Mnemonic>>)[name];
  if (found === undefined) throw new Error(`no mnemonic ${name}`);
  return found;
};

/** Packed and scalar instructions of one name. */
const family = (stem: string, sources: 1 | 2, laneOf: LaneOf): Row[] => [
  ...FORMATS.map(([suffix, format]) => [mnemonic(`${stem}${suffix}`), packed(format, sources, laneOf)] as const),
  ...SCALARS.map(([suffix, format]) => [mnemonic(`${stem}${suffix}`), scalar(format, laneOf)] as const),
];
const always =
  (lane: Lane): LaneOf =>
  () =>
    lane;

const root: Lane = (_, b, format, context) => squareRoot(b, format, context);

// Comparisons -----------------------------------------------------------------------------------------------------------

/** Orderings for which a predicate holds, by its low four bits (SDM 2A table 3-1). */
const HOLDS: readonly (readonly Ordering[])[] = [
  ['equal'],
  ['less'],
  ['less', 'equal'],
  ['unordered'],
  ['less', 'greater', 'unordered'],
  ['equal', 'greater', 'unordered'],
  ['greater', 'unordered'],
  ['less', 'equal', 'greater'],
  ['equal', 'unordered'],
  ['less', 'unordered'],
  ['less', 'equal', 'unordered'],
  [],
  ['less', 'greater'],
  ['equal', 'greater'],
  ['greater'],
  ['less', 'equal', 'greater', 'unordered'],
];
/** Those of the first sixteen that signal quiet NaNs too; of the second sixteen it is the others. */
const SIGNALING = new Set([1, 2, 5, 6, 9, 10, 13, 14]);

const comparison: LaneOf = (insn) => {
  const predicate = insn.immediate8 & 31;
  const holds = HOLDS[predicate & 15] as readonly Ordering[];
  const signalQuiet = SIGNALING.has(predicate & 15) !== predicate > 15;
  return (a, b, format, context) =>
    holds.includes(compare(a, b, format, context, signalQuiet)) ? (1n << BigInt(format.width)) - 1n : 0n;
};

const toFlags = (format: Format, signalQuiet: boolean): Handler =>
  vex((cpu, insn) => {
    const { state } = cpu;
    const source = readOperand(cpu, insn, 1, format.width / 8);
    if (isFault(source)) return source;
    const context = contextOf(state.u32(at.MXCSR));
    const a = element(readVector(state, insn.opRegister(0)), 0, format.width);
    const order = compare(a, element(source, 0, format.width), format, context, signalQuiet);
    const failed = settle(cpu, context.flags);
    if (failed) return failed;
    state.rflags = (state.rflags & ~STATUS_FLAGS) | ORDER_FLAGS[order];
    return next(cpu, insn);
  });

// 128 bits at a time ----------------------------------------------------------------------------------------------------

/** Flags of both halves after each step; one that is not masked ends the instruction at its step. */
const merged = (first: FloatFlags, second: FloatFlags | undefined): FloatFlags => {
  const flags = { ...first };
  for (const name of Object.keys(flags) as (keyof FloatFlags)[]) flags[name] ||= second?.[name] ?? false;
  return flags;
};

const halves = (operation: VectorArithmetic): Handler =>
  vex((cpu, insn) => {
    const { state } = cpu;
    const destination = insn.opRegister(0);
    const bits = registerBits(destination);
    const b = readOperand(cpu, insn, 2, bits / 8);
    if (isFault(b)) return b;
    const a = readVector(state, insn.opRegister(1));
    const immediate = insn.opCount > 3 ? insn.immediate8 : 0;
    const steps: FloatFlags[] = [];
    const results: bigint[] = [];
    for (let n = 0; n < bits / 128; n++) {
      const context = contextOf(state.u32(at.MXCSR));
      let step = 0;
      const note = (): undefined => {
        steps[step] = merged(steps[step] ?? noFlags(), context.flags);
        step++;
      };
      const result = operation(element(a, n, 128), element(b, n, 128), context, immediate, note);
      if (isFault(result)) return result;
      note();
      results.push(result);
    }
    for (const flags of steps) {
      const failed: Fault | undefined = settle(cpu, flags);
      if (failed) return failed;
    }
    writeVector(state, destination, withElements(0n, results, 128));
    return next(cpu, insn);
  });

const both = (stem: string, of: (format: Format) => VectorArithmetic): Row[] =>
  FORMATS.map(([suffix, format]) => [mnemonic(`${stem}${suffix}`), halves(of(format))] as const);

const approximate =
  (lane: (bits: bigint) => bigint): LaneOf =>
  () =>
  (_, b) =>
    lane(b);

/** Arithmetic instructions of AVX and their handlers. */
export const AVX_ARITHMETIC: readonly Row[] = [
  ...family('Vadd', 2, always(add)),
  ...family('Vsub', 2, always(subtract)),
  ...family('Vmul', 2, always(multiply)),
  ...family('Vdiv', 2, always(divide)),
  ...family('Vmin', 2, always(minimum)),
  ...family('Vmax', 2, always(maximum)),
  ...family('Vsqrt', 1, always(root)),
  ...family('Vcmp', 2, comparison),
  ...family('Vround', 1, (insn) => roundElement(insn.immediate8)),
  [M.Vrcpps, packed(F32, 1, approximate(reciprocal))],
  [M.Vrcpss, scalar(F32, approximate(reciprocal))],
  [M.Vrsqrtps, packed(F32, 1, approximate(reciprocalRoot))],
  [M.Vrsqrtss, scalar(F32, approximate(reciprocalRoot))],
  [M.Vcomiss, toFlags(F32, true)],
  [M.Vcomisd, toFlags(F64, true)],
  [M.Vucomiss, toFlags(F32, false)],
  [M.Vucomisd, toFlags(F64, false)],
  ...both('Vaddsub', addSubtract),
  ...both('Vhadd', (format) => neighbours(format, add)),
  ...both('Vhsub', (format) => neighbours(format, subtract)),
  ...both('Vdp', dotProduct),
];
