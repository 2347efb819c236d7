// Whole machines running a few instructions of real mode: the way through every mode and back, and timer interrupts.

import { describe, expect, it } from 'vitest';
import { physAddr } from '../../src/bits/address.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { FLAGS, SEG } from '../../src/cpu/state/state.ts';
import { Machine } from '../../src/machine/machine.ts';
import { cpuModel, DEFAULT_MODEL } from '../../src/x86/models.ts';
import { bytesOf } from './system.ts';

const START = 0x7c00;
const [RCX, RDX, RBX, RBP, RSI, RDI, R8] = [1, 2, 3, 5, 6, 7, 8];

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

/** A machine about to run code at 0:7c00 in real mode. */
function realMode(code: string): Machine {
  const machine = new Machine({ model: cpuModel(DEFAULT_MODEL), ram: [{ start: 0, end: 0x10_0000 }], seed: 1 });
  machine.memory.write(physAddr(START), hex(code));
  const { state } = machine.engine;
  for (const index of [SEG.CS, SEG.SS, SEG.DS, SEG.ES]) {
    state.setSegment(index, { ...state.segment(index), selector: 0, base: 0n, limit: 0xffff });
  }
  state.setReg(4, 0x7000n);
  state.setReg(RCX, 0n);
  state.rip = BigInt(START);
  machine.engine.modeChanged();
  return machine;
}

const put = (machine: Machine, address: number, bytes: Uint8Array): void =>
  machine.memory.write(physAddr(address), bytes);

describe('real, protected and long mode', () => {
  // Assembled from:
  //   cli; xor %ax,%ax; mov %ax,%ds; mov %ax,%ss; mov $0x7000,%sp; lgdtl 0x600; lidtl 0x608
  //   mov %cr0,%eax; or $1,%al; mov %eax,%cr0; ljmp $0x10,$prot
  const REAL_16 = 'fa 31c0 8ed8 8ed0 bc0070 660f01160006 660f011e0806 0f20c0 0c01 0f22c0 ea237c1000';
  // prot: mov $0x20,%ax; mov %ax,%ds; mov %ax,%ss; mov $0x11112222,%esi; CR3 = 0x10000; CR4 = PAE; EFER = LME;
  //   CR0 = PG | PE; ljmp $0x18,$long
  const PROTECTED_32 =
    '66b82000 8ed8 8ed0 be22221111 b800000100 0f22d8 b820000000 0f22e0 b9800000c0 b800010000 31d2 0f30 ' +
    'b801000080 0f22c0 ea5d7c00001800';
  // long: movabs $0x1122334455667788,%rdi; push %rdi; pop %r8; rdmsr; mov %eax,%ebp; push $0x10; push $compat; lretq
  const LONG_64 = '48bf8877665544332211 57 4158 0f32 89c5 6a10 68777c0000 48cb';
  // compat: CR0.PG = 0; EFER = 0; rdmsr; mov %eax,%ebx; ljmp $0x28,$pm16
  const COMPATIBILITY_32 = '0f20c0 25ffffff7f 0f22c0 b9800000c0 31c0 31d2 0f30 0f32 89c3 ea987c00002800';
  // pm16: mov $0x30,%ax; mov %ax,%ds; mov %ax,%ss; CR0.PE = 0; ljmp $0,$real
  const PROTECTED_16 = 'b83000 8ed8 8ed0 0f20c0 24fe 0f22c0 eaac7c0000';
  // real: xor %ax,%ax; mov %ax,%ds; mov %ax,%ss; mov $0xabcd,%dx; hlt
  const REAL_AGAIN = '31c0 8ed8 8ed0 bacdab f4';
  const GDT = [
    0n,
    0n,
    0x00cf_9a00_0000_ffffn, // 10: 32-bit code
    0x00af_9a00_0000_ffffn, // 18: 64-bit code
    0x00cf_9200_0000_ffffn, // 20: data
    0x0000_9a00_0000_ffffn, // 28: 16-bit code
    0x0000_9200_0000_ffffn, // 30: 16-bit data
  ];

  it('follow one another and lead back', () => {
    const machine = realMode([REAL_16, PROTECTED_32, LONG_64, COMPATIBILITY_32, PROTECTED_16, REAL_AGAIN].join(' '));
    const { state } = machine.engine;
    put(machine, 0x600, hex('3700 00050000 0000 ff03 00000000'));
    GDT.forEach((value, n) => {
      put(machine, 0x500 + 8 * n, bytesOf(value));
    });
    put(machine, 0x1_0000, bytesOf(0x1_1003n));
    put(machine, 0x1_1000, bytesOf(0x1_2003n));
    put(machine, 0x1_2000, bytesOf(0x83n)); // 2 MiB, 1:1
    expect(machine.run(1000n)).toEqual({ kind: 'halt' });
    const low = [RSI, RDI, RBP, RBX].map((index) => state.reg(index) & 0xffff_ffffn);
    // EFER.LME and LMA while in long mode; neither after it.
    expect(low).toEqual([0x1111_2222n, 0x5566_7788n, 0x500n, 0n]);
    expect([state.reg(R8), state.reg(RDX) & 0xffffn]).toEqual([0x1122_3344_5566_7788n, 0xabcdn]);
    expect([state.u64(at.CR0) & 0x8000_0001n, state.mode64, state.segment(SEG.CS).base]).toEqual([0n, false, 0n]);
    expect(machine.engine.mode.bitness).toBe(16);
    expect(machine.unimplemented).toEqual([]);
  });
});

describe('the timer, through the interrupt controller', () => {
  // PIC: vectors from 0x20, all masked but IRQ 0; PIT channel 0: mode 2, every 16 ticks.
  const SET_UP = 'b011 e620 b020 e621 b004 e621 b001 e621 b0fe e621 b034 e643 b010 e640 30c0 e640';
  const HANDLER = 0x7d00;
  const started = (code: string): Machine => {
    const machine = realMode(`${SET_UP} ${code}`);
    put(machine, 4 * 0x20, hex('007d0000'));
    put(machine, HANDLER, hex('41 b020 e620 cf')); // inc %cx; end of interrupt; iret
    return machine;
  };
  /** Nanoseconds of 16 ticks of the timer's 1.193182 MHz. */
  const PERIOD = 16e9 / 1_193_182;
  /** What setting up the chips and acknowledging takes: ten port accesses of a microsecond. */
  const PORTS = 10_000;

  it.each([
    ['a halted processor', 'fb f4 83f903 72fa fa f4'], // sti; 1: hlt; cmp $3,%cx; jb 1b; cli; hlt
    ['a spinning one', 'fb 90 83f903 72fa fa f4'], // sti; 1: nop; cmp $3,%cx; jb 1b; cli; hlt
    ['one that spins without a chance after STI but its shadow', 'fb 83f903 72fb fa f4'],
  ])('interrupts %s, three times', (_, code) => {
    const machine = started(code);
    expect(machine.run(1_000_000n)).toEqual({ kind: 'halt' });
    expect(machine.engine.state.reg(RCX) & 0xffffn).toBe(3n);
    // Setting the mode raises the timer's output, an edge like any other: two periods lie between three interrupts.
    expect(Number(machine.now)).toBeGreaterThan(2 * PERIOD);
    expect(Number(machine.now)).toBeLessThan(2.2 * PERIOD + PORTS);
  });

  it('leaves a processor with interrupts off alone', () => {
    const machine = started('ebfe');
    expect(machine.run(200_000n)).toBe(undefined);
    expect(machine.engine.state.reg(RCX) & 0xffffn).toBe(0n);
  });

  it('waits for the instruction behind STI', () => {
    // A tick is pending long before: 1: dec %dx; jnz 1b; sti; inc %si; cli; hlt
    const machine = started('ba0000 4a 75fd fb 46 fa f4');
    machine.engine.state.setReg(RSI, 0n);
    put(machine, HANDLER, hex('89f1 f4')); // mov %si,%cx; hlt
    machine.run(200_000n);
    expect(machine.engine.state.reg(RCX) & 0xffffn).toBe(1n);
    expect(machine.engine.state.rflags & FLAGS.IF).toBe(0);
  });
});
