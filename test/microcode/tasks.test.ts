// Task switches (SDM 3A chapter 8): what is saved and loaded, and in whose context each fault is raised.

import { describe, expect, it } from 'vitest';
import * as at from '../../src/cpu/state/layout.ts';
import { deliver } from '../../src/cpu/microcode/gates.ts';
import { raise } from '../../src/cpu/microcode/delivery.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import { CR0_TS } from '../../src/x86/control.ts';
import { encodeDescriptor, encodeGate, TYPE } from '../../src/x86/descriptors.ts';
import { FLAGS } from '../../src/x86/flags.ts';
import { GPR } from '../../src/x86/registers.ts';
import { fault, CODE, type FakeCpu, GDT, protectedMode, run, SEL, setGate, TSS } from './support.ts';

/** The other task. */
const NEW = 0xc000;
const NEW_STACK = 0xd000;
const NEW_RIP = 0x7777n;
/** The tests' own descriptors take the places of two that they do not use. */
const TASK = SEL.CALL_GATE;
const GATE = SEL.LDT;

type Fields = Partial<Record<keyof typeof OFFSETS, number>>;
const OFFSETS = {
  ...{ cr3: 0x1c, eip: 0x20, eflags: 0x24, eax: 0x28, esp: 0x38, edi: 0x44 },
  ...{ es: 0x48, cs: 0x4c, ss: 0x50, ds: 0x54, fs: 0x58, gs: 0x5c, ldt: 0x60, trap: 0x64 },
} as const;
const DEFAULTS: Fields = {
  ...{ eip: Number(NEW_RIP), eflags: 0x202, eax: 0xaaaa, esp: NEW_STACK, edi: 0xdddd },
  ...{ es: SEL.DATA, cs: SEL.CODE32, ss: SEL.DATA, ds: SEL.DATA, fs: 0, gs: SEL.DATA },
};

const describeTask = (cpu: FakeCpu, attributes = 0x89, limit = 0x67): void =>
  cpu.poke(GDT + TASK, 8, encodeDescriptor(NEW, limit, attributes));

const twoTasks = (fields: Fields = {}): FakeCpu => {
  const cpu = protectedMode();
  describeTask(cpu);
  for (const [name, value] of Object.entries({ ...DEFAULTS, ...fields })) {
    cpu.poke(NEW + OFFSETS[name as keyof typeof OFFSETS], 4, value);
  }
  cpu.poke(GDT + GATE, 8, encodeGate({ type: TYPE.TASK_GATE, selector: TASK, offset: 0n }, false)[0] ?? 0n);
  return cpu;
};

const word = (value: number): string => Buffer.from([value & 255, value >> 8]).toString('hex');
const jump = (selector: number): string => `eaf4f4f4f4${word(selector)}`;
const call = (selector: number): string => `9af4f4f4f4${word(selector)}`;
const isBusy = (cpu: FakeCpu, selector: number): boolean => (cpu.peek(GDT + selector + 5, 1) & 2n) !== 0n;
const current = (cpu: FakeCpu): number => cpu.selector(SEG.TR);

describe('a jump to a task', () => {
  it('saves the old one, behind the instruction, and loads the new one', () => {
    const cpu = twoTasks();
    cpu.state.setReg(GPR.RAX, 0x1111n);
    expect(run(cpu, jump(TASK))).toBe('transfer');
    expect([TSS + 0x20, TSS + 0x28, TSS + 0x4c].map((place) => cpu.peek(place, 4))).toEqual([
      BigInt(CODE + 7),
      0x1111n,
      BigInt(SEL.CODE32),
    ]);
    expect(cpu.state.rip).toBe(NEW_RIP);
    expect([cpu.state.reg(GPR.RAX), cpu.state.reg(GPR.RDI), cpu.rsp]).toEqual([0xaaaan, 0xddddn, BigInt(NEW_STACK)]);
    expect([cpu.selector(SEG.GS), cpu.selector(SEG.FS), current(cpu)]).toEqual([SEL.DATA, 0, TASK]);
  });

  it('moves the busy bit and sets neither NT nor a link', () => {
    const cpu = twoTasks();
    cpu.poke(GDT + SEL.TSS_BUSY, 8, encodeDescriptor(TSS, 0x67, 0x8b));
    run(cpu, jump(TASK));
    expect([isBusy(cpu, SEL.TSS_BUSY), isBusy(cpu, TASK)]).toEqual([false, true]);
    expect(cpu.state.rflags).toBe(0x202);
    expect(cpu.peek(NEW, 2)).toBe(0n);
  });

  it('sets CR0.TS and clears the local breakpoints', () => {
    const cpu = twoTasks();
    cpu.state.setU64(at.DR0 + 56, 0x7ffn);
    run(cpu, jump(TASK));
    expect(cpu.state.u64(at.CR0) & CR0_TS).toBe(CR0_TS);
    expect(cpu.state.u64(at.DR0 + 56)).toBe(0x7aan);
  });

  it('loads CR3 and the LDT', () => {
    const cpu = twoTasks({ cr3: 0x5000, ldt: 0xb0 });
    cpu.poke(GDT + 0xb0, 8, encodeDescriptor(0x4000, 0xff, 0x82));
    run(cpu, jump(TASK));
    expect(cpu.state.u64(at.CR3)).toBe(0x5000n);
    expect(cpu.state.segment(SEG.LDTR)).toMatchObject({ selector: 0xb0, base: 0x4000n, limit: 0xff });
  });

  it('goes through a task gate too', () => {
    const cpu = twoTasks();
    expect(run(cpu, jump(GATE))).toBe('transfer');
    expect(current(cpu)).toBe(TASK);
  });

  it('raises #DB before the first instruction where the T bit is set', () => {
    const cpu = twoTasks({ trap: 1 });
    expect(run(cpu, jump(TASK))).toMatchObject({ kind: 'fault', vector: 1, trap: true, dr6: 0x8000n });
    expect(cpu.state.rip).toBe(NEW_RIP);
  });

  it('enters virtual-8086 mode where the flags say so', () => {
    const cpu = twoTasks({ eflags: FLAGS.VM | 2, cs: 0x1000, ds: 0x1234, eip: 0x10 });
    run(cpu, jump(TASK));
    expect(cpu.state.cpl).toBe(3);
    expect(cpu.state.segment(SEG.CS)).toEqual({ selector: 0x1000, base: 0x10000n, limit: 0xffff, attributes: 0xf3 });
    expect(cpu.state.segment(SEG.DS).base).toBe(0x12340n);
  });
});

describe('a call of a task', () => {
  it('leaves the way back: link, NT and both busy', () => {
    const cpu = twoTasks();
    cpu.poke(GDT + SEL.TSS_BUSY, 8, encodeDescriptor(TSS, 0x67, 0x8b));
    expect(run(cpu, call(TASK))).toBe('transfer');
    expect(cpu.peek(NEW, 2)).toBe(BigInt(SEL.TSS_BUSY));
    expect(cpu.state.rflags & FLAGS.NT).toBe(FLAGS.NT);
    expect([isBusy(cpu, SEL.TSS_BUSY), isBusy(cpu, TASK)]).toEqual([true, true]);
  });

  it('comes back by IRET, and the task called goes on behind it next time', () => {
    const cpu = twoTasks();
    cpu.poke(GDT + SEL.TSS_BUSY, 8, encodeDescriptor(TSS, 0x67, 0x8b));
    run(cpu, call(TASK));
    expect(run(cpu, 'cf')).toBe('transfer');
    expect(cpu.state.rip).toBe(BigInt(CODE + 7));
    expect(current(cpu)).toBe(SEL.TSS_BUSY);
    expect([isBusy(cpu, SEL.TSS_BUSY), isBusy(cpu, TASK)]).toEqual([true, false]);
    expect(cpu.peek(NEW + 0x20, 4)).toBe(NEW_RIP + 1n);
    expect(cpu.peek(NEW + 0x24, 4) & BigInt(FLAGS.NT)).toBe(0n);
  });
});

describe('a 16-bit TSS', () => {
  const INTO_16 = { ip: 0x0e, flags: 0x10, ax: 0x12, sp: 0x1a, es: 0x22, cs: 0x24, ss: 0x26, ds: 0x28 };
  const sixteen = (): FakeCpu => {
    const cpu = protectedMode();
    describeTask(cpu, 0x81, 0x2b);
    const values = { ip: 0x7777, flags: 2, ax: 0x1234, sp: 0xd000, es: 0, cs: SEL.CODE16, ss: SEL.DATA, ds: SEL.DATA };
    for (const [name, offset] of Object.entries(INTO_16)) {
      cpu.poke(NEW + offset, 2, values[name as keyof typeof values]);
    }
    return cpu;
  };

  it('has 16-bit fields, and leaves FS, GS and CR3', () => {
    const cpu = sixteen();
    cpu.state.setU64(at.CR3, 0x9000n);
    expect(run(cpu, jump(TASK))).toBe('transfer');
    expect(cpu.state.rip).toBe(0x7777n);
    expect(cpu.state.reg(GPR.RAX) & 0xffffn).toBe(0x1234n);
    expect([cpu.selector(SEG.CS), cpu.selector(SEG.FS), cpu.selector(SEG.GS)]).toEqual([SEL.CODE16, 0, 0]);
    expect(cpu.state.u64(at.CR3)).toBe(0x9000n);
  });

  it('is saved as one', () => {
    const cpu = sixteen();
    run(cpu, jump(TASK));
    cpu.poke(GDT + SEL.TSS, 8, encodeDescriptor(TSS, 0x67, 0x89));
    cpu.poke(TSS + 0x4c, 4, SEL.CODE32);
    cpu.poke(TSS + 0x50, 4, SEL.DATA);
    cpu.state.setReg(GPR.RAX, 0xffff_5678n);
    expect(run(cpu, `ea0000${word(SEL.TSS)}`)).toBe('transfer');
    expect(cpu.peek(NEW + INTO_16.ax, 4)).toBe(0x5678n);
    expect(cpu.peek(NEW + INTO_16.ip, 2)).toBe(0x777cn);
  });
});

describe('before the switch, in the old task', () => {
  it.each([
    ['a busy TSS', 0x8b, 0x67, { vector: 13, error: TASK }],
    ['an absent one', 0x09, 0x67, { vector: 11, error: TASK }],
    ['one too short', 0x89, 0x66, { vector: 10, error: TASK }],
  ])('refuses %s', (_name, attributes, limit, met) => {
    const cpu = twoTasks();
    describeTask(cpu, attributes, limit);
    const before = cpu.picture();
    expect(run(cpu, jump(TASK))).toMatchObject(met);
    expect(run(cpu, call(GATE))).toMatchObject(met);
    expect(cpu.picture()).toBe(before);
  });

  it.each([
    ['in the LDT', 4],
    ['beyond the GDT', 0xff8],
    ['that is data', SEL.DATA],
  ])('a gate that names a TSS %s is #GP of that selector', (_name, selector) => {
    const cpu = twoTasks();
    cpu.poke(GDT + GATE, 8, encodeGate({ type: TYPE.TASK_GATE, selector, offset: 0n }, false)[0] ?? 0n);
    expect(run(cpu, jump(GATE))).toMatchObject({ vector: 13, error: selector & 0xfffc });
  });

  it('the privilege is that of the gate, or of the TSS where it is named itself', () => {
    const cpu = twoTasks();
    expect(run(cpu, jump(GATE | 1))).toMatchObject({ vector: 13, error: GATE });
    expect(run(cpu, jump(TASK | 1))).toMatchObject({ vector: 13, error: TASK });
    cpu.poke(GDT + GATE, 8, encodeGate({ type: TYPE.TASK_GATE, selector: TASK, offset: 0n, dpl: 3 }, false)[0] ?? 0n);
    expect(run(cpu, jump(GATE | 3))).toBe('transfer');
  });

  it('a page of the new TSS that is not there is a page fault, and nothing has changed', () => {
    const cpu = twoTasks();
    cpu.poke(GDT + TASK, 8, encodeDescriptor(0xffc0, 0x67, 0x89));
    cpu.absentPages.add(0x10n);
    const before = cpu.picture();
    expect(run(cpu, call(TASK))).toMatchObject({ kind: 'fault', vector: 14, error: 0, address: 0x10000n });
    expect(cpu.picture()).toBe(before);
  });
});

describe('behind the switch, in the new task', () => {
  it.each<[string, Fields, number, number]>([
    ['an LDT beyond the GDT', { ldt: 0xff8 }, 10, 0xff8],
    ['an LDT in the LDT', { ldt: 0x1c }, 10, 0x1c],
    ['data for an LDT', { ldt: SEL.DATA }, 10, SEL.DATA],
    ['a null CS', { cs: 0 }, 10, 0],
    ['data for CS', { cs: SEL.DATA }, 10, SEL.DATA],
    ['CS of another level', { cs: SEL.CODE32 | 1 }, 10, SEL.CODE32],
    ['an absent CS', { cs: SEL.ABSENT_CODE }, 11, SEL.ABSENT_CODE],
    ['a null SS', { ss: 0 }, 10, 0],
    ['SS of another RPL', { ss: SEL.DATA | 1 }, 10, SEL.DATA],
    ['SS of another level', { ss: SEL.USER_DATA }, 10, SEL.USER_DATA],
    ['an absent SS', { ss: SEL.ABSENT_DATA }, 12, SEL.ABSENT_DATA],
    ['an absent DS', { ds: SEL.ABSENT_DATA }, 11, SEL.ABSENT_DATA],
    ['code that cannot be read for ES', { es: SEL.EXECUTE_ONLY }, 10, SEL.EXECUTE_ONLY],
    ['a TSS for FS', { fs: SEL.TSS }, 10, SEL.TSS],
    ['GS under a weaker RPL', { gs: SEL.DATA | 3 }, 10, SEL.DATA],
    ['an instruction pointer beyond CS', { cs: SEL.CODE16, eip: 0x10000 }, 13, 0],
  ])('refuses %s', (_name, fields, vector, error) => {
    const cpu = twoTasks(fields);
    expect(run(cpu, jump(TASK))).toMatchObject({ kind: 'fault', vector, error });
    expect(current(cpu)).toBe(TASK);
    expect(cpu.state.rip).toBe(BigInt(fields.eip ?? NEW_RIP));
    expect(cpu.selector(SEG.CS)).toBe(fields.cs ?? SEL.CODE32);
  });

  it('takes conforming code of an inner level at the level of its RPL', () => {
    const user = SEL.USER_DATA | 3;
    const cpu = twoTasks({ cs: SEL.CONFORMING | 3, ss: user, ds: user, es: user, gs: user });
    expect(run(cpu, jump(TASK))).toBe('transfer');
    expect(cpu.state.cpl).toBe(3);
  });
});

describe('IRET with NT', () => {
  const nested = (link: number): FakeCpu => {
    const cpu = twoTasks();
    cpu.state.rflags = FLAGS.NT | 2;
    cpu.poke(TSS, 2, link);
    return cpu;
  };
  it.each([
    ['the LDT', 4, 10],
    ['nowhere', 0xff8, 10],
    ['data', SEL.DATA, 10],
    ['a task that is not busy', TASK, 10],
  ])('refuses a link to %s', (_name, link, vector) => {
    expect(run(nested(link), 'cf')).toMatchObject({ vector, error: link & 0xfffc });
  });

  it('refuses a link to an absent TSS', () => {
    const cpu = nested(TASK);
    describeTask(cpu, 0x0b);
    expect(run(cpu, 'cf')).toMatchObject({ vector: 11, error: TASK });
  });
});

describe('a task gate in the IDT', () => {
  const gated = (vector: number, fields: Fields = {}): FakeCpu => {
    const cpu = twoTasks(fields);
    setGate(cpu, vector, { type: TYPE.TASK_GATE, selector: TASK, offset: 0n });
    return cpu;
  };

  it('pushes the error code on the stack of the new task', () => {
    const cpu = gated(14);
    const event = { vector: 14, source: 'exception', error: 6, address: 0x1234n, returnRip: 0x6005n } as const;
    expect(deliver(cpu, event)).toEqual({ kind: 'delivered' });
    expect(cpu.rsp).toBe(BigInt(NEW_STACK - 4));
    expect(cpu.peek(NEW_STACK - 4, 4)).toBe(6n);
    expect(cpu.peek(TSS + 0x20, 4)).toBe(0x6005n);
    expect(cpu.state.rflags & FLAGS.NT).toBe(FLAGS.NT);
  });

  it('saves RF for a fault, so that coming back does not meet its breakpoint again', () => {
    const cpu = gated(6);
    deliver(cpu, { vector: 6, source: 'exception', returnRip: 0x6000n });
    expect(cpu.peek(TSS + 0x24, 4) & BigInt(FLAGS.RF)).toBe(BigInt(FLAGS.RF));
  });

  it('does not change IF but by the new flags', () => {
    const cpu = gated(0x20);
    deliver(cpu, { vector: 0x20, source: 'external', returnRip: 0x6000n });
    expect(cpu.state.rflags & FLAGS.IF).toBe(FLAGS.IF);
  });

  it('names the TSS in error codes, with EXT where no program asked', () => {
    const cpu = gated(0x40);
    describeTask(cpu, 0x8b);
    expect(run(cpu, 'cd40')).toMatchObject({ vector: 13, error: TASK });
    expect(deliver(cpu, { vector: 0x40, source: 'external', returnRip: 0n })).toMatchObject({
      fault: { vector: 13, error: TASK | 1 },
    });
  });

  it('serves a double fault', () => {
    const cpu = gated(8);
    setGate(cpu, 13, { present: false });
    expect(raise(cpu, fault(13, 0)).kind).toBe('delivered');
    expect(current(cpu)).toBe(TASK);
    expect(cpu.peek(TSS + 0x20, 4)).toBe(BigInt(CODE));
    expect(cpu.peek(NEW_STACK - 4, 4)).toBe(0n);
  });

  it('reports a fault of the new task at its instruction pointer', () => {
    const cpu = gated(0x20, { ds: SEL.ABSENT_DATA });
    setGate(cpu, 11);
    expect(raise(cpu, { vector: 0x20, source: 'external', returnRip: 0x6000n }).kind).toBe('delivered');
    expect(cpu.peek(NEW_STACK - 12, 4)).toBe(NEW_RIP);
    expect(cpu.peek(NEW_STACK - 16, 4)).toBe(BigInt(SEL.ABSENT_DATA | 1));
  });

  it('with the T bit set comes to the handler of #DB first', () => {
    const cpu = gated(0x20, { trap: 1 });
    setGate(cpu, 1);
    raise(cpu, { vector: 0x20, source: 'external', returnRip: 0x6000n });
    expect(cpu.peek(NEW_STACK - 12, 4)).toBe(NEW_RIP);
    expect(cpu.state.u64(at.DR0 + 48) & 0x8000n).toBe(0x8000n);
  });
});
