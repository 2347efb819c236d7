// What RETF and IRET share: going back to code at the same or an outer level (SDM 2B RET, 2A IRET).

import { ATTR_CODE, ATTR_DC, ATTR_DPL, ATTR_DPL_SHIFT, ATTR_P, SELECTOR_RPL } from '../../x86/descriptors.ts';
import { type AccessBytes, type Cpu, type Fault, fault, isFault } from '../state/cpu.ts';
import { VECTOR } from '../../x86/vectors.ts';
import { SEG, type Segment, type SegmentIndex } from '../state/state.ts';
import { isLongActive } from './modes.ts';
import { gp0 } from './operands.ts';
import {
  checkCode,
  checkOffset,
  checkStackSegment,
  type Found,
  findDescriptor,
  isNull,
  loadCode,
  markAccessed,
  NULL_SEGMENT,
  segmentFrom,
  selectorError,
} from './selectors.ts';
import { flatStack, peek, segmentStack, type Stack, setStackPointer } from './stack.ts';

export type FarReturn = {
  readonly stack: Stack;
  readonly bytes: AccessBytes;
  readonly rip: bigint;
  readonly selector: number;
  /** Bytes of the frame up to where SS:SP would be: CS:IP, and for IRET the flags. */
  readonly consumed: number;
  /** Immediate of RETF: bytes of parameters to drop from both stacks. */
  readonly release: number;
  /** IRET in 64-bit mode takes SS:RSP whatever the level. */
  readonly alwaysStack: boolean;
};

export type PreparedReturn = {
  readonly code: Found;
  readonly level: number;
  readonly rip: bigint;
  /** New SS, undefined where it stays. */
  readonly segment: Segment | undefined;
  readonly stack: Stack;
  readonly sp: bigint;
};

/** The stack segment an outer return takes; null is good for 64-bit code below level 3. */
const outerSegment = (cpu: Cpu, selector: number, level: number, toLong: boolean): Segment | Fault => {
  if (isNull(selector)) {
    return toLong && level !== 3 && (selector & SELECTOR_RPL) === level
      ? NULL_SEGMENT(selector)
      : gp0('return-stack-null');
  }
  const found = checkStackSegment(cpu, selector, level);
  if (isFault(found)) return found;
  return markAccessed(cpu, found) ?? segmentFrom(found);
};

const outerStack = (cpu: Cpu, request: FarReturn, code: Found, level: number): PreparedReturn | Fault => {
  const { stack, bytes, consumed, release } = request;
  const sp = peek(cpu, stack, consumed + release, bytes);
  if (isFault(sp)) return sp;
  const ss = peek(cpu, stack, consumed + release + bytes, bytes);
  if (isFault(ss)) return ss;
  const toLong = isLongActive(cpu.state) && code.long;
  const segment = outerSegment(cpu, Number(ss & 0xffffn), level, toLong);
  if (isFault(segment)) return segment;
  const outer = toLong ? flatStack(sp, {}, 0) : segmentStack(segment, sp, {}, 0);
  return { code, level, rip: request.rip, segment, stack: outer, sp: outer.sp + BigInt(release) };
};

/** Everything checked, nothing changed but accessed bits. */
export const prepareReturn = (cpu: Cpu, request: FarReturn): PreparedReturn | Fault => {
  const { state } = cpu;
  const { selector, rip, stack } = request;
  if (isNull(selector)) return gp0('return-code-null');
  const code = findDescriptor(cpu, selector);
  if (isFault(code)) return code;
  const level = selector & SELECTOR_RPL;
  if (level < state.cpl) return fault('return-to-inner-level', VECTOR.GP, selectorError(selector));
  const refused = checkCode(cpu, code, { cpl: state.cpl, how: 'return' });
  if (refused) return refused;
  const prepared =
    level > state.cpl || request.alwaysStack
      ? outerStack(cpu, request, code, level)
      : {
          code,
          level,
          rip,
          segment: undefined,
          stack,
          sp: stack.sp + BigInt(request.consumed + request.release),
        };
  if (isFault(prepared)) return prepared;
  // The offset is checked last, behind the stack segment of an outer level (SDM 2B RET, 2A IRET).
  return checkOffset(cpu, code, rip) ?? markAccessed(cpu, code) ?? prepared;
};

const DATA_SEGMENTS: readonly SegmentIndex[] = [SEG.ES, SEG.DS, SEG.FS, SEG.GS];

/**
 * Segments that the outer level may not use become null (SDM 3A 5.8.6). Their base stays, which 64-bit mode goes on using of FS
 * and GS.
 */
const dropInnerSegments = (cpu: Cpu, level: number): void => {
  for (const index of DATA_SEGMENTS) {
    const segment = cpu.state.segment(index);
    const { attributes } = segment;
    const conforming = (attributes & (ATTR_CODE | ATTR_DC)) === (ATTR_CODE | ATTR_DC);
    const dpl = (attributes & ATTR_DPL) >> ATTR_DPL_SHIFT;
    if (attributes & ATTR_P && !conforming && dpl < level) {
      cpu.state.setSegment(index, { ...NULL_SEGMENT(0), base: segment.base });
    }
  }
};

export const commitReturn = (cpu: Cpu, prepared: PreparedReturn): void => {
  const { state } = cpu;
  const outward = prepared.level > state.cpl;
  loadCode(cpu, prepared.code, prepared.level);
  if (prepared.segment) state.setSegment(SEG.SS, prepared.segment);
  setStackPointer(state, prepared.stack, prepared.sp);
  if (outward) dropInnerSegments(cpu, prepared.level);
  state.rip = prepared.rip;
  cpu.modeChanged();
};
