// MXCSR: how SSE instructions round, and what becomes of the exceptions they find (SDM 1 10.2.3, 11.5).

import { CR4_OSXMMEXCPT } from '../../../x86/control.ts';
import { VECTOR } from '../../../x86/vectors.ts';
import { type Cpu, type Fault, fault } from '../../state/cpu.ts';
import { type FloatContext, type FloatFlags, noFlags, type Rounding } from '../../float/softFloat.ts';
import * as at from '../../state/layout.ts';
import { ud } from '../operands.ts';

const XM = fault('simd-exception', VECTOR.XM);

/** Sticky flags; the mask of each stands 7 places higher. */
const IE = 1;
const DE = 2;
const ZE = 4;
const OE = 8;
const UE = 16;
const PE = 32;
/** Exceptions that are decided before anything is computed. */
const BEFORE = IE | DE | ZE;
const DAZ = 0x40;
const MASK_SHIFT = 7;
const OM = OE << MASK_SHIFT;
const UM = UE << MASK_SHIFT;
const PM = PE << MASK_SHIFT;
const RC_SHIFT = 13;
const FTZ = 0x8000;

/** How the MXCSR in force says to compute, with no exceptions found yet. */
export const contextOf = (mxcsr: number): FloatContext => ({
  rounding: ((mxcsr >> RC_SHIFT) & 3) as Rounding,
  flags: noFlags(),
  denormalsAreZero: (mxcsr & DAZ) !== 0,
  flushToZero: (mxcsr & FTZ) !== 0,
  underflowUnmasked: (mxcsr & UM) === 0,
  overflowUnmasked: (mxcsr & OM) === 0,
  inexactIgnored: (mxcsr & (PE | PM)) === (PE | PM),
});

const bitsOf = (flags: FloatFlags): number =>
  (flags.invalid ? IE : 0) |
  (flags.denormal ? DE : 0) |
  (flags.divideByZero ? ZE : 0) |
  (flags.overflow ? OE : 0) |
  (flags.underflow ? UE : 0) |
  (flags.inexact ? PE : 0);

/**
 * Notes the exceptions in MXCSR. With one of them unmasked the instruction ends in #XM (#UD where the system does not
 * handle that), having changed nothing but MXCSR. An unmasked exception found before computing hides those that
 * computing would have found, in all elements.
 */
export const settle = (cpu: Cpu, flags: FloatFlags): Fault | undefined => {
  const found = bitsOf(flags);
  if (found === 0) return undefined;
  const mxcsr = cpu.state.u32(at.MXCSR);
  const unmasked = ~(mxcsr >> MASK_SHIFT) & 0x3f;
  const reported = found & unmasked & BEFORE ? found & BEFORE : found;
  cpu.state.setU32(at.MXCSR, mxcsr | reported);
  if (!(reported & unmasked)) return undefined;
  return cpu.state.u64(at.CR4) & CR4_OSXMMEXCPT ? XM : ud('simd-exception-not-enabled');
};
