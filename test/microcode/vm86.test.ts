// Virtual-8086 mode: into it by IRET, what programs may do there, and out of it by interrupts (SDM 3A 21.2, 21.3).

import { describe, expect, it } from 'vitest';
import { deliver } from '../../src/cpu/microcode/gates.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import { TYPE } from '../../src/x86/descriptors.ts';
import { FLAGS } from '../../src/x86/flags.ts';
import { GPR } from '../../src/x86/registers.ts';
import {
  type FakeCpu,
  GP0,
  HANDLER,
  INNER_STACK,
  protectedMode,
  run,
  SEL,
  setGate,
  STACK,
  TSS,
  UD,
} from './support.ts';

const IOPL3 = FLAGS.IOPL;
/** EIP, CS, EFLAGS, ESP, SS, ES, DS, FS, GS: what IRET finds. */
const frame = (flags: number, eip = 0x100): number[] => [
  ...[eip, 0x1000, flags],
  ...[0x1234, 0x0800, 0x0900, 0x0a00, 0x0b00, 0x0c00],
];

const pushed = (cpu: FakeCpu, words: readonly number[]): FakeCpu => {
  for (const [n, value] of words.entries()) cpu.poke(STACK + 4 * n, 4, value);
  return cpu;
};

/** A program in virtual-8086 mode at 1000:0100, its stack at 0800:1234. */
const vm86 = (flags = 0): FakeCpu => {
  const cpu = pushed(protectedMode(), frame(FLAGS.VM | flags | 2));
  expect(run(cpu, 'cf')).toBe('transfer');
  return cpu;
};

describe('IRET to virtual-8086 mode', () => {
  it('loads every segment register with an 8086 address, at level 3', () => {
    const cpu = vm86(IOPL3);
    expect(cpu.state.cpl).toBe(3);
    expect(cpu.state.rip).toBe(0x100n);
    expect(cpu.rsp).toBe(0x1234n);
    expect([SEG.SS, SEG.ES, SEG.DS, SEG.FS, SEG.GS].map((index) => cpu.selector(index))).toEqual([
      0x0800, 0x0900, 0x0a00, 0x0b00, 0x0c00,
    ]);
    expect(cpu.state.segment(SEG.CS)).toEqual({ selector: 0x1000, base: 0x10000n, limit: 0xffff, attributes: 0xf3 });
    expect(cpu.state.rflags).toBe(FLAGS.VM | IOPL3 | 2);
  });

  it('refuses an instruction pointer beyond 64 KiB', () => {
    expect(run(pushed(protectedMode(), frame(FLAGS.VM, 0x10000)), 'cf')).toEqual(GP0);
  });

  it('needs all nine doublewords', () => {
    const cpu = pushed(protectedMode(), frame(FLAGS.VM));
    cpu.state.setSegment(SEG.SS, { ...cpu.state.segment(SEG.SS), limit: STACK + 9 * 4 - 2 });
    expect(run(cpu, 'cf')).toMatchObject({ vector: 12, error: 0 });
  });

  it('is for level 0 and the 32-bit form only: VM stays as it is otherwise', () => {
    const user = pushed(protectedMode(3), [0x100, SEL.USER_CODE32 | 3, FLAGS.VM]);
    expect(run(user, 'cf')).toBe('transfer');
    expect(user.state.rflags & FLAGS.VM).toBe(0);
  });
});

describe('in virtual-8086 mode', () => {
  it.each([
    ['CLI', 'fa'],
    ['STI', 'fb'],
    ['PUSHF', '9c'],
    ['POPF', '9d'],
    ['INT n', 'cd40'],
    ['IRET', 'cf'],
    ['IRETD', '66cf'],
  ])('%s is #GP(0) below IOPL 3', (_name, hex) => {
    const cpu = vm86();
    setGate(cpu, 0x40, { dpl: 3 });
    expect(run(cpu, hex)).toEqual(GP0);
  });

  it.each([
    ['HLT', 'f4'],
    ['LGDT', '0f0116 0000'],
    ['MOV to CR0', '0f22c0'],
    ['MOV from CR0', '0f20c0'],
    ['CLTS', '0f06'],
    ['RDMSR', '0f32'],
    ['SYSEXIT', '0f35'],
  ])('%s is #GP(0) whatever IOPL is', (_name, hex) => {
    expect(run(vm86(IOPL3), hex)).toEqual(GP0);
  });

  it.each([
    ['SLDT', '0f00c0'],
    ['STR', '0f00c8'],
    ['LLDT', '0f00d0'],
    ['LTR', '0f00d8'],
    ['VERR', '0f00e0'],
    ['LAR', '0f02c0'],
    ['LSL', '0f03c0'],
    ['ARPL', '63c0'],
  ])('%s does not exist', (_name, hex) => {
    expect(run(vm86(IOPL3), hex)).toEqual(UD);
  });

  it('IRET takes CS:IP and the flags, but IOPL and VM', () => {
    const cpu = vm86(IOPL3);
    for (const [n, value] of [0x200, 0x2000, FLAGS.CF | FLAGS.IF].entries())
      cpu.poke(0x8000 + 0x1234 + 2 * n, 2, value);
    expect(run(cpu, 'cf')).toBe('transfer');
    expect(cpu.state.rip).toBe(0x200n);
    expect(cpu.state.segment(SEG.CS)).toMatchObject({ selector: 0x2000, base: 0x20000n, attributes: 0xf3 });
    expect(cpu.state.rflags).toBe(FLAGS.VM | IOPL3 | FLAGS.CF | FLAGS.IF | 2);
  });

  it('POPF takes IF and not IOPL, and PUSHF shows no VM', () => {
    const cpu = vm86(IOPL3);
    cpu.poke(0x8000 + 0x1234, 2, FLAGS.IF);
    expect(run(cpu, '9d')).toBe('next');
    expect(cpu.state.rflags).toBe(FLAGS.VM | IOPL3 | FLAGS.IF | 2);
    run(cpu, '669c');
    expect(cpu.peek(0x8000 + 0x1232, 4)).toBe(BigInt(IOPL3 | FLAGS.IF | 2));
  });

  it('loads of segment registers and far transfers make 8086 addresses', () => {
    const cpu = vm86();
    cpu.state.setReg(GPR.RAX, 0x3456n);
    run(cpu, '8ed8');
    expect(cpu.state.segment(SEG.DS)).toEqual({ selector: 0x3456, base: 0x34560n, limit: 0xffff, attributes: 0xf3 });
    expect(run(cpu, 'ea34127856')).toBe('transfer');
    expect(cpu.state.segment(SEG.CS)).toEqual({ selector: 0x5678, base: 0x56780n, limit: 0xffff, attributes: 0xf3 });
    expect(run(cpu, '66ea00000100 0010')).toEqual(GP0);
  });

  it('ports are for the bitmap to allow, IOPL 3 or not', () => {
    const cpu = vm86(IOPL3);
    cpu.poke(TSS + 0x66, 2, 0x68);
    expect(run(cpu, 'e480')).toEqual(GP0);
    cpu.state.setSegment(SEG.TR, { ...cpu.state.segment(SEG.TR), limit: 0x168 });
    expect(run(cpu, 'e480')).toBe('next');
    cpu.poke(TSS + 0x68 + 0x10, 1, 1);
    expect(run(cpu, 'e480')).toEqual(GP0);
  });
});

describe('an interrupt out of virtual-8086 mode', () => {
  const stackWords = (count: number, bytes: 2 | 4 = 4): bigint[] =>
    Array.from({ length: count }, (_, n) => cpuPeek(INNER_STACK - bytes * (n + 1), bytes));
  let cpuPeek: FakeCpu['peek'] = () => 0n;

  it('saves the data segments above SS:ESP and leaves them null', () => {
    const cpu = vm86(IOPL3 | FLAGS.IF);
    cpuPeek = (place, bytes) => cpu.peek(place, bytes);
    setGate(cpu, 0x20);
    expect(deliver(cpu, { vector: 0x20, source: 'external', returnRip: 0x100n })).toEqual({ kind: 'delivered' });
    expect(stackWords(9)).toEqual(
      [0x0c00, 0x0b00, 0x0a00, 0x0900, 0x0800, 0x1234, FLAGS.VM | IOPL3 | FLAGS.IF | 2, 0x1000, 0x100].map(BigInt),
    );
    expect([SEG.ES, SEG.DS, SEG.FS, SEG.GS].map((index) => cpu.state.segment(index))).toEqual(
      Array.from({ length: 4 }, () => ({ selector: 0, attributes: 0, base: 0n, limit: 0 })),
    );
    expect(cpu.state.cpl).toBe(0);
    expect(cpu.state.rflags).toBe(IOPL3 | 2);
    expect(cpu.state.rip).toBe(HANDLER);
  });

  it('and IRET goes back to where it came from', () => {
    const cpu = vm86(IOPL3 | FLAGS.IF);
    setGate(cpu, 0x20);
    deliver(cpu, { vector: 0x20, source: 'external', returnRip: 0x100n });
    expect(run(cpu, 'cf')).toBe('transfer');
    expect([cpu.state.rip, cpu.rsp, cpu.state.cpl]).toEqual([0x100n, 0x1234n, 3]);
    expect(cpu.selector(SEG.GS)).toBe(0x0c00);
    expect(cpu.state.rflags).toBe(FLAGS.VM | IOPL3 | FLAGS.IF | 2);
  });

  it('pushes words through a 16-bit gate', () => {
    const cpu = vm86(IOPL3);
    cpuPeek = (place, bytes) => cpu.peek(place, bytes);
    setGate(cpu, 0x20, { type: TYPE.INTERRUPT_GATE16 });
    expect(deliver(cpu, { vector: 0x20, source: 'external', returnRip: 0x100n })).toEqual({ kind: 'delivered' });
    expect(stackWords(9, 2).slice(0, 6)).toEqual([0x0c00n, 0x0b00n, 0x0a00n, 0x0900n, 0x0800n, 0x1234n]);
  });

  it('goes to nonconforming code of level 0 only', () => {
    const cpu = vm86(IOPL3);
    for (const selector of [SEL.CONFORMING, SEL.USER_CODE32]) {
      setGate(cpu, 0x40, { selector, dpl: 3 });
      expect(run(cpu, 'cd40')).toMatchObject({ vector: 13, error: selector });
    }
  });

  it('of a program with INT3 and INTO does not ask for IOPL, but for the gate', () => {
    const cpu = vm86();
    setGate(cpu, 3);
    expect(run(cpu, 'cc')).toMatchObject({ vector: 13, error: 3 * 8 + 2 });
    setGate(cpu, 3, { dpl: 3 });
    expect(run(cpu, 'cc')).toBe('transfer');
  });
});
