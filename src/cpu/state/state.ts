// The processor's state as TypeScript sees it: accessors over the state block in the machine's memory (layout.ts).
// Engines read and write the same bytes. Values of 64 bits are bigint, unsigned.

import { DEFINED_FLAGS, FLAGS, STATUS_FLAGS } from '../../x86/flags.ts';
import * as at from './layout.ts';

/** A segment register with its hidden part (SDM 3A 3.4.3). */
export type Segment = {
  selector: number;
  /** Descriptor bits 40..55 shifted down: type (0-3), S (4), DPL (5-6), P (7), AVL (12), L (13), D/B (14), G (15). */
  attributes: number;
  base: bigint;
  /** Highest offset, in bytes (granularity applied). */
  limit: number;
};

export type TableRegister = { base: bigint; limit: number };

/** Indices of the segment registers in the state block; the first six in encoding order. */
export const SEG = { ES: 0, CS: 1, SS: 2, DS: 3, FS: 4, GS: 5, LDTR: 6, TR: 7 } as const;
export type SegmentIndex = (typeof SEG)[keyof typeof SEG];

export { FLAGS };
const REST = DEFINED_FLAGS & ~STATUS_FLAGS;

const evenParity = (byte: number): boolean => {
  let bits = byte & 0xff;
  bits ^= bits >> 4;
  bits ^= bits >> 2;
  return ((bits ^ (bits >> 1)) & 1) === 0;
};

export class CpuState {
  readonly #memory: WebAssembly.Memory;
  #buffer: ArrayBuffer;
  #cached: DataView;

  /** Where its state block is: what is added to the addresses of layout.ts. */
  readonly block: number;

  /** @param processor by number. Throws RangeError where there is none of that number */
  constructor(memory: WebAssembly.Memory, processor = 0) {
    this.#memory = memory;
    this.block = at.stateBlock(processor);
    this.#buffer = memory.buffer;
    this.#cached = new DataView(this.#buffer, this.block, at.RAM_BASE - this.block);
  }

  /** The view is made anew after the memory grew: growing detaches the old buffer, which has no bytes then. */
  get #view(): DataView {
    if (this.#buffer.byteLength === 0) {
      this.#buffer = this.#memory.buffer;
      this.#cached = new DataView(this.#buffer, this.block, at.RAM_BASE - this.block);
    }
    return this.#cached;
  }

  u32(address: number): number {
    return this.#view.getUint32(address, true);
  }
  i32(address: number): number {
    return this.#view.getInt32(address, true);
  }
  setU32(address: number, value: number): void {
    this.#view.setUint32(address, value, true);
  }
  u64(address: number): bigint {
    return this.#view.getBigUint64(address, true);
  }
  setU64(address: number, value: bigint): void {
    // Takes the value modulo 2^64.
    this.#view.setBigUint64(address, value, true);
  }

  #setHalves(address: number, low: number, high: number): void {
    this.setU32(address, low);
    this.setU32(address + 4, high);
  }

  /** Empties what is only in use while an instruction is under way, and keeps flags of the state block in their range. */
  clearTransient(): void {
    this.setU64(at.ZERO, 0n);
    this.setU32(at.FAULT_VECTOR, at.FAULT_NONE >>> 0);
    this.setU32(at.FAULT_ERROR, 0xffffffff);
    this.setU32(at.WATCH_BYPASS, 0);
    this.setU32(at.DELAY, 0);
    this.setU32(at.HALTED, this.u32(at.HALTED) ? 1 : 0);
    this.cpl &= 3;
  }

  /** The state block, REGS to STATE_END, without what one engine leaves there and another does not. */
  save(): Uint8Array {
    const { rflags } = this;
    // As they follow from their values: which results they are kept as hangs on what was fused.
    this.rflags = rflags;
    const block = new Uint8Array(this.#memory.buffer).slice(at.REGS, at.STATE_END);
    block.fill(0, at.FAULT_VECTOR - at.REGS, at.SEGMENTS - at.REGS);
    block.fill(0, at.TSC_START - at.REGS, at.TSC_START + 8 - at.REGS);
    return block;
  }

  /** General register by encoding number 0 (RAX) to 15 (R15). */
  reg(index: number): bigint {
    return this.u64(at.regAddress(index));
  }
  setReg(index: number, value: bigint): void {
    this.setU64(at.regAddress(index), value);
  }

  get rip(): bigint {
    return this.u64(at.RIP);
  }
  set rip(value: bigint) {
    this.setU64(at.RIP, value);
  }

  get rflags(): number {
    // By halves: numbers are much faster than bigints.
    const cv = this.u32(at.FLAG_CV + 4);
    let flags = this.u32(at.FLAGS_REST) | 2;
    if (cv >>> 31) flags |= FLAGS.CF;
    if (evenParity(this.u32(at.FLAG_SR))) flags |= FLAGS.PF;
    if (this.u32(at.FLAG_AR) & 16) flags |= FLAGS.AF;
    if ((this.u32(at.FLAG_ZR) | this.u32(at.FLAG_ZR + 4)) === 0) flags |= FLAGS.ZF;
    if (this.u32(at.FLAG_SR + 4) >>> 31) flags |= FLAGS.SF;
    if ((cv ^ (cv << 1)) >>> 31) flags |= FLAGS.OF;
    return flags >>> 0;
  }
  set rflags(value: number) {
    const carry = value & FLAGS.CF ? 1 : 0;
    const overflow = value & FLAGS.OF ? 1 : 0;
    this.#setHalves(at.FLAG_ZR, value & FLAGS.ZF ? 0 : 1, 0);
    this.#setHalves(at.FLAG_SR, value & FLAGS.PF ? 0 : 1, value & FLAGS.SF ? 0x8000_0000 : 0);
    this.#setHalves(at.FLAG_CV, 0, (carry << 31) | ((carry ^ overflow) << 30));
    this.#setHalves(at.FLAG_AR, value & FLAGS.AF ? 16 : 0, 0);
    this.setU32(at.FLAGS_REST, value & REST);
  }

  segment(index: SegmentIndex): Segment {
    const address = at.segmentAddress(index);
    return {
      selector: this.u32(address + at.SEG_SELECTOR) & 0xffff,
      attributes: this.u32(address + at.SEG_ATTRIBUTES),
      base: this.u64(address + at.SEG_BASE),
      limit: this.u32(address + at.SEG_LIMIT),
    };
  }
  setSegment(index: SegmentIndex, value: Segment): void {
    const address = at.segmentAddress(index);
    this.setU32(address + at.SEG_SELECTOR, value.selector & 0xffff);
    this.setU32(address + at.SEG_ATTRIBUTES, value.attributes);
    this.setU64(address + at.SEG_BASE, value.base);
    this.setU32(address + at.SEG_LIMIT, value.limit);
  }

  table(which: typeof at.GDTR | typeof at.IDTR): TableRegister {
    return { base: this.u64(which), limit: this.u32(which + 8) };
  }
  setTable(which: typeof at.GDTR | typeof at.IDTR, value: TableRegister): void {
    this.setU64(which, value.base);
    this.setU32(which + 8, value.limit);
  }

  get cpl(): number {
    return this.u32(at.CPL);
  }
  set cpl(value: number) {
    this.setU32(at.CPL, value);
  }
  /** 64-bit mode: EFER.LMA = 1 and CS.L = 1. */
  get mode64(): boolean {
    return this.u32(at.MODE64) !== 0;
  }
}
