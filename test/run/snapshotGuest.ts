// A guest that is hard to save: every few instructions it is in another state that a snapshot has to hold.
import type { RunConfig } from '../../src/run/run.ts';
import { bytesOfHex } from '../../src/bits/hex.ts';
import { makeElf } from '../image/synthetic.ts';

/**
 * 64-bit code. Sets up a gate for vector 32, the 8259A pair, and the 8254 (mode 2, 24 clocks, some 20 us); FPU and SSE on;
 * two numbers on the x87 stack. Then, for ever:
 *   rdtsc; add to r8; rdrand; add to r9; mov to ss; accessed and dirty bits cleared in the first entries of the page tables,
 *   with no flush; fmul st(1); fsqrt; cvtsi2sd, addsd to xmm3; rep movsb of 9000 bytes, not aligned; the interrupts so far
 *   into what will be copied; those entries added to r14; every eighth time incb on the immediate of the next instruction,
 *   which is added to r10; a character of it to COM1; sti; nop; nop; hlt; cli; count in r12.
 * The handler counts in r13 and writes EOI.
 */
const CODE = `
  bc00000801488d05e0000000bf0000040166898700020000c787020200001000
  008e48c1e810668987060200000f011dc3000000b011e620b020e621b004e621
  b001e621b0fee621b034e643b018e64031c0e6400f20e00d000600000f22e0b8
  330000800f22c0dbe3d9ebd9ea0f314901c0480fc7f04901c1b8180000008ed0
  0f20dd48836500df488b5d004881e300f0ffff4883239fd8c9d9faf2410f2ac8
  f20f58d9be00000501bf03000601b928230000f3a444892c25000005014c0375
  004c033341f6c4077506fe0501000000b0000fb6c04901c2243f0430baf80300
  00eefb9090f4fa49ffc4eb815049ffc5b020e6205848cf0f0200000401000000
  00`;

/** So that CVTSI2SD, which is microcode, runs over the edge of a page. */
const ENTRY = 0x1001000n - 0x9en;
/** Instructions up to the loop, and in it one time, about. */
export const SETUP = 40;
export const TURN = 60;

/**
 * In the place of the loop: 30,000 instructions with interrupts off, in which one becomes due; then by SYSRET to user mode
 * with interrupts on. There is no stack for the interrupt, and no page for the program: whichever is met first shows.
 */
const TO_USER_MODE = `
  b930750000e2feb9800000c031d2b8010500000f30b9810000c0ba0800100031
  c00f30488d0d0900000041bb02020000480f0790`;
const LOOP = 0x6d;

/** A guest that comes to user mode with an interrupt due. */
export function interruptedGuest(): RunConfig {
  const bytes = bytesOfHex(CODE);
  bytes.set(bytesOfHex(TO_USER_MODE), LOOP);
  return configOf(bytes, {});
}

export const restlessGuest = (changes: Partial<RunConfig> = {}): RunConfig => configOf(bytesOfHex(CODE), changes);

function configOf(bytes: Uint8Array, changes: Partial<RunConfig>): RunConfig {
  const segments = [{ physAddr: ENTRY, virtAddr: ENTRY, memSize: BigInt(bytes.length), bytes }];
  return {
    image: makeElf({ segments, entry: ENTRY }),
    cpu: 'max',
    memoryBytes: 64 << 20,
    cmdline: '',
    until: 'end',
    maxInstructions: 1_000_000n,
    seed: 7,
    ...changes,
  };
}
