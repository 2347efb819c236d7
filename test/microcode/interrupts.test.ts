import { describe, expect, it } from 'vitest';
import { isFault } from '../../src/cpu/state/cpu.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { raise } from '../../src/cpu/microcode/delivery.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import { FLAGS } from '../../src/x86/flags.ts';
import {
  CODE,
  compatibilityMode,
  type FakeCpu,
  GP0,
  HANDLER,
  INNER_STACK,
  longMode,
  protectedMode,
  realMode,
  run,
  SEL,
  setGate,
  STACK,
} from './support.ts';

const put = (cpu: FakeCpu, bytes: 2 | 4 | 8, values: readonly (bigint | number)[]): void => {
  for (const [n, value] of values.entries()) cpu.poke(STACK + n * bytes, bytes, value);
};

describe('software interrupts', () => {
  it('INT n pushes the address of the next instruction and leaves RF alone', () => {
    const cpu = longMode();
    setGate(cpu, 0x80);
    expect(run(cpu, 'cd80')).toBe('transfer');
    expect(cpu.state.rip).toBe(HANDLER);
    expect(cpu.peek(STACK - 40, 8)).toBe(BigInt(CODE + 2));
    expect(cpu.peek(STACK - 24, 8)).toBe(2n);
  });

  it('INT n from level 3 needs a gate of DPL 3', () => {
    const cpu = longMode(3);
    setGate(cpu, 0x80);
    expect(run(cpu, 'cd80')).toMatchObject({ vector: 13, error: 0x80 * 8 + 2 });
    expect(cpu.state.rip).toBe(BigInt(CODE));
    setGate(cpu, 0x80, { dpl: 3 });
    expect(run(cpu, 'cd80')).toBe('transfer');
    expect(cpu.rsp).toBe(BigInt(INNER_STACK - 40));
  });

  it('INT3 tells in the chain that it was the first event', () => {
    const cpu = longMode();
    cpu.state.setTable(at.IDTR, { base: 0n, limit: 0 });
    const result = run(cpu, 'cc');
    if (!isFault(result)) throw new Error('expected a fault');
    expect(raise(cpu, result).chain.map((link) => link.vector)).toEqual([3, 13, 8]);
  });

  it('INTO does nothing without OF', () => {
    const cpu = protectedMode();
    setGate(cpu, 4);
    expect(run(cpu, 'ce')).toBe('next');
    cpu.state.rflags = FLAGS.OF;
    expect(run(cpu, 'ce')).toBe('transfer');
  });

  it('INT1 is not subject to the gate DPL', () => {
    const cpu = longMode(3);
    setGate(cpu, 1);
    expect(run(cpu, 'f1')).toBe('transfer');
  });

  it('INT n in real mode goes through the vector table', () => {
    const cpu = realMode();
    cpu.poke(0x10 * 4, 4, 0xf000_1000);
    expect(run(cpu, 'cd10')).toBe('transfer');
    expect(cpu.selector(SEG.CS)).toBe(0xf000);
    expect(cpu.state.rip).toBe(0x1000n);
  });
});

describe('IRET', () => {
  it('in real mode pops IP, CS and FLAGS', () => {
    const cpu = realMode();
    put(cpu, 2, [0x1234, 0x2000, 0x3202]);
    expect(run(cpu, 'cf')).toBe('transfer');
    expect(cpu.state.rip).toBe(0x1234n);
    expect(cpu.state.segment(SEG.CS)).toMatchObject({ selector: 0x2000, base: 0x20000n });
    expect(cpu.state.rflags).toBe(0x3202);
    expect(cpu.rsp).toBe(BigInt(STACK + 6));
  });

  it('in 64-bit mode pops SS:RSP at the same level', () => {
    const cpu = longMode();
    put(cpu, 8, [HANDLER, SEL.CODE64, 0x202, 0x5000, SEL.DATA]);
    expect(run(cpu, '48cf')).toBe('transfer');
    expect(cpu.rsp).toBe(0x5000n);
    expect(cpu.state.rip).toBe(HANDLER);
    expect(cpu.state.rflags).toBe(0x202);
  });

  it('takes a null SS back to 64-bit level 0', () => {
    const cpu = longMode();
    put(cpu, 8, [HANDLER, SEL.CODE64, 2, 0x5000, 0]);
    expect(run(cpu, '48cf')).toBe('transfer');
    expect(cpu.selector(SEG.SS)).toBe(0);
  });

  it('refuses a null SS for level 3', () => {
    const cpu = longMode();
    put(cpu, 8, [HANDLER, SEL.USER_CODE64 | 3, 2, 0x5000, 3]);
    expect(run(cpu, '48cf')).toEqual(GP0);
  });

  it('goes out to level 3 and drops segments that level may not use', () => {
    const cpu = longMode();
    put(cpu, 8, [HANDLER, SEL.USER_CODE64 | 3, 0x202, 0x5000, SEL.USER_DATA | 3]);
    expect(run(cpu, '48cf')).toBe('transfer');
    expect(cpu.state.cpl).toBe(3);
    expect(cpu.selector(SEG.DS)).toBe(0);
    expect(cpu.selector(SEG.SS)).toBe(SEL.USER_DATA | 3);
  });

  it('leaves the base of a segment that it drops, which 64-bit mode goes on using', () => {
    const cpu = longMode();
    cpu.state.setSegment(SEG.GS, { ...cpu.state.segment(SEG.DS), base: 0x40_0000n });
    put(cpu, 8, [HANDLER, SEL.USER_CODE64 | 3, 0x202, 0x5000, SEL.USER_DATA | 3]);
    expect(run(cpu, '48cf')).toBe('transfer');
    expect(cpu.state.segment(SEG.GS)).toMatchObject({ selector: 0, base: 0x40_0000n });
  });

  it('goes from 64-bit to compatibility mode', () => {
    const cpu = longMode();
    put(cpu, 8, [HANDLER, SEL.USER_CODE32 | 3, 0x202, 0x5000, SEL.USER_DATA | 3]);
    expect(run(cpu, '48cf')).toBe('transfer');
    expect(cpu.state.mode64).toBe(false);
  });

  it('refuses to go to an inner level', () => {
    const cpu = longMode(3);
    put(cpu, 8, [HANDLER, SEL.CODE64, 2, 0x5000, SEL.DATA]);
    expect(run(cpu, '48cf')).toMatchObject({ vector: 13, error: SEL.CODE64 });
  });

  it('refuses a non-canonical RIP and changes nothing', () => {
    const cpu = longMode();
    put(cpu, 8, [1n << 47n, SEL.CODE64, 2, 0x5000, SEL.DATA]);
    const before = cpu.picture();
    expect(run(cpu, '48cf')).toEqual(GP0);
    expect(cpu.picture()).toBe(before);
  });

  it('raises #NP for code that is not present', () => {
    const cpu = protectedMode();
    put(cpu, 4, [HANDLER, SEL.ABSENT_CODE, 2]);
    expect(run(cpu, 'cf')).toMatchObject({ vector: 11, error: SEL.ABSENT_CODE });
  });

  it('at level 3 changes neither IOPL nor IF', () => {
    const cpu = protectedMode(3);
    put(cpu, 4, [HANDLER, SEL.USER_CODE32 | 3, 0x3202]);
    expect(run(cpu, 'cf')).toBe('transfer');
    expect(cpu.state.rflags).toBe(2);
  });

  it('with NT set is #GP in IA-32e mode, which has no tasks', () => {
    const long = compatibilityMode();
    long.state.rflags = FLAGS.NT;
    expect(run(long, 'cf')).toEqual(GP0);
  });

  it('undoes a delivery exactly', () => {
    const cpu = longMode(3);
    setGate(cpu, 0x80, { dpl: 3 });
    cpu.state.rflags = FLAGS.IF | FLAGS.CF;
    // Segments that level 0 would drop are level 3's own here, so everything comes back.
    const before = cpu.picture();
    run(cpu, 'cd80');
    run(cpu, '48cf');
    cpu.state.rip -= 2n;
    expect(cpu.picture()).toBe(before);
  });
});
