// The stack of an inner privilege level, from the task-state segment (SDM 3A 5.8.5, 6.12.1, 6.14.2, 7.2).

import { SELECTOR_MASK, TSS16, TSS32, TSS64, TYPE } from '../../x86/descriptors.ts';
import { VECTOR } from '../../x86/vectors.ts';
import { type Cpu, type Fault, fault, isFault } from '../state/cpu.ts';
import { SEG, type Segment } from '../state/state.ts';
import { isLongActive, linearMask } from './modes.ts';
import { checkStackSegment, IMPLICIT, markAccessed, NULL_SEGMENT, segmentFrom } from './selectors.ts';
import { flatStack, segmentStack, type Stack } from './stack.ts';

export type InnerStack = { readonly stack: Stack; readonly segment: Segment };

/** Reads a field of the current TSS; beyond its limit #TS(TR). */
const tssField = (cpu: Cpu, offset: number, bytes: 2 | 4 | 8, ext: number): bigint | Fault => {
  const tr = cpu.state.segment(SEG.TR);
  if (offset + bytes - 1 > tr.limit)
    return fault('tss-field-beyond-limit', VECTOR.TS, (tr.selector & SELECTOR_MASK) | ext);
  return cpu.readLinear((tr.base + BigInt(offset)) & linearMask(cpu.state), bytes, IMPLICIT);
};

/** 64-bit mode: RSP0..2 by level, or an entry of the interrupt stack table where `ist` is not 0. */
export const longStack = (cpu: Cpu, level: number, ist: number, ext: number): Stack | Fault => {
  const sp = tssField(cpu, ist === 0 ? TSS64.rsp(level) : TSS64.ist(ist), 8, ext);
  if (isFault(sp)) return sp;
  return flatStack(sp, IMPLICIT, ext);
};

const legacyStack = (cpu: Cpu, level: number, ext: number): InnerStack | Fault => {
  const type = cpu.state.segment(SEG.TR).attributes & 15;
  const layout = type === TYPE.TSS16_AVAILABLE || type === TYPE.TSS16_BUSY ? TSS16 : TSS32;
  const ss = tssField(cpu, layout.stack(level) + layout.ssOffset, 2, ext);
  if (isFault(ss)) return ss;
  const sp = tssField(cpu, layout.stack(level), layout.spBytes, ext);
  if (isFault(sp)) return sp;
  const found = checkStackSegment(cpu, Number(ss), level, VECTOR.TS, ext);
  if (isFault(found)) return found;
  const marked = markAccessed(cpu, found);
  if (marked) return marked;
  const error = (found.selector & SELECTOR_MASK) | ext;
  return { stack: segmentStack(found, sp, IMPLICIT, error), segment: segmentFrom(found) };
};

/** Stack and SS for a transfer to `level`, an inner one. @param ext EXT bit for error codes */
export const innerStack = (cpu: Cpu, level: number, ext: number, ist = 0): InnerStack | Fault => {
  if (!isLongActive(cpu.state)) return legacyStack(cpu, level, ext);
  const stack = longStack(cpu, level, ist, ext);
  return isFault(stack) ? stack : { stack, segment: NULL_SEGMENT(level) };
};
