// A processor without an engine: real state block, 1 MiB of RAM mapped 1:1, and pages that can be made to fault.
// Each test decodes one instruction from bytes and hands it to the microcode.

import type { ReasonId } from '../../src/x86/reasons.ts';
import { Decoder, type Instruction } from 'iced-x86';
import { physAddr } from '../../src/bits/address.ts';
import {
  type Access,
  type AccessBytes,
  type Cpu,
  type Fault,
  fault as faultBecause,
  isFault,
} from '../../src/cpu/state/cpu.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { execute } from '../../src/cpu/microcode/execute.ts';
import { reset } from '../../src/cpu/microcode/reset.ts';
import type { Microresult } from '../../src/cpu/microcode/result.ts';
import { CpuState, SEG } from '../../src/cpu/state/state.ts';
import { CR4_LA57, CR4_PAE, EFER_LMA } from '../../src/x86/control.ts';
import { encodeDescriptor, encodeGate, TYPE } from '../../src/x86/descriptors.ts';
import { cpuModel } from '../../src/x86/models.ts';
import { GPR } from '../../src/x86/registers.ts';

const RAM_BYTES = 1 << 20;
const memory = new WebAssembly.Memory({ initial: (at.RAM_BASE + RAM_BYTES) >>> 16 });

// Where the tests' tables are. All tables are in place in every mode.
export const GDT = 0x1000;
export const IDT = 0x2000;
export const TSS = 0x3000;
export const CODE = 0x6000;
export const STACK = 0x9000;
/** Stacks that the TSS names. */
export const INNER_STACK = 0xa000;
export const IST1 = 0xb000;
export const HANDLER = 0x7000n;

// Selectors of the GDT.
export const SEL = {
  CODE32: 0x08,
  DATA: 0x10,
  CODE64: 0x18,
  USER_CODE32: 0x20,
  USER_DATA: 0x28,
  USER_CODE64: 0x30,
  CONFORMING: 0x38,
  CODE16: 0x40,
  ABSENT_DATA: 0x48,
  ABSENT_CODE: 0x50,
  LONG_AND_BIG: 0x58,
  TSS: 0x60,
  LDT: 0x70,
  CALL_GATE: 0x80,
  READ_ONLY: 0x90,
  EXECUTE_ONLY: 0x98,
  EXPAND_DOWN: 0xa0,
  TSS_BUSY: 0xa8,
  BEYOND: 0xb8,
} as const;

const FLAT = 0xffff_ffff;
const DESCRIPTORS: readonly (readonly [selector: number, base: number, limit: number, attributes: number])[] = [
  [SEL.CODE32, 0, FLAT, 0xc09b],
  [SEL.DATA, 0, FLAT, 0xc093],
  [SEL.CODE64, 0, FLAT, 0xa09b],
  [SEL.USER_CODE32, 0, FLAT, 0xc0fb],
  [SEL.USER_DATA, 0, FLAT, 0xc0f3],
  [SEL.USER_CODE64, 0, FLAT, 0xa0fb],
  [SEL.CONFORMING, 0, FLAT, 0xc09e],
  [SEL.CODE16, 0, 0xffff, 0x009a],
  [SEL.ABSENT_DATA, 0, FLAT, 0xc013],
  [SEL.ABSENT_CODE, 0, FLAT, 0xc01b],
  [SEL.LONG_AND_BIG, 0, FLAT, 0xe09b],
  [SEL.TSS, TSS, 0x67, 0x0089],
  [SEL.LDT, 0x4000, 0xff, 0x0082],
  [SEL.READ_ONLY, 0, FLAT, 0xc091],
  [SEL.EXECUTE_ONLY, 0, FLAT, 0xc099],
  [SEL.EXPAND_DOWN, 0, 0xfff, 0x4097],
  [SEL.TSS_BUSY, TSS, 0x67, 0x008b],
];

export class FakeCpu implements Cpu {
  readonly state = new CpuState(memory);
  readonly model;
  readonly portLog: string[] = [];
  portValue = 0;
  readonly missing: string[] = [];
  /** Pages (linear address >> 12) that are not present. */
  readonly absentPages = new Set<bigint>();
  readonly flushes: string[] = [];
  time = 1000n;
  readonly ports = {
    in: (port: number, size: number): number => {
      this.portLog.push(`in ${port.toString(16)}/${size}`);
      return this.portValue;
    },
    out: (port: number, size: number, value: number): void => {
      this.portLog.push(`out ${port.toString(16)}/${size} ${value.toString(16)}`);
    },
  };

  constructor(modelName: string) {
    this.model = cpuModel(modelName);
    new Uint8Array(memory.buffer, at.RAM_BASE, RAM_BYTES).fill(0);
    reset(this.state, this.model);
    this.modeChanged();
  }

  translate(linear: bigint, access: Access): ReturnType<Cpu['translate']> {
    if (BigInt.asUintN(64, BigInt.asIntN(64 - this.state.u32(at.CANONICAL_SHIFT), linear)) !== linear) {
      return faultBecause('address-not-canonical', 13, 0);
    }
    if (!this.absentPages.has(linear >> 12n)) return physAddr(Number(linear % BigInt(RAM_BYTES)));
    const user = this.state.cpl === 3 && !access.implicit ? 4 : 0;
    return faultBecause('page-not-present', 14, (access.write ? 2 : 0) | user, linear);
  }

  #host(linear: bigint, size: number, access: Access): number[] | Fault {
    const hosts: number[] = [];
    for (let n = 0; n < size; n++) {
      const physical = this.translate(linear + BigInt(n), access);
      if (typeof physical !== 'number') return physical;
      hosts.push(at.RAM_BASE + physical);
    }
    return hosts;
  }

  readLinear(linear: bigint, size: AccessBytes, access: Access = {}): bigint | Fault {
    const hosts = this.#host(linear, size, access);
    if (!Array.isArray(hosts)) return hosts;
    const bytes = new Uint8Array(memory.buffer);
    return hosts.reduce((value, host, n) => value | (BigInt(bytes[host] ?? 0) << BigInt(8 * n)), 0n);
  }

  writeLinear(linear: bigint, size: AccessBytes, value: bigint, access: Access = {}): Fault | undefined {
    const hosts = this.#host(linear, size, { ...access, write: true });
    if (!Array.isArray(hosts)) return hosts;
    const bytes = new Uint8Array(memory.buffer);
    for (const [n, host] of hosts.entries()) bytes[host] = Number((value >> BigInt(8 * n)) & 0xffn);
    return undefined;
  }

  readPhysical(address: number, size: AccessBytes): bigint {
    return this.peek(address, size);
  }

  flushTlb(includeGlobal: boolean): void {
    this.flushes.push(includeGlobal ? 'all' : 'non-global');
  }
  flushPage(linear: bigint): void {
    this.flushes.push(`page ${linear.toString(16)}`);
  }
  modeChanged(): void {
    const { state } = this;
    const long = (state.u64(at.EFER) & EFER_LMA) !== 0n;
    state.setU32(at.MODE64, long && state.segment(SEG.CS).attributes & 0x2000 ? 1 : 0);
    state.setU32(at.CANONICAL_SHIFT, state.u64(at.CR4) & CR4_LA57 ? 7 : 16);
  }
  charge(): void {}
  portKnown(): void {}
  portsChange(): void {}

  timestamp(): bigint {
    return this.time;
  }
  random(): bigint {
    return 0x1234_5678_9abc_def0n;
  }
  unimplemented(what: string): void {
    this.missing.push(what);
  }

  // What tests use besides.
  peek(address: number, size: AccessBytes): bigint {
    const view = new DataView(memory.buffer, at.RAM_BASE);
    if (size === 8) return view.getBigUint64(address, true);
    return BigInt(
      size === 4 ? view.getUint32(address, true) : size === 2 ? view.getUint16(address, true) : view.getUint8(address),
    );
  }
  poke(address: number, size: AccessBytes, value: bigint | number): void {
    const view = new DataView(memory.buffer, at.RAM_BASE);
    for (let n = 0; n < size; n++) view.setUint8(address + n, Number((BigInt(value) >> BigInt(8 * n)) & 0xffn));
  }
  /** Hash-like picture of everything architectural, to show that nothing changed. */
  picture(): string {
    return Buffer.from(memory.buffer.slice(at.REGS, at.STATE_END)).toString('hex');
  }
  get rsp(): bigint {
    return this.state.reg(GPR.RSP);
  }
  selector(index: (typeof SEG)[keyof typeof SEG]): number {
    return this.state.segment(index).selector;
  }
}

const buildTables = (cpu: FakeCpu): void => {
  for (const [selector, base, limit, attributes] of DESCRIPTORS) {
    cpu.poke(GDT + selector, 8, encodeDescriptor(base, limit, attributes));
  }
  cpu.state.setTable(at.GDTR, { base: BigInt(GDT), limit: SEL.BEYOND - 1 });
};

const setSegment = (cpu: FakeCpu, index: (typeof SEG)[keyof typeof SEG], selector: number): void => {
  const row = DESCRIPTORS.find(([known]) => known === (selector & ~3));
  if (row === undefined) throw new Error(`no such test selector: ${selector}`);
  const [, base, limit, attributes] = row;
  cpu.state.setSegment(index, { selector, base: BigInt(base), limit, attributes });
};

const setUp = (cpu: FakeCpu, code: number, data: number, cpl: number): void => {
  buildTables(cpu);
  cpu.state.setU64(at.CR0, 0x8000_0031n);
  for (const index of [SEG.ES, SEG.SS, SEG.DS, SEG.FS, SEG.GS]) setSegment(cpu, index, data | cpl);
  setSegment(cpu, SEG.CS, code | cpl);
  setSegment(cpu, SEG.TR, SEL.TSS_BUSY);
  cpu.state.cpl = cpl;
  cpu.state.rip = BigInt(CODE);
  cpu.state.setReg(GPR.RSP, BigInt(STACK));
  cpu.modeChanged();
};

/** An entry of the IDT; 16 bytes wide in long mode. */
export const setGate = (cpu: FakeCpu, vector: number, gate: Partial<Parameters<typeof encodeGate>[0]> = {}): void => {
  const long = (cpu.state.u64(at.EFER) & EFER_LMA) !== 0n;
  const full = {
    type: TYPE.INTERRUPT_GATE32,
    selector: long ? SEL.CODE64 : SEL.CODE32,
    offset: HANDLER,
    ...gate,
  };
  const words = encodeGate(full, long);
  for (const [n, word] of words.entries()) cpu.poke(IDT + vector * (long ? 16 : 8) + 8 * n, 8, word);
};

/** Real mode as a boot loader has it: CS 0, stack at STACK. */
export const realMode = (modelName = 'max'): FakeCpu => {
  const cpu = new FakeCpu(modelName);
  buildTables(cpu);
  cpu.state.setU64(at.CR0, 0x10n);
  cpu.state.setSegment(SEG.CS, { selector: 0, base: 0n, limit: 0xffff, attributes: 0x93 });
  cpu.state.rip = BigInt(CODE);
  cpu.state.setReg(GPR.RSP, BigInt(STACK));
  cpu.state.setTable(at.IDTR, { base: 0n, limit: 0x3ff });
  cpu.modeChanged();
  return cpu;
};

/** Flat 32-bit protected mode, paging on. */
export const protectedMode = (cpl: 0 | 3 = 0, modelName = 'max'): FakeCpu => {
  const cpu = new FakeCpu(modelName);
  if (cpl === 0) setUp(cpu, SEL.CODE32, SEL.DATA, 0);
  else setUp(cpu, SEL.USER_CODE32, SEL.USER_DATA, 3);
  cpu.state.setTable(at.IDTR, { base: BigInt(IDT), limit: 256 * 8 - 1 });
  cpu.poke(TSS + 4, 4, INNER_STACK);
  cpu.poke(TSS + 8, 4, SEL.DATA);
  return cpu;
};

/** 64-bit mode. */
export const longMode = (cpl: 0 | 3 = 0, modelName = 'max'): FakeCpu => {
  const cpu = new FakeCpu(modelName);
  cpu.state.setU64(at.CR4, CR4_PAE);
  cpu.state.setU64(at.EFER, 0x501n);
  if (cpl === 0) setUp(cpu, SEL.CODE64, SEL.DATA, 0);
  else setUp(cpu, SEL.USER_CODE64, SEL.USER_DATA, 3);
  cpu.state.setTable(at.IDTR, { base: BigInt(IDT), limit: 256 * 16 - 1 });
  cpu.poke(TSS + 4, 8, INNER_STACK);
  cpu.poke(TSS + 36, 8, IST1);
  return cpu;
};

/** Compatibility mode, level 0. */
export const compatibilityMode = (): FakeCpu => {
  const cpu = longMode(0);
  setSegment(cpu, SEG.CS, SEL.CODE32);
  cpu.modeChanged();
  return cpu;
};

/** Decodes `hex` where RIP points, as the mode in force has it. */
export const decode = (cpu: FakeCpu, hex: string): Instruction => {
  const big = cpu.state.segment(SEG.CS).attributes & 0x4000;
  const bitness = cpu.state.mode64 ? 64 : big ? 32 : 16;
  const decoder = new Decoder(bitness, Buffer.from(hex.replaceAll(' ', ''), 'hex'), 0);
  decoder.ip = cpu.state.rip;
  return decoder.decode();
};

/** What `run` and `fault` put for the reason, so that tests of vector and error code compare those alone. */
const ANY_REASON: ReasonId = 'by-instruction';

export const fault = (vector: number, error?: number, address?: bigint): Fault =>
  faultBecause(ANY_REASON, vector, error, address);

/** Runs one instruction given as hex bytes; a fault comes without its reason. */
export const run = (cpu: FakeCpu, hex: string): Fault | Microresult => {
  const result = execute(cpu, decode(cpu, hex));
  return isFault(result) ? { ...result, reason: ANY_REASON } : result;
};

/** The name of the check that the instruction fails. */
export const reasonFor = (cpu: FakeCpu, hex: string): ReasonId | Microresult => {
  const result = execute(cpu, decode(cpu, hex));
  return isFault(result) ? result.reason : result;
};

export const GP0 = fault(13, 0);
export const UD = fault(6);
