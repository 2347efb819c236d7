import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';

import * as at from '../../src/cpu/state/layout.ts';
import * as regs from '../../src/cpu/microcode/x87/registers.ts';
import { CR0_NE, CR0_TS, CR4_OSFXSR, CR4_PAE } from '../../src/x86/control.ts';
import { GPR } from '../../src/x86/registers.ts';
import { fault, type FakeCpu, longMode, protectedMode, realMode, run } from './support.ts';

const AREA = 0x5000;
const ONE = 0x3fff_8000_0000_0000_0000n;
const TWO = 0x4000_8000_0000_0000_0000n;
const THREE = 0x4000_c000_0000_0000_0000n;
const INDEFINITE = 0xffff_c000_0000_0000_0000n;

/** 64-bit mode, FPU as after FNINIT, RDI at the operand. */
const fpu = (control = 0x37f): FakeCpu => {
  const cpu = longMode();
  cpu.state.setU64(at.CR4, CR4_PAE | CR4_OSFXSR);
  cpu.state.setU64(at.CR0, cpu.state.u64(at.CR0) | CR0_NE);
  cpu.state.setReg(GPR.RDI, BigInt(AREA));
  regs.initialise(cpu.state);
  regs.setControlWord(cpu.state, control);
  return cpu;
};
const status = (cpu: FakeCpu): number => regs.statusWord(cpu.state);
const st = (cpu: FakeCpu, n: number): bigint => regs.st(cpu.state, n);
const hex = (value: bigint | number): string => value.toString(16);

const FLD1 = 'd9e8';
const FLDZ = 'd9ee';
const FADDP = 'dec1';
const FDIVP = 'def9';
const MF = fault(16);

// Each line: name, instruction (operand at [rdi]), FCW, FSW, abridged tags, ST(0), ST(1), operand, RFLAGS; then FSW, tag
// word, ST(0), ST(1), ST(7), operand and arithmetic flags as a processor left them (AMD, family 25 model 17), recorded
// with FRSTOR, the instruction, PUSHF and FNSAVE. ST(n) from 2 to 7 holds 2 + n/64 beforehand.
const LINES = JSON.parse(readFileSync(new URL('x87-silicon.json', import.meta.url), 'utf8')) as string[];
const ARITHMETIC_FLAGS = 0x8d5;

const bytesOf = (text: string): number[] =>
  text === '0' ? [] : (text.match(/../g) ?? []).map((x) => Number(`0x${x}`));

const replay = (line: string): { seen: string; recorded: string } => {
  const [before = '', after = ''] = line.split(' -> ');
  const [, insn = '', fcw, fsw, tags, st0, st1, operand = '0', rflags] = before.split(' ');
  const cpu = fpu(Number(`0x${fcw}`));
  const { state } = cpu;
  (cpu.model.features as Set<string>).add('SSE3');
  const word = Number(`0x${fsw}`);
  regs.rotate(state, word >> 11);
  regs.setStatusWord(state, word);
  regs.setTags(state, Number(`0x${tags}`));
  for (let n = 2; n < 8; n++) regs.setStored(state, n, (0x4000n << 64n) | (1n << 63n) | (BigInt(n) << 56n));
  regs.setStored(state, 0, BigInt(`0x${st0}`));
  regs.setStored(state, 1, BigInt(`0x${st1}`));
  for (const [n, byte] of bytesOf(operand).entries()) cpu.poke(AREA + n, 1, byte);
  state.rflags = Number(`0x${rflags}`);
  expect(run(cpu, insn)).toBe('next');
  const stored = Array.from({ length: 10 }, (_, n) => hex(cpu.peek(AREA + n, 1)).padStart(2, '0'));
  const memory = stored.join('').replace(/(00)+$/, '') || '0';
  const flags = state.rflags & ARITHMETIC_FLAGS;
  const seen = [status(cpu), regs.fullTags(state), st(cpu, 0), st(cpu, 1), st(cpu, 7)].map(hex);
  return { seen: [...seen, memory, hex(flags)].join(' '), recorded: after };
};

describe('x87 as recorded from a processor', () => {
  const names = [...new Set(LINES.map((line) => line.slice(0, line.indexOf(' '))))];
  it('has lines for every instruction that is not transcendental', () => {
    expect(names.length).toBeGreaterThan(60);
  });
  it.each(names)('%s', (name) => {
    for (const line of LINES.filter((one) => one.startsWith(`${name} `))) {
      const { seen, recorded } = replay(line);
      expect({ line, seen }).toEqual({ line, seen: recorded });
    }
  });
});

describe('the register stack', () => {
  it('pushes downwards from TOP 0 and tags the physical register', () => {
    const cpu = fpu();
    run(cpu, FLD1);
    run(cpu, FLDZ);
    expect(regs.top(cpu.state)).toBe(6);
    expect(regs.tags(cpu.state)).toBe(0xc0);
    expect(regs.fullTags(cpu.state)).toBe(0x1fff);
    expect([st(cpu, 0), st(cpu, 1)]).toEqual([0n, ONE]);
  });

  it('overflows at the ninth push: the indefinite, C1 set', () => {
    const cpu = fpu();
    for (let n = 0; n < 9; n++) run(cpu, FLD1);
    expect(status(cpu) & 0x27f).toBe(0x241);
    expect(st(cpu, 0)).toBe(INDEFINITE);
  });

  it('underflows when empty: the indefinite, C1 clear', () => {
    const cpu = fpu();
    run(cpu, 'd9fa');
    expect(status(cpu) & 0x27f).toBe(0x41);
    expect(st(cpu, 0)).toBe(INDEFINITE);
  });

  it('gives MMX instructions TOP 0, all registers, and ones above the 64 bits', () => {
    const cpu = fpu();
    run(cpu, FLD1);
    regs.enterMmx(cpu.state);
    regs.setMmx(cpu.state, 3, 5n);
    expect([regs.top(cpu.state), regs.tags(cpu.state)]).toEqual([0, 0xff]);
    expect(st(cpu, 3)).toBe((0xffffn << 64n) | 5n);
    expect(st(cpu, 7)).toBe(ONE);
  });
});

describe('exceptions', () => {
  it('unmasked division by zero changes nothing and waits for the next instruction', () => {
    const cpu = fpu(0x37b);
    run(cpu, FLD1);
    run(cpu, FLDZ);
    expect(run(cpu, FDIVP)).toBe('next');
    expect(status(cpu) & 0x80ff).toBe(0x8084);
    expect([st(cpu, 0), st(cpu, 1)]).toEqual([0n, ONE]);
    const before = cpu.picture();
    expect(run(cpu, FLD1)).toEqual(MF);
    expect(run(cpu, '9b')).toEqual(MF);
    expect(cpu.picture()).toBe(before);
    expect(run(cpu, 'dfe0')).toBe('next'); // FNSTSW does not wait
  });

  it('notes the opcode of the instruction that raised one unmasked, and where it and its operand are', () => {
    const cpu = fpu(0x37b);
    const code = [0xd8, 0x37]; // fdiv dword ptr [rdi]
    for (const [n, byte] of code.entries()) cpu.poke(0x6002 + n, 1, byte);
    run(cpu, FLD1);
    run(cpu, 'd837');
    expect(regs.lastOpcode(cpu.state)).toBe(0x037);
    expect(regs.instructionPointer(cpu.state)).toBe(0x6002n);
    expect(regs.dataPointer(cpu.state)).toBe(BigInt(AREA));
  });

  it('reports through IRQ 13 what CR0.NE clear asks for as missing', () => {
    const cpu = fpu(0x37b);
    cpu.state.setU64(at.CR0, cpu.state.u64(at.CR0) & ~CR0_NE);
    run(cpu, FLD1);
    run(cpu, FLDZ);
    run(cpu, FDIVP);
    run(cpu, FLD1);
    expect(cpu.missing).toHaveLength(1);
  });

  it('raises #NM with CR0.TS before anything else', () => {
    const cpu = fpu();
    cpu.state.setU64(at.CR0, cpu.state.u64(at.CR0) | CR0_TS);
    for (const insn of [FLD1, FADDP, 'd937', 'd9fe', 'dbe9']) expect(run(cpu, insn)).toEqual(fault(7));
  });

  it('leaves all as it was when the operand is missing', () => {
    const cpu = fpu();
    run(cpu, FLD1);
    cpu.absentPages.add(6n);
    cpu.state.setReg(GPR.RDI, 0x5ffan);
    const before = cpu.picture();
    // fld m80, fstp m80, fadd m64, fistp m64, fnsave, fbstp
    for (const insn of ['db2f', 'db3f', 'dc07', 'df3f', 'dd37', 'df37']) {
      expect(run(cpu, insn)).toMatchObject({ vector: 14 });
      expect(cpu.picture()).toBe(before);
    }
    expect(cpu.peek(0x5ffa, 4)).toBe(0n);
  });
});

describe('precision and rounding control', () => {
  const THIRD: readonly (readonly [control: number, third: bigint])[] = [
    [0x37f, 0x3ffd_aaaa_aaaa_aaaa_aaabn],
    [0x77f, 0x3ffd_aaaa_aaaa_aaaa_aaaan],
    [0xb7f, 0x3ffd_aaaa_aaaa_aaaa_aaabn],
    [0xf7f, 0x3ffd_aaaa_aaaa_aaaa_aaaan],
    [0x27f, 0x3ffd_aaaa_aaaa_aaaa_a800n],
    [0x07f, 0x3ffd_aaaa_ab00_0000_0000n],
  ];
  it.each(THIRD)('1/3 with FCW %i', (control, third) => {
    const cpu = fpu(control);
    run(cpu, FLD1);
    regs.push(cpu.state, THREE);
    run(cpu, FDIVP);
    expect(st(cpu, 0)).toBe(third);
  });
});

describe('transcendental functions', () => {
  // Correctly rounded results; processors may be off by one unit of the last place.
  const CASES: readonly (readonly [name: string, insn: string, st0: bigint, st1: bigint, result: bigint])[] = [
    ['sin 1', 'd9fe', ONE, 0n, 0x3ffe_d76a_a478_4867_7021n],
    ['cos 1', 'd9ff', ONE, 0n, 0x3ffe_8a51_407d_a834_5c92n],
    ['2^0.5 - 1', 'd9f0', 0x3ffe_8000_0000_0000_0000n, 0n, 0x3ffd_d413_cccf_e779_9211n],
    ['2^1 - 1', 'd9f0', ONE, 0n, ONE],
    ['1 * log2 8', 'd9f1', 0x4002_8000_0000_0000_0000n, ONE, THREE],
    ['1 * log2 10', 'd9f1', 0x4002_a000_0000_0000_0000n, ONE, 0x4000_d49a_784b_cd1b_8afen],
    ['1 * log2(0 + 1)', 'd9f9', 0n, ONE, 0n],
    ['1 * log2(0.25 + 1)', 'd9f9', 0x3ffd_8000_0000_0000_0000n, ONE, 0x3ffd_a4d3_c25e_68dc_57f2n],
    ['atan 1', 'd9f3', ONE, ONE, 0x3ffe_c90f_daa2_2168_c235n],
    ['atan of 1 over infinity', 'd9f3', 0x7fff_8000_0000_0000_0000n, ONE, 0n],
  ];
  it.each(CASES)('%s', (_, insn, st0, st1, result) => {
    const cpu = fpu();
    regs.push(cpu.state, st1);
    regs.push(cpu.state, st0);
    expect(run(cpu, insn)).toBe('next');
    expect(hex(st(cpu, 0))).toBe(hex(result));
  });

  it('reduces angles by a pi of 66 bits', () => {
    const cpu = fpu();
    run(cpu, 'd9eb'); // fldpi
    run(cpu, 'd9fe');
    // 0xc90fdaa22168c234c - 0xc90fdaa22168c2350 = -4, in units of 2^-66
    expect(hex(st(cpu, 0))).toBe('bfbf8000000000000000');
  });

  it('FPTAN and FSINCOS push, and leave angles from 2^63 on alone', () => {
    const cpu = fpu();
    run(cpu, FLDZ);
    run(cpu, 'd9f2');
    expect([st(cpu, 0), st(cpu, 1)]).toEqual([ONE, 0n]);
    regs.push(cpu.state, 0x403e_8000_0000_0000_0000n);
    run(cpu, 'd9fb');
    expect(status(cpu) & 0x400).toBe(0x400);
    expect(st(cpu, 0)).toBe(0x403e_8000_0000_0000_0000n);
  });
});

describe('environment and state in memory', () => {
  const loaded = (cpu: FakeCpu): FakeCpu => {
    cpu.state.setReg(GPR.RDI, BigInt(AREA));
    regs.initialise(cpu.state);
    run(cpu, FLD1);
    regs.push(cpu.state, TWO);
    regs.setInstructionPointer(cpu.state, 0x1234_5678n);
    regs.setDataPointer(cpu.state, 0x9abc_def0n);
    regs.setLastOpcode(cpu.state, 0x5c1);
    return cpu;
  };
  const dump = (cpu: FakeCpu, words: number, bytes: 2 | 4): string =>
    Array.from({ length: words }, (_, n) => hex(cpu.peek(AREA + bytes * n, bytes))).join(' ');

  it('FNSTENV has 28 bytes in 32- and 64-bit code, and masks all exceptions', () => {
    const cpu = loaded(fpu(0x340));
    run(cpu, 'd937');
    expect(dump(cpu, 7, 4)).toBe('ffff037f ffff3000 ffff0fff 12345678 5c10000 9abcdef0 ffff0000');
    regs.setControlWord(cpu.state, 0x340);
    run(cpu, 'd937');
    expect(regs.controlWord(cpu.state)).toBe(0x37f);
  });

  it('FNSTENV has 14 bytes with the operand size 16', () => {
    const cpu = loaded(fpu());
    run(cpu, '66d937');
    expect(dump(cpu, 7, 2)).toBe('37f 3000 fff 5678 0 def0 0');
  });

  it('FNSTENV in real mode has the opcode beside the high bits of the addresses', () => {
    const cpu = loaded(realMode());
    cpu.state.setReg(GPR.RBX, BigInt(AREA));
    run(cpu, 'd937'); // fnstenv [bx]
    expect(dump(cpu, 7, 2)).toBe('37f 3000 fff 5678 45c1 def0 c000');
    run(cpu, '66d937');
    expect(dump(cpu, 7, 4)).toBe('ffff037f ffff3000 ffff0fff ffff5678 12345c1 ffffdef0 9abc000');
  });

  it.each(['dd37 dd27', '66dd37 66dd27', 'd937 d927'])('%s goes round', (pair) => {
    const cpu = loaded(protectedMode());
    const [save = '', load = ''] = pair.split(' ');
    regs.setInstructionPointer(cpu.state, 0x5678n);
    regs.setDataPointer(cpu.state, 0xdef0n);
    regs.setLastOpcode(cpu.state, 0);
    const before = cpu.picture();
    const rip = cpu.state.rip;
    run(cpu, save);
    run(cpu, load);
    cpu.state.rip = rip;
    expect(cpu.picture()).toBe(before);
  });

  it('FNSAVE leaves the FPU as FNINIT does', () => {
    const cpu = loaded(fpu(0x77f));
    run(cpu, 'dd37');
    expect([regs.controlWord(cpu.state), status(cpu), regs.tags(cpu.state)]).toEqual([0x37f, 0, 0]);
    expect(cpu.peek(AREA + 28, 8)).toBe(TWO & 0xffff_ffff_ffff_ffffn);
  });

  it('FXSAVE has 32 bits of the pointers, FXSAVE64 all', () => {
    const cpu = loaded(fpu());
    regs.setInstructionPointer(cpu.state, 0xffff_8000_1234_5678n);
    run(cpu, '0fae07');
    expect(cpu.peek(AREA + 8, 8)).toBe(0x1234_5678n);
    run(cpu, '480fae07');
    expect(cpu.peek(AREA + 8, 8)).toBe(0xffff_8000_1234_5678n);
  });

  it('FXRSTOR takes no reserved bits, and finds out itself what is pending', () => {
    const cpu = fpu();
    cpu.poke(AREA, 8, 0xffff_ffff_0081_ff7fn);
    cpu.poke(AREA + 40, 8, -1n & 0xffff_ffff_ffff_ffffn);
    expect(run(cpu, '0fae0f')).toBe('next');
    expect(hex(cpu.state.u64(at.FXSTATE))).toBe('7ff00ff00011f7f');
    expect(cpu.state.u64(at.FXSTATE + 40)).toBe(0xffffn);
  });
});

describe('FYL2XP1', () => {
  it('ends at once for an argument just above -1, where its series would not', () => {
    const cpu = fpu();
    regs.push(cpu.state, ONE);
    regs.push(cpu.state, 0xbffe_ffff_ffff_ffff_ffffn);
    expect(run(cpu, 'd9f9')).toBe('next');
    // log2 of 2^-64
    expect(hex(st(cpu, 0))).toBe('c0058000000000000000');
  });
});
