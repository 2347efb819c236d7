// XSAVE and its relatives (SDM 1 13): XCR0, and the state components that it enables, saved and restored.
// A component is in use when it differs from its initial configuration; that is looked at each time, not kept. XSAVEOPT,
// XSAVEC and XSAVES leave out components that are not in use, and never those that were not modified since (13.6, 13.9).

import { type Instruction, Mnemonic } from 'iced-x86';
import { CR0_TS, CR4_OSXSAVE } from '../../x86/control.ts';
import { GPR } from '../../x86/registers.ts';
import {
  AVX_OFFSET,
  XSAVE_HEADER,
  xcr0Valid,
  XSTATE_AVX,
  XSTATE_SSE,
  XSTATE_X87,
  xsaveBytes,
} from '../../x86/xstate.ts';
import { type Cpu, type Fault, isFault } from '../state/cpu.ts';
import * as at from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';
import { areaField, areaFieldKept, MXCSR_DEFAULT, MXCSR_MASK } from './fpuState.ts';
import { linearMask, MASK32 } from './modes.ts';
import { gp0, linearAddress, memoryPlace, next, nm, probeLinear, supervisorOnly, ud } from './operands.ts';
import type { Handler } from './result.ts';
import * as regs from './x87/registers.ts';

/** XCOMP_BV bit 63: the area is in the compacted format. */
const COMPACTED = 1n << 63n;
const XCOMP_BV = XSAVE_HEADER + 8;
const HEADER_BYTES = 64;
const ALIGNMENT = 63n;

const MXCSR_AT = 24;
const ST0 = 32;
const XMM0 = 160;
const X87_CONTROL = [0, 8, 16];

const enabled = (cpu: Cpu): boolean => (cpu.state.u64(at.CR4) & CR4_OSXSAVE) !== 0n;
const pair = (state: CpuState): bigint => ((state.reg(GPR.RDX) & MASK32) << 32n) | (state.reg(GPR.RAX) & MASK32);
const setPair = (state: CpuState, value: bigint): void => {
  state.setReg(GPR.RAX, value & MASK32);
  state.setReg(GPR.RDX, value >> 32n);
};

/** Offsets of `bytes` bytes from `first`, eight by eight. */
const offsets = (first: number, bytes: number): number[] => Array.from({ length: bytes >> 3 }, (_, n) => first + 8 * n);

/** XMM and YMM registers that the mode can name. */
const vectorBytes = (state: CpuState): number => (state.mode64 ? 256 : 128);

/** Offsets in the area of a component's state; MXCSR is apart. */
const placesOf = (state: CpuState, component: bigint): number[] => {
  if (component === XSTATE_X87) return [...X87_CONTROL, ...offsets(ST0, 128)];
  return offsets(component === XSTATE_SSE ? XMM0 : AVX_OFFSET, vectorBytes(state));
};

const COMPONENTS = [XSTATE_X87, XSTATE_SSE, XSTATE_AVX] as const;

/** Where the state block has what the area has at an offset. */
const cellOf = (offset: number): number =>
  offset < XSAVE_HEADER ? at.FXSTATE + offset : at.YMM_HIGH + (offset - AVX_OFFSET);

/** What the eight bytes at an offset are in the initial configuration (13.6). */
const initial = (offset: number): bigint => (offset === 0 ? BigInt(regs.FCW_DEFAULT) : 0n);

const cell = (state: CpuState, offset: number): bigint => state.u64(cellOf(offset));

/** Components not in their initial configuration. What the mode cannot name counts too, as it does on processors. */
const inUse = (state: CpuState): bigint => {
  const differs = (first: number, bytes: number): boolean =>
    offsets(first, bytes).some((offset) => cell(state, offset) !== initial(offset));
  const x87 = differs(0, MXCSR_AT) || differs(ST0, 128);
  return (
    (x87 ? XSTATE_X87 : 0n) | (differs(XMM0, 256) ? XSTATE_SSE : 0n) | (differs(AVX_OFFSET, 256) ? XSTATE_AVX : 0n)
  );
};

// XCR0 ------------------------------------------------------------------------------------------------------------------

/** ECX = 0: XCR0; ECX = 1, where CPUID has it: those of its components that are in use. */
export const xgetbv: Handler = (cpu, insn) => {
  const { state } = cpu;
  if (!enabled(cpu)) return ud('osxsave-not-enabled');
  const index = state.reg(GPR.RCX) & MASK32;
  if (index > 1n || (index === 1n && !cpu.model.features.has('XGETBV1'))) return gp0('xgetbv-index');
  const xcr0 = state.u64(at.XCR0);
  setPair(state, index === 0n ? xcr0 : xcr0 & inUse(state));
  return next(cpu, insn);
};

export const xsetbv: Handler = (cpu, insn) => {
  const { state } = cpu;
  if (!enabled(cpu)) return ud('osxsave-not-enabled');
  const denied = supervisorOnly(cpu);
  if (denied) return denied;
  const value = pair(state);
  if ((state.reg(GPR.RCX) & MASK32) !== 0n) return gp0('xsetbv-index');
  if (!xcr0Valid(cpu.model.features, value)) return gp0('xcr0-invalid');
  state.setU64(at.XCR0, value);
  cpu.modeChanged();
  return next(cpu, insn);
};

// The area --------------------------------------------------------------------------------------------------------------

const WIDE: ReadonlySet<Mnemonic> = new Set([
  Mnemonic.Xsave64,
  Mnemonic.Xsaveopt64,
  Mnemonic.Xsavec64,
  Mnemonic.Xsaves64,
  Mnemonic.Xrstor64,
  Mnemonic.Xrstors64,
]);

const denied = (cpu: Cpu, supervisor: boolean): Fault | undefined => {
  if (!enabled(cpu)) return ud('osxsave-not-enabled');
  if (cpu.state.u64(at.CR0) & CR0_TS) return nm('task-switched');
  return supervisor ? supervisorOnly(cpu) : undefined;
};

/** Components that the instruction is about: the requested-feature bitmap, EDX:EAX and XCR0 (IA32_XSS has no bits). */
const requestedBy = (state: CpuState): bigint => state.u64(at.XCR0) & pair(state);

/** Linear address of the area: 64-byte aligned, or #GP(0) (13.7). */
const areaAddress = (cpu: Cpu, insn: Instruction, write: boolean): bigint | Fault => {
  const place = memoryPlace(cpu, insn);
  const linear = linearAddress(cpu, place.segment, place.offset, xsaveBytes(requestedBy(cpu.state)), write);
  if (isFault(linear)) return linear;
  return linear & ALIGNMENT ? gp0('xsave-area-misaligned') : linear;
};

const addressAt = (cpu: Cpu, area: bigint, offset: number): bigint => (area + BigInt(offset)) & linearMask(cpu.state);

type Word = readonly [offset: number, value: bigint];

/** All of it is there to be written before any of it is. */
const writeWords = (cpu: Cpu, area: bigint, words: readonly Word[]): Fault | undefined => {
  let page = -1n;
  for (const [offset] of words) {
    const linear = addressAt(cpu, area, offset);
    const failed = linear >> 12n === page ? undefined : probeLinear(cpu, linear, 8);
    if (failed) return failed;
    page = linear >> 12n;
  }
  for (const [offset, value] of words) {
    const failed = cpu.writeLinear(addressAt(cpu, area, offset), 8, value);
    if (failed) return failed;
  }
  return undefined;
};

// Saving ----------------------------------------------------------------------------------------------------------------

type SaveForm = {
  /** Components that are not in use are left out. */
  readonly optimised: boolean;
  readonly compacted: boolean;
  readonly supervisor: boolean;
};

/** In the compacted format an MXCSR that is not the initial one puts the SSE component in use (13.6, 13.10). */
const presentIn = (state: CpuState, { compacted }: SaveForm, requested: bigint): bigint => {
  const unusual = compacted && state.u32(at.MXCSR) !== MXCSR_DEFAULT;
  return requested & (inUse(state) | (unusual ? XSTATE_SSE : 0n));
};

/** MXCSR and its mask go with the SSE component, and in the standard format with AVX too, in use or not. */
const savesMxcsr = ({ compacted }: SaveForm, requested: bigint, saved: bigint): boolean =>
  ((compacted ? saved : requested) & (compacted ? XSTATE_SSE : XSTATE_SSE | XSTATE_AVX)) !== 0n;

const wordsToSave = (state: CpuState, form: SaveForm, requested: bigint, present: bigint, wide: boolean): Word[] => {
  const saved = form.optimised ? present : requested;
  const places = COMPONENTS.flatMap((component) => (saved & component ? placesOf(state, component) : []));
  if (savesMxcsr(form, requested, saved)) places.push(MXCSR_AT);
  const value = (offset: number): bigint => (offset < XMM0 ? areaField(state, offset, wide) : cell(state, offset));
  return places.sort((a, b) => a - b).map((offset) => [offset, value(offset)] as const);
};

/** XSTATE_BV as it stands; it will be written. */
const oldHeader = (cpu: Cpu, area: bigint): bigint | Fault => {
  const linear = addressAt(cpu, area, XSAVE_HEADER);
  return probeLinear(cpu, linear, 8) ?? cpu.readLinear(linear, 8);
};

const save =
  (form: SaveForm): Handler =>
  (cpu, insn) => {
    const { state } = cpu;
    const refused = denied(cpu, form.supervisor);
    if (refused) return refused;
    const area = areaAddress(cpu, insn, true);
    if (isFault(area)) return area;
    const requested = requestedBy(state);
    const present = presentIn(state, form, requested);
    const header = form.compacted ? 0n : oldHeader(cpu, area);
    if (isFault(header)) return header;
    const words = wordsToSave(state, form, requested, present, WIDE.has(insn.mnemonic));
    words.push([XSAVE_HEADER, (header & ~requested) | present]);
    if (form.compacted) words.push([XCOMP_BV, requested | COMPACTED]);
    return writeWords(cpu, area, words) ?? next(cpu, insn);
  };

export const xsave = save({ optimised: false, compacted: false, supervisor: false });
export const xsaveopt = save({ optimised: true, compacted: false, supervisor: false });
export const xsavec = save({ optimised: true, compacted: true, supervisor: false });
export const xsaves = save({ optimised: true, compacted: true, supervisor: true });

// Restoring -------------------------------------------------------------------------------------------------------------

type Header = { readonly present: bigint; readonly compacted: boolean };

/** The header, or #GP(0) where it breaks a rule of its format (13.8, 13.12). */
const readHeader = (cpu: Cpu, area: bigint, supervisor: boolean): Header | Fault => {
  const words: bigint[] = [];
  for (const offset of offsets(XSAVE_HEADER, HEADER_BYTES)) {
    const word = cpu.readLinear(addressAt(cpu, area, offset), 8);
    if (isFault(word)) return word;
    words.push(word);
  }
  const [present = 0n, layout = 0n, ...reserved] = words;
  const compacted = (layout & COMPACTED) !== 0n;
  const xcr0 = cpu.state.u64(at.XCR0);
  if (!compacted) {
    const wrong = supervisor || layout !== 0n || reserved[0] !== 0n || (present & ~xcr0) !== 0n;
    return wrong ? gp0('xsave-header-invalid') : { present, compacted };
  }
  const components = layout & ~COMPACTED;
  const wrong = (components & ~xcr0) !== 0n || (present & ~components) !== 0n || reserved.some((word) => word !== 0n);
  if (wrong) return gp0('xsave-header-invalid');
  return cpu.model.features.has('XSAVEC') ? { present, compacted } : gp0('xsave-compacted-not-offered');
};

/** MXCSR's new value, undefined where it stays. The standard format has it for AVX too, and never initialises it. */
const mxcsrToLoad = (cpu: Cpu, area: bigint, header: Header, requested: bigint): bigint | Fault | undefined => {
  if (!(requested & (header.compacted ? XSTATE_SSE : XSTATE_SSE | XSTATE_AVX))) return undefined;
  if (header.compacted && !(header.present & XSTATE_SSE)) return BigInt(MXCSR_DEFAULT);
  const value = cpu.readLinear(addressAt(cpu, area, MXCSR_AT), 4);
  if (isFault(value)) return value;
  return value & ~BigInt(MXCSR_MASK) ? gp0('mxcsr-reserved-bit') : value;
};

const wordsToLoad = (cpu: Cpu, area: bigint, present: bigint, requested: bigint, wide: boolean): Word[] | Fault => {
  const words: Word[] = [];
  for (const component of COMPONENTS) {
    if (!(requested & component)) continue;
    for (const offset of placesOf(cpu.state, component)) {
      const value = present & component ? cpu.readLinear(addressAt(cpu, area, offset), 8) : initial(offset);
      if (isFault(value)) return value;
      words.push([offset, offset < XMM0 ? areaFieldKept(offset, value, wide) : value]);
    }
  }
  return words;
};

const restore =
  (supervisor: boolean): Handler =>
  (cpu, insn) => {
    const { state } = cpu;
    const refused = denied(cpu, supervisor);
    if (refused) return refused;
    const area = areaAddress(cpu, insn, false);
    if (isFault(area)) return area;
    const header = readHeader(cpu, area, supervisor);
    if (isFault(header)) return header;
    const requested = requestedBy(state);
    const mxcsr = mxcsrToLoad(cpu, area, header, requested);
    if (isFault(mxcsr)) return mxcsr;
    const words = wordsToLoad(cpu, area, header.present, requested, WIDE.has(insn.mnemonic));
    if (isFault(words)) return words;
    for (const [offset, value] of words) state.setU64(cellOf(offset), value);
    if (mxcsr !== undefined) state.setU32(at.MXCSR, Number(mxcsr));
    if (requested & XSTATE_X87) regs.setControlWord(state, regs.controlWord(state));
    return next(cpu, insn);
  };

export const xrstor = restore(false);
export const xrstors = restore(true);
