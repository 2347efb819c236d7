// The boundary behind STI, MOV SS and POP SS, where nothing is taken (SDM 3A 6.8.3). Behind STI only interrupts wait;
// behind a load of SS debug exceptions do too, so that SS and RSP can be loaded as a pair: what a data breakpoint saw of
// the load is raised behind the instruction that follows.

import * as at from '../state/layout.ts';
import type { CpuState } from '../state/state.ts';

// INTERRUPT_SHADOW: 0 none; else one of these, with DR6 bits held back from bit 4 up.
const STI = 1;
const STACK = 2;
const HELD_SHIFT = 4;

export const shadowOfSti = (state: CpuState): void => state.setU32(at.INTERRUPT_SHADOW, STI);
export const shadowOfStack = (state: CpuState): void => state.setU32(at.INTERRUPT_SHADOW, STACK);

export const inStackShadow = (state: CpuState): boolean => (state.u32(at.INTERRUPT_SHADOW) & STACK) !== 0;

/** DR6 bits held back by the load of SS before the instruction at RIP. */
export const heldTraps = (state: CpuState): bigint => BigInt(state.u32(at.INTERRUPT_SHADOW) >>> HELD_SHIFT);

export const holdTraps = (state: CpuState, hits: bigint): void =>
  state.setU32(at.INTERRUPT_SHADOW, STACK | (Number(hits) << HELD_SHIFT));
