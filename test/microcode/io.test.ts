import { describe, expect, it } from 'vitest';
import { MAX_ITERATIONS } from '../../src/cpu/microcode/io.ts';
import { FLAGS } from '../../src/x86/flags.ts';
import { GPR } from '../../src/x86/registers.ts';
import { CODE, type FakeCpu, GP0, longMode, protectedMode, run, TSS } from './support.ts';
import { SEG } from '../../src/cpu/state/state.ts';

describe('IN and OUT', () => {
  it('IN AL keeps the rest of RAX, IN EAX clears the upper half', () => {
    const cpu = longMode();
    cpu.state.setReg(GPR.RAX, 0xffff_ffff_ffff_ffffn);
    cpu.portValue = 0x12;
    run(cpu, 'e460');
    expect(cpu.state.reg(GPR.RAX)).toBe(0xffff_ffff_ffff_ff12n);
    cpu.state.setReg(GPR.RDX, 0xcf8n);
    run(cpu, 'ed');
    expect(cpu.state.reg(GPR.RAX)).toBe(0x12n);
    expect(cpu.portLog).toEqual(['in 60/1', 'in cf8/4']);
  });

  it('OUT takes the port from DX or the instruction', () => {
    const cpu = longMode();
    cpu.state.setReg(GPR.RAX, 0x1234_5678n);
    cpu.state.setReg(GPR.RDX, 0xffff_03f8n);
    run(cpu, 'ee');
    run(cpu, '66e780');
    expect(cpu.portLog).toEqual(['out 3f8/1 78', 'out 80/2 5678']);
  });
});

describe('I/O permission', () => {
  const withMap = (bits: number): FakeCpu => {
    const cpu = longMode(3);
    cpu.state.setSegment(SEG.TR, { ...cpu.state.segment(SEG.TR), limit: 0x100 });
    cpu.poke(TSS + 0x66, 2, 0x68);
    cpu.poke(TSS + 0x68 + 0x60 / 8, 2, bits);
    return cpu;
  };

  it('IOPL 3 opens all ports to level 3', () => {
    const cpu = longMode(3);
    cpu.poke(TSS + 0x66, 2, 0x68);
    expect(run(cpu, 'e460')).toEqual(GP0);
    cpu.state.rflags = FLAGS.IOPL;
    expect(run(cpu, 'e460')).toBe('next');
  });

  it('a clear bit in the bitmap opens one port', () => {
    expect(run(withMap(0xfffe), 'e460')).toBe('next');
    expect(run(withMap(0xfffe), 'e461')).toEqual(GP0);
  });

  it('every bit of a wide access has to be clear', () => {
    expect(run(withMap(0xfff0), 'e560')).toBe('next');
    expect(run(withMap(0xfff8), 'e560')).toEqual(GP0);
  });

  it('a bitmap beyond the TSS limit closes everything', () => {
    const cpu = withMap(0);
    cpu.state.setSegment(SEG.TR, { ...cpu.state.segment(SEG.TR), limit: 0x67 });
    expect(run(cpu, 'e460')).toEqual(GP0);
  });
});

describe('INS and OUTS', () => {
  it('REP OUTSB writes RCX bytes and steps on', () => {
    const cpu = longMode();
    cpu.poke(0x5000, 4, 0x6463_6261);
    cpu.state.setReg(GPR.RSI, 0x5000n);
    cpu.state.setReg(GPR.RCX, 4n);
    cpu.state.setReg(GPR.RDX, 0xe9n);
    expect(run(cpu, 'f36e')).toBe('next');
    expect(cpu.portLog).toEqual(['out e9/1 61', 'out e9/1 62', 'out e9/1 63', 'out e9/1 64']);
    expect(cpu.state.reg(GPR.RSI)).toBe(0x5004n);
    expect(cpu.state.reg(GPR.RCX)).toBe(0n);
    expect(cpu.state.rip).toBe(BigInt(CODE + 2));
  });

  it('INSW goes down with DF set', () => {
    const cpu = protectedMode();
    cpu.state.rflags = FLAGS.DF;
    cpu.portValue = 0xabcd;
    cpu.state.setReg(GPR.RDI, 0x5002n);
    expect(run(cpu, '666d')).toBe('next');
    expect(cpu.peek(0x5002, 2)).toBe(0xabcdn);
    expect(cpu.state.reg(GPR.RDI)).toBe(0x5000n);
  });

  it('does at most so many iterations a call', () => {
    const cpu = longMode();
    cpu.state.setReg(GPR.RDI, 0x20000n);
    cpu.state.setReg(GPR.RCX, BigInt(MAX_ITERATIONS + 1));
    expect(run(cpu, 'f36c')).toBe('again');
    expect(cpu.state.reg(GPR.RCX)).toBe(1n);
    expect(cpu.state.rip).toBe(BigInt(CODE));
    expect(run(cpu, 'f36c')).toBe('next');
  });

  it('with a count of zero does nothing', () => {
    const cpu = longMode();
    expect(run(cpu, 'f36c')).toBe('next');
    expect(cpu.portLog).toEqual([]);
  });

  it('keeps finished iterations when one faults, then reports the fault without reading the port', () => {
    const cpu = longMode();
    cpu.absentPages.add(6n);
    cpu.state.setReg(GPR.RDI, 0x5fffn);
    cpu.state.setReg(GPR.RCX, 2n);
    expect(run(cpu, 'f36c')).toBe('again');
    expect(run(cpu, 'f36c')).toMatchObject({ vector: 14, error: 2, address: 0x6000n });
    expect(cpu.state.reg(GPR.RCX)).toBe(1n);
    expect(cpu.portLog).toHaveLength(1);
  });

  it('counts in ECX with 32-bit addresses', () => {
    const cpu = longMode();
    cpu.state.setReg(GPR.RCX, 0x1_0000_0001n);
    cpu.state.setReg(GPR.RDI, 0x5000n);
    expect(run(cpu, '67f36c')).toBe('next');
    expect(cpu.state.reg(GPR.RCX)).toBe(0n);
  });
});
