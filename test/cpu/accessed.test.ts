// When accessed and dirty bits are set again that a guest has cleared without telling anybody: where the page has no entry
// in the translation caches, and for no reason of the host's. In each engine, watched or not (SDM 3A 4.8, 4.10.2).
import { describe, expect, it } from 'vitest';
import type { Instruction } from 'iced-x86';
import { bytesOfHex } from '../../src/bits/hex.ts';
import { physAddr } from '../../src/bits/address.ts';
import { VARIANT_NAMES } from '../../src/cpu/binding/variants.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { PTE_A, PTE_D } from '../../src/x86/paging.ts';
import { DATA, type Guest, makeGuest } from './guest.ts';
import { bytesOf, u64At } from './system.ts';

const PAGE = 4096;
const CODE = 0x70_0000;
const NEXT = CODE + PAGE;
/** Linear page that is read and stored to; it lies in DATA. */
const TOUCHED = 0x2000_0000n;
const [RCX, RBX, RSI, RDI] = [1, 3, 6, 7];
const LOAD = '488b03'; // mov (%rbx),%rax
const STORE = '48890b'; // mov %rcx,(%rbx)
const INVLPG = '0f013b'; // invlpg (%rbx)
const ACCESSED_DIRTY = PTE_A | PTE_D;

function guestOn(variant: (typeof VARIANT_NAMES)[number]): Guest {
  const guest = makeGuest(undefined, undefined, variant);
  guest.map(BigInt(CODE), CODE);
  guest.map(BigInt(NEXT), NEXT);
  guest.map(TOUCHED, DATA);
  guest.engine.state.setReg(RBX, TOUCHED);
  return guest;
}

const entry = (guest: Guest, linear: bigint): bigint => u64At(guest, guest.entryOf(linear));
/** The bits are taken away behind the processor's back. */
const clear = (guest: Guest, linear: bigint): void =>
  guest.write(guest.entryOf(linear), bytesOf(entry(guest, linear) & ~ACCESSED_DIRTY));

function run(guest: Guest, code: string, instructions: number, place = CODE): void {
  guest.write(place, bytesOfHex(code));
  guest.engine.state.rip = BigInt(place);
  expect(guest.run(instructions)).toBe(undefined);
}

/** What a host may do with a page; the guest can tell nothing of it. */
const HOSTS: readonly (readonly [string, (guest: Guest) => void])[] = [
  ['nobody watches', () => undefined],
  ['it is watched', ({ engine }) => engine.observe({}).watch(physAddr(DATA), PAGE, at.PAGE_WATCHES)],
  ['written pages are looked for', ({ engine }) => engine.takePages(at.PAGE_WRITTEN)],
  ['decoded code is dropped', ({ engine }) => engine.code.flush()],
];

describe.each(VARIANT_NAMES)('in the %s engine', (variant) => {
  describe.each(HOSTS)('where %s', (_name, host) => {
    it('a page that is cached is not walked to again, until it is dropped', () => {
      const guest = guestOn(variant);
      run(guest, LOAD + STORE, 2);
      expect(entry(guest, TOUCHED) & ACCESSED_DIRTY).toBe(ACCESSED_DIRTY);
      clear(guest, TOUCHED);
      host(guest);
      run(guest, LOAD + STORE, 2);
      expect(entry(guest, TOUCHED) & ACCESSED_DIRTY).toBe(0n);
      run(guest, INVLPG + LOAD, 2);
      expect(entry(guest, TOUCHED) & ACCESSED_DIRTY).toBe(PTE_A);
    });

    it('nor is a page of code, whatever is decoded of it', () => {
      const guest = guestOn(variant);
      run(guest, '9090', 2);
      expect(entry(guest, BigInt(CODE)) & PTE_A).toBe(PTE_A);
      clear(guest, BigInt(CODE));
      host(guest);
      // A part of it that was not run before.
      run(guest, '9090', 2, CODE + 0x800);
      expect(entry(guest, BigInt(CODE)) & PTE_A).toBe(0n);
      guest.engine.state.setReg(RBX, BigInt(CODE));
      run(guest, `${INVLPG}90`, 2);
      expect(entry(guest, BigInt(CODE)) & PTE_A).toBe(PTE_A);
    });
  });

  it('a store to a page that holds code is one like any other', () => {
    const guest = guestOn(variant);
    guest.map(TOUCHED, CODE);
    guest.engine.state.setReg(RBX, TOUCHED + 0x900n);
    run(guest, STORE + STORE, 1);
    clear(guest, TOUCHED);
    run(guest, STORE + STORE, 1);
    expect(entry(guest, TOUCHED) & ACCESSED_DIRTY).toBe(0n);
  });

  it('an access over two pages walks to those that are not cached', () => {
    const guest = guestOn(variant);
    guest.map(TOUCHED + BigInt(PAGE), DATA + PAGE);
    run(guest, LOAD, 1);
    clear(guest, TOUCHED);
    guest.engine.state.setReg(RBX, TOUCHED + BigInt(PAGE - 4));
    run(guest, LOAD, 1);
    expect(entry(guest, TOUCHED) & PTE_A).toBe(0n);
    expect(entry(guest, TOUCHED + BigInt(PAGE)) & PTE_A).toBe(PTE_A);
  });

  it('the page behind is fetched from when an instruction that runs over the edge is run, and not before', () => {
    const guest = guestOn(variant);
    guest.write(CODE + PAGE - 4, bytesOfHex('9090 48c7c105000000'.replaceAll(' ', '')));
    guest.engine.state.rip = BigInt(CODE + PAGE - 4);
    expect(guest.run(1)).toBe(undefined);
    expect(guest.engine.fetchBytes(BigInt(CODE + PAGE - 2))).toHaveLength(15);
    expect(entry(guest, BigInt(NEXT)) & PTE_A).toBe(0n);
    expect(guest.run(1)).toBe(undefined);
    expect(entry(guest, BigInt(NEXT)) & PTE_A).toBe(0n);
    expect(guest.run(1)).toBe(undefined);
    expect(guest.engine.state.reg(RCX)).toBe(5n);
    expect(entry(guest, BigInt(NEXT)) & PTE_A).toBe(PTE_A);
  });

  it('whoever looks at code and addresses sets none', () => {
    const guest = guestOn(variant);
    const { engine } = guest;
    engine.state.rip = BigInt(CODE);
    const insn = engine.currentInstruction() as Instruction;
    insn.free();
    engine.translate(TOUCHED, { peek: true, write: true });
    engine.forgetCode(BigInt(CODE));
    expect(entry(guest, BigInt(CODE)) & PTE_A).toBe(0n);
    expect(entry(guest, TOUCHED) & ACCESSED_DIRTY).toBe(0n);
  });
});

describe('how many instructions a repeated string instruction is', () => {
  const REP_MOVSB = 'f3a4';

  /** Into a page that holds code, at some of which was looked by jumps: as many as the lines of that code make it. */
  function counted(variant: (typeof VARIANT_NAMES)[number], host: (guest: Guest) => void, from: number): bigint {
    const guest = guestOn(variant);
    const { engine } = guest;
    guest.map(TOUCHED, NEXT);
    // Straight code of 600 instructions, the middle of which is entered first: longer than a run of records.
    const straight = `${'90'.repeat(600)}c3`;
    run(guest, straight, 100, NEXT + 0x400);
    host(guest);
    engine.state.rip = BigInt(NEXT + 0x480);
    guest.run(10);
    engine.state.setReg(RCX, BigInt(0xf00 - from));
    engine.state.setReg(RSI, BigInt(CODE));
    engine.state.setReg(RDI, TOUCHED + BigInt(from));
    const before = engine.retired;
    guest.write(CODE, bytesOfHex(`${REP_MOVSB}90`));
    engine.state.rip = BigInt(CODE);
    while (engine.state.rip === BigInt(CODE)) guest.run(1);
    return engine.retired - before;
  }

  it.each(VARIANT_NAMES)('in the %s engine hangs on lines of code, not on what is decoded', (variant) => {
    expect(counted(variant, () => undefined, 0)).toBe(0x401n);
    // From within its last line, which no run of records that was made before came to.
    const count = counted(variant, () => undefined, 0x640);
    expect(count).toBe(1n);
    expect(counted(variant, ({ engine }) => engine.code.flush(), 0x640)).toBe(count);
    expect(counted(variant, ({ engine }) => engine.forgetCode(BigInt(NEXT)), 0x640)).toBe(count);
    expect(counted(variant, ({ engine }) => engine.restore(engine.save()), 0x640)).toBe(count);
  });
});
