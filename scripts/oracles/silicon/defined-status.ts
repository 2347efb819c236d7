// Which bits of the x87 status word the manual defines after an instruction (Intel SDM vol. 2, "FPU Flags Affected" of
// each): C0, C2 and C3 only after comparisons, remainders, and what loads or clears the word; C1 almost always.
import { Mnemonic, OpKind } from 'iced-x86';
import { topOf } from '../../../test/vectors/layout.ts';
import type { Form } from './forms.ts';
import type { Observation } from './silicon.ts';
import type { State } from './state.ts';

const ALL = 0xffff;
const C0 = 0x100;
const C1 = 0x200;
const C2 = 0x400;
const C3 = 0x4000;
const STACK_FAULT = 0x40;
const ERROR_SUMMARY = 0x80;
const EXPONENT = 0x7fffn;

const LOADS_OR_CLEARS = /^(Fldenv|Frstor|Fninit|Fnsave)$/;
const DEFINES_ALL = /^(Fu?comp?p?|Ficomp?|Ftst|Fxam)$/;
/** Intel clears C1 where there is no stack fault (or does not say), AMD leaves it alone. */
const KEEPS_C1 = /^(Fcmov.*|Fu?comip?)$/;
const COMPARES_TO_FLAGS = /^Fu?comip?$/;
const LEAVES_ALL_OPEN = /^(Fldcw|Fnstcw|Fnstsw|Ffreep?|Fnop|Fnclex|Wait|Fnstenv|Fneni|Fndisi|Fnsetpm)$/;
const REMAINDER = /^Fprem1?$/;
const TRIGONOMETRIC = /^(Fsin|Fcos|Fsincos|Fptan)$/;
/** C1 says how a transcendental result was rounded, which the manual leaves to the processor. */
const ROUNDED_SOMEHOW = /^(F2xm1|Fyl2x|Fyl2xp1|Fpatan)$/;

// The quotient's bits are there when the reduction is complete and its result is a number.
function remainderMask(seen: Observation): number {
  const result = seen.fpu.physical[topOf(seen.fpu.fsw)] ?? 0n;
  const complete = (seen.fpu.fsw & C2) === 0 && ((result >> 64n) & EXPONENT) !== EXPONENT;
  return complete ? ALL : ALL & ~(C0 | C1 | C3);
}

// An unmasked invalid operand, denormal or division by zero stops the instruction before it has a result. Intel then leaves
// the conditions alone, AMD sets them; which way a stack fault went is told by both.
function unmaskedMask(state: State, seen: Observation): number {
  const newFault = seen.fpu.fsw & ~(state.fpu?.fsw ?? 0) & STACK_FAULT;
  return ALL & ~(C0 | C2 | C3) & (newFault ? ALL : ~C1);
}

function maskOf(form: Form, name: string, seen: Observation): number {
  const faulted = (seen.fpu.fsw & STACK_FAULT) !== 0;
  if (DEFINES_ALL.test(name)) return ALL;
  if (KEEPS_C1.test(name)) return (COMPARES_TO_FLAGS.test(name) ? ALL : ALL & ~(C0 | C2 | C3)) & ~C1;
  if (LEAVES_ALL_OPEN.test(name)) return ALL & ~(C0 | C1 | C2 | C3);
  if (REMAINDER.test(name)) return remainderMask(seen);
  if (TRIGONOMETRIC.test(name)) return ALL & ~(C0 | C1 | C3);
  // An empty source on a full stack: both faults at once, and the manual does not say which is told.
  const both = name === 'Fld' && form.instruction.op0Kind === OpKind.Register && faulted;
  if (ROUNDED_SOMEHOW.test(name) || both) return ALL & ~(C0 | C1 | C2 | C3);
  return ALL & ~(C0 | C2 | C3);
}

/** The bits to compare. An instruction that ends in a fault has changed none. */
export function definedStatus(form: Form, state: State, seen: Observation, faulted: boolean): number {
  const name = Mnemonic[form.instruction.mnemonic] ?? '';
  if (faulted || !name.startsWith('F') || LOADS_OR_CLEARS.test(name)) return ALL;
  const mask = maskOf(form, name, seen);
  return seen.fpu.fsw & ERROR_SUMMARY ? mask & unmaskedMask(state, seen) : mask;
}
