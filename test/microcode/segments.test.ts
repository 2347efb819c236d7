import { describe, expect, it } from 'vitest';
import { linearAddress } from '../../src/cpu/microcode/operands.ts';
import { inStackShadow } from '../../src/cpu/microcode/shadow.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import { GPR } from '../../src/x86/registers.ts';
import { CODE, type FakeCpu, GDT, GP0, longMode, protectedMode, realMode, run, SEL, STACK, UD } from './support.ts';

const load = (cpu: FakeCpu, hex: string, selector: number) => {
  cpu.state.setReg(GPR.RAX, BigInt(selector));
  return run(cpu, hex);
};
const MOV_DS_AX = '8ed8';
const MOV_SS_AX = '8ed0';
const MOV_FS_AX = '8ee0';

describe('MOV to a segment register', () => {
  it('in real mode keeps limit and default size ("unreal mode")', () => {
    const cpu = realMode();
    cpu.state.setSegment(SEG.DS, { selector: SEL.DATA, base: 0n, limit: 0xffff_ffff, attributes: 0xc093 });
    expect(load(cpu, MOV_DS_AX, 0x1234)).toBe('next');
    expect(cpu.state.segment(SEG.DS)).toEqual({
      selector: 0x1234,
      base: 0x12340n,
      limit: 0xffff_ffff,
      attributes: 0xc093,
    });
  });

  it('loads the hidden part from the GDT and sets the accessed bit', () => {
    const cpu = protectedMode();
    cpu.poke(GDT + SEL.DATA, 8, 0x00cf92123456ffffn);
    expect(load(cpu, MOV_DS_AX, SEL.DATA)).toBe('next');
    expect(cpu.state.segment(SEG.DS)).toMatchObject({ base: 0x123456n, attributes: 0xc093 });
    expect(cpu.peek(GDT + SEL.DATA + 5, 1)).toBe(0x93n);
  });

  it.each([
    ['DS', MOV_DS_AX, SEL.EXECUTE_ONLY, 13],
    ['DS', MOV_DS_AX, SEL.BEYOND, 13],
    ['DS', MOV_DS_AX, SEL.TSS, 13],
    ['DS', MOV_DS_AX, SEL.DATA | 3, 13],
    ['DS', MOV_DS_AX, SEL.ABSENT_DATA, 11],
    ['SS', MOV_SS_AX, SEL.READ_ONLY, 13],
    ['SS', MOV_SS_AX, SEL.DATA | 3, 13],
    ['SS', MOV_SS_AX, SEL.USER_DATA, 13],
    ['SS', MOV_SS_AX, SEL.CODE32, 13],
    ['SS', MOV_SS_AX, SEL.ABSENT_DATA, 12],
  ])('%s refuses (%s) selector %i with vector %i', (_, hex, selector, vector) => {
    const cpu = protectedMode();
    const before = cpu.picture();
    const table = cpu.peek(GDT + (selector & ~7), 8);
    cpu.state.setReg(GPR.RAX, BigInt(selector));
    const withSelector = cpu.picture();
    expect(run(cpu, hex)).toMatchObject({ vector, error: selector & ~3 });
    expect(cpu.picture()).toBe(withSelector);
    expect(before).not.toBe(withSelector);
    expect(cpu.peek(GDT + (selector & ~7), 8)).toBe(table);
  });

  it('takes readable conforming code into DS whatever the level', () => {
    const cpu = protectedMode(3);
    expect(load(cpu, MOV_DS_AX, SEL.CONFORMING | 3)).toBe('next');
  });

  it('takes null into DS and not into SS, outside 64-bit mode', () => {
    expect(load(protectedMode(), MOV_DS_AX, 0)).toBe('next');
    expect(load(protectedMode(), MOV_SS_AX, 0)).toEqual(GP0);
  });

  it('takes null into SS in 64-bit mode below level 3 when the RPL is CPL', () => {
    expect(load(longMode(), MOV_SS_AX, 0)).toBe('next');
    expect(load(longMode(), MOV_SS_AX, 1)).toEqual(GP0);
    expect(load(longMode(3), MOV_SS_AX, 3)).toEqual(GP0);
  });

  it('clears the base of FS when it becomes null', () => {
    const cpu = longMode();
    cpu.state.setU64(at.segmentAddress(SEG.FS) + at.SEG_BASE, 0x1234n);
    load(cpu, MOV_FS_AX, 0);
    expect(cpu.state.segment(SEG.FS).base).toBe(0n);
  });

  it('MOV SS holds interrupts and debug traps off for one instruction, MOV DS does not', () => {
    const cpu = protectedMode();
    load(cpu, MOV_DS_AX, SEL.DATA);
    expect(cpu.state.u32(at.INTERRUPT_SHADOW)).toBe(0);
    load(cpu, MOV_SS_AX, SEL.DATA);
    expect(cpu.state.u32(at.INTERRUPT_SHADOW)).not.toBe(0);
    expect(inStackShadow(cpu.state)).toBe(true);
  });

  it('passes on a page fault met in the descriptor table', () => {
    const cpu = protectedMode();
    cpu.absentPages.add(1n);
    expect(load(cpu, MOV_DS_AX, SEL.DATA)).toMatchObject({ vector: 14, address: BigInt(GDT + SEL.DATA) });
  });
});

describe('other moves of segment registers', () => {
  it('MOV from a segment register fills a 32-bit register and 16 bits of memory', () => {
    const cpu = longMode();
    cpu.state.setReg(GPR.RAX, -1n);
    run(cpu, '8cd8'); // mov %ds,%eax
    expect(cpu.state.reg(GPR.RAX)).toBe(BigInt(SEL.DATA));
    cpu.poke(0x5000, 8, -1n & 0xffff_ffff_ffff_ffffn);
    run(cpu, '8c1c2500500000'); // mov %ds,0x5000
    expect(cpu.peek(0x5000, 8)).toBe(0xffff_ffff_ffff_0000n | BigInt(SEL.DATA));
  });

  it('a 32-bit PUSH writes only 16 bits of its slot', () => {
    const cpu = protectedMode();
    cpu.poke(STACK - 4, 4, 0xaaaa_bbbb);
    expect(run(cpu, '1e')).toBe('next');
    expect(cpu.peek(STACK - 4, 4)).toBe(0xaaaa_0000n | BigInt(SEL.DATA));
    expect(cpu.rsp).toBe(BigInt(STACK - 4));
  });

  it('POP in 64-bit mode moves the stack by eight', () => {
    const cpu = longMode();
    cpu.poke(STACK, 8, SEL.USER_DATA | 3);
    expect(run(cpu, '0fa1')).toBe('next');
    expect(cpu.selector(SEG.FS)).toBe(SEL.USER_DATA | 3);
    expect(cpu.rsp).toBe(BigInt(STACK + 8));
  });

  it('POP that faults leaves the stack pointer', () => {
    const cpu = protectedMode();
    cpu.poke(STACK, 4, SEL.BEYOND);
    const before = cpu.picture();
    expect(run(cpu, '1f')).toMatchObject({ vector: 13, error: SEL.BEYOND });
    expect(cpu.picture()).toBe(before);
  });

  it('LSS loads register and segment together', () => {
    const cpu = protectedMode();
    cpu.poke(0x5000, 4, 0x8000);
    cpu.poke(0x5004, 2, SEL.DATA);
    expect(run(cpu, '0fb22500500000')).toBe('next');
    expect(cpu.rsp).toBe(0x8000n);
  });

  it('LDS in real mode', () => {
    const cpu = realMode();
    cpu.poke(0x5000, 4, 0x2000_1234);
    expect(run(cpu, 'c5360050')).toBe('next'); // lds 0x5000,%si
    expect(cpu.state.reg(GPR.RSI)).toBe(0x1234n);
    expect(cpu.state.segment(SEG.DS).base).toBe(0x20000n);
  });
});

describe('segment limits', () => {
  const withDs = (selector: number, limit: number, attributes: number): FakeCpu => {
    const cpu = protectedMode();
    cpu.state.setSegment(SEG.DS, { selector, base: 0x1000n, limit, attributes });
    return cpu;
  };

  it('an access has to end inside', () => {
    const cpu = withDs(SEL.DATA, 0xfff, 0x4093);
    expect(linearAddress(cpu, SEG.DS, 0xffcn, 4, true)).toBe(0x1ffcn);
    expect(linearAddress(cpu, SEG.DS, 0xffdn, 4, true)).toEqual({ ...GP0, reason: 'segment-limit' });
  });

  it('expand-down segments are valid above their limit', () => {
    const cpu = withDs(SEL.EXPAND_DOWN, 0xfff, 0x4097);
    expect(linearAddress(cpu, SEG.DS, 0xfffn, 1, false)).toEqual({ ...GP0, reason: 'segment-limit' });
    expect(linearAddress(cpu, SEG.DS, 0x1000n, 4, false)).toBe(0x2000n);
  });

  it('read-only and execute-only segments', () => {
    expect(linearAddress(withDs(SEL.READ_ONLY, 0xfff, 0x4091), SEG.DS, 0n, 1, true)).toEqual({
      ...GP0,
      reason: 'segment-limit',
    });
    expect(linearAddress(withDs(SEL.EXECUTE_ONLY, 0xfff, 0x4099), SEG.DS, 0n, 1, false)).toEqual({
      ...GP0,
      reason: 'segment-limit',
    });
  });

  it('a null segment refuses everything', () => {
    expect(linearAddress(withDs(0, 0, 0), SEG.DS, 0n, 1, false)).toEqual({ ...GP0, reason: 'segment-limit' });
  });

  it('wraps at 4 GiB', () => {
    const cpu = withDs(SEL.DATA, 0xffff_ffff, 0xc093);
    expect(linearAddress(cpu, SEG.DS, 0xffff_f800n, 4, false)).toBe(0x800n);
  });

  it('64-bit mode has bases in FS and GS only, and #SS for the stack segment', () => {
    const cpu = longMode();
    cpu.state.setU64(at.segmentAddress(SEG.DS) + at.SEG_BASE, 0x1000n);
    cpu.state.setU64(at.segmentAddress(SEG.GS) + at.SEG_BASE, 0x1000n);
    expect(linearAddress(cpu, SEG.DS, 8n, 8, false)).toBe(8n);
    expect(linearAddress(cpu, SEG.GS, 8n, 8, false)).toBe(0x1008n);
    expect(linearAddress(cpu, SEG.SS, 1n << 47n, 8, false)).toMatchObject({ vector: 12, error: 0 });
    expect(linearAddress(cpu, SEG.DS, (1n << 47n) - 4n, 8, false)).toEqual({ ...GP0, reason: 'address-not-canonical' });
  });
});

describe('descriptor-table registers', () => {
  const TABLE = 0x5000;

  it('LGDT with a 16-bit operand takes 24 bits of base', () => {
    const cpu = realMode();
    cpu.poke(TABLE, 8, 0xaabb_ccdd_0027n);
    expect(run(cpu, '0f01160050')).toBe('next');
    expect(cpu.state.table(at.GDTR)).toEqual({ base: 0xbb_ccddn, limit: 0x27 });
    run(cpu, '660f01160050');
    expect(cpu.state.table(at.GDTR)).toEqual({ base: 0xaabb_ccddn, limit: 0x27 });
  });

  it('LIDT in 64-bit mode takes 64 bits, RIP-relative, wherever the decoder thought it was', () => {
    const cpu = longMode();
    const displacement = TABLE - (CODE + 7);
    cpu.poke(TABLE, 2, 0xfff);
    cpu.poke(TABLE + 2, 8, 0xffff_ffff_8000_0000n);
    const bytes = Buffer.alloc(4);
    bytes.writeInt32LE(displacement);
    expect(run(cpu, `0f011d${bytes.toString('hex')}`)).toBe('next');
    expect(cpu.state.table(at.IDTR)).toEqual({ base: 0xffff_ffff_8000_0000n, limit: 0xfff });
  });

  it('checks the base against the widest addresses of the processor', () => {
    const max = longMode();
    max.poke(TABLE + 2, 8, 1n << 50n);
    expect(run(max, '0f01142500500000')).toBe('next');
    const v1 = longMode(0, 'x86-64-v1');
    v1.poke(TABLE + 2, 8, 1n << 50n);
    expect(run(v1, '0f01142500500000')).toEqual(GP0);
  });

  it('LGDT is for level 0, SGDT for all unless UMIP is set', () => {
    const cpu = longMode(3);
    expect(run(cpu, '0f01142500500000')).toEqual(GP0);
    expect(run(cpu, '0f01042500500000')).toBe('next');
    expect(cpu.peek(TABLE + 2, 8)).toBe(BigInt(GDT));
    cpu.state.setU64(at.CR4, 0x820n);
    expect(run(cpu, '0f01042500500000')).toEqual(GP0);
  });

  it('LTR marks the TSS busy and reads 16 bytes in 64-bit mode', () => {
    const cpu = longMode();
    cpu.poke(GDT + SEL.TSS + 8, 8, 0xffff_ff80n);
    cpu.state.setReg(GPR.RAX, BigInt(SEL.TSS));
    expect(run(cpu, '0f00d8')).toBe('next');
    expect(cpu.state.segment(SEG.TR)).toMatchObject({ selector: SEL.TSS, base: 0xffff_ff80_0000_3000n });
    expect(cpu.peek(GDT + SEL.TSS + 5, 1)).toBe(0x8bn);
    expect(run(cpu, '0f00d8')).toMatchObject({ vector: 13, error: SEL.TSS });
  });

  it('LLDT takes null, and only LDTs', () => {
    const cpu = protectedMode();
    cpu.state.setReg(GPR.RAX, BigInt(SEL.LDT));
    expect(run(cpu, '0f00d0')).toBe('next');
    expect(cpu.state.segment(SEG.LDTR)).toMatchObject({ base: 0x4000n, limit: 0xff });
    cpu.state.setReg(GPR.RAX, BigInt(SEL.DATA));
    expect(run(cpu, '0f00d0')).toMatchObject({ vector: 13, error: SEL.DATA });
    cpu.state.setReg(GPR.RAX, 0n);
    expect(run(cpu, '0f00d0')).toBe('next');
  });

  it('LTR and LLDT do not exist in real mode', () => {
    expect(run(realMode(), '0f00d8')).toEqual(UD);
    expect(run(realMode(), '0f00d0')).toEqual(UD);
  });

  it('LSL and LAR tell limit and rights, and ZF whether they could', () => {
    const cpu = longMode();
    cpu.state.setReg(GPR.RAX, BigInt(SEL.TSS));
    expect(run(cpu, '0f03c8')).toBe('next'); // lsl %ax,%ecx
    expect(cpu.state.reg(GPR.RCX)).toBe(0x67n);
    expect(cpu.state.rflags & 0x40).toBe(0x40);
    cpu.state.setReg(GPR.RAX, BigInt(SEL.CODE64));
    run(cpu, '0f02c8'); // lar
    expect(cpu.state.reg(GPR.RCX)).toBe(0xaf9b00n);
    cpu.state.setReg(GPR.RAX, BigInt(SEL.BEYOND));
    run(cpu, '0f02c8');
    expect(cpu.state.rflags & 0x40).toBe(0);
    expect(cpu.state.reg(GPR.RCX)).toBe(0xaf9b00n);
  });

  it('VERW wants writable data, VERR anything readable', () => {
    const cpu = longMode();
    const zero = (hex: string, selector: number): boolean => {
      cpu.state.setReg(GPR.RAX, BigInt(selector));
      run(cpu, hex);
      return (cpu.state.rflags & 0x40) !== 0;
    };
    expect(zero('0f00e8', SEL.DATA)).toBe(true);
    expect(zero('0f00e8', SEL.READ_ONLY)).toBe(false);
    expect(zero('0f00e0', SEL.READ_ONLY)).toBe(true);
    expect(zero('0f00e0', SEL.EXECUTE_ONLY)).toBe(false);
  });
});
