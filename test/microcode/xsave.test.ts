// What processors do with XSAVE areas; every rule here was also seen on silicon (AMD EPYC), by a program of its own.
import { describe, expect, it } from 'vitest';

import * as at from '../../src/cpu/state/layout.ts';
import { CR0_TS, CR4_OSFXSR, CR4_OSXSAVE, CR4_PAE } from '../../src/x86/control.ts';
import { GPR } from '../../src/x86/registers.ts';
import { fault, type FakeCpu, GP0, longMode, protectedMode, run, UD } from './support.ts';

const NM = fault(7);
const AREA = 0x5000;
const HEADER = AREA + 512;
const COMPACTED = 1n << 63n;

// With a 32-bit absolute address of AREA.
const XSAVE = '0fae242500500000';
const XRSTOR = '0fae2c2500500000';
const XSAVEOPT = '0fae342500500000';
const XSAVEC = '0fc7242500500000';
const XSAVES = '0fc72c2500500000';
const XRSTORS = '0fc71c2500500000';
const XGETBV = '0f01d0';
const XSETBV = '0f01d1';

const ready = (cpu: FakeCpu = longMode(), xcr0 = 3n): FakeCpu => {
  cpu.state.setU64(at.CR4, CR4_PAE | CR4_OSFXSR | CR4_OSXSAVE);
  cpu.state.setU64(at.XCR0, xcr0);
  return cpu;
};
const mask = (cpu: FakeCpu, bits: number): FakeCpu => {
  cpu.state.setReg(GPR.RAX, BigInt(bits));
  cpu.state.setReg(GPR.RDX, 0n);
  return cpu;
};
const go = (cpu: FakeCpu, bits: number, code: string): ReturnType<typeof run> => run(mask(cpu, bits), code);
const blank = (cpu: FakeCpu): void => {
  for (let offset = 0; offset < 1024; offset += 8) cpu.poke(AREA + offset, 8, 0xaaaa_aaaa_aaaa_aaaan);
};
/** An area with the initial configuration in it, and a header. */
const area = (cpu: FakeCpu, header: readonly bigint[]): void => {
  for (let offset = 0; offset < 1024; offset += 8) cpu.poke(AREA + offset, 8, 0n);
  cpu.poke(AREA, 2, 0x37f);
  cpu.poke(AREA + 24, 4, 0x1f80);
  for (const [n, word] of header.entries()) cpu.poke(HEADER + 8 * n, 8, word);
};
const mxcsr = (cpu: FakeCpu): number => cpu.state.u32(at.MXCSR);

describe('XCR0', () => {
  it('is read and written with CR4.OSXSAVE only', () => {
    const cpu = longMode();
    expect(run(cpu, XGETBV)).toEqual(UD);
    expect(run(cpu, XSETBV)).toEqual(UD);
    ready(cpu, 1n);
    cpu.state.setReg(GPR.RCX, 0n);
    expect(go(cpu, 3, XSETBV)).toBe('next');
    expect(run(cpu, XGETBV)).toBe('next');
    expect(cpu.state.reg(GPR.RAX)).toBe(3n);
  });

  it.each([
    ['without x87', 2, 0n, 0],
    ['AVX without SSE', 5, 0n, 0],
    ['a bit that is not there', 0x23, 0n, 0],
    ['another register', 3, 1n, 0],
    ['user mode', 3, 0n, 3],
  ] as const)('refuses %s', (_, value, index, cpl) => {
    const cpu = ready();
    cpu.state.cpl = cpl;
    cpu.state.setReg(GPR.RCX, index);
    expect(go(cpu, value, XSETBV)).toEqual(GP0);
    expect(cpu.state.u64(at.XCR0)).toBe(3n);
  });

  it('with ECX = 1 tells what is in use', () => {
    const cpu = ready();
    cpu.state.setReg(GPR.RCX, 1n);
    expect(run(cpu, XGETBV)).toBe('next');
    expect(cpu.state.reg(GPR.RAX)).toBe(0n);
    cpu.state.setU64(at.xmmAddress(9), 1n);
    run(cpu, XGETBV);
    expect(cpu.state.reg(GPR.RAX)).toBe(2n);
    cpu.state.setReg(GPR.RCX, 2n);
    expect(run(cpu, XGETBV)).toEqual(GP0);
  });
});

describe('who may use XSAVE', () => {
  it.each([XSAVE, XRSTOR, XSAVEOPT, XSAVEC, XSAVES, XRSTORS])('%s', (code) => {
    const cpu = longMode();
    expect(run(cpu, code)).toEqual(UD);
    ready(cpu);
    cpu.state.setU64(at.CR0, cpu.state.u64(at.CR0) | CR0_TS);
    expect(run(cpu, code)).toEqual(NM);
    const unaligned = code.replace('00500000', '20500000');
    expect(run(ready(), unaligned)).toEqual(GP0);
  });

  it('XSAVES and XRSTORS are for level 0', () => {
    const cpu = ready(longMode(3));
    expect(go(cpu, 3, XSAVES)).toEqual(GP0);
    expect(go(cpu, 3, XRSTORS)).toEqual(GP0);
    expect(go(cpu, 3, XSAVEC)).toBe('next');
  });

  it('does not exist on the first baseline', () => {
    expect(run(longMode(0, 'x86-64-v1'), XSAVE)).toEqual(UD);
  });
});

describe('saving', () => {
  it('XSAVE writes what is asked for, and its bits of the header', () => {
    const cpu = ready();
    blank(cpu);
    cpu.poke(HEADER, 8, 0xf0f7n);
    cpu.state.setU64(at.xmmAddress(1), 0x77n);
    expect(go(cpu, 3, XSAVE)).toBe('next');
    expect(cpu.peek(HEADER, 8)).toBe(0xf0f6n);
    expect(cpu.peek(HEADER + 8, 8)).toBe(0xaaaa_aaaa_aaaa_aaaan);
    expect(cpu.peek(AREA, 2)).toBe(0x37fn);
    expect(cpu.peek(AREA + 176, 8)).toBe(0x77n);
    expect(cpu.peek(AREA + 576, 8)).toBe(0xaaaa_aaaa_aaaa_aaaan);
  });

  it('XSAVE of x87 alone leaves MXCSR and XMM in memory alone', () => {
    const cpu = ready();
    blank(cpu);
    go(cpu, 1, XSAVE);
    expect(cpu.peek(AREA + 24, 8)).toBe(0xaaaa_aaaa_aaaa_aaaan);
    expect(cpu.peek(AREA + 160, 8)).toBe(0xaaaa_aaaa_aaaa_aaaan);
  });

  it('XSAVEOPT leaves out what is not in use, but not MXCSR', () => {
    const cpu = ready();
    blank(cpu);
    cpu.poke(HEADER, 8, 0xf0f7n);
    cpu.state.setU32(at.MXCSR, 0x1fa0);
    expect(go(cpu, 3, XSAVEOPT)).toBe('next');
    expect(cpu.peek(HEADER, 8)).toBe(0xf0f4n);
    expect(cpu.peek(AREA + 24, 8)).toBe(0xffff_0000_1fa0n);
    expect(cpu.peek(AREA, 2)).toBe(0xaaaan);
    expect(cpu.peek(AREA + 160, 4)).toBe(0xaaaa_aaaan);
  });

  it.each([
    [0x1f80, 3, 0n, 0xaaaa_aaaan],
    [0x1fa0, 3, 2n, 0x1fa0n],
    [0x1fa0, 1, 0n, 0xaaaa_aaaan],
  ])('XSAVEC with MXCSR %s and mask %s has XSTATE_BV %s', (value, bits, present, stored) => {
    const cpu = ready();
    blank(cpu);
    cpu.state.setU32(at.MXCSR, value);
    expect(go(cpu, bits, XSAVEC)).toBe('next');
    expect(cpu.peek(HEADER, 8)).toBe(present);
    expect(cpu.peek(HEADER + 8, 8)).toBe(COMPACTED | BigInt(bits));
    expect(cpu.peek(HEADER + 16, 8)).toBe(0xaaaa_aaaa_aaaa_aaaan);
    expect(cpu.peek(AREA + 24, 4)).toBe(stored);
    expect(cpu.peek(AREA + 160, 4)).toBe(present ? 0n : 0xaaaa_aaaan);
  });

  it('writes nothing where the end of the area is missing', () => {
    const cpu = ready();
    cpu.absentPages.add(6n);
    cpu.state.setReg(GPR.RBX, 0x5f00n);
    cpu.poke(0x5f00, 8, 0x77);
    expect(go(cpu, 3, '0fae23')).toMatchObject({ vector: 14, error: 2 });
    expect(cpu.peek(0x5f00, 8)).toBe(0x77n);
  });

  it('has eight XMM registers outside 64-bit mode', () => {
    const cpu = ready(protectedMode());
    blank(cpu);
    expect(go(cpu, 3, '0fae2500500000')).toBe('next');
    expect(cpu.peek(AREA + 280, 8)).toBe(0n);
    expect(cpu.peek(AREA + 288, 8)).toBe(0xaaaa_aaaa_aaaa_aaaan);
  });
});

describe('restoring', () => {
  it.each([
    ['an empty standard header', [], 'next'],
    ['a component that XCR0 has not', [8n], GP0],
    ['bit 63 of XSTATE_BV', [COMPACTED], GP0],
    ['XCOMP_BV in the standard format', [0n, 1n], GP0],
    ['byte 16', [0n, 0n, 1n], GP0],
    ['byte 24 in the standard format', [0n, 0n, 0n, 1n], 'next'],
    ['byte 56 in the standard format', [0n, 0n, 0n, 0n, 0n, 0n, 0n, 1n], 'next'],
    ['an empty compacted header', [0n, COMPACTED], 'next'],
    ['bit 63 in both', [COMPACTED, COMPACTED | 3n], GP0],
    ['a component that XCOMP_BV has not', [2n, COMPACTED | 1n], GP0],
    ['XCOMP_BV beyond XCR0', [0n, COMPACTED | 8n], GP0],
    ['byte 16 in the compacted format', [0n, COMPACTED | 3n, 1n], GP0],
    ['byte 56 in the compacted format', [0n, COMPACTED | 3n, 0n, 0n, 0n, 0n, 0n, 1n], GP0],
  ] as const)('XRSTOR of %s', (_, header, outcome) => {
    const cpu = ready();
    area(cpu, header);
    expect(go(cpu, 3, XRSTOR)).toEqual(outcome);
  });

  it('XRSTORS wants the compacted format', () => {
    const cpu = ready();
    area(cpu, [3n]);
    expect(go(cpu, 3, XRSTORS)).toEqual(GP0);
    area(cpu, [3n, COMPACTED | 3n]);
    expect(go(cpu, 3, XRSTORS)).toBe('next');
  });

  it.each([
    ['standard, absent', 2, [0n], 0x1fc0],
    ['standard, x87 only', 1, [0n], 0x1fa0],
    ['compacted, absent', 2, [0n, COMPACTED], 0x1f80],
    ['compacted, x87 only', 1, [0n, COMPACTED], 0x1fa0],
    ['compacted, present', 2, [2n, COMPACTED | 3n], 0x1fc0],
  ] as const)('MXCSR: %s', (_, bits, header, expected) => {
    const cpu = ready();
    area(cpu, header);
    cpu.poke(AREA + 24, 4, 0x1fc0);
    cpu.state.setU32(at.MXCSR, 0x1fa0);
    expect(go(cpu, bits, XRSTOR)).toBe('next');
    expect(mxcsr(cpu)).toBe(expected);
  });

  it.each([
    ['standard, absent', 3, [0n], GP0],
    ['standard, x87 only', 1, [0n], 'next'],
    ['compacted, absent', 3, [0n, COMPACTED | 3n], 'next'],
    ['compacted, not asked for', 1, [2n, COMPACTED | 3n], 'next'],
    ['compacted, present', 2, [2n, COMPACTED | 3n], GP0],
  ] as const)('a reserved bit of MXCSR: %s', (_, bits, header, outcome) => {
    const cpu = ready();
    area(cpu, header);
    cpu.poke(AREA + 24, 4, 0x10_0000);
    expect(go(cpu, bits, XRSTOR)).toEqual(outcome);
  });

  it('initialises what is asked for and not there', () => {
    const cpu = ready();
    area(cpu, []);
    cpu.state.setU64(at.xmmAddress(3), 5n);
    cpu.state.setU64(at.ST0, 5n);
    cpu.state.setU32(at.FXSTATE, 0x27f);
    expect(go(cpu, 2, XRSTOR)).toBe('next');
    expect([cpu.state.u64(at.xmmAddress(3)), cpu.state.u64(at.ST0)]).toEqual([0n, 5n]);
    go(cpu, 1, XRSTOR);
    expect([cpu.state.u64(at.ST0), cpu.state.u64(at.FXSTATE)]).toEqual([0n, 0x37fn]);
  });

  it.each([
    [XSAVE, XRSTOR],
    [XSAVEOPT, XRSTOR],
    [XSAVEC, XRSTOR],
    [XSAVES, XRSTORS],
  ])('%s and %s go round', (saves, restores) => {
    const cpu = ready();
    area(cpu, []);
    for (let register = 0; register < 16; register++) cpu.state.setU64(at.xmmAddress(register), BigInt(register * 3));
    cpu.state.setU64(at.ST0 + 16, 0x1234n);
    cpu.state.setU32(at.FTW, 0xff);
    cpu.state.setU32(at.MXCSR, 0x9fc0);
    expect(go(cpu, 3, saves)).toBe('next');
    const before = cpu.picture();
    for (let offset = 0; offset < 416; offset += 8) cpu.state.setU64(at.FXSTATE + offset, 0n);
    cpu.state.rip -= 8n;
    expect(go(cpu, 3, restores)).toBe('next');
    expect(cpu.picture()).toBe(before);
  });
});

describe('the AVX component', () => {
  const upper = (register: number): number => at.YMM_HIGH + 16 * register;

  it.each([
    [XSAVE, XRSTOR],
    [XSAVEOPT, XRSTOR],
    [XSAVEC, XRSTOR],
    [XSAVES, XRSTORS],
  ])('goes round by %s and %s', (saves, restores) => {
    const cpu = ready(longMode(), 7n);
    area(cpu, []);
    for (let register = 0; register < 16; register++) cpu.state.setU64(upper(register), BigInt(register + 1));
    expect(go(cpu, 7, saves)).toBe('next');
    expect(cpu.peek(AREA + 576 + 16 * 15, 8)).toBe(16n);
    const before = cpu.picture();
    for (let register = 0; register < 16; register++) cpu.state.setU64(upper(register), 0n);
    cpu.state.rip -= 8n;
    expect(go(cpu, 7, restores)).toBe('next');
    expect(cpu.picture()).toBe(before);
  });

  it('alone brings MXCSR with it in the standard format', () => {
    const cpu = ready(longMode(), 7n);
    blank(cpu);
    cpu.poke(HEADER, 8, 0xf0f7n);
    cpu.state.setU32(at.MXCSR, 0x1fa0);
    expect(go(cpu, 4, XSAVE)).toBe('next');
    expect(cpu.peek(AREA + 24, 4)).toBe(0x1fa0n);
    expect(cpu.peek(AREA + 160, 8)).toBe(0xaaaa_aaaa_aaaa_aaaan);
    expect([cpu.peek(HEADER, 8), cpu.peek(AREA + 576, 8)]).toEqual([0xf0f3n, 0n]);
    area(cpu, []);
    cpu.poke(AREA + 24, 4, 0x10_0000);
    expect(go(cpu, 4, XRSTOR)).toEqual(GP0);
  });

  it('has eight registers outside 64-bit mode', () => {
    const cpu = ready(protectedMode(), 7n);
    blank(cpu);
    for (let register = 0; register < 16; register++) cpu.state.setU64(upper(register), 7n);
    expect(go(cpu, 7, '0fae2500500000')).toBe('next');
    expect(cpu.peek(AREA + 576 + 16 * 7, 8)).toBe(7n);
    expect(cpu.peek(AREA + 576 + 16 * 8, 8)).toBe(0xaaaa_aaaa_aaaa_aaaan);
    area(cpu, []);
    expect(go(cpu, 7, '0fae2d00500000')).toBe('next');
    expect([cpu.state.u64(upper(7)), cpu.state.u64(upper(8))]).toEqual([0n, 7n]);
  });

  it('is not there on models without AVX', () => {
    const cpu = ready(longMode(0, 'max,-avx'), 1n);
    cpu.state.setReg(GPR.RCX, 0n);
    expect(go(cpu, 7, XSETBV)).toEqual(GP0);
    expect(go(cpu, 3, XSETBV)).toBe('next');
  });
});
