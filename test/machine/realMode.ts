// Programs of a few bytes in real mode, with CS and DS at 0 and no limit on them, for tests of the machine.

import type { PhysAddr } from '../../src/bits/address.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import type { Machine } from '../../src/machine/machine.ts';

/** Writes bytes given in hexadecimal. */
export const poke = (machine: Machine, address: number, text: string): void =>
  machine.memory.write(address as PhysAddr, Uint8Array.from(Buffer.from(text, 'hex')));

/** Puts `code` at `address` and the processor before it; the stack lies below 0x8000. */
export function enterRealMode(machine: Machine, address: number, code: string): void {
  poke(machine, address, code);
  const { state } = machine.engine;
  const flat = { selector: 0, base: 0n, limit: 0xffff_ffff };
  for (const index of [SEG.CS, SEG.DS] as const) {
    state.setSegment(index, { ...flat, attributes: state.segment(index).attributes });
  }
  state.setReg(4, 0x8000n);
  state.rip = BigInt(address);
  machine.engine.modeChanged();
}
