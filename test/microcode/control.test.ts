import { describe, expect, it } from 'vitest';
import * as at from '../../src/cpu/state/layout.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import {
  CR0_CD,
  CR0_ET,
  CR0_NE,
  CR0_NW,
  CR0_PE,
  CR0_PG,
  CR0_TS,
  CR0_WP,
  CR4_FSGSBASE,
  CR4_LA57,
  CR4_PAE,
  CR4_PCIDE,
  CR4_PGE,
  CR4_UMIP,
  EFER_LMA,
  EFER_LME,
} from '../../src/x86/control.ts';
import { GPR } from '../../src/x86/registers.ts';
import { compatibilityMode, type FakeCpu, GP0, longMode, protectedMode, realMode, run, UD } from './support.ts';

const MOV_CR0_RAX = '0f22c0';
const MOV_CR3_RAX = '0f22d8';
const MOV_CR4_RAX = '0f22e0';

const movCr = (cpu: FakeCpu, code: string, value: bigint) => {
  cpu.state.setReg(GPR.RAX, value);
  return run(cpu, code);
};

describe('MOV to CR0', () => {
  it('refuses PG without PE', () => {
    const cpu = realMode();
    expect(movCr(cpu, MOV_CR0_RAX, CR0_PG | CR0_ET)).toEqual(GP0);
    expect(cpu.state.u64(at.CR0)).toBe(CR0_ET);
  });

  it('refuses NW without CD', () => {
    expect(movCr(protectedMode(), MOV_CR0_RAX, CR0_PE | CR0_PG | CR0_NW)).toEqual(GP0);
    expect(movCr(protectedMode(), MOV_CR0_RAX, CR0_PE | CR0_PG | CR0_NW | CR0_CD)).toBe('next');
  });

  it('keeps ET set and ignores reserved bits below bit 32', () => {
    const cpu = protectedMode();
    expect(movCr(cpu, MOV_CR0_RAX, CR0_PE | CR0_PG | (1n << 10n))).toBe('next');
    expect(cpu.state.u64(at.CR0)).toBe(CR0_PE | CR0_PG | CR0_ET);
  });

  it('refuses bits above 31 in 64-bit mode', () => {
    expect(movCr(longMode(), MOV_CR0_RAX, CR0_PE | CR0_PG | (1n << 32n))).toEqual(GP0);
  });

  it('enters IA-32e mode when paging is enabled with LME', () => {
    const cpu = protectedMode();
    cpu.state.setU64(at.CR0, CR0_PE | CR0_ET);
    cpu.state.setU64(at.CR4, CR4_PAE);
    cpu.state.setU64(at.EFER, EFER_LME);
    expect(movCr(cpu, MOV_CR0_RAX, CR0_PE | CR0_PG)).toBe('next');
    expect(cpu.state.u64(at.EFER)).toBe(EFER_LME | EFER_LMA);
    expect(cpu.state.mode64).toBe(false);
  });

  it('refuses to enter IA-32e mode without PAE', () => {
    const cpu = protectedMode();
    cpu.state.setU64(at.CR0, CR0_PE | CR0_ET);
    cpu.state.setU64(at.EFER, EFER_LME);
    expect(movCr(cpu, MOV_CR0_RAX, CR0_PE | CR0_PG)).toEqual(GP0);
    expect(cpu.state.u64(at.EFER)).toBe(EFER_LME);
  });

  it('refuses to enter IA-32e mode from a code segment with L set', () => {
    const cpu = protectedMode();
    cpu.state.setU64(at.CR0, CR0_PE | CR0_ET);
    cpu.state.setU64(at.CR4, CR4_PAE);
    cpu.state.setU64(at.EFER, EFER_LME);
    cpu.state.setSegment(SEG.CS, { ...cpu.state.segment(SEG.CS), attributes: 0xa09b });
    expect(movCr(cpu, MOV_CR0_RAX, CR0_PE | CR0_PG)).toEqual(GP0);
  });

  it('refuses to enter IA-32e mode with a 16-bit TSS', () => {
    const cpu = protectedMode();
    cpu.state.setU64(at.CR0, CR0_PE | CR0_ET);
    cpu.state.setU64(at.CR4, CR4_PAE);
    cpu.state.setU64(at.EFER, EFER_LME);
    cpu.state.setSegment(SEG.TR, { ...cpu.state.segment(SEG.TR), attributes: 0x83 });
    expect(movCr(cpu, MOV_CR0_RAX, CR0_PE | CR0_PG)).toEqual(GP0);
  });

  it('leaves IA-32e mode when compatibility mode disables paging', () => {
    const cpu = compatibilityMode();
    expect(movCr(cpu, MOV_CR0_RAX, CR0_PE)).toBe('next');
    expect(cpu.state.u64(at.EFER) & (EFER_LMA | EFER_LME)).toBe(EFER_LME);
  });

  it('refuses to disable paging in 64-bit mode', () => {
    expect(movCr(longMode(), MOV_CR0_RAX, CR0_PE)).toEqual(GP0);
  });

  it('refuses to disable paging with PCIDE', () => {
    const cpu = compatibilityMode();
    cpu.state.setU64(at.CR4, CR4_PAE | CR4_PCIDE);
    expect(movCr(cpu, MOV_CR0_RAX, CR0_PE)).toEqual(GP0);
  });

  it('drops all translations when WP changes, none when NE does', () => {
    const cpu = protectedMode();
    movCr(cpu, MOV_CR0_RAX, CR0_PE | CR0_PG | CR0_ET);
    cpu.flushes.length = 0;
    movCr(cpu, MOV_CR0_RAX, CR0_PE | CR0_PG | CR0_WP);
    expect(cpu.flushes).toEqual(['all']);
    cpu.flushes.length = 0;
    movCr(cpu, MOV_CR0_RAX, CR0_PE | CR0_PG | CR0_WP | CR0_NE);
    expect(cpu.flushes).toEqual([]);
  });

  it('is for level 0 only', () => {
    expect(movCr(protectedMode(3), MOV_CR0_RAX, CR0_PE | CR0_PG)).toEqual(GP0);
  });

  it('loads the PDPTEs when PAE paging starts, and refuses reserved bits in them', () => {
    const cpu = protectedMode();
    cpu.state.setU64(at.CR0, CR0_PE | CR0_ET);
    cpu.state.setU64(at.CR4, CR4_PAE);
    cpu.state.setU64(at.CR3, 0x5000n);
    cpu.poke(0x5008, 8, 0x1_2000n | 1n);
    expect(movCr(cpu, MOV_CR0_RAX, CR0_PE | CR0_PG)).toBe('next');
    expect(cpu.state.u64(at.PDPTE0 + 8)).toBe(0x1_2001n);
    cpu.state.setU64(at.CR0, CR0_PE | CR0_ET);
    cpu.poke(0x5010, 8, 0x3n);
    expect(movCr(cpu, MOV_CR0_RAX, CR0_PE | CR0_PG)).toEqual(GP0);
    expect(cpu.state.u64(at.CR0)).toBe(CR0_PE | CR0_ET);
  });
});

describe('MOV to CR3', () => {
  it('drops the translations that are not global', () => {
    const cpu = longMode();
    expect(movCr(cpu, MOV_CR3_RAX, 0x1234_5000n)).toBe('next');
    expect(cpu.state.u64(at.CR3)).toBe(0x1234_5000n);
    expect(cpu.flushes).toEqual(['non-global']);
  });

  it('refuses bits from MAXPHYADDR up', () => {
    expect(movCr(longMode(), MOV_CR3_RAX, 1n << 40n)).toEqual(GP0);
    expect(movCr(longMode(), MOV_CR3_RAX, 1n << 39n)).toBe('next');
  });

  it('takes bit 63 with PCIDE, and does not store it', () => {
    const cpu = longMode();
    expect(movCr(cpu, MOV_CR3_RAX, (1n << 63n) | 0x5001n)).toEqual(GP0);
    cpu.state.setU64(at.CR4, CR4_PAE | CR4_PCIDE);
    expect(movCr(cpu, MOV_CR3_RAX, (1n << 63n) | 0x5001n)).toBe('next');
    expect(cpu.state.u64(at.CR3)).toBe(0x5001n);
  });
});

describe('MOV to CR4', () => {
  it('refuses bits whose feature the processor does not have', () => {
    const cpu = realMode('x86-64-v1');
    expect(movCr(cpu, MOV_CR4_RAX, CR4_FSGSBASE)).toEqual(GP0);
    expect(movCr(cpu, MOV_CR4_RAX, CR4_LA57)).toEqual(GP0);
    expect(movCr(cpu, MOV_CR4_RAX, CR4_PAE)).toBe('next');
  });

  it('refuses to clear PAE in IA-32e mode', () => {
    expect(movCr(longMode(), MOV_CR4_RAX, 0n)).toEqual(GP0);
    expect(movCr(compatibilityMode(), MOV_CR4_RAX, 0n)).toEqual(GP0);
    expect(movCr(protectedMode(), MOV_CR4_RAX, 0n)).toBe('next');
  });

  it('refuses to change LA57 in IA-32e mode, either way', () => {
    expect(movCr(longMode(), MOV_CR4_RAX, CR4_PAE | CR4_LA57)).toEqual(GP0);
    expect(movCr(compatibilityMode(), MOV_CR4_RAX, CR4_PAE | CR4_LA57)).toEqual(GP0);
    const cpu = longMode();
    cpu.state.setU64(at.CR4, CR4_PAE | CR4_LA57);
    expect(movCr(cpu, MOV_CR4_RAX, CR4_PAE)).toEqual(GP0);
  });

  it('takes LA57 outside IA-32e mode and drops all translations', () => {
    const cpu = protectedMode();
    cpu.state.setU64(at.CR0, CR0_PE | CR0_ET);
    expect(movCr(cpu, MOV_CR4_RAX, CR4_PAE | CR4_LA57)).toBe('next');
    expect(cpu.flushes).toEqual(['all']);
  });

  it('takes PCIDE only in IA-32e mode with CR3 bits 0 to 11 clear', () => {
    expect(movCr(protectedMode(), MOV_CR4_RAX, CR4_PCIDE)).toEqual(GP0);
    const cpu = longMode();
    cpu.state.setU64(at.CR3, 0x5008n);
    expect(movCr(cpu, MOV_CR4_RAX, CR4_PAE | CR4_PCIDE)).toEqual(GP0);
    cpu.state.setU64(at.CR3, 0x5000n);
    expect(movCr(cpu, MOV_CR4_RAX, CR4_PAE | CR4_PCIDE)).toBe('next');
  });

  it('drops the global translations when PGE changes and none when UMIP does', () => {
    const cpu = longMode();
    movCr(cpu, MOV_CR4_RAX, CR4_PAE | CR4_PGE);
    expect(cpu.flushes).toEqual(['all']);
    cpu.flushes.length = 0;
    movCr(cpu, MOV_CR4_RAX, CR4_PAE | CR4_PGE | CR4_UMIP);
    expect(cpu.flushes).toEqual([]);
  });
});

describe('other control-register instructions', () => {
  it('reads CR4 and steps on', () => {
    const cpu = longMode();
    const rip = cpu.state.rip;
    expect(run(cpu, '0f20e1')).toBe('next'); // mov %cr4,%rcx
    expect(cpu.state.reg(GPR.RCX)).toBe(CR4_PAE);
    expect(cpu.state.rip).toBe(rip + 3n);
  });

  it('knows no CR1, CR5 or CR15', () => {
    expect(run(longMode(), '0f20c8')).toEqual(UD);
    expect(run(longMode(), '0f22e8')).toEqual(UD);
    expect(run(longMode(), '440f20f8')).toEqual(UD);
  });

  it('keeps four bits of CR8 and refuses more', () => {
    const cpu = longMode();
    expect(movCr(cpu, '440f22c0', 15n)).toBe('next');
    expect(cpu.state.u64(at.CR8)).toBe(15n);
    expect(movCr(cpu, '440f22c0', 16n)).toEqual(GP0);
  });

  it('LMSW sets PE and cannot clear it', () => {
    const cpu = realMode();
    expect(movCr(cpu, '0f01f0', 1n)).toBe('next');
    expect(cpu.state.u64(at.CR0) & CR0_PE).toBe(CR0_PE);
    expect(movCr(cpu, '0f01f0', 0n)).toBe('next');
    expect(cpu.state.u64(at.CR0) & CR0_PE).toBe(CR0_PE);
  });

  it('CLTS clears TS', () => {
    const cpu = longMode();
    cpu.state.setU64(at.CR0, cpu.state.u64(at.CR0) | CR0_TS);
    expect(run(cpu, '0f06')).toBe('next');
    expect(cpu.state.u64(at.CR0) & CR0_TS).toBe(0n);
    expect(run(longMode(3), '0f06')).toEqual(GP0);
  });

  it('SMSW is open to level 3 unless UMIP is set', () => {
    const cpu = longMode(3);
    expect(run(cpu, '0f01e0')).toBe('next'); // smsw %eax
    expect(cpu.state.reg(GPR.RAX)).toBe(0x8000_0031n);
    cpu.state.setU64(at.CR4, CR4_PAE | CR4_UMIP);
    expect(run(cpu, '0f01e0')).toEqual(GP0);
  });
});

describe('debug registers', () => {
  it('keep DR6 and DR7 in their fixed form', () => {
    const cpu = longMode();
    movCr(cpu, '0f23f0', 0n); // mov %rax,%dr6
    movCr(cpu, '0f23f8', 0n);
    expect(cpu.state.u64(at.DR0 + 48)).toBe(0xffff_0ff0n);
    expect(cpu.state.u64(at.DR0 + 56)).toBe(0x400n);
  });

  it('DR4 is DR6', () => {
    const cpu = longMode();
    run(cpu, '0f21e0');
    expect(cpu.state.reg(GPR.RAX)).toBe(0xffff_0ff0n);
  });

  it('refuse upper halves of DR6 and DR7', () => {
    expect(movCr(longMode(), '0f23f8', 1n << 32n)).toEqual(GP0);
  });

  it('raise #DB with BD under DR7.GD', () => {
    const cpu = longMode();
    cpu.state.setU64(at.DR0 + 56, 0x2400n);
    expect(run(cpu, '0f21c0')).toMatchObject({ kind: 'fault', vector: 1, dr6: 1n << 13n });
  });
});
