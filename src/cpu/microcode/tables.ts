// Descriptor-table registers, LDTR and TR, and the instructions that look at descriptors (SDM 2A LGDT, LLDT, LAR; 2B LTR).

import type { Instruction } from 'iced-x86';
import { Code, Mnemonic, OpKind } from 'iced-x86';
import { type Descriptor, SELECTOR_RPL, SELECTOR_TI, TSS_BUSY_BIT, TYPE } from '../../x86/descriptors.ts';
import { FLAGS } from '../../x86/flags.ts';
import { VECTOR } from '../../x86/vectors.ts';
import { type Cpu, type Fault, fault, isFault } from '../state/cpu.ts';
import * as at from '../state/layout.ts';
import { SEG, type SegmentIndex } from '../state/state.ts';
import { umipDenies } from './control.ts';
import { isCanonicalBase, isLongActive, isProtected, isVm86, linearMask } from './modes.ts';
import {
  gp0,
  memoryPlace,
  next,
  probeWrite,
  readAt,
  readOperand,
  readRegister,
  registerBytes,
  supervisorOnly,
  ud,
  writeAt,
  writeOperand,
  writeRegister,
} from './operands.ts';
import type { Handler, Microresult } from './result.ts';
import {
  type Found,
  findDescriptor,
  IMPLICIT_WRITE,
  isNull,
  NULL_SEGMENT,
  segmentFrom,
  selectorError,
} from './selectors.ts';

type Table = typeof at.GDTR | typeof at.IDTR;
const SMALL_BASE: ReadonlySet<Code> = new Set([Code.Lgdt_m1632_16, Code.Lidt_m1632_16]);

/** LGDT, LIDT: limit, then a base of 24 bits (16-bit operand), 32 or 64. */
const loadTable =
  (table: Table): Handler =>
  (cpu, insn) => {
    const denied = supervisorOnly(cpu);
    if (denied) return denied;
    const place = memoryPlace(cpu, insn);
    const limit = readAt(cpu, place, 0, 2);
    if (isFault(limit)) return limit;
    const value = readAt(cpu, place, 2, cpu.state.mode64 ? 8 : 4);
    if (isFault(value)) return value;
    const base = SMALL_BASE.has(insn.code) ? value & 0xff_ffffn : value;
    if (cpu.state.mode64 && !isCanonicalBase(cpu, base)) return gp0('table-base-not-canonical');
    cpu.state.setTable(table, { base, limit: Number(limit) });
    return next(cpu, insn);
  };

/** SGDT, SIDT. All 32 bits of the base are stored with a 16-bit operand too, as processors since the 80386 do. */
const storeTable =
  (table: Table): Handler =>
  (cpu, insn) => {
    const denied = umipDenies(cpu);
    if (denied) return denied;
    const { base, limit } = cpu.state.table(table);
    const place = memoryPlace(cpu, insn);
    const bytes = cpu.state.mode64 ? 8 : 4;
    // Both parts have to be writable before one is stored.
    const unwritable = probeWrite(cpu, place, 0, 2);
    if (unwritable) return unwritable;
    // The base lies where it lies in the image, which begins with the limit.
    const failed = writeAt(cpu, place, 2, bytes, BigInt.asUintN(8 * bytes, base), { unaligned: true });
    return failed ?? writeAt(cpu, place, 0, 2, BigInt(limit & 0xffff)) ?? next(cpu, insn);
  };

export const lgdt = loadTable(at.GDTR);
export const lidt = loadTable(at.IDTR);
export const sgdt = storeTable(at.GDTR);
export const sidt = storeTable(at.IDTR);

/** These do not exist in real and virtual-8086 mode. */
const needsProtection = (cpu: Cpu): Fault | undefined =>
  isProtected(cpu.state) && !isVm86(cpu.state) ? undefined : ud('needs-protected-mode');

const storeSelector =
  (index: SegmentIndex): Handler =>
  (cpu, insn) => {
    const denied = needsProtection(cpu) ?? umipDenies(cpu);
    if (denied) return denied;
    return writeOperand(cpu, insn, 0, 2, BigInt(cpu.state.segment(index).selector)) ?? next(cpu, insn);
  };

export const sldt = storeSelector(SEG.LDTR);
export const str = storeSelector(SEG.TR);

/** A system descriptor in the GDT, of 16 bytes in 64-bit mode; its base has to be canonical there. */
const systemDescriptor = (cpu: Cpu, selector: number): Found | Fault => {
  if (selector & SELECTOR_TI) return fault('system-selector-in-ldt', VECTOR.GP, selectorError(selector));
  const found = findDescriptor(cpu, selector, { wide: cpu.state.mode64 });
  if (isFault(found)) return found;
  // Bits 8-12 of the last doubleword make a type; anything but 0 there means this is no 16-byte descriptor.
  const brokenUpper = (found.high >> 40n) & 0x1fn;
  if (brokenUpper || (cpu.state.mode64 && !isCanonicalBase(cpu, found.base))) {
    return fault('system-descriptor-upper-half', VECTOR.GP, selectorError(selector));
  }
  return found;
};

const readSelector = (cpu: Cpu, insn: Instruction): number | Fault => {
  const value = readOperand(cpu, insn, 0, 2);
  return isFault(value) ? value : Number(value);
};

export const lldt: Handler = (cpu, insn) => {
  const denied = needsProtection(cpu) ?? supervisorOnly(cpu);
  if (denied) return denied;
  const selector = readSelector(cpu, insn);
  if (isFault(selector)) return selector;
  if (isNull(selector)) {
    cpu.state.setSegment(SEG.LDTR, NULL_SEGMENT(selector));
    return next(cpu, insn);
  }
  const found = systemDescriptor(cpu, selector);
  if (isFault(found)) return found;
  if (found.isSegment || found.type !== TYPE.LDT) return fault('lldt-not-an-ldt', VECTOR.GP, selectorError(selector));
  if (!found.present) return fault('lldt-not-present', VECTOR.NP, selectorError(selector));
  cpu.state.setSegment(SEG.LDTR, segmentFrom(found));
  return next(cpu, insn);
};

const isAvailableTss = (cpu: Cpu, { isSegment, type }: Descriptor): boolean =>
  !isSegment && (type === TYPE.TSS32_AVAILABLE || (type === TYPE.TSS16_AVAILABLE && !isLongActive(cpu.state)));

export const ltr: Handler = (cpu, insn) => {
  const denied = needsProtection(cpu) ?? supervisorOnly(cpu);
  if (denied) return denied;
  const selector = readSelector(cpu, insn);
  if (isFault(selector)) return selector;
  if (isNull(selector)) return gp0('ltr-null');
  const found = systemDescriptor(cpu, selector);
  if (isFault(found)) return found;
  if (!isAvailableTss(cpu, found)) return fault('ltr-not-an-available-tss', VECTOR.GP, selectorError(selector));
  if (!found.present) return fault('ltr-not-present', VECTOR.NP, selectorError(selector));
  const busy = ((found.low >> 40n) & 0xffn) | BigInt(TSS_BUSY_BIT);
  const failed = cpu.writeLinear((found.address + 5n) & linearMask(cpu.state), 1, busy, IMPLICIT_WRITE);
  if (failed) return failed;
  const segment = segmentFrom(found);
  cpu.state.setSegment(SEG.TR, { ...segment, attributes: segment.attributes | TSS_BUSY_BIT });
  return next(cpu, insn);
};

const setZero = (cpu: Cpu, zero: boolean): void => {
  const { state } = cpu;
  state.rflags = zero ? state.rflags | FLAGS.ZF : state.rflags & ~FLAGS.ZF;
};

/** The descriptor an inspecting instruction may see at this privilege, or undefined: then ZF becomes 0. */
const inspect = (cpu: Cpu, selector: number): Found | undefined | Fault => {
  if (isNull(selector)) return undefined;
  const found = findDescriptor(cpu, selector);
  // Outside the table is no fault here; a page fault on the way is.
  if (isFault(found)) return found.vector === VECTOR.GP ? undefined : found;
  const weakest = Math.max(cpu.state.cpl, selector & SELECTOR_RPL);
  return found.isConforming || weakest <= found.dpl ? found : undefined;
};

const LAR_LEGACY: ReadonlySet<number> = new Set([1, 2, 3, 4, 5, 9, 11, 12]);
const LAR_LONG: ReadonlySet<number> = new Set([2, 9, 11, 12]);
const LSL_LEGACY: ReadonlySet<number> = new Set([1, 2, 3, 9, 11]);
const LSL_LONG: ReadonlySet<number> = new Set([2, 9, 11]);

const inspector =
  (legacy: ReadonlySet<number>, long: ReadonlySet<number>, value: (found: Found) => bigint): Handler =>
  (cpu, insn): Fault | Microresult => {
    const denied = needsProtection(cpu);
    if (denied) return denied;
    const selector = readOperand(cpu, insn, 1, 2);
    if (isFault(selector)) return selector;
    const found = inspect(cpu, Number(selector));
    if (isFault(found)) return found;
    const types = isLongActive(cpu.state) ? long : legacy;
    const visible = found !== undefined && (found.isSegment || types.has(found.type));
    if (visible) {
      const bytes = registerBytes(insn.op0Register);
      writeRegister(cpu.state, insn.op0Register, BigInt.asUintN(8 * bytes, value(found)));
    }
    setZero(cpu, visible);
    return next(cpu, insn);
  };

/** Access rights: bits 8-23 of the descriptor's second doubleword. */
export const lar = inspector(LAR_LEGACY, LAR_LONG, (found) => (found.low >> 32n) & 0xff_ff00n);
export const lsl = inspector(LSL_LEGACY, LSL_LONG, (found) => BigInt(found.limit));

/** VERR and VERW. */
export const verify: Handler = (cpu, insn) => {
  const denied = needsProtection(cpu);
  if (denied) return denied;
  const selector = readSelector(cpu, insn);
  if (isFault(selector)) return selector;
  const found = inspect(cpu, selector);
  if (isFault(found)) return found;
  const write = insn.mnemonic === Mnemonic.Verw;
  setZero(cpu, found !== undefined && (write ? found.isWritableData : found.isReadable));
  return next(cpu, insn);
};

/** ARPL: raises the destination selector's RPL to the source's where it is lower (SDM 2A). Its operands have 16 bits. */
export const arpl: Handler = (cpu, insn) => {
  const denied = needsProtection(cpu);
  if (denied) return denied;
  const selector = readSelector(cpu, insn);
  if (isFault(selector)) return selector;
  const wanted = Number(readRegister(cpu.state, insn.op1Register)) & SELECTOR_RPL;
  const raised = (selector & SELECTOR_RPL) < wanted;
  if (raised) {
    const value = BigInt((selector & ~SELECTOR_RPL) | wanted);
    const failed = writeSelector(cpu, insn, value);
    if (failed) return failed;
  }
  setZero(cpu, raised);
  return next(cpu, insn);
};

/** Writes 16 bits of operand 0, whatever register names it. */
const writeSelector = (cpu: Cpu, insn: Instruction, value: bigint): Fault | undefined => {
  if (insn.op0Kind !== OpKind.Register) return writeOperand(cpu, insn, 0, 2, value);
  const whole = readRegister(cpu.state, insn.op0Register);
  writeRegister(cpu.state, insn.op0Register, (whole & ~0xffffn) | value);
  return undefined;
};
