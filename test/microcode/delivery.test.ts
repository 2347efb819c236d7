import { describe, expect, it } from 'vitest';

import * as at from '../../src/cpu/state/layout.ts';
import { deliver, raise } from '../../src/cpu/microcode/delivery.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import { TYPE } from '../../src/x86/descriptors.ts';
import { FLAGS } from '../../src/x86/flags.ts';
import { GPR } from '../../src/x86/registers.ts';
import {
  fault,
  CODE,
  type FakeCpu,
  HANDLER,
  INNER_STACK,
  IST1,
  longMode,
  protectedMode,
  realMode,
  SEL,
  setGate,
  STACK,
  TSS,
} from './support.ts';

const RIP = BigInt(CODE);
const RF = BigInt(FLAGS.RF);

/** The quadwords on the stack, from the top. */
const stackWords = (cpu: FakeCpu, bytes: 2 | 4 | 8, count: number): bigint[] =>
  Array.from({ length: count }, (_, n) => cpu.peek(Number(cpu.rsp) + n * bytes, bytes));

describe('delivery in real mode', () => {
  it('pushes FLAGS, CS and IP and no error code, and clears IF', () => {
    const cpu = realMode();
    cpu.poke(13 * 4, 4, 0x1234_5678);
    cpu.state.rflags = FLAGS.IF | 2;
    expect(raise(cpu, fault(13, 0)).kind).toBe('delivered');
    expect(cpu.state.rip).toBe(0x5678n);
    expect(cpu.state.segment(SEG.CS)).toMatchObject({ selector: 0x1234, base: 0x12340n });
    expect(cpu.rsp).toBe(BigInt(STACK - 6));
    expect(stackWords(cpu, 2, 3)).toEqual([RIP, 0n, 0x202n]);
    expect(cpu.state.rflags & FLAGS.IF).toBe(0);
  });

  it('ends in shutdown where the table has no entries', () => {
    const cpu = realMode();
    cpu.state.setTable(at.IDTR, { base: 0n, limit: 0 });
    const { kind, chain } = raise(cpu, fault(6));
    expect(kind).toBe('triple-fault');
    expect(chain.map((link) => link.vector)).toEqual([6, 13, 8]);
  });
});

describe('delivery in 32-bit protected mode', () => {
  it('stays on the stack at the same level and pushes the error code', () => {
    const cpu = protectedMode();
    setGate(cpu, 13);
    expect(raise(cpu, fault(13, 0x50)).kind).toBe('delivered');
    expect(stackWords(cpu, 4, 4)).toEqual([0x50n, RIP, BigInt(SEL.CODE32), 2n | RF]);
    expect(cpu.state.rip).toBe(HANDLER);
  });

  it('changes to the stack of the TSS from level 3', () => {
    const cpu = protectedMode(3);
    setGate(cpu, 6);
    expect(raise(cpu, fault(6)).kind).toBe('delivered');
    expect(cpu.state.cpl).toBe(0);
    expect(cpu.selector(SEG.SS)).toBe(SEL.DATA);
    expect(cpu.rsp).toBe(BigInt(INNER_STACK - 20));
    expect(stackWords(cpu, 4, 5)).toEqual([
      RIP,
      BigInt(SEL.USER_CODE32 | 3),
      2n | RF,
      BigInt(STACK),
      BigInt(SEL.USER_DATA | 3),
    ]);
  });

  it('pushes 16-bit words through a 16-bit gate', () => {
    const cpu = protectedMode();
    setGate(cpu, 0x20, { type: TYPE.TRAP_GATE16 });
    cpu.state.rflags = FLAGS.IF;
    expect(deliver(cpu, { vector: 0x20, source: 'external', returnRip: RIP }).kind).toBe('delivered');
    expect(stackWords(cpu, 2, 3)).toEqual([RIP, BigInt(SEL.CODE32), 0x202n]);
    expect(cpu.state.rflags & FLAGS.IF).toBe(FLAGS.IF);
  });

  it('looks at the stack before the offset of the handler', () => {
    const cpu = protectedMode(3);
    setGate(cpu, 6, { selector: SEL.CODE16, offset: 0x10000n });
    const event = { vector: 6, source: 'exception', returnRip: RIP } as const;
    expect(deliver(cpu, event)).toMatchObject({ fault: { vector: 13, error: 1 } });
    cpu.poke(TSS + 8, 4, SEL.ABSENT_DATA);
    expect(deliver(cpu, event)).toMatchObject({ fault: { vector: 12, error: SEL.ABSENT_DATA | 1 } });
  });

  it('raises #TS for a TSS too short to hold the stack', () => {
    const cpu = protectedMode(3);
    setGate(cpu, 6);
    cpu.state.setSegment(SEG.TR, { ...cpu.state.segment(SEG.TR), limit: 8 });
    expect(deliver(cpu, { vector: 6, source: 'exception', returnRip: RIP })).toMatchObject({
      fault: { vector: 10, error: SEL.TSS_BUSY | 1 },
    });
  });

  it('raises #SS(selector) where the inner stack segment is not present', () => {
    const cpu = protectedMode(3);
    setGate(cpu, 6);
    cpu.poke(TSS + 8, 4, SEL.ABSENT_DATA);
    expect(deliver(cpu, { vector: 6, source: 'exception', returnRip: RIP })).toMatchObject({
      fault: { vector: 12, error: SEL.ABSENT_DATA | 1 },
    });
  });
});

describe('delivery in long mode', () => {
  it('pushes SS:RSP at the same level too, on an aligned stack', () => {
    const cpu = longMode();
    setGate(cpu, 14);
    cpu.state.setReg(GPR.RSP, BigInt(STACK + 9));
    expect(raise(cpu, fault(14, 2, 0xdead000n)).kind).toBe('delivered');
    expect(cpu.rsp).toBe(BigInt(STACK - 48));
    expect(stackWords(cpu, 8, 6)).toEqual([2n, RIP, BigInt(SEL.CODE64), 2n | RF, BigInt(STACK + 9), BigInt(SEL.DATA)]);
    expect(cpu.state.u64(at.CR2)).toBe(0xdead000n);
  });

  it('takes RSP0 and a null SS from level 3', () => {
    const cpu = longMode(3);
    setGate(cpu, 6);
    raise(cpu, fault(6));
    expect(cpu.state.cpl).toBe(0);
    expect(cpu.selector(SEG.SS)).toBe(0);
    expect(cpu.rsp).toBe(BigInt(INNER_STACK - 40));
    expect(stackWords(cpu, 8, 5)[4]).toBe(BigInt(SEL.USER_DATA | 3));
  });

  it('takes the interrupt stack table where the gate says so', () => {
    const cpu = longMode();
    setGate(cpu, 8, { ist: 1 });
    raise(cpu, fault(8, 0));
    expect(cpu.rsp).toBe(BigInt(IST1 - 48));
    expect(cpu.selector(SEG.SS)).toBe(SEL.DATA);
  });

  it('does not set RF for traps, sets DR6 and clears DR7.GD', () => {
    const cpu = longMode();
    setGate(cpu, 1);
    cpu.state.setU64(at.DR0 + 56, 0x2400n);
    raise(cpu, { ...fault(1), trap: true, dr6: 1n << 14n });
    expect(stackWords(cpu, 8, 3)[2]).toBe(2n);
    expect(cpu.state.u64(at.DR0 + 48)).toBe(0xffff_4ff0n);
    expect(cpu.state.u64(at.DR0 + 56)).toBe(0x400n);
  });

  it('wakes a halted processor and clears TF, NT, RF', () => {
    const cpu = longMode();
    setGate(cpu, 0x20);
    cpu.state.setU32(at.HALTED, 1);
    cpu.state.rflags = FLAGS.IF | FLAGS.TF | FLAGS.NT | FLAGS.RF;
    raise(cpu, { vector: 0x20, source: 'external', returnRip: RIP });
    expect(cpu.state.u32(at.HALTED)).toBe(0);
    expect(cpu.state.rflags).toBe(2);
  });

  it('refuses 32-bit handlers', () => {
    const cpu = longMode();
    setGate(cpu, 6, { selector: SEL.CODE32 });
    expect(deliver(cpu, { vector: 6, source: 'exception', returnRip: RIP })).toMatchObject({
      fault: { vector: 13, error: SEL.CODE32 | 1 },
      reason: 'gate 6: code selector 0x8 is not 64-bit code',
    });
  });

  it('refuses a non-canonical handler', () => {
    const cpu = longMode();
    setGate(cpu, 6, { offset: 1n << 47n });
    expect(deliver(cpu, { vector: 6, source: 'exception', returnRip: RIP })).toMatchObject({
      fault: { vector: 13, error: 1 },
    });
  });

  it('has no 16-bit gates', () => {
    const cpu = longMode();
    setGate(cpu, 6, { type: TYPE.INTERRUPT_GATE16 });
    expect(deliver(cpu, { vector: 6, source: 'exception', returnRip: RIP })).toMatchObject({
      fault: { vector: 13, error: 6 * 8 + 3 },
    });
  });

  it('changes nothing when the frame cannot be pushed', () => {
    const cpu = longMode();
    setGate(cpu, 6);
    cpu.absentPages.add(BigInt((STACK - 1) >> 12));
    const before = cpu.picture();
    const outcome = deliver(cpu, { vector: 6, source: 'exception', returnRip: RIP });
    expect(outcome).toMatchObject({ kind: 'failed', fault: { vector: 14, error: 2, address: BigInt(STACK - 8) } });
    expect(cpu.picture()).toBe(before);
  });
});

describe('from a fault to a triple fault', () => {
  it('tells each step of an empty IDT', () => {
    const cpu = longMode();
    cpu.state.setTable(at.IDTR, { base: 0n, limit: 0 });
    const link = (event: { vector: number; error?: number }, check: string, error: number) => ({
      ...{ ...event, rip: RIP, check, reason: `IDT limit 0x0: no gate ${event.vector}` },
      met: { vector: 13, error, check: 'idt-limit' },
    });
    expect(raise(cpu, fault(6))).toEqual({
      kind: 'triple-fault',
      chain: [
        link({ vector: 6 }, 'by-instruction', 0x33),
        link({ vector: 13, error: 0x33 }, 'idt-limit', 0x6b),
        link({ vector: 8, error: 0 }, 'double-fault', 0x43),
      ],
    });
  });

  it('says that a gate is not present', () => {
    const cpu = longMode();
    setGate(cpu, 6, { present: false });
    setGate(cpu, 11);
    const { kind, chain } = raise(cpu, fault(6));
    expect(kind).toBe('delivered');
    expect(chain[0]).toMatchObject({ vector: 6, reason: 'gate 6 not present', met: { vector: 11, error: 0x33 } });
    expect(chain[1]).toEqual({ vector: 11, error: 0x33, rip: RIP, check: 'idt-gate-not-present' });
  });

  it('makes a double fault of a page fault in the delivery of a page fault', () => {
    const cpu = longMode();
    setGate(cpu, 14);
    setGate(cpu, 8, { ist: 1 });
    cpu.absentPages.add(BigInt((STACK - 1) >> 12));
    const { kind, chain } = raise(cpu, fault(14, 0, 0x123000n));
    expect(kind).toBe('delivered');
    expect(chain.map((link) => link.vector)).toEqual([14, 8]);
    expect(cpu.state.u64(at.CR2)).toBe(BigInt(STACK - 8));
  });

  it('handles a page fault met by a contributory exception one after the other', () => {
    const cpu = longMode();
    setGate(cpu, 13);
    setGate(cpu, 14, { ist: 1 });
    cpu.absentPages.add(BigInt((STACK - 1) >> 12));
    const { kind, chain } = raise(cpu, fault(13, 0));
    expect(kind).toBe('delivered');
    expect(chain.map((link) => link.vector)).toEqual([13, 14]);
  });

  it('names the page of an IDT that is not mapped', () => {
    const cpu = longMode();
    cpu.state.setTable(at.IDTR, { base: 0x2_0000n, limit: 0xfff });
    cpu.absentPages.add(0x20n);
    const { kind, chain } = raise(cpu, fault(13, 0));
    expect(kind).toBe('triple-fault');
    expect(chain.map((link) => link.vector)).toEqual([13, 14, 8]);
    expect(chain[0]?.reason).toBe('reading gate 13 at 0x200d0: #PF(0x0) at 0x200d0, supervisor read: page not present');
  });
});
