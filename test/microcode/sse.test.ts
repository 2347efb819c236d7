import { describe, expect, it } from 'vitest';
import { isFault } from '../../src/cpu/state/cpu.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { execute, isMicrocoded } from '../../src/cpu/microcode/execute.ts';
import { CR0_EM, CR0_TS, CR4_OSFXSR, CR4_OSXMMEXCPT, CR4_PAE } from '../../src/x86/control.ts';
import { FLAGS } from '../../src/x86/flags.ts';
import { GPR } from '../../src/x86/registers.ts';
import { CASES_EACH, casesOf, digestOf, SSE_INSTRUCTIONS, type SseCase } from './sseCases.ts';
import { SSE_DIGESTS } from './sseDigests.ts';
import { fault, decode, type FakeCpu, GP0, longMode, protectedMode, run, UD } from './support.ts';

const NM = fault(7);
const XM = fault(19);
const XMM = at.FXSTATE + 160;
const ONE = 0x3ff0_0000_0000_0000n;
const THREE = 0x4008_0000_0000_0000n;
const STATUS = FLAGS.CF | FLAGS.PF | FLAGS.AF | FLAGS.ZF | FLAGS.SF | FLAGS.OF;
const DIVSD = 'f20f5ec1';

const sse = (mxcsr = 0x1f80): FakeCpu => {
  const cpu = longMode();
  cpu.state.setU64(at.CR4, CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT);
  cpu.state.setU32(at.MXCSR, mxcsr);
  return cpu;
};
const setXmm = (cpu: FakeCpu, index: number, value: bigint): void => {
  cpu.state.setU64(XMM + 16 * index, value);
  cpu.state.setU64(XMM + 16 * index + 8, value >> 64n);
};
const xmm = (cpu: FakeCpu, index: number): bigint =>
  cpu.state.u64(XMM + 16 * index) | (cpu.state.u64(XMM + 16 * index + 8) << 64n);
const mxcsr = (cpu: FakeCpu): number => cpu.state.u32(at.MXCSR);

const outcomeOf = (cpu: FakeCpu, name: string, insn: ReturnType<typeof decode>, given: SseCase): bigint[] => {
  setXmm(cpu, 0, given.a);
  setXmm(cpu, 1, given.b);
  cpu.state.setReg(GPR.RAX, given.rax);
  cpu.state.setU32(at.MXCSR, given.mxcsr);
  const trapped = isFault(execute(cpu, insn));
  const words = [cpu.state.u64(XMM), cpu.state.u64(XMM + 8), cpu.state.reg(GPR.RAX), BigInt(mxcsr(cpu))];
  words.push(trapped ? 1n : 0n);
  if (name.includes('comis') && !trapped) words.push(BigInt(cpu.state.rflags & STATUS));
  return words;
};

describe('SSE and SSE2 arithmetic as a processor does it', () => {
  const cpu = sse();
  it.each(SSE_INSTRUCTIONS)('%s', (name, bytes) => {
    const insn = decode(cpu, bytes);
    const cases = [...casesOf(name, CASES_EACH, false), ...casesOf(name, CASES_EACH, true)];
    expect(digestOf(cases.flatMap((given) => outcomeOf(cpu, name, insn, given)))).toBe(SSE_DIGESTS[name]);
  });
});

describe('SSE exceptions', () => {
  it('divides by zero to infinity while masked, with the flag', () => {
    const cpu = sse();
    setXmm(cpu, 0, ONE);
    setXmm(cpu, 1, 0n);
    expect(run(cpu, DIVSD)).toBe('next');
    expect(xmm(cpu, 0)).toBe(0x7ff0_0000_0000_0000n);
    expect(mxcsr(cpu)).toBe(0x1f84);
  });

  it('raises #XM once unmasked, changing only MXCSR; #UD where the system did not ask for it', () => {
    for (const [cr4, expected] of [
      [CR4_OSXMMEXCPT, XM],
      [0n, UD],
    ] as const) {
      const cpu = sse(0x1d80);
      cpu.state.setU64(at.CR4, CR4_PAE | CR4_OSFXSR | cr4);
      setXmm(cpu, 0, ONE);
      setXmm(cpu, 1, 0n);
      const rip = cpu.state.rip;
      expect(run(cpu, DIVSD)).toEqual(expected);
      expect([xmm(cpu, 0), mxcsr(cpu), cpu.state.rip]).toEqual([ONE, 0x1d84, rip]);
    }
  });

  it('an unmasked exception in one element hides inexactness in the other', () => {
    const cpu = sse(0x1d80);
    setXmm(cpu, 0, ONE | (ONE << 64n));
    setXmm(cpu, 1, THREE);
    expect(run(cpu, '660f5ec1')).toEqual(XM);
    expect(mxcsr(cpu)).toBe(0x1d84);
  });

  it('a flag that is set already does not raise', () => {
    const cpu = sse(0x1d84);
    setXmm(cpu, 0, ONE);
    setXmm(cpu, 1, ONE);
    expect(run(cpu, DIVSD)).toBe('next');
  });
});

describe('SSE denied', () => {
  it('is #NM with TS, #UD with EM or without OSFXSR', () => {
    const cpu = sse();
    cpu.state.setU64(at.CR0, cpu.state.u64(at.CR0) | CR0_TS);
    expect(run(cpu, DIVSD)).toEqual(NM);
    cpu.state.setU64(at.CR0, cpu.state.u64(at.CR0) | CR0_EM);
    expect(run(cpu, DIVSD)).toEqual(UD);
    const old = sse();
    old.state.setU64(at.CR4, CR4_PAE);
    expect(run(old, 'f20f2cc1')).toEqual(UD);
    expect(run(old, '0f2ec1')).toEqual(UD);
    expect(run(old, 'f20f2ac0')).toEqual(UD);
  });

  it('leaves the string instruction of the same name to the engine', () => {
    const cpu = sse();
    expect(isMicrocoded(decode(cpu, 'f20fc2c100'))).toBe(true);
    expect(isMicrocoded(decode(cpu, 'a7'))).toBe(false);
  });
});

describe('SSE memory operands', () => {
  const ADDPD = '660f580425'; // addpd disp32, xmm0
  const ADDSD = 'f20f580425';

  it('16 bytes have to be aligned, an element need not be', () => {
    const cpu = sse();
    cpu.poke(0x5008, 8, ONE);
    setXmm(cpu, 0, ONE | (THREE << 64n));
    expect(run(cpu, `${ADDPD}08500000`)).toEqual(GP0);
    expect(run(cpu, `${ADDSD}08500000`)).toBe('next');
    expect(xmm(cpu, 0)).toBe(0x4000_0000_0000_0000n | (THREE << 64n));
    expect(run(cpu, `${ADDPD}00500000`)).toBe('next');
    expect(xmm(cpu, 0) >> 64n).toBe(0x4010_0000_0000_0000n);
  });

  it('CVTPS2PD and CVTDQ2PD read 8 bytes, wherever they are', () => {
    const cpu = sse();
    cpu.poke(0x5004, 8, 0xffff_ffff_0000_0003n);
    expect(run(cpu, 'f30fe6042504500000')).toBe('next');
    expect(xmm(cpu, 0)).toBe(THREE | (0xbff0_0000_0000_0000n << 64n));
    cpu.poke(0x5004, 8, 0x4040_0000_3f80_0000n);
    expect(run(cpu, '0f5a042504500000')).toBe('next');
    expect(xmm(cpu, 0)).toBe(ONE | (THREE << 64n));
  });

  it('CVTSI2SD reads 4 bytes, or 8 with REX.W', () => {
    const cpu = sse();
    cpu.poke(0x5000, 8, 0x1_ffff_ffffn);
    run(cpu, 'f20f2a042500500000');
    expect(xmm(cpu, 0)).toBe(0xbff0_0000_0000_0000n);
    run(cpu, 'f2480f2a042500500000');
    expect(xmm(cpu, 0)).toBe(0x41ff_ffff_fff0_0000n);
  });

  it('a page fault changes nothing', () => {
    const cpu = sse();
    cpu.absentPages.add(5n);
    setXmm(cpu, 0, ONE);
    const before = cpu.picture();
    expect(run(cpu, `${ADDPD}00500000`)).toEqual(fault(14, 0, 0x5000n));
    expect(cpu.picture()).toBe(before);
  });

  it('obeys segment limits outside 64-bit mode', () => {
    const cpu = protectedMode();
    cpu.state.setU64(at.CR4, CR4_OSFXSR);
    expect(run(cpu, '660f5805f8ffffff')).toEqual(GP0);
  });
});

describe('SSE destinations', () => {
  it('CVTTSD2SI to 32 bits clears the upper half', () => {
    const cpu = sse();
    setXmm(cpu, 1, 0xbff8_0000_0000_0000n);
    cpu.state.setReg(GPR.RAX, 0xffff_ffff_ffff_ffffn);
    run(cpu, 'f20f2cc1');
    expect(cpu.state.reg(GPR.RAX)).toBe(0xffff_ffffn);
    run(cpu, 'f2480f2cc1');
    expect(cpu.state.reg(GPR.RAX)).toBe(0xffff_ffff_ffff_ffffn);
  });

  it('reaches XMM15', () => {
    const cpu = sse();
    setXmm(cpu, 15, ONE);
    setXmm(cpu, 9, THREE);
    run(cpu, 'f2450f58f9');
    expect(xmm(cpu, 15)).toBe(0x4010_0000_0000_0000n);
  });
});
