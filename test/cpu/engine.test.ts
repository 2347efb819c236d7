// The engine around the instructions: exact counts however a run is cut, code that changes under it, exceptions that
// cannot be delivered, privilege changes, watched pages.

import { beforeEach, describe, expect, it } from 'vitest';
import { physAddr } from '../../src/bits/address.ts';
import type { RunResult } from '../../src/cpu/interpret/engine.ts';
import type { Watched } from '../../src/cpu/interpret/observing.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import { bytesOf, KERNEL_CODE, KERNEL_STACK, makeSystem, type System, USER_CODE, USER_DATA, u64At } from './system.ts';
import { VARIANT_NAMES } from '../../src/cpu/binding/variants.ts';

describe.each(VARIANT_NAMES)('in the %s engine', (variant) => {
  const PAGE = 4096;
  const CODE = 0x8000;
  const DATA = 0x2_0000;
  const STACK = 0x3_0000;
  const [RAX, RCX, RDX, RBX, RSP, RSI, RDI] = [0, 1, 2, 3, 4, 6, 7];
  const HLT = 0xf4;

  const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

  function makeProgramGuest(): System {
    const system = makeSystem(variant);
    system.mapFlat(CODE, 3);
    system.mapFlat(DATA, 3);
    system.mapFlat(STACK - PAGE, 1);
    return system;
  }

  /** Registers and everything a program may have changed, as one text. */
  function snapshot(guest: System): string {
    const { state } = guest.engine;
    const regs = Array.from({ length: 16 }, (_, index) => state.reg(index).toString(16)).join();
    let sum = 0;
    for (const [start, length] of [
      [DATA, 3 * PAGE],
      [STACK - PAGE, PAGE],
      [Number(KERNEL_STACK) - PAGE, PAGE],
    ] as const) {
      for (const word of new Uint32Array(guest.read(start, length).buffer)) sum = (Math.imul(sum, 31) + word) | 0;
    }
    return [regs, state.rflags, state.rip.toString(16), state.cpl, sum, state.u64(at.CR2), guest.engine.retired].join(
      ' ',
    );
  }

  describe('a run cut after any number of instructions', () => {
    // Loops, near and far branches, calls, the stack, microcode, REP over pages, an instruction over a page's end, and
    // three exceptions in each round: #UD, #DE and #PF, whose handlers step over the instruction.
    const PROGRAM: readonly (readonly [number, string])[] = [
      [
        0,
        'be 00 00 02 00 bf 00 10 02 00 31 ed' + // mov $0x20000,%esi; mov $0x21000,%edi; xor %ebp,%ebp
          'ff c5 b9 05 00 00 00' + // top: inc %ebp; mov $5,%ecx
          '48 01 e8 48 c1 c0 03 ff c9 75 f5' + // 1: add %rbp,%rax; rol $3,%rax; dec %ecx; jnz 1b
          'e8 5d 10 00 00' + // call callee
          '0f 0b 31 d2 f7 f2 8b 1d 00 00 07 00' + // ud2; xor %edx,%edx; div %edx; mov 0x70000(%rip),%ebx
          '48 8d 7f d0 be f0 0f 02 00 bf f4 1f 02 00' + // lea -0x30(%rdi),%rdi; mov $0x20ff0,%esi; mov $0x21ff4,%edi
          'b9 18 00 00 00 f3 a4 9c 9d 0f a2' + // mov $0x18,%ecx; rep movsb; pushfq; popfq; cpuid
          'e9 ab 0f 00 00', // jmp crossing
      ],
      [0x100, '41 ff c0 48 83 04 24 02 48 cf'], // inc %r8d; addq $2,(%rsp); iretq
      [0x120, '48 83 c4 08 41 ff c1 48 83 04 24 06 48 cf'], // add $8,%rsp; inc %r9d; addq $6,(%rsp); iretq
      // mov %ebp,%edx; xor $1,%edx; mov $0x12345678,%r10d; add %r10,%r11; jmp top
      [0xff8, '89 ea 83 f2 01 41 ba 78 56 34 12 4d 01 d3 e9 01 f0 ff ff'],
      [0x1080, '55 48 31 e8 5d c3'], // callee: push %rbp; xor %rbp,%rax; pop %rbp; ret
    ];
    const MOST = 3000;

    const guest = makeProgramGuest();
    const { engine } = guest;
    for (const [offset, text] of PROGRAM) guest.write(CODE + offset, hex(text));
    for (const vector of [0, 6]) guest.gate(vector, BigInt(CODE + 0x100));
    guest.gate(14, BigInt(CODE + 0x120));

    const begin = (): void => {
      const { state } = engine;
      for (let index = 0; index < 16; index++) state.setReg(index, 0n);
      state.setReg(RSP, BigInt(STACK));
      state.rflags = 2;
      state.setU64(at.CR2, 0n);
      state.rip = BigInt(CODE);
      engine.retired = 0n;
      state.setU64(at.DELIVERED, 0n);
      guest.write(
        DATA,
        Uint8Array.from({ length: 3 * PAGE }, (_, n) => (n * 7) & 0xff),
      );
      guest.write(STACK - PAGE, new Uint8Array(PAGE));
      guest.write(Number(KERNEL_STACK) - PAGE, new Uint8Array(PAGE));
    };
    const stepped = (): string[] => {
      begin();
      const list = [snapshot(guest)];
      for (let n = 1; n <= MOST; n++) {
        engine.run(BigInt(n));
        list.push(snapshot(guest));
      }
      return list;
    };
    const each = stepped();

    it('went through what it is there for', () => {
      expect(engine.state.reg(8)).toBeGreaterThan(80n);
      expect(engine.state.reg(9)).toBeGreaterThan(40n);
      expect(engine.retired).toBe(BigInt(MOST));
    });

    // All of the first rounds, then around where the engine changes over from its loop to exact steps, then a sample.
    const counts = Array.from({ length: MOST + 1 }, (_, n) => n).filter(
      (n) => n < 200 || (n > 1015 && n < 1115) || n % 61 === 0,
    );

    it('is where so many single steps lead', () => {
      for (const n of counts) {
        begin();
        expect(engine.run(BigInt(n)).kind).toBe('budget');
        expect(snapshot(guest), `after ${n} instructions`).toBe(each[n]);
      }
    });

    it('goes on from there as if it had not been cut', () => {
      for (const n of [1, 7, 45, 46, 47, 600, 1024, 1025, 1500, 2047]) {
        begin();
        engine.run(BigInt(n));
        engine.run(BigInt(MOST));
        expect(snapshot(guest), `cut after ${n} instructions`).toBe(each[MOST]);
      }
    });
  });

  describe('a long run', () => {
    const guest = makeProgramGuest();
    const { engine } = guest;
    guest.write(CODE, hex('48 ff c0 48 ff c3 eb f8')); // 1: inc %rax; inc %rbx; jmp 1b

    it.each([1023, 1024, 1025, 998_975, 998_976, 998_977, 999_999, 1_000_000, 1_000_001, 2_000_003])(
      'of %i instructions stops exactly there',
      (n) => {
        engine.state.setReg(RAX, 0n);
        engine.state.setReg(RBX, 0n);
        engine.state.rip = BigInt(CODE);
        engine.retired = 0n;
        engine.run(BigInt(n));
        expect(engine.retired).toBe(BigInt(n));
        const [rounds, rest] = [Math.floor(n / 3), n % 3];
        expect([engine.state.reg(RAX), engine.state.reg(RBX), engine.state.rip]).toEqual([
          BigInt(rounds + (rest > 0 ? 1 : 0)),
          BigInt(rounds + (rest > 1 ? 1 : 0)),
          BigInt(CODE + 3 * rest),
        ]);
      },
    );
  });

  // Both ways to run: the exact steps of a small budget, and the loop.
  describe.each([
    ['steps', 100n],
    ['the loop', 5000n],
  ])('code that changes, run by %s', (_, budget) => {
    let guest: System;
    beforeEach(() => {
      guest = makeProgramGuest();
    });

    /** Runs from an address to a HLT. */
    const go = (address = CODE): void => {
      const { engine } = guest;
      engine.state.rip = BigInt(address);
      engine.state.setReg(RSP, BigInt(STACK));
      engine.state.setU32(at.HALTED, 0);
      expect(engine.run(engine.retired + budget).kind).toBe('halted');
    };
    const reg = (index: number): number => Number(guest.engine.state.reg(index));

    it('by an instruction right before it', () => {
      // movb $0x2a,1(%rip); mov $0,%eax; hlt
      guest.write(CODE, hex('c6 05 01 00 00 00 2a b8 00 00 00 00 f4'));
      go();
      expect(reg(RAX)).toBe(0x2a);
      guest.write(CODE + 6, Uint8Array.of(0x2b));
      go();
      expect(reg(RAX)).toBe(0x2b);
    });

    it('in each round of a loop', () => {
      // xor %ebx,%ebx; mov $5,%ecx; 1: mov $1,%eax; add %eax,%ebx; incb -8(%rip) [the 1]; dec %ecx; jnz 1b; hlt
      guest.write(CODE, hex('31 db b9 05 00 00 00 b8 01 00 00 00 01 c3 fe 05 f4 ff ff ff ff c9 75 ef f4'));
      go();
      expect(reg(RBX)).toBe(1 + 2 + 3 + 4 + 5);
    });

    it('where it runs over a page: its tail, from the page before', () => {
      const start = CODE + PAGE - 2;
      guest.write(start, hex('b8 11 00 00 00 f4')); // mov $0x11,%eax; hlt
      go(start);
      expect(reg(RAX)).toBe(0x11);
      // movb $0x22,tail(%rip); jmp start
      guest.write(CODE, hex('c6 05 f9 0f 00 00 22 e9 f2 0f 00 00'));
      guest.engine.state.setReg(RAX, 0n);
      go();
      expect(reg(RAX)).toBe(0x2200 + 0x11);
    });

    it('by REP MOVS over what has just been run', () => {
      guest.write(CODE + 0x100, hex('b8 01 00 00 00 c3')); // f: mov $1,%eax; ret
      guest.write(DATA, hex('b8 02 00 00 00 c3'));
      // call f; mov %eax,%edx; mov $0x20000,%esi; mov $0x8100,%edi; mov $6,%ecx; rep movsb; call f; hlt
      guest.write(
        CODE,
        hex('e8 fb 00 00 00 89 c2 be 00 00 02 00 bf 00 81 00 00 b9 06 00 00 00 f3 a4 e8 e3 00 00 00 f4'),
      );
      go();
      expect([reg(RDX), reg(RAX)]).toEqual([1, 2]);
    });

    it('by a store to the same memory at another address', () => {
      const alias = 0x5_0000_0000n;
      guest.map(alias, CODE);
      guest.write(CODE, hex('b8 05 00 00 00 c6 43 01 06 48 ff c9 79 f2 f4')); // 1: mov $5,%eax; movb $6,1(%rbx); dec %rcx; jns 1b; hlt
      guest.engine.state.setReg(RBX, alias);
      guest.engine.state.setReg(RCX, 1n);
      go();
      expect(reg(RAX)).toBe(6);
    });

    it('by the host', () => {
      guest.write(CODE, hex('b8 05 00 00 00 f4'));
      go();
      guest.write(CODE + 1, Uint8Array.of(7));
      go();
      expect(reg(RAX)).toBe(7);
    });

    it('as its second page is mapped elsewhere', () => {
      const start = CODE + PAGE - 2;
      guest.write(start, hex('b8 11 00 00 00 f4'));
      guest.write(DATA, hex('22 00 00 f4')); // what the new second page begins with
      go(start);
      expect(reg(RAX)).toBe(0x11);
      guest.write(guest.entryOf(BigInt(CODE + PAGE)), bytesOf(BigInt(DATA) | 7n));
      // invlpg (%rbx); jmp start
      guest.write(CODE, hex('0f 01 3b e9 f6 0f 00 00'));
      guest.engine.state.setReg(RBX, BigInt(CODE + PAGE));
      go();
      expect(reg(RAX)).toBe(0x2211);
    });

    it('as the page it falls through to is mapped elsewhere', () => {
      const start = CODE + PAGE - 5;
      guest.write(start, hex('b8 01 00 00 00')); // mov $1,%eax, up to the page's end
      guest.write(CODE + PAGE, Uint8Array.of(HLT));
      guest.write(DATA, hex('ff c0 f4')); // inc %eax; hlt
      go(start);
      expect(reg(RAX)).toBe(1);
      guest.write(guest.entryOf(BigInt(CODE + PAGE)), bytesOf(BigInt(DATA) | 7n));
      guest.write(CODE, hex('0f 01 3b e9 f3 0f 00 00')); // invlpg (%rbx); jmp start
      guest.engine.state.setReg(RBX, BigInt(CODE + PAGE));
      go();
      expect(reg(RAX)).toBe(2);
    });
  });

  describe("an instruction over a page's end", () => {
    it('faults at the second page where that is not mapped, and has done nothing', () => {
      const guest = makeProgramGuest();
      const start = CODE + 3 * PAGE - 2;
      guest.write(start, hex('b8 11'));
      guest.engine.state.rip = BigInt(start);
      expect(guest.run(1)).toMatchObject({ vector: 14, error: 0x10, address: BigInt(CODE + 3 * PAGE) });
    });

    it('that ends before it needs nothing of the second page', () => {
      const guest = makeProgramGuest();
      const start = CODE + 3 * PAGE - 5;
      guest.write(start, hex('b8 11 00 00 00'));
      guest.engine.state.rip = BigInt(start);
      expect(guest.run(1)).toBe(undefined);
      expect(guest.engine.state.reg(RAX)).toBe(0x11n);
    });
  });

  describe('an exception that cannot be delivered', () => {
    const UNMAPPED_LOAD = hex('8b 04 25 00 00 07 00'); // mov 0x70000,%eax
    const faulting = (): System => {
      const guest = makeProgramGuest();
      guest.write(CODE, UNMAPPED_LOAD);
      guest.write(CODE + 0x100, Uint8Array.of(HLT));
      guest.engine.state.setReg(RSP, BigInt(STACK));
      guest.engine.state.rip = BigInt(CODE);
      return guest;
    };

    it('becomes a double fault with error code 0', () => {
      const guest = faulting();
      guest.gate(8, BigInt(CODE + 0x100));
      expect(guest.engine.run(10n).kind).toBe('halted');
      const { state } = guest.engine;
      expect([state.rip, state.u64(at.CR2)]).toEqual([BigInt(CODE + 0x101), 0x70000n]);
      expect([u64At(guest, STACK - 48), u64At(guest, STACK - 40)]).toEqual([0n, BigInt(CODE)]);
    });

    it('becomes a triple fault where there is no handler for that either', () => {
      const guest = faulting();
      const result = guest.engine.run(10n) as Extract<RunResult, { kind: 'triple-fault' }>;
      expect(result.kind).toBe('triple-fault');
      expect(result.chain.map(({ vector }) => vector)).toEqual([14, 8]);
      expect(result.chain[0]).toMatchObject({ cr2: 0x70000n, error: 0, rip: BigInt(CODE), met: { vector: 13 } });
      expect(guest.engine.retired).toBe(0n);
    });
  });

  describe('IRET to user mode and the way back', () => {
    it('changes privilege level and stack both ways', () => {
      const guest = makeProgramGuest();
      const { state } = guest.engine;
      guest.write(CODE, hex('48 cf')); // iretq
      guest.write(CODE + 0x40, hex('8c c9 8c d2 54 cd 80')); // mov %cs,%ecx; mov %ss,%edx; push %rsp; int $0x80
      guest.write(CODE + 0x100, Uint8Array.of(HLT));
      guest.gate(0x80, BigInt(CODE + 0x100), 3);
      const frame = [BigInt(CODE + 0x40), BigInt(USER_CODE), 0x202n, BigInt(STACK - 0x100), BigInt(USER_DATA)];
      frame.forEach((value, n) => {
        guest.write(STACK - 0x40 + 8 * n, bytesOf(value));
      });
      state.setReg(RSP, BigInt(STACK - 0x40));
      state.rip = BigInt(CODE);
      guest.engine.run(1n);
      expect([state.cpl, state.rip, state.reg(RSP)]).toEqual([3, BigInt(CODE + 0x40), BigInt(STACK - 0x100)]);
      expect(guest.engine.run(100n).kind).toBe('halted');
      expect([state.reg(RCX), state.reg(RDX)]).toEqual([BigInt(USER_CODE), BigInt(USER_DATA)]);
      expect([state.cpl, state.segment(SEG.CS).selector]).toEqual([0, KERNEL_CODE]);
      const pushed = [5, 4, 3, 2, 1].map((n) => u64At(guest, Number(KERNEL_STACK) - 8 * n));
      const flags = BigInt(state.rflags | 0x200);
      expect(pushed).toEqual([BigInt(CODE + 0x47), BigInt(USER_CODE), flags, BigInt(STACK - 0x108), BigInt(USER_DATA)]);
    });
  });

  describe.each([
    ['steps', 100n],
    ['the loop', 5000n],
  ])('a watched page, run by %s', (_, budget) => {
    const watching = (code: string, flags: number, registers: Record<number, bigint>): Watched[] => {
      const guest = makeProgramGuest();
      const { engine } = guest;
      guest.write(CODE, hex(`90${code}f4`));
      for (const [index, value] of Object.entries(registers)) engine.state.setReg(Number(index), value);
      engine.state.setReg(RSP, BigInt(STACK));
      const seen: Watched[] = [];
      const observation = engine.observe({ access: (watched) => seen.push(watched) });
      observation.watch(physAddr(DATA + PAGE), PAGE, flags);
      engine.state.rip = BigInt(CODE);
      expect(engine.run(budget).kind).toBe('halted');
      return seen;
    };
    const BOTH = at.PAGE_WATCH_READ | at.PAGE_WATCH_WRITE;
    const WATCHED = BigInt(DATA + PAGE);
    const access = (offset: number, size: number, write: boolean, when: bigint) => ({
      ...{ address: DATA + PAGE + offset, size, write },
      at: when,
    });

    it.each([
      ['a load', '48 8b 03', [access(0, 8, false, 1n)]],
      ['a store', '66 89 03', [access(0, 2, true, 1n)]],
      ['a read-modify-write, as the write it is', '01 03', [access(0, 4, true, 1n)]],
      ['two instructions', '8a 03 88 03', [access(0, 1, false, 1n), access(0, 1, true, 2n)]],
    ])('tells of %s once, before it happens', (__, code, want) => {
      expect(watching(code, BOTH, { [RBX]: WATCHED })).toEqual(want);
    });

    it('tells of what is watched only', () => {
      expect(watching('8a 03 88 03', at.PAGE_WATCH_WRITE, { [RBX]: WATCHED })).toEqual([access(0, 1, true, 2n)]);
      expect(watching('8a 03 88 03', BOTH, { [RBX]: WATCHED - 1n })).toEqual([]);
    });

    it('tells of every round of a loop', () => {
      // 1: mov %al,(%rbx); dec %ecx; jnz 1b
      const seen = watching('88 03 ff c9 75 fa', BOTH, { [RBX]: WATCHED, [RCX]: 4n });
      expect(seen).toEqual([0n, 3n, 6n, 9n].map((n) => access(0, 1, true, 1n + n)));
    });

    it("tells of a string instruction's block at once, as an access of no size", () => {
      const seen = watching('f3 a4', BOTH, { [RSI]: BigInt(DATA), [RDI]: WATCHED - 2n, [RCX]: 5n });
      expect(seen).toEqual([access(0, 0, true, 2n)]);
    });
  });
});
