import { describe, expect, it } from 'vitest';

import * as at from '../../src/cpu/state/layout.ts';
import { CR0_EM, CR0_MP, CR0_TS, CR4_OSFXSR, CR4_PAE } from '../../src/x86/control.ts';
import { GPR } from '../../src/x86/registers.ts';
import { fault, type FakeCpu, GP0, longMode, protectedMode, run, UD } from './support.ts';

const NM = fault(7);
const AREA = 0x5000;
const FXSAVE = '0fae042500500000';
const FXRSTOR = '0fae0c2500500000';

const sse = (): FakeCpu => {
  const cpu = longMode();
  cpu.state.setU64(at.CR4, CR4_PAE | CR4_OSFXSR);
  return cpu;
};
const setCr0 = (cpu: FakeCpu, bits: bigint): void => cpu.state.setU64(at.CR0, cpu.state.u64(at.CR0) | bits);

describe('x87 state', () => {
  it('FNINIT sets the control word and clears the rest', () => {
    const cpu = longMode();
    cpu.state.setU64(at.FXSTATE, 0xffff_ffff_ffff_ffffn);
    expect(run(cpu, 'dbe3')).toBe('next');
    expect(cpu.state.u64(at.FXSTATE)).toBe(0x37fn);
  });

  it('FNSTSW AX is how a kernel looks for an FPU', () => {
    const cpu = longMode();
    cpu.state.setReg(GPR.RAX, 0xffff_ffffn);
    run(cpu, 'dbe3');
    run(cpu, 'dfe0');
    expect(cpu.state.reg(GPR.RAX)).toBe(0xffff_0000n);
  });

  it('FLDCW and FNSTCW keep the control word', () => {
    const cpu = longMode();
    cpu.poke(AREA, 2, 0x27f);
    expect(run(cpu, 'd92c2500500000')).toBe('next');
    expect(run(cpu, 'd93c2508500000')).toBe('next');
    expect(cpu.peek(AREA + 8, 2)).toBe(0x27fn);
  });

  it('raises #NM with CR0.TS or CR0.EM', () => {
    for (const bit of [CR0_TS, CR0_EM]) {
      const cpu = longMode();
      setCr0(cpu, bit);
      expect(run(cpu, 'dbe3')).toEqual(NM);
      expect(run(cpu, FXSAVE)).toEqual(NM);
    }
  });

  it('FWAIT raises #NM only with both MP and TS', () => {
    const cpu = longMode();
    setCr0(cpu, CR0_TS);
    expect(run(cpu, '9b')).toBe('next');
    setCr0(cpu, CR0_MP);
    expect(run(cpu, '9b')).toEqual(NM);
  });

  it('unmasking a flagged exception makes FWAIT raise #MF, FNCLEX takes it back', () => {
    const cpu = longMode();
    cpu.state.setU32(at.FXSTATE, 0x0004_037f); // ZE flagged, masked
    cpu.poke(AREA, 2, 0x37b);
    run(cpu, 'd92c2500500000');
    expect(run(cpu, '9b')).toEqual(fault(16));
    run(cpu, 'dbe2');
    expect(run(cpu, '9b')).toBe('next');
  });

  it('EMMS empties the registers', () => {
    const cpu = longMode();
    cpu.state.setU32(at.FXSTATE + 4, 0x1234_00ff);
    run(cpu, '0f77');
    expect(cpu.state.u32(at.FXSTATE + 4)).toBe(0x1234_0000);
  });
});

describe('MXCSR', () => {
  it('needs OSFXSR, and TS clear', () => {
    expect(run(longMode(), '0fae1c2500500000')).toEqual(UD);
    const cpu = sse();
    expect(run(cpu, '0fae1c2500500000')).toBe('next');
    expect(cpu.peek(AREA, 4)).toBe(0x1f80n);
    setCr0(cpu, CR0_TS);
    expect(run(cpu, '0fae1c2500500000')).toEqual(NM);
  });

  it('refuses reserved bits', () => {
    const cpu = sse();
    cpu.poke(AREA, 4, 0x1_0000);
    expect(run(cpu, '0fae142500500000')).toEqual(GP0);
    cpu.poke(AREA, 4, 0xffff);
    expect(run(cpu, '0fae142500500000')).toBe('next');
    expect(cpu.state.u32(at.MXCSR)).toBe(0xffff);
  });
});

describe('FXSAVE and FXRSTOR', () => {
  it('go round', () => {
    const cpu = sse();
    cpu.state.setU64(at.FXSTATE + 160, 0x1122_3344_5566_7788n);
    cpu.state.setU64(at.FXSTATE + 408, 0x99n);
    expect(run(cpu, FXSAVE)).toBe('next');
    expect(cpu.peek(AREA + 28, 4)).toBe(0xffffn); // MXCSR_MASK
    const before = cpu.picture();
    for (let n = 0; n < 512; n += 8) cpu.state.setU64(at.FXSTATE + n, 0n);
    cpu.state.rip -= 8n;
    expect(run(cpu, FXRSTOR)).toBe('next');
    expect(cpu.picture()).toBe(before);
  });

  it('leave XMM8 to XMM15 alone outside 64-bit mode', () => {
    const cpu = protectedMode();
    cpu.state.setU64(at.CR4, CR4_OSFXSR);
    cpu.state.setU64(at.FXSTATE + 288, 5n);
    expect(run(cpu, '0fae0500500000')).toBe('next');
    expect(cpu.peek(AREA + 288, 8)).toBe(0n);
  });

  it('want 16-byte alignment and a valid MXCSR', () => {
    const cpu = sse();
    expect(run(cpu, '0fae042508500000')).toEqual(GP0);
    cpu.poke(AREA + 24, 4, 0x10_0000);
    expect(run(cpu, FXRSTOR)).toEqual(GP0);
  });

  it('write nothing when the end of the area is missing', () => {
    const cpu = sse();
    cpu.absentPages.add(6n);
    cpu.state.setReg(GPR.RBX, 0x5f00n);
    cpu.poke(0x5f00, 8, 0x77);
    expect(run(cpu, '0fae03')).toMatchObject({ vector: 14, error: 2, address: expect.any(BigInt) });
    expect(cpu.peek(0x5f00, 8)).toBe(0x77n);
  });
});
