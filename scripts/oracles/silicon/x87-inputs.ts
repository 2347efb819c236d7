// x87 state for a vector: where the stack's top is, what the registers hold, which are empty, rounding and precision,
// sticky and pending exceptions; and what x87 instructions find in memory.
import { MemorySize, OpKind, Register, RegisterExt } from 'iced-x86';
import {
  boundedFloat,
  DOUBLE,
  EXTENDED,
  floatValue,
  isFiniteNonZero,
  nearInteger,
  partsOf,
  relatedFloat,
  SINGLE,
  UNSUPPORTED_80,
  withExponent,
} from './float-values.ts';
import type { Random } from './random.ts';
import { edgeValue } from './values.ts';
import type { VectorDraft } from './vector-inputs.ts';

const EXCEPTIONS = 0x3f;
const IE = 1;
const STACK_FAULT = 0x40;
const ERROR_SUMMARY = 0x80;
const BUSY = 0x8000;
const CONDITIONS = 0x4700;
const CONTROL_RESERVED_ONE = 0x40;

/** Precision control 1 is reserved. */
const PRECISIONS = [0, 2, 3];

function drawControl(random: Random): number {
  if (random.chance(40)) return 0x37f;
  const masks = random.chance(80) ? EXCEPTIONS : random.below(64);
  return (random.below(4) << 10) | (random.pick(PRECISIONS) << 8) | CONTROL_RESERVED_ONE | masks;
}

// A pending exception is reported by the next waiting instruction and hides what that does: a few are enough.
function drawStatus(fcw: number, random: Random): number {
  const top = random.chance(50) ? 0 : random.below(8);
  const conditions = random.chance(50) ? random.u32() & CONDITIONS : 0;
  let flags = random.chance(25) ? random.below(64) : 0;
  if (flags & ~fcw & EXCEPTIONS && !random.chance(15)) flags &= fcw;
  const fault = flags & IE && random.chance(30) ? STACK_FAULT : 0;
  const pending = flags & ~fcw & EXCEPTIONS ? ERROR_SUMMARY | BUSY : 0;
  return (top << 11) | conditions | flags | fault | pending;
}

const PUSHES = /^(Fld|Fild|Fbld|Fld1|Fldl2t|Fldl2e|Fldpi|Fldlg2|Fldln2|Fldz|Fptan|Fsincos|Fxtract)$/;

function drawTags(name: string, top: number, random: Random): number {
  const pushed = 1 << ((top - 1) & 7);
  if (PUSHES.test(name) && random.chance(85)) return 0xff & ~pushed;
  return random.chance(88) ? 0xff : random.below(256);
}

const anyValue = (random: Random): bigint =>
  random.chance(4) ? random.pick(UNSUPPORTED_80) : floatValue(EXTENDED, random);

const ZERO_EXPONENT = 0x3fff;
const INFINITY = 0x7fff;
const isInfinite = (value: bigint): boolean => {
  const { exponent, fraction } = partsOf(EXTENDED, value);
  return exponent === INFINITY && fraction === 0n;
};

function finite(power: number, random: Random): bigint {
  for (;;) {
    const value = boundedFloat(EXTENDED, power, random);
    if (!isInfinite(value)) return value;
  }
}

// Beyond 2^63 in magnitude: the instruction does nothing but set C2.
const outOfRange = (random: Random): bigint =>
  withExponent(EXTENDED, floatValue(EXTENDED, random), ZERO_EXPONENT + 63 + random.below(1000));

const angle = (random: Random): bigint => (random.chance(8) ? outOfRange(random) : boundedFloat(EXTENDED, 0, random));

/** The first operand by mnemonic, where not any value will do (outside of the ranges the result is not defined). */
const FIRST: Record<string, (random: Random) => bigint> = {
  F2xm1: (random) => finite(0, random),
  Fyl2xp1: (random) => finite(-2, random),
  Fsin: angle,
  Fcos: angle,
  Fsincos: angle,
  Fptan: angle,
  Frndint: (random) => (random.chance(50) ? nearInteger(EXTENDED, random) : anyValue(random)),
  Fist: (random) => (random.chance(60) ? nearInteger(EXTENDED, random) : anyValue(random)),
  Fistp: (random) => (random.chance(60) ? nearInteger(EXTENDED, random) : anyValue(random)),
  Fisttp: (random) => (random.chance(60) ? nearInteger(EXTENDED, random) : anyValue(random)),
  Fbstp: (random) => (random.chance(70) ? nearInteger(EXTENDED, random) : anyValue(random)),
};

const SECOND: Record<string, (first: bigint, random: Random) => bigint> = {
  Fscale: (_, random) => (random.chance(60) ? nearInteger(EXTENDED, random) : anyValue(random)),
};

/** Remainders of exponents further apart than 63 are reduced by a number of bits that the processor chooses. */
const MOST_REDUCED = 63;

function nearEnough(first: bigint, second: bigint, random: Random): bigint | undefined {
  if (!isFiniteNonZero(EXTENDED, first) || !isFiniteNonZero(EXTENDED, second)) return first;
  const [a, b] = [partsOf(EXTENDED, first).exponent, partsOf(EXTENDED, second).exponent];
  if (a - b <= MOST_REDUCED - (b === 0 ? MOST_REDUCED - 1 : 0)) return first;
  if (b === 0 || b + MOST_REDUCED >= INFINITY) return undefined;
  return withExponent(EXTENDED, first, b + random.below(MOST_REDUCED + 1));
}

function stackOperands({ form }: VectorDraft): number[] {
  const { instruction } = form;
  const found = [0, 1];
  for (let operand = 0; operand < instruction.opCount; operand++) {
    if (instruction.opKind(operand) !== OpKind.Register) continue;
    const register = instruction.opRegister(operand);
    if (RegisterExt.isST(register)) found.push(register - Register.ST0);
  }
  return [...new Set(found)];
}

function setStack(draft: VectorDraft, top: number): boolean {
  const { form, fpu, random } = draft;
  const first = FIRST[form.mnemonic]?.(random) ?? anyValue(random);
  const second = SECOND[form.mnemonic]?.(first, random);
  for (const index of stackOperands(draft)) {
    fpu.physical[(top + index) & 7] = index === 0 ? first : (second ?? relatedFloat(EXTENDED, first, random));
  }
  if (!/^Fprem1?$/.test(form.mnemonic)) return true;
  const near = nearEnough(first, fpu.physical[(top + 1) & 7] ?? 0n, random);
  fpu.physical[top] = near ?? first;
  return near !== undefined;
}

/** Draws the x87 state. MMX and SSE see little of it: only an eighth of their vectors have another than the background. */
export function drawX87(draft: VectorDraft, isX87: boolean): boolean {
  const { form, fpu, random } = draft;
  if (!isX87 && !random.chance(12)) return true;
  fpu.fcw = drawControl(random);
  fpu.fsw = drawStatus(fpu.fcw, random);
  const top = (fpu.fsw >> 11) & 7;
  fpu.ftw = drawTags(form.mnemonic, top, random);
  return !isX87 || setStack(draft, top);
}

function decimal(random: Random): bigint {
  let value = random.chance(50) ? 0x80n << 72n : 0n;
  const digits = random.pick([0, 1, 5, 17, 18, 18]);
  for (let digit = 0; digit < digits; digit++) value |= BigInt(random.below(10)) << BigInt(4 * digit);
  return value;
}

// Control, status, tag words, then pointers (zero here), then for FRSTOR the registers in stack order.
function environment(word: bigint, registers: boolean, random: Random): bigint {
  const control = drawControl(random);
  const words = [control, drawStatus(control, random), random.below(0x10000)];
  let value = 0n;
  words.forEach((item, at) => {
    value |= BigInt(item) << (BigInt(at) * word);
  });
  if (!registers) return value;
  const start = 7n * word;
  for (let st = 0n; st < 8n; st++) value |= anyValue(random) << (start + 80n * st);
  return value;
}

/** What an x87 instruction reads, by the type that iced gives its memory operand; undefined for others. */
export function x87Memory({ form, family, random, fpu }: VectorDraft): bigint | undefined {
  if (family !== 'x87') return undefined;
  const first = fpu.physical[(fpu.fsw >> 11) & 7] ?? 0n;
  switch (form.instruction.memorySize) {
    case MemorySize.Float32:
      return floatValue(SINGLE, random);
    case MemorySize.Float64:
      return floatValue(DOUBLE, random);
    case MemorySize.Float80:
      return relatedFloat(EXTENDED, random.chance(10) ? random.pick(UNSUPPORTED_80) : first, random);
    case MemorySize.Int16:
      return edgeValue(16, random);
    case MemorySize.Int32:
      return edgeValue(32, random);
    case MemorySize.Int64:
      return edgeValue(64, random);
    case MemorySize.Bcd:
      return decimal(random);
    case MemorySize.UInt16:
      return BigInt(drawControl(random));
    case MemorySize.FpuEnv14:
    case MemorySize.FpuState94:
      return environment(16n, form.instruction.memorySize === MemorySize.FpuState94, random);
    case MemorySize.FpuEnv28:
    case MemorySize.FpuState108:
      return environment(32n, form.instruction.memorySize === MemorySize.FpuState108, random);
    default:
      return undefined;
  }
}
