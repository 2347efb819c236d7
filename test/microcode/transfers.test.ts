import { describe, expect, it } from 'vitest';
import * as at from '../../src/cpu/state/layout.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import { encodeGate, TYPE } from '../../src/x86/descriptors.ts';
import { GPR } from '../../src/x86/registers.ts';
import {
  CODE,
  compatibilityMode,
  type FakeCpu,
  GDT,
  GP0,
  INNER_STACK,
  longMode,
  protectedMode,
  realMode,
  run,
  SEL,
  STACK,
} from './support.ts';

const MEMORY = 0x5000;
const hexWord = (value: number): string => {
  const text = value.toString(16).padStart(4, '0');
  return text.slice(2) + text.slice(0, 2);
};
/** JMP or CALL ptr16:32 to 0x1234. */
const far = (opcode: 'ea' | '9a', selector: number): string => `${opcode}34120000${hexWord(selector)}`;

const callGate = (cpu: FakeCpu, selector: number, dpl: number, long: boolean, parameters = 0): void => {
  const words = encodeGate({ type: TYPE.CALL_GATE32, selector, offset: 0x7000n, dpl, ist: parameters }, long);
  cpu.poke(GDT + SEL.CALL_GATE, 8, words[0] ?? 0n);
  if (long) cpu.poke(GDT + SEL.CALL_GATE + 8, 8, words[1] ?? 0n);
};

describe('far jump', () => {
  it('in real mode sets the base from the selector and keeps the limit', () => {
    const cpu = realMode();
    expect(run(cpu, 'ea34120010')).toBe('transfer');
    expect(cpu.state.segment(SEG.CS)).toEqual({ selector: 0x1000, base: 0x10000n, limit: 0xffff, attributes: 0x93 });
    expect(cpu.state.rip).toBe(0x1234n);
  });

  it('right after PE was set loads a 32-bit code segment', () => {
    const cpu = realMode();
    cpu.state.setU64(at.CR0, 0x11n);
    expect(run(cpu, '66ea341200000800')).toBe('transfer');
    expect(cpu.state.segment(SEG.CS)).toEqual({
      selector: SEL.CODE32,
      base: 0n,
      limit: 0xffff_ffff,
      attributes: 0xc09b,
    });
  });

  it('from compatibility to 64-bit mode', () => {
    const cpu = compatibilityMode();
    expect(run(cpu, far('ea', SEL.CODE64))).toBe('transfer');
    expect(cpu.state.mode64).toBe(true);
  });

  it('refuses a segment with both L and D in IA-32e mode', () => {
    expect(run(compatibilityMode(), far('ea', SEL.LONG_AND_BIG))).toMatchObject({
      vector: 13,
      error: SEL.LONG_AND_BIG,
    });
    expect(run(protectedMode(), far('ea', SEL.LONG_AND_BIG))).toBe('transfer');
  });

  it('keeps the level in conforming code', () => {
    const cpu = protectedMode(3);
    expect(run(cpu, far('ea', SEL.CONFORMING))).toBe('transfer');
    expect(cpu.state.cpl).toBe(3);
    expect(cpu.selector(SEG.CS)).toBe(SEL.CONFORMING | 3);
  });

  it.each([
    ['the null selector', 0, 13, 0],
    ['a selector beyond the table', SEL.BEYOND, 13, SEL.BEYOND],
    ['data', SEL.DATA, 13, SEL.DATA],
    ['code of another level', SEL.USER_CODE32, 13, SEL.USER_CODE32],
    ['code under a weaker RPL', SEL.CODE32 | 3, 13, SEL.CODE32],
    ['code that is not present', SEL.ABSENT_CODE, 11, SEL.ABSENT_CODE],
    ['an LDT selector without an LDT', 0x0c, 13, 0x0c],
  ])('refuses %s', (_, selector, vector, error) => {
    const cpu = protectedMode();
    cpu.state.setSegment(SEG.LDTR, { selector: 0, base: 0n, limit: 0, attributes: 0 });
    const before = cpu.picture();
    expect(run(cpu, far('ea', selector))).toMatchObject({ vector, error });
    expect(cpu.picture()).toBe(before);
  });

  it('refuses an offset beyond the limit', () => {
    expect(run(protectedMode(), `ea00000100${hexWord(SEL.CODE16)}`)).toEqual(GP0);
  });

  it('sets the accessed bit', () => {
    const cpu = protectedMode();
    run(cpu, far('ea', SEL.CODE16));
    expect(cpu.peek(GDT + SEL.CODE16 + 5, 1)).toBe(0x9bn);
  });

  it('through memory with a 64-bit offset', () => {
    const cpu = longMode();
    cpu.poke(MEMORY, 8, 0x7_1234);
    cpu.poke(MEMORY + 8, 2, SEL.CODE64);
    expect(run(cpu, '48ff2c2500500000')).toBe('transfer');
    expect(cpu.state.rip).toBe(0x7_1234n);
  });

  it('through memory refuses a non-canonical offset', () => {
    const cpu = longMode();
    cpu.poke(MEMORY, 8, 1n << 47n);
    cpu.poke(MEMORY + 8, 2, SEL.CODE64);
    expect(run(cpu, '48ff2c2500500000')).toEqual(GP0);
  });
});

describe('far call and return', () => {
  it('pushes CS and IP in real mode', () => {
    const cpu = realMode();
    expect(run(cpu, '9a34120010')).toBe('transfer');
    expect(cpu.peek(STACK - 2, 2)).toBe(0n);
    expect(cpu.peek(STACK - 4, 2)).toBe(BigInt(CODE + 5));
  });

  it('comes back with RETF', () => {
    const cpu = protectedMode();
    const before = cpu.picture();
    expect(run(cpu, far('9a', SEL.CODE32))).toBe('transfer');
    expect(cpu.rsp).toBe(BigInt(STACK - 8));
    expect(run(cpu, 'cb')).toBe('transfer');
    expect(cpu.state.rip).toBe(BigInt(CODE + 7));
    cpu.state.rip = BigInt(CODE);
    expect(cpu.picture()).toBe(before);
  });

  it('looks at the room on the stack before the offset', () => {
    const real = realMode();
    real.state.setReg(GPR.RSP, 1n);
    expect(run(real, '669a00000100 0010')).toMatchObject({ vector: 12, error: 0 });
    real.state.setReg(GPR.RSP, BigInt(STACK));
    expect(run(real, '669a00000100 0010')).toEqual(GP0);
    const cpu = protectedMode();
    cpu.state.setSegment(SEG.SS, { ...cpu.state.segment(SEG.SS), limit: 0x10 });
    expect(run(cpu, '9a000001004000')).toMatchObject({ vector: 12, error: 0 });
    expect(run(cpu, 'ea000001004000')).toEqual(GP0);
  });

  it('through a call gate looks at the room on the inner stack before the offset', () => {
    const cpu = protectedMode(3);
    const words = encodeGate({ type: TYPE.CALL_GATE32, selector: SEL.CODE16, offset: 0x10000n, dpl: 3 }, false);
    cpu.poke(GDT + SEL.CALL_GATE, 8, words[0] ?? 0n);
    expect(run(cpu, far('9a', SEL.CALL_GATE | 3))).toEqual(GP0);
    cpu.absentPages.add(BigInt(INNER_STACK - 4) >> 12n);
    expect(run(cpu, far('9a', SEL.CALL_GATE | 3))).toMatchObject({ vector: 14 });
    expect(cpu.state.cpl).toBe(3);
  });

  it('through a call gate changes the stack and copies parameters', () => {
    const cpu = protectedMode(3);
    callGate(cpu, SEL.CODE32, 3, false, 2);
    cpu.poke(STACK, 4, 0x1111);
    cpu.poke(STACK + 4, 4, 0x2222);
    expect(run(cpu, far('9a', SEL.CALL_GATE | 3))).toBe('transfer');
    expect(cpu.state.cpl).toBe(0);
    const words = Array.from({ length: 6 }, (_, n) => Number(cpu.peek(Number(cpu.rsp) + 4 * n, 4)));
    expect(words).toEqual([CODE + 7, SEL.USER_CODE32 | 3, 0x1111, 0x2222, STACK, SEL.USER_DATA | 3]);
  });

  it('RETF with an immediate returns through that gate and releases the parameters', () => {
    const cpu = protectedMode(3);
    callGate(cpu, SEL.CODE32, 3, false, 2);
    run(cpu, far('9a', SEL.CALL_GATE | 3));
    expect(run(cpu, 'ca0800')).toBe('transfer');
    expect(cpu.state.cpl).toBe(3);
    expect(cpu.rsp).toBe(BigInt(STACK + 8));
    expect(cpu.selector(SEG.SS)).toBe(SEL.USER_DATA | 3);
  });

  it('through a 64-bit call gate takes RSP0 and a null SS', () => {
    const cpu = longMode(3);
    callGate(cpu, SEL.CODE64, 3, true);
    cpu.poke(MEMORY, 4, 0x1234);
    cpu.poke(MEMORY + 4, 2, SEL.CALL_GATE | 3);
    expect(run(cpu, 'ff1c2500500000')).toBe('transfer');
    expect(cpu.state.rip).toBe(0x7000n);
    expect(cpu.rsp).toBe(BigInt(INNER_STACK - 32));
    expect(cpu.selector(SEG.SS)).toBe(0);
  });

  it('refuses a call gate of a stronger DPL', () => {
    const cpu = protectedMode(3);
    callGate(cpu, SEL.CODE32, 0, false);
    expect(run(cpu, far('9a', SEL.CALL_GATE | 3))).toMatchObject({ vector: 13, error: SEL.CALL_GATE });
  });

  it('refuses a 64-bit call gate to 32-bit code', () => {
    const cpu = longMode();
    callGate(cpu, SEL.CODE32, 0, true);
    cpu.poke(MEMORY, 4, 0x1234);
    cpu.poke(MEMORY + 4, 2, SEL.CALL_GATE);
    expect(run(cpu, 'ff1c2500500000')).toMatchObject({ vector: 13, error: SEL.CODE32 });
  });

  it('LRETQ from 64-bit to 32-bit code leaves the stack pointer behind the frame', () => {
    const cpu = longMode();
    cpu.poke(STACK, 8, 0x7000);
    cpu.poke(STACK + 8, 8, SEL.CODE32);
    expect(run(cpu, '48cb')).toBe('transfer');
    expect(cpu.state.mode64).toBe(false);
    expect(cpu.rsp).toBe(BigInt(STACK + 16));
  });

  it('changes nothing when the return address cannot be pushed', () => {
    const cpu = protectedMode();
    cpu.absentPages.add(BigInt((STACK - 1) >> 12));
    const before = cpu.picture();
    expect(run(cpu, far('9a', SEL.CODE32))).toMatchObject({ vector: 14, error: 2 });
    expect(cpu.picture()).toBe(before);
  });
});
