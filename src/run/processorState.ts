// The processor's state for comparison: is it again as it was? What counts how far a run is does not belong to it.

import * as at from '../cpu/state/layout.ts';
import type { CpuState } from '../cpu/state/state.ts';
import { GPR } from '../x86/registers.ts';

/** As hashProcessor has it, but without the count of instructions at the last exception. */
const RANGES = [
  [at.REGS, at.FLAG_ZR],
  [at.SEGMENTS, at.MODE64],
  [at.INTERRUPT_SHADOW, at.TSC_START],
  [at.PDPTE0, at.RESERVED_PHYS_MASK],
  [at.MSRS, at.DELIVERED],
  [at.DELIVERED + 8, at.STATE_END],
] as const;

const SIZE = RANGES.reduce((sum, [start, end]) => sum + end - start, 4);
/** General registers and RIP come first: where anything differs, they mostly do. */
const { RSP } = GPR;

/** Registers and hidden state, one after the other. @param bytes the state block's memory */
export function processorBytes(state: CpuState, bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(SIZE);
  let place = 0;
  for (const [start, end] of RANGES) {
    out.set(bytes.subarray(state.block + start, state.block + end), place);
    place += end - start;
  }
  new DataView(out.buffer).setUint32(place, state.rflags, true);
  return out;
}

/** Is the processor's state what `processorBytes` gave? Looks at the instruction pointer first. */
export function isProcessor(known: Uint8Array, state: CpuState, bytes: Uint8Array): boolean {
  const rip = at.RIP - at.REGS;
  for (let i = 0; i < 4; i++) if (known[rip + i] !== bytes[state.block + at.RIP + i]) return false;
  for (let i = 0; i < rip; i++) if (known[i] !== bytes[state.block + at.REGS + i]) return false;
  return sameBytes(known, processorBytes(state, bytes));
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** `processorBytes` with the stack pointer taken out. */
export function withoutStackPointer(known: Uint8Array): Uint8Array {
  const out = known.slice();
  out.fill(0, 8 * RSP, 8 * RSP + 8);
  return out;
}
