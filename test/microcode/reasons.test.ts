// Every check that microcode makes is met once by an instruction that fails it and nothing else, and says its name.

import { describe, expect, it } from 'vitest';
import { raise } from '../../src/cpu/microcode/delivery.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import { encodeDescriptor, encodeGate, TYPE } from '../../src/x86/descriptors.ts';
import { MSR_IA32_MISC_ENABLE, MSR_IA32_SYSENTER_CS, msrSlot } from '../../src/x86/msr.ts';
import { GPR } from '../../src/x86/registers.ts';
import { REASONS, type ReasonId } from '../../src/x86/reasons.ts';
import * as support from './support.ts';
import {
  CODE,
  compatibilityMode,
  fault,
  GDT,
  IDT,
  longMode,
  protectedMode,
  realMode,
  SEL,
  setGate,
  STACK,
  TSS,
} from './support.ts';

type Cpu = ReturnType<typeof longMode>;
type Change = (cpu: Cpu) => void;

const NOT_CANONICAL = 1n << 63n;
const AREA = 0x5000;

// What a test changes before its instruction.
const reg =
  (register: number, value: bigint | number): Change =>
  ({ state }) =>
    state.setReg(register, BigInt(value));
const rax = (value: bigint | number): Change => reg(GPR.RAX, value);
const rcx = (value: bigint | number): Change => reg(GPR.RCX, value);
const control =
  (register: number, set: bigint, clear = 0n): Change =>
  ({ state }) =>
    state.setU64(register, (state.u64(register) | set) & ~clear);
const cr0 = (set: bigint, clear = 0n): Change => control(at.CR0, set, clear);
const cr4 = (set: bigint, clear = 0n): Change => control(at.CR4, set, clear);
const efer = (set: bigint, clear = 0n): Change => control(at.EFER, set, clear);
const poke =
  (address: number, bytes: 1 | 2 | 4 | 8, value: bigint | number): Change =>
  (cpu) =>
    cpu.poke(address, bytes, value);
const flags =
  (bits: number): Change =>
  ({ state }) =>
    state.setU32(at.FLAGS_REST, state.u32(at.FLAGS_REST) | bits);
/** An operand of two words that a far transfer or a return takes: where RAX points, or the stack. */
const words =
  (address: number, bytes: 4 | 8, ...values: (bigint | number)[]): Change =>
  (cpu) =>
    values.forEach((value, n) => cpu.poke(address + n * bytes, bytes, value));
const at32 = (offset: number, selector: number): Change => words(AREA, 4, offset, selector);
const limit =
  (index: 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7, value: number): Change =>
  ({ state }) =>
    state.setSegment(index, { ...state.segment(index), limit: value });
const descriptor =
  (selector: number, attributes: number, base = 0, end = 0xffff_ffff): Change =>
  (cpu) =>
    cpu.poke(GDT + selector, 8, encodeDescriptor(base, end, attributes));
const gate =
  (selector: number, fields: Partial<Parameters<typeof encodeGate>[0]>, long = false): Change =>
  (cpu) => {
    const full = { type: TYPE.CALL_GATE32, selector: long ? SEL.CODE64 : SEL.CODE32, offset: 0x7000n, ...fields };
    for (const [n, word] of encodeGate(full, long).entries()) cpu.poke(GDT + selector + 8 * n, 8, word);
  };

const OSFXSR = 1n << 9n;
const OSXSAVE = 1n << 18n;
const PG = 1n << 31n;
const JUMP = 'ff28'; // ljmp *(%rax)
const CALL = 'ff18';
const far = (selector: number, ...changes: Change[]): [() => Cpu, string, ...Change[]] => [
  protectedMode,
  JUMP,
  rax(AREA),
  at32(0x7000, selector),
  ...changes,
];
const IRET32 = 'cf';
const IRET64 = '48cf';
/** An IRET in 64-bit mode with this frame. */
const iret = (rip: bigint | number, cs: number, ss: number): [() => Cpu, string, ...Change[]] => [
  longMode,
  IRET64,
  words(STACK, 8, rip, cs, 0x202, STACK, ss),
];
const xsave = (...changes: Change[]): Change[] => [
  ...[cr4(OSXSAVE | OSFXSR), control(at.XCR0, 3n), rax(AREA), reg(GPR.RDX, 0)],
  ...changes,
];
const XRSTOR = '0fae2c2500500000';
const header = (...values: bigint[]): Change => words(AREA + 512, 8, ...values);
/** In place of a task's own TSS. */
const task = (...changes: Change[]): [() => Cpu, string, ...Change[]] => [
  protectedMode,
  `eaf4f4f4f4${SEL.CALL_GATE.toString(16)}00`,
  descriptor(SEL.CALL_GATE, 0x89, 0xc000, 0x67),
  words(0xc020, 4, 0x7777, 0x202, 0, 0, 0, 0, 0xd000),
  words(0xc048, 4, SEL.DATA, SEL.CODE32, SEL.DATA, SEL.DATA, 0, SEL.DATA, 0),
  ...changes,
];

const user64 = (): Cpu => longMode(3);
const user32 = (): Cpu => protectedMode(3);
const virtual86 = (): Cpu => {
  const cpu = protectedMode(3);
  flags(1 << 17)(cpu);
  return cpu;
};

const msr =
  (number: number, value: bigint): Change =>
  ({ state }) =>
    state.setU64(at.msrAddress(msrSlot(number)), value);
const sysenterCs = msr(MSR_IA32_SYSENTER_CS, 8n);
const executeDisabled = msr(MSR_IA32_MISC_ENABLE, 1n << 34n);

type Row = [ReasonId, () => Cpu, string, ...Change[]];

const ROWS: readonly Row[] = [
  ['syscall-not-enabled', longMode, '0f05', efer(0n, 1n)],
  ['sysret-target-not-canonical', longMode, '480f07', efer(1n), rcx(NOT_CANONICAL)],
  ['sysenter-not-available', longMode, '0f34'],
  ['sysexit-not-available', longMode, '0f35'],
  ['fsgsbase-not-enabled', longMode, 'f3480faed0'],
  ['segment-base-not-canonical', longMode, 'f3480faed0', cr4(1n << 16n), rax(NOT_CANONICAL)],
  ['sysexit-target-not-canonical', longMode, '480f35', sysenterCs, reg(GPR.RDX, NOT_CANONICAL)],
  ['efer-nxe-disabled', longMode, '0f30', rcx(0xc000_0080), rax(0xd01), reg(GPR.RDX, 0), executeDisabled],
  ['interrupt-flag-privilege', user64, 'fa'],
  ['vm86-needs-iopl-3', virtual86, '9c'],
  ['smap-flag-privilege', user64, '0f01ca'],
  ['invpcid-type-or-pcid', longMode, '660f388201', rax(4), rcx(AREA)],
  ['invpcid-pcid-without-pcide', longMode, '660f388201', rax(1), rcx(AREA), words(AREA, 8, 5, 0)],
  ['invpcid-address-not-canonical', longMode, '660f388201', rax(0), rcx(AREA), words(AREA, 8, 0, NOT_CANONICAL)],
  ['table-base-not-canonical', longMode, '0f0110', rax(AREA), poke(AREA + 2, 8, NOT_CANONICAL)],
  ['needs-protected-mode', realMode, '0f00c0'],
  ['system-selector-in-ldt', protectedMode, '0f00d0', rax(4)],
  ['system-descriptor-upper-half', longMode, '0f00d0', rax(SEL.LDT), poke(GDT + SEL.LDT + 8, 8, 1n << 40n)],
  ['lldt-not-an-ldt', protectedMode, '0f00d0', rax(SEL.TSS)],
  ['lldt-not-present', protectedMode, '0f00d0', rax(SEL.LDT), descriptor(SEL.LDT, 0x02)],
  ['ltr-null', protectedMode, '0f00d8', rax(0)],
  ['ltr-not-an-available-tss', protectedMode, '0f00d8', rax(SEL.TSS_BUSY)],
  ['ltr-not-present', protectedMode, '0f00d8', rax(SEL.TSS), descriptor(SEL.TSS, 0x09)],
  ['bound-exceeded', protectedMode, '6208', rax(AREA), rcx(9), words(AREA, 4, 0, 8)],
  ['iret-target-beyond-limit', realMode, '66cf', words(STACK, 4, 0x10000, 0, 2)],
  ['iret-task-in-long-mode', longMode, IRET64, flags(1 << 14)],
  ['io-map-beyond-tss', user32, 'ec', limit(SEG.TR, 0x60)],
  ['io-no-tss', user32, 'ec', ({ state }) => state.setSegment(SEG.TR, { ...state.segment(SEG.TR), attributes: 0 })],
  [
    'io-not-permitted',
    user32,
    'ec',
    limit(SEG.TR, 0x2067),
    poke(TSS + 0x66, 2, 0x68),
    poke(TSS + 0x68, 2, 1),
    reg(GPR.RDX, 0),
  ],
  ['pdpte-reserved-bit', protectedMode, '0f22d8', cr4(1n << 5n), rax(AREA), poke(AREA, 8, 3)],
  ['cr0-upper-half', longMode, '0f22c0', rax(1n << 32n)],
  ['cr0-pg-without-pe', protectedMode, '0f22c0', rax(PG)],
  ['cr0-nw-without-cd', protectedMode, '0f22c0', rax(PG | 1n | (1n << 29n))],
  ['long-mode-without-pae', protectedMode, '0f22c0', cr0(0n, PG), efer(1n << 8n), rax(PG | 1n)],
  [
    'long-mode-from-64-bit-code',
    protectedMode,
    '0f22c0',
    cr0(0n, PG),
    efer(1n << 8n),
    cr4(1n << 5n),
    ({ state }) => state.setSegment(SEG.CS, { ...state.segment(SEG.CS), attributes: 0xa09b }),
    rax(PG | 1n),
  ],
  [
    'long-mode-with-16-bit-tss',
    protectedMode,
    '0f22c0',
    cr0(0n, PG),
    efer(1n << 8n),
    cr4(1n << 5n),
    ({ state }) => state.setSegment(SEG.TR, { ...state.segment(SEG.TR), attributes: 0x83 }),
    rax(PG | 1n),
  ],
  ['cr0-pg-cleared-in-64-bit-mode', longMode, '0f22c0', rax(1)],
  ['cr0-pg-cleared-with-pcide', compatibilityMode, '0f22c0', cr4(1n << 17n), rax(1)],
  ['cr3-reserved-bit', longMode, '0f22d8', rax(1n << 60n)],
  ['cr4-reserved-bit', longMode, '0f22e0', rax(1n << 40n)],
  ['cr4-pae-cleared-in-long-mode', longMode, '0f22e0', rax(0)],
  ['cr4-la57-changed-in-long-mode', longMode, '0f22e0', rax((1n << 12n) | (1n << 5n))],
  ['cr4-pcide-outside-long-mode', protectedMode, '0f22e0', rax(1n << 17n)],
  ['cr4-pcide-with-pcid', longMode, '0f22e0', control(at.CR3, 5n), rax((1n << 17n) | (1n << 5n))],
  ['efer-reserved-bit', longMode, '0f30', rcx(0xc000_0080), rax(1n << 5n), reg(GPR.RDX, 0)],
  ['efer-lme-with-paging', protectedMode, '0f30', rcx(0xc000_0080), rax(1n << 8n), reg(GPR.RDX, 0)],
  ['cr8-reserved-bit', longMode, '440f22c0', rax(16)],
  ['umip', user64, '0f0100', cr4(1n << 11n)],
  ['osxsave-not-enabled', longMode, '0f01d0'],
  ['xgetbv-index', longMode, '0f01d0', cr4(OSXSAVE), rcx(7)],
  ['xsetbv-index', longMode, '0f01d1', cr4(OSXSAVE), rcx(1), rax(1), reg(GPR.RDX, 0)],
  ['xcr0-invalid', longMode, '0f01d1', cr4(OSXSAVE), rcx(0), rax(4), reg(GPR.RDX, 0)],
  ['task-switched', longMode, 'd9e8', cr0(8n)],
  ['xsave-area-misaligned', longMode, '0fae242508500000', ...xsave()],
  ['xsave-header-invalid', longMode, XRSTOR, ...xsave(header(1n << 10n, 0n, 0n))],
  ['xsave-compacted-not-offered', () => longMode(0, 'max,-xsavec'), XRSTOR, ...xsave(header(0n, NOT_CANONICAL, 0n))],
  ['mxcsr-reserved-bit', longMode, '0fae10', cr4(OSFXSR), rax(AREA), poke(AREA, 4, 0xffff_0000)],
  ['dr4-dr5-with-de', longMode, '0f23e0', cr4(8n)],
  ['debug-register-upper-half', longMode, '0f23f8', rax(1n << 32n)],
  ['general-detect', longMode, '0f23c0', ({ state }) => state.setU64(at.DR0 + 56, 1n << 13n)],
  ['no-such-msr', longMode, '0f32', rcx(0x1234_5678)],
  ['msr-value-refused', longMode, '0f30', rcx(0xc000_0100), rax(0), reg(GPR.RDX, 0x8000_0000)],
  ['tsd', user64, '0f31', cr4(4n)],
  ['rdpmc-index', longMode, '0f33'],
  ['far-target-beyond-limit', realMode, '66ea000001000000'],
  ['gate-code-null', ...far(SEL.CALL_GATE, gate(SEL.CALL_GATE, { selector: 0 }))],
  ['gate-code-not-reachable', ...far(SEL.CALL_GATE, gate(SEL.CALL_GATE, { selector: SEL.DATA }))],
  [
    'gate-code-not-64-bit',
    longMode,
    CALL,
    rax(AREA),
    at32(0, SEL.CALL_GATE),
    gate(SEL.CALL_GATE, { selector: SEL.CODE32 }, true),
  ],
  ['gate-code-not-present', ...far(SEL.CALL_GATE, gate(SEL.CALL_GATE, { selector: SEL.ABSENT_CODE }))],
  ['gate-privilege', ...far(SEL.CALL_GATE | 3, gate(SEL.CALL_GATE, { dpl: 0 }))],
  ['gate-not-present', ...far(SEL.CALL_GATE, gate(SEL.CALL_GATE, { present: false }))],
  ['task-privilege', ...far(SEL.TSS | 3)],
  ['task-gate-not-present', ...far(SEL.LDT, gate(SEL.LDT, { type: TYPE.TASK_GATE, present: false }))],
  ['far-target-no-gate', ...far(SEL.LDT)],
  [
    'gate-upper-half',
    longMode,
    CALL,
    rax(AREA),
    at32(0, SEL.CALL_GATE),
    gate(SEL.CALL_GATE, {}, true),
    (cpu) => cpu.poke(GDT + SEL.CALL_GATE + 13, 1, 1),
  ],
  ['far-target-null', ...far(0)],
  ['retf-target-beyond-limit', realMode, '66cb', words(STACK, 4, 0x10000, 0)],
  ['return-stack-null', ...iret(0x7000, SEL.USER_CODE64 | 3, 0)],
  ['return-code-null', ...iret(0x7000, 0, SEL.DATA)],
  ['return-to-inner-level', user64, IRET64, words(STACK, 8, 0x7000, SEL.CODE64, 0x202, STACK, SEL.DATA)],
  ['iret-vm86-target', protectedMode, IRET32, words(STACK, 4, 0x10000, 0, 0x20202, STACK, 0, 0, 0, 0, 0)],
  ['x87-emulated', longMode, 'd9e8', cr0(4n)],
  ['osfxsr-not-enabled', longMode, '0fae10', cr4(0n, OSFXSR), rax(AREA)],
  ['x87-pending', longMode, '9b', cr0(0x20n), ({ state }) => state.setU32(at.FSW, 0x8081)],
  ['fxsave-area-misaligned', longMode, '0fae00', rax(AREA + 8)],
  ['not-offered', () => longMode(0, 'x86-64-v1'), 'c5f858c0'],
  ['undefined-opcode', longMode, '0f0b'],
  ['selector-beyond-table', protectedMode, '8ed8', rax(0xfff8)],
  ['code-segment-not-code', ...far(SEL.DATA)],
  ['code-segment-long-and-big', longMode, JUMP, rax(AREA), at32(0, SEL.LONG_AND_BIG)],
  ['code-segment-dpl', ...far(SEL.USER_CODE32)],
  ['code-segment-rpl', ...far(SEL.CODE32 | 3)],
  ['code-segment-not-present', ...far(SEL.ABSENT_CODE)],
  ['target-offset-not-executable', ...iret(NOT_CANONICAL, SEL.CODE64, SEL.DATA)],
  ['stack-segment-null', protectedMode, '8ed0', rax(0)],
  ['stack-segment-rpl', protectedMode, '8ed0', rax(SEL.DATA | 3)],
  ['stack-segment-not-writable', protectedMode, '8ed0', rax(SEL.READ_ONLY)],
  ['stack-segment-dpl', protectedMode, '8ed0', rax(SEL.USER_DATA)],
  ['stack-segment-not-present', protectedMode, '8ed0', rax(SEL.ABSENT_DATA)],
  ['data-segment-not-readable', protectedMode, '8ed8', rax(SEL.EXECUTE_ONLY)],
  ['data-segment-privilege', user32, '8ed8', rax(SEL.DATA)],
  ['data-segment-not-present', protectedMode, '8ed8', rax(SEL.ABSENT_DATA)],
  ['segment-limit', protectedMode, '0f0110', rax(AREA), limit(SEG.DS, 0xfff)],
  ['address-not-canonical', longMode, '0f0110', rax(NOT_CANONICAL)],
  ['privileged-instruction', user64, 'f4'],
  ['task-selector-in-ldt', protectedMode, IRET32, flags(1 << 14), poke(TSS, 2, SEL.TSS | 4)],
  ['task-not-a-tss', protectedMode, IRET32, flags(1 << 14), poke(TSS, 2, SEL.DATA)],
  ['task-not-present', ...task(descriptor(SEL.CALL_GATE, 0x09, 0xc000, 0x67))],
  ['task-new-tss-limit', ...task(descriptor(SEL.CALL_GATE, 0x89, 0xc000, 0x66))],
  ['task-old-tss-limit', ...task(limit(SEG.TR, 0x40))],
  ['task-ldt-in-ldt', ...task(poke(0xc060, 2, 4))],
  ['task-ldt-invalid', ...task(poke(0xc060, 2, SEL.DATA))],
  ['task-code-null', ...task(poke(0xc04c, 2, 0))],
  ['task-code-not-code', ...task(poke(0xc04c, 2, SEL.DATA))],
  ['task-code-dpl', ...task(poke(0xc04c, 2, SEL.USER_CODE32))],
  ['task-code-not-present', ...task(poke(0xc04c, 2, SEL.ABSENT_CODE))],
  ['task-data-invalid', ...task(poke(0xc054, 2, SEL.EXECUTE_ONLY))],
  ['task-data-not-present', ...task(poke(0xc054, 2, SEL.ABSENT_DATA))],
  ['task-target-beyond-limit', ...task(poke(0xc04c, 2, SEL.CODE16), poke(0xc020, 4, 0x10000))],
  ['task-trap', ...task(poke(0xc064, 2, 1))],
  ['simd-exception', longMode, '0f5ec1', cr4(OSFXSR | (1n << 10n)), ({ state }) => state.setU32(at.MXCSR, 0)],
  ['simd-exception-not-enabled', longMode, '0f5ec1', cr4(OSFXSR), ({ state }) => state.setU32(at.MXCSR, 0)],
  ['vector-misaligned', longMode, '0f5800', cr4(OSFXSR), rax(AREA + 8)],
  ['vex-needs-protected-mode', virtual86, 'c5f858c0', flags(3 << 12)],
  ['avx-not-enabled', longMode, 'c5f858c0'],
  ['stack-limit', protectedMode, 'ff18', rax(AREA), at32(0x7000, SEL.CODE32), limit(SEG.SS, 0xfff)],
  ['stack-address-not-canonical', longMode, IRET64, reg(GPR.RSP, NOT_CANONICAL)],
];

/** Met while something is delivered; what it meets is told in the chain. */
const DELIVERIES: readonly [ReasonId, () => Cpu, ...Change[]][] = [
  ['ivt-limit', realMode, ({ state }) => state.setTable(at.IDTR, { base: 0n, limit: 0 })],
  ['idt-limit', longMode, ({ state }) => state.setTable(at.IDTR, { base: BigInt(IDT), limit: 0 })],
  ['idt-gate-type', longMode, (cpu) => cpu.poke(IDT + 6 * 16, 8, 0)],
  ['idt-gate-not-present', longMode, (cpu) => setGate(cpu, 6, { present: false })],
  ['handler-code-null', longMode, (cpu) => setGate(cpu, 6, { selector: 0 })],
  ['handler-code-not-code', longMode, (cpu) => setGate(cpu, 6, { selector: SEL.DATA })],
  ['handler-code-dpl', longMode, (cpu) => setGate(cpu, 6, { selector: SEL.USER_CODE64 })],
  ['handler-code-not-present', longMode, (cpu) => setGate(cpu, 6, { selector: SEL.ABSENT_CODE })],
  ['handler-not-64-bit', longMode, (cpu) => setGate(cpu, 6, { selector: SEL.CODE32 })],
  ['handler-vm86-level', virtual86, (cpu) => setGate(cpu, 6, { selector: SEL.CONFORMING })],
  ['tss-field-beyond-limit', longMode, (cpu) => setGate(cpu, 6, { ist: 7 }), limit(SEG.TR, 0x20)],
];

/** Told of what generated code raises, and of the processor's own events: test/cpu/reasons.test.ts has these. */
const ELSEWHERE: readonly ReasonId[] = [
  ...(['divide-by-zero', 'divide-overflow', 'aam-zero', 'branch-target-beyond-limit'] as const),
  ...(['branch-target-not-canonical', 'fetch-beyond-limit', 'fetch-not-canonical', 'instruction-too-long'] as const),
  ...(['cmpxchg16b-misaligned', 'alignment-check', 'page-not-present', 'page-reserved-bit'] as const),
  ...(['page-not-writable', 'page-supervisor-only', 'page-no-execute', 'smep', 'smap'] as const),
  ...(['interrupt-instruction', 'by-instruction', 'debug-trap', 'double-fault', 'apic-msr'] as const),
  ...(['idt-gate-privilege'] as const),
];

describe('a check that fails in microcode', () => {
  it.each(ROWS)('%s', (id, mode, hex, ...changes) => {
    const cpu = mode();
    for (const change of changes) change(cpu);
    cpu.modeChanged();
    expect(support.reasonFor(cpu, hex)).toBe(id);
  });

  it.each(DELIVERIES)('%s', (id, mode, ...changes) => {
    const cpu = mode();
    for (const change of changes) change(cpu);
    expect(raise(cpu, fault(6)).chain[0]?.met?.check).toBe(id);
  });

  it('has a row here or a place elsewhere, each once', () => {
    const told = [...ROWS, ...DELIVERIES].map(([id]) => id as string);
    expect([...told, ...ELSEWHERE].sort()).toEqual(Object.keys(REASONS).sort());
    expect(CODE).toBeGreaterThan(0);
  });
});
