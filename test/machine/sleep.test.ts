// HLT sleeps through what interrupts nobody, and wakes at what does.
import { describe, expect, it } from 'vitest';
import type { InputByte } from '../../src/machine/input.ts';
import { x86 } from '../support/assembler.ts';
import { initialize8259, outByte, realMode, tickEvery } from '../support/guest.ts';

const { cli, hlt, inc, iret, jmp, pop, push, sti } = x86;
const RBX = 3;
const TICK_CLOCKS = 0;
/** Bytes that arrive at a port whose interrupts are off. */
const UNHEARD: readonly InputByte[] = Array.from({ length: 8 }, (_, i) => ({
  at: BigInt(1_000_000 * (i + 1)),
  byte: i,
}));

/** IRQ 0 counts in BX; the first tick comes after 55 ms. */
const WAITS = [
  ...[cli(), ...initialize8259(0x20, [0xfe, 0]), ...tickEvery(TICK_CLOCKS)],
  ...([sti(), '@again', hlt(), jmp('@again')] as const),
  ...(['@tick', inc('bx'), push('ax'), ...outByte(0x20, 0x20), pop('ax'), iret()] as const),
];

describe('a halted processor', () => {
  it('sleeps until the clock ticks, through bytes that arrive meanwhile and interrupt nobody', () => {
    const machine = realMode(WAITS, { 0x20: '@tick' }, { input: UNHEARD });
    expect(machine.run(60n)).toBeUndefined();
    expect(machine.engine.state.reg(RBX)).toBeGreaterThan(0n);
    expect(machine.now).toBeGreaterThan(50_000_000n);
  });
});
