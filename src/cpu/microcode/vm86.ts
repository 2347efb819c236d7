// Virtual-8086 mode: segments made of selectors, the way in by IRET, and the frame an interrupt leaves on the way out
// (SDM 3A 21.2; 2A IRET, INT n). CR4.VME and CR4.PVI belong to a feature that no model has.

import { DEFINED_FLAGS } from '../../x86/flags.ts';
import { GPR } from '../../x86/registers.ts';
import { type AccessBytes, type Cpu, type Fault, isFault } from '../state/cpu.ts';
import { type CpuState, SEG, type SegmentIndex } from '../state/state.ts';
import { MASK16 } from './modes.ts';
import { gp0 } from './operands.ts';
import { NULL_SEGMENT, vm86Segment } from './selectors.ts';
import { peek, type Stack } from './stack.ts';

/** Segment registers in the order an IRET to virtual-8086 mode finds them behind ESP. */
const POPPED: readonly SegmentIndex[] = [SEG.SS, SEG.ES, SEG.DS, SEG.FS, SEG.GS];
/** Saved above SS:ESP by an interrupt and null in its handler, in the order of the pushes. */
const PUSHED: readonly SegmentIndex[] = [SEG.GS, SEG.FS, SEG.DS, SEG.ES];

/** What lies above SS:ESP in the frame of an interrupt from virtual-8086 mode. */
export const vm86Frame = (state: CpuState): bigint[] => PUSHED.map((index) => BigInt(state.segment(index).selector));

/** The handler must not see segments that were made of 8086 addresses. */
export const dropVm86Segments = (state: CpuState): void => {
  for (const index of PUSHED) state.setSegment(index, NULL_SEGMENT(0));
};

/** IRET at level 0 that finds VM set in the flags: nine doublewords on the stack, and code that runs at level 3. */
export const returnToVm86 = (
  cpu: Cpu,
  stack: Stack,
  [rip = 0n, cs = 0n, image = 0n]: readonly bigint[],
): Fault | 'transfer' => {
  const { state } = cpu;
  const bytes: AccessBytes = 4;
  const values: bigint[] = [];
  for (let n = 3; n < 9; n++) {
    const value = peek(cpu, stack, n * bytes, bytes);
    if (isFault(value)) return value;
    values.push(value);
  }
  if (rip > MASK16) return gp0('iret-vm86-target');
  const [esp = 0n, ...selectors] = values;
  state.rflags = Number(image) & DEFINED_FLAGS;
  state.cpl = 3;
  state.setSegment(SEG.CS, vm86Segment(Number(cs & MASK16)));
  for (const [n, index] of POPPED.entries()) {
    state.setSegment(index, vm86Segment(Number((selectors[n] ?? 0n) & MASK16)));
  }
  state.setReg(GPR.RSP, esp);
  state.rip = rip;
  cpu.modeChanged();
  return 'transfer';
};
