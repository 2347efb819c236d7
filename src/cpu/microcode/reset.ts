// The processor after RESET (SDM 3A table 9-1).

import { ATTR_P, ATTR_S, TYPE } from '../../x86/descriptors.ts';
import { CR0_CD, CR0_ET, CR0_NW, DR6_FIXED_ONES, DR7_FIXED_ONES } from '../../x86/control.ts';
import { FLAGS_FIXED } from '../../x86/flags.ts';
import type { CpuModel } from '../../x86/models.ts';
import { MSR_TABLE } from '../../x86/msr.ts';
import { GPR } from '../../x86/registers.ts';
import * as at from '../state/layout.ts';
import { type CpuState, SEG, type SegmentIndex } from '../state/state.ts';
import { initialiseX87, MXCSR_DEFAULT } from './fpuState.ts';

const DATA = ATTR_P | ATTR_S | 3;
const SEGMENTS: readonly SegmentIndex[] = [SEG.ES, SEG.SS, SEG.DS, SEG.FS, SEG.GS];

const resetSegments = (state: CpuState): void => {
  const plain = { selector: 0, base: 0n, limit: 0xffff };
  for (const index of SEGMENTS) state.setSegment(index, { ...plain, attributes: DATA });
  // The first instruction is at ffff:fff0 in the last 64 KiB below 4 GiB.
  state.setSegment(SEG.CS, { selector: 0xf000, base: 0xffff_0000n, limit: 0xffff, attributes: DATA });
  state.setSegment(SEG.LDTR, { ...plain, attributes: ATTR_P | TYPE.LDT });
  state.setSegment(SEG.TR, { ...plain, attributes: ATTR_P | TYPE.TSS32_BUSY });
  state.setTable(at.GDTR, { base: 0n, limit: 0xffff });
  state.setTable(at.IDTR, { base: 0n, limit: 0xffff });
};

/** Clears the state block and sets what RESET sets; `modeChanged` has to follow. */
export const reset = (state: CpuState, model: CpuModel): void => {
  for (let address = at.REGS; address < at.STATE_END; address += 8) state.setU64(address, 0n);
  state.rflags = FLAGS_FIXED;
  state.rip = 0xfff0n;
  state.setReg(GPR.RDX, BigInt(model.signature));
  resetSegments(state);
  state.setU64(at.CR0, CR0_CD | CR0_NW | CR0_ET);
  state.setU64(at.DR0 + 8 * 6, DR6_FIXED_ONES);
  state.setU64(at.DR0 + 8 * 7, DR7_FIXED_ONES);
  state.setU64(at.XCR0, 1n);
  state.setU32(at.CANONICAL_SHIFT, 64 - 48);
  state.setU32(at.FAULT_VECTOR, at.FAULT_NONE);
  state.setU64(at.RESERVED_PHYS_MASK, ((1n << 52n) - 1n) ^ ((1n << BigInt(model.physicalBits)) - 1n));
  state.setU32(at.HAS_1G_PAGES, model.features.has('PDPE1GB') ? 1 : 0);
  for (const { slot, reset: value } of MSR_TABLE) if (slot !== undefined) state.setU64(at.msrAddress(slot), value);
  initialiseX87(state);
  state.setU32(at.MXCSR, MXCSR_DEFAULT);
};
