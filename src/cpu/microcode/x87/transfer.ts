// Loads, stores, constants, exchanges and conditional moves; what moves the stack and nothing else.

import type { Instruction } from 'iced-x86';
import { FLAGS } from '../../../x86/flags.ts';
import { type AccessBytes, type Cpu, type Fault, isFault } from '../../state/cpu.ts';
import { convert, integerIndefinite, toInteger } from '../../float/convert.ts';
import {
  defaultNan,
  F80,
  type FloatContext,
  type Format,
  noFlags,
  ROUND,
  type Rounding,
} from '../../float/softFloat.ts';
import { type MemoryPlace, next, probeWrite, writeAt } from '../operands.ts';
import type { Handler, Microresult } from '../result.ts';
import { fromBcd, toBcd } from './bcd.ts';
import * as regs from './registers.ts';
import { FSW } from './registers.ts';
import { formatBytes, integerBytes, placeOf, readShort, readTen, shortFormat, writeTen } from './sources.ts';
import {
  contextOf,
  done,
  INDEFINITE,
  raise,
  ready,
  STACK_OVERFLOW,
  STACK_UNDERFLOW,
  stackOperand,
  statusOf,
  storeWithheld,
  x87Denied,
} from './step.ts';

/** Pushes a value, or what a masked stack overflow leaves in its place. An unmasked denormal is pushed all the same. */
const pushValue = (cpu: Cpu, insn: Instruction, bits: bigint, status = 0): void => {
  const full = !regs.isEmpty(cpu.state, 7);
  const delivered = raise(cpu, insn, full ? STACK_OVERFLOW : status);
  if (delivered || !((full ? STACK_OVERFLOW : status) & FSW.IE)) regs.push(cpu.state, full ? INDEFINITE : bits);
};

/** Only loads of 32 and 64 bits know exceptions other than the stack's: they convert. */
const load = (cpu: Cpu, insn: Instruction, place: MemoryPlace): { bits: bigint; status: number } | Fault => {
  const source = readShort(cpu, insn, place);
  if (isFault(source)) return source;
  if (shortFormat(insn) === undefined) return { bits: source.bits, status: 0 };
  const context: FloatContext = { rounding: ROUND.NEAREST, flags: noFlags() };
  const bits = convert(source.bits, F80, F80, context);
  return { bits, status: statusOf(context.flags) | (source.denormal ? FSW.DE : 0) };
};

/** FLD m32, FLD m64, FILD. */
export const fldShort: Handler = (cpu, insn) => {
  const stop = ready(cpu);
  if (stop) return stop;
  const place = placeOf(cpu, insn);
  if (place === undefined) return done(cpu, insn);
  const loaded = load(cpu, insn, place);
  if (isFault(loaded)) return loaded;
  pushValue(cpu, insn, loaded.bits, loaded.status);
  return done(cpu, insn, place);
};

const fldTen =
  (convertTen: (raw: bigint) => bigint): Handler =>
  (cpu, insn) => {
    const stop = ready(cpu);
    if (stop) return stop;
    const place = placeOf(cpu, insn);
    const raw = place ? readTen(cpu, place) : 0n;
    if (isFault(raw)) return raw;
    pushValue(cpu, insn, convertTen(raw));
    return done(cpu, insn, place);
  };
/** FLD m80: any 80 bits are taken as they are. */
export const fldExtended = fldTen((raw) => raw);
export const fbld = fldTen(fromBcd);

export const fldRegister: Handler = (cpu, insn) => {
  const stop = ready(cpu);
  if (stop) return stop;
  const n = stackOperand(insn, 0);
  if (!regs.isEmpty(cpu.state, n)) pushValue(cpu, insn, regs.st(cpu.state, n));
  else if (raise(cpu, insn, STACK_UNDERFLOW)) regs.push(cpu.state, INDEFINITE);
  return done(cpu, insn);
};

/** A constant held with 66 or more bits, rounded as RC says (SDM 1 8.3.4): the bits for nearest, and which way they went. */
type Constant = { readonly bits: bigint; readonly wentUp: boolean };

const roundedConstant = ({ bits, wentUp }: Constant, rounding: Rounding): bigint => {
  if (rounding === ROUND.NEAREST) return bits;
  const up = rounding === ROUND.UP;
  return up === wentUp ? bits : up ? bits + 1n : bits - 1n;
};

const constantLoad =
  (constant: Constant): Handler =>
  (cpu, insn) => {
    const stop = ready(cpu);
    if (stop) return stop;
    pushValue(cpu, insn, roundedConstant(constant, contextOf(cpu.state).rounding));
    return done(cpu, insn);
  };
const exactLoad =
  (bits: bigint): Handler =>
  (cpu, insn) => {
    const stop = ready(cpu);
    if (stop) return stop;
    pushValue(cpu, insn, bits);
    return done(cpu, insn);
  };

export const fld1 = exactLoad(0x3fff_8000_0000_0000_0000n);
export const fldz = exactLoad(0n);
export const fldpi = constantLoad({ bits: 0x4000_c90f_daa2_2168_c235n, wentUp: true });
export const fldl2e = constantLoad({ bits: 0x3fff_b8aa_3b29_5c17_f0bcn, wentUp: true });
export const fldl2t = constantLoad({ bits: 0x4000_d49a_784b_cd1b_8afen, wentUp: false });
export const fldlg2 = constantLoad({ bits: 0x3ffd_9a20_9a84_fbcf_f799n, wentUp: true });
export const fldln2 = constantLoad({ bits: 0x3ffe_b172_17f7_d1cf_79acn, wentUp: true });

/** FST, FSTP to a register: no conversion, no exception but the stack's. */
export const storeRegister =
  (pops: boolean): Handler =>
  (cpu, insn) => {
    const stop = ready(cpu);
    if (stop) return stop;
    const { state } = cpu;
    const empty = regs.isEmpty(state, 0);
    if (raise(cpu, insn, empty ? STACK_UNDERFLOW : 0)) {
      regs.setSt(state, stackOperand(insn, 0), empty ? INDEFINITE : regs.st(state, 0));
      if (pops) regs.pop(state);
    }
    return done(cpu, insn);
  };

type Stored = { readonly value: bigint; readonly status: number };

/** FSTPNCE (D9 D8+i), which nobody documents: FSTP that pops an empty ST(0) without a complaint, and stores nothing. */
export const fstpnce: Handler = (cpu, insn) => {
  const stop = ready(cpu);
  if (stop) return stop;
  raise(cpu, insn, 0);
  if (!regs.isEmpty(cpu.state, 0)) regs.setSt(cpu.state, stackOperand(insn, 0), regs.st(cpu.state, 0));
  regs.pop(cpu.state);
  return done(cpu, insn);
};

/**
 * Writes unless withheld, which a page that cannot be written comes before (SDM 3A table 6-2); only then flags, pointers
 * and stack change, so that a page fault leaves all as it was.
 */
const store = (
  cpu: Cpu,
  insn: Instruction,
  stored: Stored,
  bytes: number,
  write: (place: MemoryPlace, value: bigint) => Fault | undefined,
  pops: boolean,
): Fault | Microresult => {
  const { state } = cpu;
  const place = placeOf(cpu, insn);
  const held = storeWithheld(state, stored.status);
  if (place) {
    const failed = held ? probeWrite(cpu, place, 0, bytes) : write(place, stored.value);
    if (failed) return failed;
  }
  // What was not stored is not inexact.
  raise(cpu, insn, held && !(stored.status & FSW.SF) ? stored.status & ~(FSW.PE | FSW.C1) : stored.status);
  if (pops && !held) regs.pop(state);
  return done(cpu, insn, place);
};

const asShort = (state: Cpu['state'], format: Format): Stored => {
  if (regs.isEmpty(state, 0)) return { value: defaultNan(format), status: STACK_UNDERFLOW };
  const context = contextOf(state);
  const value = convert(regs.st(state, 0), F80, format, context);
  // A denormal of 80 bits underflows or is inexact here; it is not a denormal operand (SDM 2A FST).
  context.flags.denormal = false;
  return { value, status: statusOf(context.flags) };
};

/** FST, FSTP to 32 or 64 bits. */
export const storeShort =
  (pops: boolean): Handler =>
  (cpu, insn) => {
    const stop = ready(cpu);
    if (stop) return stop;
    const format = shortFormat(insn);
    if (format === undefined) return done(cpu, insn);
    const write = (place: MemoryPlace, value: bigint): Fault | undefined =>
      writeAt(cpu, place, 0, formatBytes(format), value);
    return store(cpu, insn, asShort(cpu.state, format), formatBytes(format), write, pops);
  };

const storeTen =
  (value: (cpu: Cpu) => Stored): Handler =>
  (cpu, insn) => {
    const stop = ready(cpu);
    if (stop) return stop;
    return store(cpu, insn, value(cpu), 10, (place, bits) => writeTen(cpu, place, bits), true);
  };

export const fstpExtended = storeTen(({ state }) =>
  regs.isEmpty(state, 0) ? { value: INDEFINITE, status: STACK_UNDERFLOW } : { value: regs.st(state, 0), status: 0 },
);

/** Packed decimal indefinite (SDM 1 4.8.3.7 and table 4-4). */
const BCD_INDEFINITE = 0xffffc000000000000000n;
export const fbstp = storeTen(({ state }) => {
  if (regs.isEmpty(state, 0)) return { value: BCD_INDEFINITE, status: STACK_UNDERFLOW };
  const context = contextOf(state);
  const value = toBcd(regs.st(state, 0), context) ?? BCD_INDEFINITE;
  return { value, status: statusOf(context.flags) };
});

const asInteger = (state: Cpu['state'], bytes: AccessBytes, truncates: boolean): Stored => {
  if (regs.isEmpty(state, 0)) return { value: integerIndefinite(8 * bytes), status: STACK_UNDERFLOW };
  const context = contextOf(state);
  const rounding = truncates ? ROUND.ZERO : context.rounding;
  const value = toInteger(regs.st(state, 0), F80, 8 * bytes, context, rounding);
  return { value, status: statusOf(context.flags) };
};

/** FIST, FISTP, FISTTP. */
export const storeInteger =
  (pops: boolean, truncates = false): Handler =>
  (cpu, insn) => {
    const stop = ready(cpu);
    if (stop) return stop;
    const bytes = integerBytes(insn) ?? 8;
    const write = (place: MemoryPlace, value: bigint): Fault | undefined => writeAt(cpu, place, 0, bytes, value);
    return store(cpu, insn, asInteger(cpu.state, bytes, truncates), bytes, write, pops);
  };

/** An empty register counts as holding the indefinite where the exception is masked. */
const orIndefinite = (state: Cpu['state'], n: number): bigint =>
  regs.isEmpty(state, n) ? INDEFINITE : regs.st(state, n);

export const fxch: Handler = (cpu, insn) => {
  const stop = ready(cpu);
  if (stop) return stop;
  const { state } = cpu;
  const n = stackOperand(insn, 1);
  const empty = regs.isEmpty(state, 0) || regs.isEmpty(state, n);
  const values = [orIndefinite(state, 0), orIndefinite(state, n)] as const;
  if (raise(cpu, insn, empty ? STACK_UNDERFLOW : 0)) {
    regs.setSt(state, 0, values[1]);
    regs.setSt(state, n, values[0]);
  }
  return done(cpu, insn);
};

/** FCMOVcc: the condition is any of `flags` set, or with `inverted` none. */
export const conditionalMove =
  (flags: number, inverted: boolean): Handler =>
  (cpu, insn) => {
    const stop = ready(cpu);
    if (stop) return stop;
    const { state } = cpu;
    const n = stackOperand(insn, 1);
    const empty = regs.isEmpty(state, 0) || regs.isEmpty(state, n);
    const holds = ((state.rflags & flags) !== 0) !== inverted;
    if (raise(cpu, insn, empty ? STACK_UNDERFLOW : regs.statusWord(state) & FSW.C1)) {
      if (empty) regs.setSt(state, 0, INDEFINITE);
      else if (holds) regs.setSt(state, 0, regs.st(state, n));
    }
    return done(cpu, insn);
  };
export const CONDITION = { B: FLAGS.CF, E: FLAGS.ZF, BE: FLAGS.CF | FLAGS.ZF, U: FLAGS.PF } as const;

export const fnop: Handler = (cpu, insn) => ready(cpu) ?? done(cpu, insn);
/** FNENI, FNDISI, FNSETPM: the 8087's and 287's control instructions do nothing any more (SDM 3B, architecture compatibility). */
export const obsolete: Handler = (cpu, insn) => x87Denied(cpu) ?? next(cpu, insn);

/** FINCSTP and FDECSTP: TOP moves, tags stay. */
export const turnStack =
  (by: 1 | -1): Handler =>
  (cpu, insn) => {
    const stop = ready(cpu);
    if (stop) return stop;
    raise(cpu, insn, 0);
    regs.rotate(cpu.state, by);
    return done(cpu, insn);
  };

/** FFREE; FFREEP pops besides. */
export const ffree =
  (pops: boolean): Handler =>
  (cpu, insn) => {
    const stop = ready(cpu);
    if (stop) return stop;
    raise(cpu, insn, 0);
    regs.free(cpu.state, stackOperand(insn, 0));
    if (pops) regs.pop(cpu.state);
    return done(cpu, insn);
  };
