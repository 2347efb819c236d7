// Instructions that do the same with each element of the destination and the one of the source at its place.

import type { Instruction } from 'iced-x86';
import { type Cpu, type Fault, isFault } from '../../state/cpu.ts';
import type { FloatContext, Format } from '../../float/softFloat.ts';
import * as at from '../../state/layout.ts';
import { sseDenied } from '../fpuState.ts';
import { next } from '../operands.ts';
import type { Handler, Microresult } from '../result.ts';
import { contextOf, settle } from './mxcsr.ts';
import { element, readSource, readXmm, type Shape, sourceBytes, withElements, writeXmm } from './vector.ts';

/** What is done with an element of the destination and one of the source. */
export type Lane = (a: bigint, b: bigint, format: Format, context: FloatContext) => bigint;

const lanes = (cpu: Cpu, insn: Instruction, shape: Shape, source: bigint, lane: Lane): Fault | Microresult => {
  const { state } = cpu;
  const context = contextOf(state.u32(at.MXCSR));
  const { width } = shape.format;
  const destination = readXmm(state, insn.opRegister(0));
  const results: bigint[] = [];
  for (let n = 0; n < shape.lanes; n++) {
    results.push(lane(element(destination, n, width), element(source, n, width), shape.format, context));
  }
  const failed = settle(cpu, context.flags);
  if (failed) return failed;
  writeXmm(state, insn.opRegister(0), withElements(destination, results, width));
  return next(cpu, insn);
};

/** An instruction with the shape given; what is done may depend on its immediate. */
export const laneByLane =
  (shape: Shape, laneOf: (insn: Instruction) => Lane): Handler =>
  (cpu, insn) => {
    const denied = sseDenied(cpu);
    if (denied) return denied;
    const source = readSource(cpu, insn, sourceBytes(shape));
    return isFault(source) ? source : lanes(cpu, insn, shape, source, laneOf(insn));
  };
