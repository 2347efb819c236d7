// Fine points in which emulators often differ from the manual; each names its section.

import { describe, expect, it } from 'vitest';

import { dataHits } from '../../src/cpu/microcode/breakpoints.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { FLAGS, SEG } from '../../src/cpu/state/state.ts';
import { CR4_DE } from '../../src/x86/control.ts';
import { encodeGate, TYPE } from '../../src/x86/descriptors.ts';
import { MSR_LSTAR, MSR_STAR, msrSlot } from '../../src/x86/msr.ts';
import { GPR } from '../../src/x86/registers.ts';
import { fault, decode, type FakeCpu, GDT, GP0, longMode, protectedMode, run, SEL, STACK } from './support.ts';

const SPOT = 0x5000;
const MTRR_PHYSBASE0 = 0x200;
const MTRR_DEF_TYPE = 0x2ff;
/** INVPCID with its descriptor at SPOT. */
const INVPCID = '660f38820425 00500000';

const wrmsr = (cpu: FakeCpu, number: number, value: bigint): unknown => {
  cpu.state.setReg(GPR.RCX, BigInt(number));
  cpu.state.setReg(GPR.RAX, value & 0xffff_ffffn);
  cpu.state.setReg(GPR.RDX, value >> 32n);
  return run(cpu, '0f30');
};

describe('MSRs', () => {
  it('MTRR bases and the default type take the five memory types only (SDM 3A 12.11.2)', () => {
    for (const type of [0n, 1n, 4n, 5n, 6n]) {
      expect(wrmsr(longMode(), MTRR_PHYSBASE0, 0x10_0000n | type)).toBe('next');
      expect(wrmsr(longMode(), MTRR_DEF_TYPE, 0xc00n | type)).toBe('next');
    }
    for (const type of [2n, 3n, 7n, 8n, 0xffn]) {
      expect(wrmsr(longMode(), MTRR_PHYSBASE0, 0x10_0000n | type)).toEqual(GP0);
      expect(wrmsr(longMode(), MTRR_DEF_TYPE, 0xc00n | type)).toEqual(GP0);
    }
  });

  it('IA32_DEBUGCTL takes BTF and no branch records', () => {
    expect(wrmsr(longMode(), 0x1d9, 2n)).toBe('next');
    expect(wrmsr(longMode(), 0x1d9, 1n)).toEqual(GP0);
  });
});

describe('SYSCALL', () => {
  it('clears the RPL of CS and not of SS (SDM 2B SYSCALL)', () => {
    const cpu = longMode(3);
    cpu.state.setU64(at.msrAddress(msrSlot(MSR_STAR)), 0x0023_0013_0000_0000n);
    cpu.state.setU64(at.msrAddress(msrSlot(MSR_LSTAR)), 0x7000n);
    run(cpu, '0f05');
    expect(cpu.selector(SEG.CS)).toBe(0x10);
    expect(cpu.selector(SEG.SS)).toBe(0x1b);
  });
});

describe('INVPCID', () => {
  const withAddress = (model: string | undefined, address: bigint): FakeCpu => {
    const cpu = longMode(0, model);
    cpu.poke(SPOT, 8, 0n);
    cpu.poke(SPOT + 8, 8, address);
    return cpu;
  };

  it('checks its address against the widest of the processor, 57 bits with four levels too', () => {
    expect(run(withAddress('max', 1n << 50n), INVPCID)).toBe('next');
    expect(run(withAddress('max', 1n << 57n), INVPCID)).toEqual(GP0);
  });

  it('refuses reserved descriptor bits for every type, and a PCID without CR4.PCIDE for types 0 and 1', () => {
    for (const type of [0n, 1n, 2n, 3n]) {
      const cpu = withAddress('max', 0n);
      cpu.state.setReg(GPR.RAX, type);
      cpu.poke(SPOT, 8, 0x1000n);
      expect(run(cpu, INVPCID)).toEqual(GP0);
      cpu.poke(SPOT, 8, 1n);
      expect(run(cpu, INVPCID)).toEqual(type < 2n ? GP0 : 'next');
    }
  });
});

describe('far transfers', () => {
  it('IRET in IA-32e mode looks at NT before the stack (SDM 2A IRET)', () => {
    const cpu = longMode();
    cpu.state.rflags = FLAGS.NT | 2;
    cpu.state.setReg(GPR.RSP, 1n << 60n);
    expect(run(cpu, '48cf')).toEqual(GP0);
    cpu.state.rflags = 2;
    expect(run(cpu, '48cf')).toEqual(fault(12, 0));
  });

  it('IRET checks the stack segment of an outer level before the offset', () => {
    const cpu = longMode();
    const frame = [1n << 60n, SEL.USER_CODE64 | 3, 2, 0x1000, SEL.USER_DATA | 0];
    for (const [n, value] of frame.entries()) cpu.poke(STACK + 8 * n, 8, value);
    expect(run(cpu, '48cf')).toEqual(fault(13, SEL.USER_DATA));
    cpu.poke(STACK + 32, 8, SEL.USER_DATA | 3);
    expect(run(cpu, '48cf')).toEqual(GP0);
  });

  it('a 64-bit call gate has no type in its upper half (SDM 3A 5.8.3.1)', () => {
    const cpu = longMode();
    const [low = 0n, high = 0n] = encodeGate(
      { type: TYPE.CALL_GATE32, selector: SEL.CODE64, offset: 0x7000n, dpl: 0 },
      true,
    );
    cpu.poke(GDT + SEL.CALL_GATE, 8, low);
    // call *0x5000 (m16:32)
    cpu.poke(SPOT, 4, 0);
    cpu.poke(SPOT + 4, 2, SEL.CALL_GATE);
    cpu.poke(GDT + SEL.CALL_GATE + 8, 8, high | (1n << 40n));
    expect(run(cpu, 'ff1c25 00500000')).toEqual(fault(13, SEL.CALL_GATE));
    cpu.poke(GDT + SEL.CALL_GATE + 8, 8, high);
    expect(run(cpu, 'ff1c25 00500000')).toBe('transfer');
  });
});

describe('RFLAGS.RF', () => {
  const iretd = (cpu: FakeCpu): number => {
    for (const [n, value] of [0x7000, SEL.CODE32, FLAGS.RF | 2].entries()) cpu.poke(STACK + 4 * n, 4, value);
    run(cpu, 'cf');
    return cpu.state.rflags & FLAGS.RF;
  };

  it('is loaded by IRET where an instruction breakpoint could see it', () => {
    const cpu = protectedMode();
    cpu.state.setU64(at.DR0 + 8 * 7, 0x402n);
    expect(iretd(cpu)).toBe(FLAGS.RF);
    expect(iretd(protectedMode())).toBe(0);
  });
});

describe('port breakpoints', () => {
  /** Breakpoint 1 on two bytes from port 0x80 on. */
  const waiting = (cr4: bigint): FakeCpu => {
    const cpu = longMode();
    cpu.state.setU64(at.CR4, cpu.state.u64(at.CR4) | cr4);
    cpu.state.setU64(at.DR0 + 8, 0x80n);
    cpu.state.setU64(at.DR0 + 8 * 7, 0x60_0404n);
    return cpu;
  };
  const hits = (cpu: FakeCpu, hex: string): bigint => dataHits(cpu, decode(cpu, hex));

  it('wait for the ports they cover, by immediate and by DX (SDM 3B 18.2.4)', () => {
    const cpu = waiting(CR4_DE);
    expect(hits(cpu, 'e681')).toBe(2n);
    expect(hits(cpu, 'e482')).toBe(0n);
    cpu.state.setReg(GPR.RDX, 0x7en);
    expect(hits(cpu, '66ef')).toBe(0n);
    expect(hits(cpu, 'ef')).toBe(2n);
    expect(hits(cpu, '6e')).toBe(0n);
  });

  it('need CR4.DE', () => {
    expect(hits(waiting(0n), 'e680')).toBe(0n);
  });
});
