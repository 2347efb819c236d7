// Debug exceptions on the running engine: single-step and the four breakpoints (SDM 3B 18.2, 18.3.1).

import { beforeEach, describe, expect, it } from 'vitest';
import * as at from '../../src/cpu/state/layout.ts';
import { MSR_IA32_DEBUGCTL, msrSlot } from '../../src/x86/msr.ts';
import { bytesOf, makeSystem, type System, USER_CODE, USER_DATA, u64At } from './system.ts';
import { VARIANT_NAMES } from '../../src/cpu/binding/variants.ts';

describe.each(VARIANT_NAMES)('in the %s engine', (variant) => {
  const CODE = 0x70_0000;
  const HANDLER = 0x70_1000;
  const USER = 0x70_2000;
  const STACK = 0x71_0000;
  const SPOT = 0x72_0000;
  const TF = 0x100;
  const DR6_ONES = 0xffff_0ff0n;
  const BS = 1n << 14n;
  const MSR_STAR = 0xc000_0081;
  const DR7_ANY = { execute: 0x1n, write: 0xd_0001n, access: 0xf_0001n } as const;

  const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

  let system: System;
  const state = (): System['engine']['state'] => system.engine.state;
  const dr = (n: number): number => at.DR0 + 8 * n;

  beforeEach(() => {
    system = makeSystem(variant);
    system.mapFlat(CODE, 4);
    system.mapFlat(STACK - 0x2000, 3);
    system.mapFlat(SPOT, 2);
    // The handler counts in R15 and keeps the RIPs it was told in a list at R14; DR6 of the last one in R13.
    //   inc %r15; mov (%rsp),%rcx -> via r12; mov %r12,(%r14); add $8,%r14; mov %dr6,%r13; iretq
    system.write(HANDLER, hex('49ffc7 4c8b2424 4d8926 4983c608 410f21f5 48cf'));
    system.gate(1, BigInt(HANDLER));
    state().setReg(14, BigInt(SPOT + 0x1000));
    state().setReg(4, BigInt(STACK));
    state().setU64(dr(6), DR6_ONES);
    state().setU64(dr(7), 0x400n);
    state().rip = BigInt(CODE);
    system.engine.modeChanged();
  });

  /** Runs until RIP is at the `hlt` that ends the code, or so many instructions. */
  const runToHalt = (code: string): void => {
    system.write(CODE, hex(`${code} f4`));
    for (let n = 0; n < 400 && !state().u32(at.HALTED); n++) system.run(1);
    expect(state().u32(at.HALTED)).toBe(1);
  };

  /** Offsets in the code that #DB reported. */
  const trapped = (): number[] =>
    Array.from({ length: Number(state().reg(15)) }, (_, n) => Number(u64At(system, SPOT + 0x1000 + 8 * n)) - CODE);

  const breakAt = (n: number, address: number, dr7: bigint): void => {
    state().setU64(dr(n), BigInt(address));
    state().setU64(dr(7), 0x400n | dr7);
  };

  describe('single-step', () => {
    // pushf; orl $0x100,(%rsp); popf; nop; nop; pushf; andl $~0x100,(%rsp); popf
    it('begins one instruction behind the POPF that sets TF and ends with the one that clears it', () => {
      runToHalt('9c 810c2400010000 9d 90 90 9c 812424fffeffff 9d');
      expect(trapped()).toEqual([10, 11, 12, 19, 20]);
      expect(state().reg(13)).toBe(DR6_ONES | BS);
    });

    it('pushes TF and clears it for the handler', () => {
      state().rflags = TF | 2;
      system.write(CODE, hex('90 90'));
      system.run(1);
      expect(state().rip).toBe(BigInt(HANDLER));
      expect(state().rflags & TF).toBe(0);
      expect(Number(u64At(system, Number(state().reg(4)) + 16)) & TF).toBe(TF);
    });

    it('does not come behind a load of SS', () => {
      state().rflags = TF | 2;
      // mov %ss,%eax; mov %eax,%ss; nop; popf from what was pushed before
      state().setReg(4, BigInt(STACK - 8));
      system.write(STACK - 8, bytesOf(2n));
      runToHalt('8cd0 8ed0 90 9d');
      expect(trapped()).toEqual([2, 5, 6]);
    });

    it('comes behind a jump, at its target', () => {
      state().rflags = TF | 2;
      state().setReg(4, BigInt(STACK - 8));
      system.write(STACK - 8, bytesOf(2n));
      runToHalt('eb02 0f0b 9d');
      expect(trapped()).toEqual([4, 5]);
    });

    it('comes behind each iteration of a repeated string instruction', () => {
      state().rflags = TF | 2;
      state().setReg(4, BigInt(STACK - 8));
      system.write(STACK - 8, bytesOf(2n));
      state().setReg(1, 3n);
      state().setReg(6, BigInt(SPOT));
      state().setReg(7, BigInt(SPOT + 64));
      system.write(SPOT, hex('010203'));
      runToHalt('f3a4 9d');
      expect(trapped()).toEqual([0, 0, 2, 3]);
      expect([...system.read(SPOT + 64, 4)]).toEqual([1, 2, 3, 0]);
      expect(state().reg(1)).toBe(0n);
    });

    it('stops REPE where the comparison ends it', () => {
      state().rflags = TF | 2;
      state().setReg(4, BigInt(STACK - 8));
      system.write(STACK - 8, bytesOf(2n));
      state().setReg(1, 5n);
      state().setReg(0, 7n);
      state().setReg(7, BigInt(SPOT));
      system.write(SPOT, hex('0707010707'));
      runToHalt('f3ae 9d');
      expect(trapped()).toEqual([0, 0, 2, 3]);
      expect(state().reg(1)).toBe(2n);
    });

    it('does not come behind a software interrupt that was delivered', () => {
      // The handler of INT 0x20 clears TF in the frame: andl $~0x100,0x10(%rsp); iretq
      system.write(HANDLER + 0x100, hex('81642410fffeffff 48cf'));
      system.gate(0x20, BigInt(HANDLER + 0x100));
      state().rflags = TF | 2;
      runToHalt('cd20 90');
      expect(trapped()).toEqual([]);
    });

    it('comes behind SYSRET that loads TF, before the first instruction of the user', () => {
      const { engine } = system;
      state().setU64(at.EFER, state().u64(at.EFER) | 1n);
      // STAR: user selectors from 0x23 on: CS 0x33, SS 0x2b.
      const star = 0x0023_0008_0000_0000n;
      state().setReg(1, BigInt(MSR_STAR));
      state().setReg(0, star & 0xffff_ffffn);
      state().setReg(2, star >> 32n);
      system.write(CODE, hex('0f30 b900207000 49bb0201000000000000 480f07'));
      system.write(USER, hex('90 90'));
      for (let n = 0; n < 4; n++) system.run(1);
      expect(state().rip).toBe(BigInt(HANDLER));
      expect(u64At(system, Number(state().reg(4)))).toBe(BigInt(USER));
      expect(u64At(system, Number(state().reg(4)) + 8)).toBe(BigInt(USER_CODE));
      expect(u64At(system, Number(state().reg(4)) + 32)).toBe(BigInt(USER_DATA));
      expect(engine.state.u64(dr(6)) & BS).toBe(BS);
    });

    it('wakes HLT', () => {
      state().rflags = TF | 2;
      system.write(CODE, hex('f4 90'));
      system.run(1);
      expect(state().u32(at.HALTED)).toBe(0);
      expect(u64At(system, Number(state().reg(4)))).toBe(BigInt(CODE + 1));
    });
  });

  describe('single-step on branches', () => {
    const DEBUGCTL = at.msrAddress(msrSlot(MSR_IA32_DEBUGCTL));

    it('comes behind a branch that is taken, and #DB ends it', () => {
      state().rflags = TF | 2;
      state().setU64(DEBUGCTL, 2n);
      state().setReg(4, BigInt(STACK - 8));
      system.write(STACK - 8, bytesOf(2n));
      // nop; jc +0 (not taken); jnc over a nop; nop; popf
      runToHalt('90 7200 7301 90 90 9d');
      expect(trapped()).toEqual([6, 7, 8]);
      expect(state().u64(DEBUGCTL)).toBe(0n);
    });
  });

  describe('breakpoints', () => {
    it('stop before an instruction once: the RF that IRET loads lets it pass', () => {
      breakAt(0, CODE + 1, DR7_ANY.execute);
      // The handler sets RF in the frame as a debugger does: orl $0x10000,0x10(%rsp), then goes on to the usual one.
      system.write(HANDLER + 0x100, hex('814c241000000100 e9f3feffff'));
      system.gate(1, BigInt(HANDLER + 0x100));
      runToHalt('90 90 90');
      expect(trapped()).toEqual([1]);
      expect(state().reg(13)).toBe(DR6_ONES | 1n);
    });

    it('on an instruction push RF clear', () => {
      breakAt(2, CODE, 0x10n);
      system.write(CODE, hex('90'));
      state().rflags = 2;
      system.run(1);
      expect(Number(u64At(system, Number(state().reg(4)) + 16)) & 0x1_0000).toBe(0);
      expect(state().u64(dr(6))).toBe(DR6_ONES | 4n);
    });

    it('trap behind a store to their bytes, not behind a load', () => {
      breakAt(0, SPOT + 4, DR7_ANY.write);
      state().setReg(3, BigInt(SPOT));
      // mov 4(%rbx),%eax; mov %eax,(%rbx); mov %rax,(%rbx); mov %eax,8(%rbx); movb $1,7(%rbx)
      runToHalt('8b4304 8903 488903 894308 c6430701');
      expect(trapped()).toEqual([8, 15]);
    });

    it('on reads and writes see both', () => {
      breakAt(0, SPOT + 4, DR7_ANY.access);
      state().setReg(3, BigInt(SPOT));
      runToHalt('8b4304 8903 894304');
      expect(trapped()).toEqual([3, 8]);
    });

    it('see pushes, and the element a string instruction is at', () => {
      breakAt(0, STACK - 8, DR7_ANY.write);
      runToHalt('50 58');
      expect(trapped()).toEqual([1]);
      state().setU32(at.HALTED, 0);
      state().setReg(15, 0n);
      state().setReg(14, BigInt(SPOT + 0x1000));
      breakAt(0, SPOT + 2, 0x1_0001n);
      state().setReg(1, 4n);
      state().setReg(7, BigInt(SPOT));
      state().rip = BigInt(CODE);
      runToHalt('f3aa');
      expect(trapped()).toEqual([0]);
      expect(state().reg(1)).toBe(0n);
    });

    it('on what a load of SS reads wait for the instruction behind it', () => {
      breakAt(0, SPOT, DR7_ANY.access);
      state().setReg(3, BigInt(SPOT));
      system.write(SPOT, hex('1000'));
      // mov (%rbx),%ss; nop; nop
      runToHalt('8e13 90 90');
      expect(trapped()).toEqual([3]);
    });

    it('on what a load of SS reads are told by the #DB of an INT1 behind it, and not once more', () => {
      breakAt(0, SPOT, DR7_ANY.access);
      state().setReg(3, BigInt(SPOT));
      system.write(SPOT, hex('1000'));
      // mov (%rbx),%ss; int1; nop
      runToHalt('8e13 f1 90');
      expect(trapped()).toEqual([3]);
      expect(state().reg(13)).toBe(DR6_ONES | 1n);
    });

    it('wait there behind STI too, which has a shadow of its own', () => {
      breakAt(0, SPOT, DR7_ANY.access);
      state().setReg(3, BigInt(SPOT));
      system.write(SPOT, hex('1000'));
      runToHalt('fb 8e13 90 90');
      expect(trapped()).toEqual([4]);
    });

    it('that are not enabled see nothing', () => {
      breakAt(0, CODE + 1, 0n);
      runToHalt('90 90');
      expect(trapped()).toEqual([]);
    });
  });

  describe('a gather', () => {
    const GATHER = 'c4e26d900c1f'; // vpgatherdd %ymm2,(%rdi,%ymm3,1),%ymm1
    const word = (register: number, n: number): number =>
      n < 4 ? at.xmmAddress(register) + 4 * n : at.YMM_HIGH + 16 * register + 4 * (n - 4);

    it.each([
      [2, [6]],
      [3, []],
    ])('that reads elements 0 and 2 meets a breakpoint on element %s so', (broken, expected) => {
      for (let n = 0; n < 8; n++) {
        state().setU32(word(2, n), n === 0 || n === 2 ? 0xffff_ffff : 0);
        state().setU32(word(3, n), 4 * n);
      }
      state().setReg(7, BigInt(SPOT));
      state().setU64(at.CR4, state().u64(at.CR4) | (1n << 18n));
      state().setU64(at.XCR0, 7n);
      breakAt(0, SPOT + 4 * broken, DR7_ANY.access);
      system.engine.modeChanged();
      runToHalt(GATHER);
      expect(trapped()).toEqual(expected);
    });
  });
});
