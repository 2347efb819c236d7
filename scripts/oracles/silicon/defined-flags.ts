// Which flags the manual defines after an instruction, given its inputs. iced knows the flags an instruction leaves
// undefined; shifts and rotates depend on the masked count (Intel SDM vol. 2, SAL/SAR/SHL/SHR, RCL/RCR/ROL/ROR, SHLD, SHRD):
//   masked count 0: no flag changes, all are defined;
//   otherwise OF is defined for a masked count of 1 only, and AF never by a shift;
//   CF is undefined after SHL and SHR by the operand's size or more (8- and 16-bit operands can be shifted so far);
//   rotates leave SF, ZF, AF and PF alone, and always define CF.
import { type Instruction, RflagsBits } from 'iced-x86';
import { ARITHMETIC_FLAGS, DEFAULT_FLAGS_MASK, RFLAGS_BITS } from '../../../test/vectors/layout.ts';
import type { Form } from './forms.ts';

const { CF, PF, AF, ZF, SF, OF, DF, IF, IOPL, NT, ID } = RFLAGS_BITS;

const FROM_ICED: [number, number][] = [
  [RflagsBits.OF, OF],
  [RflagsBits.SF, SF],
  [RflagsBits.ZF, ZF],
  [RflagsBits.AF, AF],
  [RflagsBits.CF, CF],
  [RflagsBits.PF, PF],
];

const undefinedByIced = (instruction: Instruction): number =>
  FROM_ICED.reduce((mask, [iced, bit]) => (instruction.rflagsUndefined & iced ? mask | bit : mask), 0);

/** What iced says alone: right for everything but shifts and rotates by a count, POPF and IRET. */
export const flagsDefinedBy = (instruction: Instruction): number => DEFAULT_FLAGS_MASK & ~undefinedByIced(instruction);

const POPS_FLAGS = /^(Popf|Iret)/;
const SHIFT = /^(Shl|Sal|Shr|Sar|Shld|Shrd)$/;
const ROTATE = /^(Rol|Ror|Rcl|Rcr)$/;

export const isCounted = (form: Form): boolean => SHIFT.test(form.mnemonic) || ROTATE.test(form.mnemonic);

/** The count as the CPU masks it: 6 bits for 64-bit operands, else 5. */
export const maskedCount = (bits: number, count: number): number => count & (bits === 64 ? 63 : 31);

function undefinedByCount(form: Form, bits: number, count: number): number {
  const masked = maskedCount(bits, count);
  if (masked === 0) return 0;
  const overflow = masked === 1 ? 0 : OF;
  if (ROTATE.test(form.mnemonic)) return overflow;
  const carry = /^(Shl|Sal|Shr)$/.test(form.mnemonic) && masked >= bits ? CF : 0;
  return overflow | carry | AF;
}

/**
 * The flags to compare after the instruction ran. `count` is given for shifts and rotates, unmasked; `bits` is the operand
 * size. POPF and IRET define more than the arithmetic flags: at CPL 3 and IOPL 0 they load NT and, except in their 16-bit
 * forms, ID, and leave IF and IOPL as they were.
 */
export function definedFlags(form: Form, bits: number, count: number | undefined): number {
  if (POPS_FLAGS.test(form.mnemonic)) return ARITHMETIC_FLAGS | DF | IF | IOPL | NT | ID;
  const open = count === undefined ? undefinedByIced(form.instruction) : undefinedByCount(form, bits, count);
  return DEFAULT_FLAGS_MASK & ~open;
}

/** An instruction that ends in a fault has changed no flag, but for #DE, whose instructions define none. */
export const definedAfterFault = (form: Form | undefined, vector: number): number =>
  vector === 0 && form ? flagsDefinedBy(form.instruction) : DEFAULT_FLAGS_MASK;
