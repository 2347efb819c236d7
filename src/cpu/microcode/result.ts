// What an instruction handler of the microcode says to the run loop.

import type { Instruction } from 'iced-x86';
import type { Cpu, Fault } from '../state/cpu.ts';

/**
 * next: done, RIP is at the following instruction;
 * transfer: done, RIP was loaded with a new value;
 * again: some iterations of a repeated instruction are done and RIP still points at it; it has not retired.
 */
export type Microresult = 'next' | 'transfer' | 'again';

/** A handler that returns a Fault has changed nothing. */
export type Handler = (cpu: Cpu, insn: Instruction) => Fault | Microresult;
