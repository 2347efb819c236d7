// A guest with tables: GDT, TSS and an IDT in long mode, on top of the bare processor of guest.ts.

import type { VariantName } from '../../src/cpu/binding/variants.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import { encodeGate, TYPE } from '../../src/x86/descriptors.ts';
import { type Guest, makeGuest } from './guest.ts';

/** Physical and linear address of the tables. */
const TABLES = 0x60_0000;
const GDT = TABLES;
const TSS = TABLES + 0x800;
const IDT = TABLES + 0x1000;
/** Stack that the processor takes on entry from user mode; grows down. */
export const KERNEL_STACK = BigInt(TABLES + 0x4000);

export const KERNEL_CODE = 0x08;
const KERNEL_DATA = 0x10;
export const USER_DATA = 0x2b;
export const USER_CODE = 0x33;

const DESCRIPTORS: Readonly<Record<number, bigint>> = {
  [KERNEL_CODE]: 0x00af_9b00_0000_ffffn,
  [KERNEL_DATA]: 0x00cf_9300_0000_ffffn,
  0x28: 0x00cf_f300_0000_ffffn,
  0x30: 0x00af_fb00_0000_ffffn,
};

export type System = Guest & {
  /** An interrupt gate to kernel code. */
  gate(vector: number, handler: bigint, dpl?: number): void;
  /** Linear addresses from here on, mapped 1:1. */
  mapFlat(address: number, pages: number): void;
};

export const bytesOf = (value: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(value).buffer);
export const u64At = (guest: Guest, physical: number): bigint =>
  new DataView(guest.read(physical, 8).buffer).getBigUint64(0, true);

/** @param variant engine */
export function makeSystem(variant?: VariantName): System {
  const guest = makeGuest(undefined, undefined, variant);
  const { state } = guest.engine;
  const mapFlat = (address: number, pages: number): void => {
    for (let page = 0; page < pages; page++) guest.map(BigInt(address + 4096 * page), address + 4096 * page);
  };
  mapFlat(TABLES, 4);
  for (const [selector, value] of Object.entries(DESCRIPTORS)) guest.write(GDT + Number(selector), bytesOf(value));
  guest.write(TSS + 4, bytesOf(KERNEL_STACK));
  state.setTable(at.GDTR, { base: BigInt(GDT), limit: 0x7f });
  state.setTable(at.IDTR, { base: BigInt(IDT), limit: 0xfff });
  state.setSegment(SEG.TR, { selector: 0x40, attributes: 0x8b, base: BigInt(TSS), limit: 0x67 });
  // IRET loads what an exception pushed: the selectors have to name the descriptors they were made from.
  state.setSegment(SEG.CS, { ...state.segment(SEG.CS), selector: KERNEL_CODE });
  state.setSegment(SEG.SS, { ...state.segment(SEG.SS), selector: KERNEL_DATA, attributes: 0xc093 });
  const gate = (vector: number, handler: bigint, dpl = 0): void => {
    const words = encodeGate({ type: TYPE.INTERRUPT_GATE32, selector: KERNEL_CODE, offset: handler, dpl }, true);
    words.forEach((word, half) => {
      guest.write(IDT + 16 * vector + 8 * half, bytesOf(word));
    });
  };
  return { ...guest, gate, mapFlat };
}
