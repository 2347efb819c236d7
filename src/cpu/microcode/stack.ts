// Stacks as implicit pushes and pops see them: the current one, or the one a transfer to an inner level changes to.

import { ATTR_DB, ATTR_DC } from '../../x86/descriptors.ts';
import { GPR } from '../../x86/registers.ts';
import { VECTOR } from '../../x86/vectors.ts';
import { type Access, type AccessBytes, type Cpu, type Fault, fault, isFault } from '../state/cpu.ts';
import { type CpuState, SEG } from '../state/state.ts';
import { isCanonical, MASK16, MASK32, MASK64 } from './modes.ts';

export type Stack = {
  readonly sp: bigint;
  readonly mask: bigint;
  /** Undefined in 64-bit mode: no base, no limit. */
  readonly segment?: { readonly base: bigint; readonly limit: number; readonly attributes: number };
  readonly access: Access;
  /** Error code of a #SS raised on this stack. */
  readonly error: number;
};

const maskOf = (attributes: number): bigint => (attributes & ATTR_DB ? MASK32 : MASK16);

/** The stack in force. */
export const currentStack = (state: CpuState, error = 0): Stack => {
  const sp = state.reg(GPR.RSP);
  if (state.mode64) return { sp, mask: MASK64, access: {}, error };
  const segment = state.segment(SEG.SS);
  const mask = maskOf(segment.attributes);
  return { sp: sp & mask, mask, segment, access: {}, error };
};

/** A stack that is about to be changed to. */
export const segmentStack = (
  segment: { base: bigint; limit: number; attributes: number },
  sp: bigint,
  access: Access,
  error: number,
): Stack => {
  const mask = maskOf(segment.attributes);
  return { sp: sp & mask, mask, segment, access, error };
};

export const flatStack = (sp: bigint, access: Access, error: number): Stack => ({ sp, mask: MASK64, access, error });

/** Sets the stack pointer register; with a 16-bit stack the upper bits stay. */
export const setStackPointer = (state: CpuState, stack: Stack, sp: bigint): void => {
  const kept = stack.mask === MASK16 ? state.reg(GPR.RSP) & ~MASK16 : 0n;
  state.setReg(GPR.RSP, kept | (sp & stack.mask));
};

/** Does a slot end in the page behind the one it begins in? */
const crosses = (address: bigint, bytes: number): boolean => Number(address & 0xfffn) + bytes > 4096;

const linear = (cpu: Cpu, stack: Stack, offset: bigint, bytes: number): bigint | Fault => {
  const { segment } = stack;
  if (segment === undefined) {
    const last = (offset + BigInt(bytes - 1)) & MASK64;
    const inside = isCanonical(cpu.state, offset) && (!crosses(offset, bytes) || isCanonical(cpu.state, last));
    return inside ? offset : fault('stack-address-not-canonical', VECTOR.SS, stack.error);
  }
  const first = Number(offset);
  const last = first + bytes - 1;
  const inside =
    segment.attributes & ATTR_DC ? first > segment.limit && last <= Number(stack.mask) : last <= segment.limit;
  return inside ? (segment.base + offset) & MASK32 : fault('stack-limit', VECTOR.SS, stack.error);
};

const offsetOf = (stack: Stack, displacement: number): bigint => (stack.sp + BigInt(displacement)) & stack.mask;

/** Reads at a displacement from the stack pointer. */
export const peek = (cpu: Cpu, stack: Stack, displacement: number, bytes: AccessBytes): bigint | Fault => {
  const address = linear(cpu, stack, offsetOf(stack, displacement), bytes);
  return isFault(address) ? address : cpu.readLinear(address, bytes, stack.access);
};

/** Reads several values of one size, the first at the stack pointer. */
export const peekAll = (cpu: Cpu, stack: Stack, bytes: AccessBytes, count: number): bigint[] | Fault => {
  const values: bigint[] = [];
  for (let n = 0; n < count; n++) {
    const value = peek(cpu, stack, n * bytes, bytes);
    if (isFault(value)) return value;
    values.push(value);
  }
  return values;
};

/** Is there room for so many pushes? The linear address of each slot, the first pushed first. */
export const pushRoom = (cpu: Cpu, stack: Stack, bytes: AccessBytes, count: number): bigint[] | Fault => {
  const addresses: bigint[] = [];
  const access = { ...stack.access, write: true };
  let checked: bigint | undefined;
  for (let n = 1; n <= count; n++) {
    const address = linear(cpu, stack, offsetOf(stack, -n * bytes), bytes);
    if (isFault(address)) return address;
    const mask = stack.segment ? MASK32 : MASK64;
    for (const end of crosses(address, bytes) ? [address, (address + BigInt(bytes - 1)) & mask] : [address]) {
      if (end >> 12n === checked) continue;
      const page = cpu.translate(end, access);
      if (isFault(page)) return page;
      checked = end >> 12n;
    }
    addresses.push(address);
  }
  return addresses;
};

/**
 * Pushes values, the first of them first. Every slot is checked before any is written, so a fault leaves memory alone.
 * @returns the new stack pointer, which the caller commits with setStackPointer
 */
export const pushAll = (cpu: Cpu, stack: Stack, bytes: AccessBytes, values: readonly bigint[]): bigint | Fault => {
  const addresses = pushRoom(cpu, stack, bytes, values.length);
  return isFault(addresses) ? addresses : pushInto(cpu, stack, bytes, values, addresses);
};

/** @param addresses what pushRoom said of the same stack */
export const pushInto = (
  cpu: Cpu,
  stack: Stack,
  bytes: AccessBytes,
  values: readonly bigint[],
  addresses: readonly bigint[],
): bigint | Fault => {
  const access = { ...stack.access, write: true };
  for (let n = 0; n < addresses.length; n++) {
    const value = BigInt.asUintN(8 * bytes, values[n] ?? 0n);
    const failed = cpu.writeLinear(addresses[n] as bigint, bytes, value, access);
    if (failed) return failed;
  }
  return offsetOf(stack, -values.length * bytes);
};
