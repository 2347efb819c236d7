import { describe, expect, it } from 'vitest';
import * as at from '../../src/cpu/state/layout.ts';
import { reset } from '../../src/cpu/microcode/reset.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import { FLAGS } from '../../src/x86/flags.ts';
import { MSR_FMASK, MSR_KERNEL_GS_BASE, MSR_LSTAR, MSR_STAR, msrSlot } from '../../src/x86/msr.ts';
import { GPR } from '../../src/x86/registers.ts';
import { CODE, FakeCpu, GP0, longMode, protectedMode, realMode, run, STACK, UD } from './support.ts';

describe('CLI, STI, HLT', () => {
  it('STI opens interrupts one instruction late', () => {
    const cpu = longMode();
    run(cpu, 'fb');
    expect(cpu.state.rflags & FLAGS.IF).toBe(FLAGS.IF);
    expect(cpu.state.u32(at.INTERRUPT_SHADOW)).toBe(1);
  });

  it('STI with IF already set casts no shadow', () => {
    const cpu = longMode();
    cpu.state.rflags = FLAGS.IF;
    run(cpu, 'fb');
    expect(cpu.state.u32(at.INTERRUPT_SHADOW)).toBe(0);
  });

  it('CLI needs CPL <= IOPL', () => {
    const cpu = longMode(3);
    expect(run(cpu, 'fa')).toEqual(GP0);
    cpu.state.rflags = FLAGS.IOPL | FLAGS.IF;
    expect(run(cpu, 'fa')).toBe('next');
    expect(cpu.state.rflags & FLAGS.IF).toBe(0);
  });

  it('HLT halts behind itself, at level 0', () => {
    const cpu = longMode();
    expect(run(cpu, 'f4')).toBe('next');
    expect(cpu.state.u32(at.HALTED)).toBe(1);
    expect(cpu.state.rip).toBe(BigInt(CODE + 1));
    expect(run(longMode(3), 'f4')).toEqual(GP0);
  });
});

describe('PUSHF and POPF', () => {
  it('PUSHFQ hides RF', () => {
    const cpu = longMode();
    cpu.state.rflags = FLAGS.RF | FLAGS.IF | FLAGS.CF;
    run(cpu, '9c');
    expect(cpu.peek(STACK - 8, 8)).toBe(0x203n);
  });

  it('POPFQ at level 0 changes IOPL and IF, not VM', () => {
    const cpu = longMode();
    cpu.poke(STACK, 8, 0x3f_ffff);
    run(cpu, '9d');
    expect(cpu.state.rflags).toBe(0x24_7fd7);
  });

  it('POPFQ at level 3 keeps IOPL and IF', () => {
    const cpu = longMode(3);
    cpu.poke(STACK, 8, 0x3202);
    run(cpu, '9d');
    expect(cpu.state.rflags).toBe(2);
    cpu.state.rflags = FLAGS.IOPL;
    cpu.poke(STACK + 8, 8, 0x202);
    run(cpu, '9d');
    expect(cpu.state.rflags).toBe(0x3202);
  });

  it('POPFW leaves the upper flags', () => {
    const cpu = realMode();
    cpu.state.rflags = FLAGS.ID | FLAGS.AC;
    cpu.poke(STACK, 2, 0xd5);
    run(cpu, '9d');
    expect(cpu.state.rflags).toBe(FLAGS.ID | FLAGS.AC | 0xd7);
    expect(cpu.rsp).toBe(BigInt(STACK + 2));
  });
});

describe('translations', () => {
  it('INVLPG drops one page, and nothing for a non-canonical address', () => {
    const cpu = longMode();
    cpu.state.setReg(GPR.RAX, 0x1234n);
    run(cpu, '0f0138');
    cpu.state.setReg(GPR.RAX, 1n << 60n);
    expect(run(cpu, '0f0138')).toBe('next');
    expect(cpu.flushes).toEqual(['page 1234']);
  });

  it('INVPCID type 2 drops global translations too; others do not', () => {
    const cpu = longMode();
    cpu.state.setReg(GPR.RAX, 2n);
    run(cpu, '660f38820425 00500000');
    cpu.state.setReg(GPR.RAX, 3n);
    run(cpu, '660f38820425 00500000');
    expect(cpu.flushes).toEqual(['all', 'non-global']);
    cpu.state.setReg(GPR.RAX, 4n);
    expect(run(cpu, '660f38820425 00500000')).toEqual(GP0);
    expect(run(longMode(0, 'x86-64-v1'), '660f38820425 00500000')).toEqual(UD);
  });

  it('STAC and CLAC move RFLAGS.AC at level 0', () => {
    const cpu = longMode();
    run(cpu, '0f01cb');
    expect(cpu.state.rflags & FLAGS.AC).toBe(FLAGS.AC);
    run(cpu, '0f01ca');
    expect(cpu.state.rflags & FLAGS.AC).toBe(0);
    expect(run(longMode(3), '0f01cb')).toEqual(UD);
  });

  it('WBINVD is for level 0', () => {
    expect(run(longMode(), '0f09')).toBe('next');
    expect(run(longMode(3), '0f09')).toEqual(GP0);
  });
});

describe('SYSCALL, SYSRET, SWAPGS', () => {
  const withSyscall = (cpl: 0 | 3): FakeCpu => {
    const cpu = longMode(cpl);
    const set = (msr: number, value: bigint): void => cpu.state.setU64(at.msrAddress(msrSlot(msr)), value);
    set(MSR_STAR, 0x0023_0010_0000_0000n);
    set(MSR_LSTAR, 0xffff_ffff_8000_0000n);
    set(MSR_FMASK, BigInt(FLAGS.IF | FLAGS.DF));
    return cpu;
  };

  it('SYSCALL saves RIP and RFLAGS and masks', () => {
    const cpu = withSyscall(3);
    cpu.state.rflags = FLAGS.IF | FLAGS.DF | FLAGS.ZF;
    expect(run(cpu, '0f05')).toBe('transfer');
    expect(cpu.state.reg(GPR.RCX)).toBe(BigInt(CODE + 2));
    expect(cpu.state.reg(GPR.R11)).toBe(0x642n);
    expect(cpu.state.rflags).toBe(0x42);
    expect(cpu.state.cpl).toBe(0);
    expect(cpu.selector(SEG.CS)).toBe(0x10);
    expect(cpu.selector(SEG.SS)).toBe(0x18);
    expect(cpu.state.rip).toBe(0xffff_ffff_8000_0000n);
  });

  it('SYSRETQ goes back to level 3', () => {
    const cpu = withSyscall(0);
    cpu.state.setReg(GPR.RCX, 0x1234n);
    cpu.state.setReg(GPR.R11, 0x3_0202n);
    expect(run(cpu, '480f07')).toBe('transfer');
    expect(cpu.state.cpl).toBe(3);
    expect(cpu.selector(SEG.CS)).toBe(0x33);
    expect(cpu.selector(SEG.SS)).toBe(0x2b);
    expect(cpu.state.rflags).toBe(0x202);
    expect(cpu.state.mode64).toBe(true);
  });

  it('SYSRETL goes to compatibility mode', () => {
    const cpu = withSyscall(0);
    expect(run(cpu, '0f07')).toBe('transfer');
    expect(cpu.selector(SEG.CS)).toBe(0x23);
    expect(cpu.state.mode64).toBe(false);
  });

  it('SYSRETQ to a non-canonical address faults at level 0', () => {
    const cpu = withSyscall(0);
    cpu.state.setReg(GPR.RCX, 1n << 47n);
    expect(run(cpu, '480f07')).toEqual(GP0);
    expect(cpu.state.cpl).toBe(0);
  });

  it('SYSCALL needs EFER.SCE and 64-bit mode', () => {
    const cpu = withSyscall(3);
    cpu.state.setU64(at.EFER, 0x500n);
    expect(run(cpu, '0f05')).toEqual(UD);
    expect(run(protectedMode(3), '0f05')).toEqual(UD);
  });

  it('SWAPGS swaps the bases at level 0', () => {
    const cpu = longMode();
    cpu.state.setU64(at.msrAddress(msrSlot(MSR_KERNEL_GS_BASE)), 0x1111n);
    cpu.state.setU64(at.segmentAddress(SEG.GS), 0x2222n);
    run(cpu, '0f01f8');
    expect(cpu.state.segment(SEG.GS).base).toBe(0x1111n);
    expect(cpu.state.u64(at.msrAddress(msrSlot(MSR_KERNEL_GS_BASE)))).toBe(0x2222n);
    expect(run(longMode(3), '0f01f8')).toEqual(GP0);
  });

  it('WRGSBASE needs CR4.FSGSBASE and a canonical address', () => {
    const cpu = longMode(3);
    cpu.state.setReg(GPR.RAX, 0x1234n);
    expect(run(cpu, 'f3480faed8')).toEqual(UD);
    cpu.state.setU64(at.CR4, 0x1_0020n);
    expect(run(cpu, 'f3480faed8')).toBe('next');
    expect(cpu.state.segment(SEG.GS).base).toBe(0x1234n);
    cpu.state.setReg(GPR.RAX, 1n << 60n);
    expect(run(cpu, 'f3480faed8')).toEqual(GP0);
  });

  it('SYSENTER needs a code selector', () => {
    const cpu = protectedMode(3);
    expect(run(cpu, '0f34')).toEqual(GP0);
    cpu.state.setU64(at.msrAddress(msrSlot(0x174)), 0x8n);
    cpu.state.setU64(at.msrAddress(msrSlot(0x175)), 0xa000n);
    cpu.state.setU64(at.msrAddress(msrSlot(0x176)), 0x7000n);
    expect(run(cpu, '0f34')).toBe('transfer');
    expect([cpu.state.cpl, cpu.rsp, cpu.state.rip, cpu.selector(SEG.SS)]).toEqual([0, 0xa000n, 0x7000n, 0x10]);
  });
});

describe('what there is not', () => {
  it('says the name of an instruction nobody implements', () => {
    const cpu = longMode();
    expect(run(cpu, '0f01c4')).toEqual(UD); // vmxoff
    expect(run(cpu, '0f01dd')).toEqual(UD); // clgi
    expect(cpu.missing).toEqual(['instruction vmxoff', 'instruction clgi']);
  });

  it('RDSSP changes nothing, as shadow stacks are off', () => {
    const cpu = longMode(3);
    cpu.state.setReg(GPR.RAX, 5n);
    expect(run(cpu, 'f3480f1ec8')).toBe('next');
    expect(cpu.state.reg(GPR.RAX)).toBe(5n);
  });

  it('UD2 and MWAIT are #UD without a word', () => {
    const cpu = longMode();
    expect(run(cpu, '0f0b')).toEqual(UD);
    expect(run(cpu, '0f01c9')).toEqual(UD);
    expect(cpu.missing).toEqual([]);
  });
});

describe('RESET', () => {
  it('leaves the processor as SDM 3A table 9-1 says', () => {
    const cpu = new FakeCpu('max');
    cpu.state.setReg(GPR.RBX, 1n);
    reset(cpu.state, cpu.model);
    expect(cpu.state.rip).toBe(0xfff0n);
    expect(cpu.state.segment(SEG.CS)).toMatchObject({ selector: 0xf000, base: 0xffff_0000n, limit: 0xffff });
    expect(cpu.state.u64(at.CR0)).toBe(0x6000_0010n);
    expect(cpu.state.rflags).toBe(2);
    expect(cpu.state.reg(GPR.RBX)).toBe(0n);
    expect(cpu.state.reg(GPR.RDX)).toBe(0x106can);
    expect(cpu.state.u64(at.DR0 + 48)).toBe(0xffff_0ff0n);
    expect(cpu.state.u32(at.MXCSR)).toBe(0x1f80);
  });
});
