import { describe, expect, it } from 'vitest';
import * as at from '../../src/cpu/state/layout.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import {
  MSR_EFER,
  MSR_FS_BASE,
  MSR_IA32_APIC_BASE,
  MSR_IA32_MISC_ENABLE,
  MSR_IA32_PAT,
  MSR_IA32_TSC,
  MSR_IA32_TSC_ADJUST,
  MSR_LSTAR,
  MSR_STAR,
  MSR_TSC_AUX,
} from '../../src/x86/msr.ts';
import { GPR } from '../../src/x86/registers.ts';
import { compatibilityMode, type FakeCpu, GP0, longMode, protectedMode, run, UD } from './support.ts';

const wrmsr = (cpu: FakeCpu, number: number, value: bigint) => {
  cpu.state.setReg(GPR.RCX, BigInt(number));
  cpu.state.setReg(GPR.RAX, value & 0xffff_ffffn);
  cpu.state.setReg(GPR.RDX, value >> 32n);
  return run(cpu, '0f30');
};
const rdmsr = (cpu: FakeCpu, number: number): unknown => {
  cpu.state.setReg(GPR.RCX, BigInt(number));
  const result = run(cpu, '0f32');
  return result === 'next' ? (cpu.state.reg(GPR.RDX) << 32n) | cpu.state.reg(GPR.RAX) : result;
};

describe('RDMSR and WRMSR', () => {
  it('keep plain storage', () => {
    const cpu = longMode();
    expect(wrmsr(cpu, MSR_STAR, 0x0023_0010_1234_5678n)).toBe('next');
    expect(rdmsr(cpu, MSR_STAR)).toBe(0x0023_0010_1234_5678n);
  });

  it('FS base is the hidden base of FS', () => {
    const cpu = longMode();
    wrmsr(cpu, MSR_FS_BASE, 0xffff_8000_0000_1000n);
    expect(cpu.state.segment(SEG.FS).base).toBe(0xffff_8000_0000_1000n);
    expect(rdmsr(cpu, MSR_FS_BASE)).toBe(0xffff_8000_0000_1000n);
  });

  it('addresses have to be canonical for the processor, whatever the paging mode', () => {
    expect(wrmsr(longMode(), MSR_LSTAR, 1n << 50n)).toBe('next');
    expect(wrmsr(longMode(), MSR_LSTAR, 1n << 57n)).toEqual(GP0);
    expect(wrmsr(longMode(0, 'x86-64-v1'), MSR_LSTAR, 1n << 50n)).toEqual(GP0);
  });

  it('memory types of the PAT are checked', () => {
    expect(rdmsr(longMode(), MSR_IA32_PAT)).toBe(0x0007_0406_0007_0406n);
    expect(wrmsr(longMode(), MSR_IA32_PAT, 0x0000_0000_0000_0001n)).toBe('next');
    expect(wrmsr(longMode(), MSR_IA32_PAT, 2n)).toEqual(GP0);
  });

  it('read-only bits stay', () => {
    const cpu = longMode();
    expect(wrmsr(cpu, MSR_IA32_MISC_ENABLE, 0x1800n)).toBe('next');
    expect(wrmsr(cpu, MSR_IA32_MISC_ENABLE, 0x0001n)).toEqual(GP0);
    expect(wrmsr(cpu, MSR_IA32_MISC_ENABLE, 0x1801n | (1n << 35n))).toEqual(GP0);
    expect(wrmsr(cpu, MSR_IA32_APIC_BASE, 0xfee0_0900n)).toEqual(GP0);
    expect(wrmsr(cpu, MSR_IA32_APIC_BASE, 0xfee0_0100n)).toBe('next');
  });

  it('IA32_MISC_ENABLE limits CPUID to leaf 2', () => {
    const cpu = longMode();
    const leaf = (number: bigint): bigint => {
      cpu.state.setReg(GPR.RAX, number);
      cpu.state.setReg(GPR.RCX, 0n);
      run(cpu, '0fa2');
      return cpu.state.reg(GPR.RAX);
    };
    const [two, extended] = [leaf(2n), leaf(0x8000_0000n)];
    expect(wrmsr(cpu, MSR_IA32_MISC_ENABLE, 0x1801n | (1n << 22n))).toBe('next');
    expect([leaf(0n), leaf(7n), leaf(0x8000_0000n)]).toEqual([2n, two, extended]);
  });

  it('IA32_MISC_ENABLE takes execute-disable away from CPUID and EFER', () => {
    const cpu = longMode();
    const nx = (): bigint => {
      cpu.state.setReg(GPR.RAX, 0x8000_0001n);
      run(cpu, '0fa2');
      return (cpu.state.reg(GPR.RDX) >> 20n) & 1n;
    };
    const efer = rdmsr(cpu, MSR_EFER) as bigint;
    expect([wrmsr(cpu, MSR_EFER, efer | 0x800n), nx()]).toEqual(['next', 1n]);
    expect(wrmsr(cpu, MSR_IA32_MISC_ENABLE, 0x1801n | (1n << 34n))).toBe('next');
    expect([rdmsr(cpu, MSR_EFER), nx()]).toEqual([efer & ~0x800n, 0n]);
    expect(wrmsr(cpu, MSR_EFER, efer | 0x800n)).toEqual(GP0);
  });

  it('an MSR of a feature that is missing is #GP', () => {
    expect(rdmsr(longMode(0, 'x86-64-v1'), MSR_TSC_AUX)).toEqual(GP0);
    expect(rdmsr(longMode(), MSR_TSC_AUX)).toBe(0n);
  });

  it('an unknown MSR is #GP and said aloud, a known absence is not', () => {
    const cpu = longMode();
    expect(rdmsr(cpu, 0x1234)).toEqual(GP0);
    expect(wrmsr(cpu, 0x9876_5432, 0n)).toEqual(GP0);
    expect(rdmsr(cpu, 0x4b56_4d00)).toEqual(GP0);
    expect(cpu.missing).toEqual(['rdmsr 0x1234', 'wrmsr 0x98765432']);
  });

  it('are for level 0', () => {
    expect(rdmsr(longMode(3), MSR_STAR)).toEqual(GP0);
    expect(wrmsr(longMode(3), MSR_STAR, 0n)).toEqual(GP0);
  });
});

describe('EFER', () => {
  it('refuses to change LME with paging on', () => {
    expect(wrmsr(protectedMode(), MSR_EFER, 0x100n)).toEqual(GP0);
    expect(wrmsr(compatibilityMode(), MSR_EFER, 0n)).toEqual(GP0);
  });

  it('takes LME with paging off and does not let LMA be written', () => {
    const cpu = protectedMode();
    cpu.state.setU64(at.CR0, 0x11n);
    expect(wrmsr(cpu, MSR_EFER, 0x500n)).toBe('next');
    expect(rdmsr(cpu, MSR_EFER)).toBe(0x100n);
  });

  it('refuses reserved bits, and drops translations when NXE changes', () => {
    const cpu = longMode();
    expect(wrmsr(cpu, MSR_EFER, 0x1501n)).toEqual(GP0);
    expect(wrmsr(cpu, MSR_EFER, 0xd01n)).toBe('next');
    expect(cpu.flushes).toEqual(['all']);
    expect(rdmsr(cpu, MSR_EFER)).toBe(0xd01n);
  });
});

describe('time, numbers and random bits', () => {
  it('RDTSC is guest time, moved by writes to the counter and to its adjustment', () => {
    const cpu = longMode();
    cpu.time = 0x1_0000_0005n;
    run(cpu, '0f31');
    expect([cpu.state.reg(GPR.RDX), cpu.state.reg(GPR.RAX)]).toEqual([1n, 5n]);
    wrmsr(cpu, MSR_IA32_TSC, 7n);
    expect(rdmsr(cpu, MSR_IA32_TSC)).toBe(7n);
    wrmsr(cpu, MSR_IA32_TSC_ADJUST, 1n);
    expect(rdmsr(cpu, MSR_IA32_TSC)).toBe(0x1_0000_0006n);
  });

  it('CR4.TSD keeps RDTSC from level 3', () => {
    const cpu = longMode(3);
    expect(run(cpu, '0f31')).toBe('next');
    cpu.state.setU64(at.CR4, 0x24n);
    expect(run(cpu, '0f31')).toEqual(GP0);
  });

  it('RDTSCP and RDPID give TSC_AUX, where the processor has them', () => {
    const cpu = longMode();
    wrmsr(cpu, MSR_TSC_AUX, 5n);
    run(cpu, '0f01f9');
    expect(cpu.state.reg(GPR.RCX)).toBe(5n);
    run(cpu, 'f30fc7f8');
    expect(cpu.state.reg(GPR.RAX)).toBe(5n);
    expect(run(longMode(0, 'x86-64-v1'), '0f01f9')).toEqual(UD);
  });

  it('RDRAND sets CF and clears the other status flags', () => {
    const cpu = longMode();
    cpu.state.rflags = 0x8d4;
    run(cpu, '660fc7f0'); // rdrand %ax
    expect(cpu.state.reg(GPR.RAX)).toBe(0xdef0n);
    expect(cpu.state.rflags).toBe(3);
    expect(run(longMode(0, 'x86-64-v1'), '0fc7f0')).toEqual(UD);
  });

  it('RDPMC has no counters to read', () => {
    expect(run(longMode(), '0f33')).toEqual(GP0);
  });

  it('XGETBV needs CR4.OSXSAVE', () => {
    expect(run(longMode(), '0f01d0')).toEqual(UD);
  });

  it('CPUID clears the upper halves', () => {
    const cpu = longMode();
    for (const register of [GPR.RAX, GPR.RBX, GPR.RCX, GPR.RDX]) cpu.state.setReg(register, 0xffff_ffff_0000_0000n);
    run(cpu, '0fa2');
    const name = [GPR.RBX, GPR.RDX, GPR.RCX].map((register) => {
      const word = Buffer.alloc(4);
      word.writeUInt32LE(Number(cpu.state.reg(register)));
      return word.toString('latin1');
    });
    expect(name.join('')).toBe('GenuineIntel');
    expect(cpu.state.reg(GPR.RAX)).toBe(0x16n);
  });
});
