// What is kept of translations: it may be stale until the guest drops it, and never lets through what the privilege
// level, RFLAGS.AC, CR0.WP, CR4 or EFER now forbid (SDM 3A 4.10).

import { beforeEach, describe, expect, it } from 'vitest';
import { physAddr } from '../../src/bits/address.ts';
import type { Fault } from '../../src/cpu/state/cpu.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { DATA, makeGuest } from './guest.ts';
import { VARIANT_NAMES } from '../../src/cpu/binding/variants.ts';

describe.each(VARIANT_NAMES)('in the %s engine', (variant) => {
  const PAGE = 4096;
  const CODE_LINEAR = 0x8000n;
  const CODE = DATA;
  const LINEAR = 0x20_0000_3000n;
  const FIRST = DATA + PAGE;
  const SECOND = DATA + 2 * PAGE;

  const [RAX, RCX, RBX] = [0, 1, 3];
  const LOAD = [0x48, 0x8b, 0x03]; // mov (%rbx),%rax
  const STORE = [0x48, 0x89, 0x0b]; // mov %rcx,(%rbx)
  const INVLPG = [0x0f, 0x01, 0x3b]; // invlpg (%rbx)
  const WRITE_CR0 = [0x0f, 0x22, 0xc1]; // mov %rcx,%cr0
  const WRITE_CR3 = [0x0f, 0x22, 0xd9]; // mov %rcx,%cr3
  const WRITE_CR4 = [0x0f, 0x22, 0xe1]; // mov %rcx,%cr4
  const STAC = [0x0f, 0x01, 0xcb];
  const CLAC = [0x0f, 0x01, 0xca];

  const PRESENT = 1n;
  const WRITABLE = 2n;
  const USER = 4n;
  const DIRTY = 0x40n;
  const PGE = 0x80n;
  const SMEP = 0x10_0000n;
  const SMAP = 0x20_0000n;
  const WP = 0x1_0000n;

  const guest = makeGuest(undefined, undefined, variant);
  const { engine } = guest;
  const { state } = engine;

  const bytes = (value: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(value).buffer);
  /** Changes the entry behind the processor's back, as a store from elsewhere would. */
  const setEntry = (linear: bigint, value: bigint): void => guest.write(guest.entryOf(linear), bytes(value));
  const entry = (linear: bigint): bigint => engine.readPhysical(physAddr(guest.entryOf(linear)), 8);

  let place = 0;
  /** Runs one instruction at a place of its own. @returns the fault */
  function run(code: readonly number[], registers: Record<number, bigint> = {}): Fault | undefined {
    guest.write(CODE + place, Uint8Array.from(code));
    for (const [index, value] of Object.entries(registers)) state.setReg(Number(index), value);
    state.setReg(RBX, LINEAR);
    state.rip = CODE_LINEAR + BigInt(place);
    place += 16;
    return guest.run(1);
  }
  const loaded = (): bigint => {
    expect(run(LOAD)).toBe(undefined);
    return state.reg(RAX);
  };

  beforeEach(() => {
    place = 0;
    state.setU64(at.CR0, 0x8001_0033n);
    state.setU64(at.CR4, 0xa0n);
    state.rflags = 2;
    guest.setMode(64, 0);
    guest.map(CODE_LINEAR, CODE);
    guest.map(LINEAR, FIRST);
    guest.write(FIRST, bytes(1n));
    guest.write(SECOND, bytes(2n));
  });

  describe('a changed entry', () => {
    it.each([
      ['INVLPG', INVLPG, 0n],
      ['a write to CR3', WRITE_CR3, state.u64(at.CR3)],
      ['a change of CR4.PGE', WRITE_CR4, 0xa0n ^ PGE],
    ])('is seen after %s', (_, flush, value) => {
      expect(loaded()).toBe(1n);
      setEntry(LINEAR, BigInt(SECOND) | PRESENT | WRITABLE | USER);
      expect(loaded()).toBe(1n);
      expect(run(flush, { [RCX]: value })).toBe(undefined);
      expect(loaded()).toBe(2n);
    });

    it('is seen for stores after INVLPG', () => {
      expect(run(STORE, { [RCX]: 7n })).toBe(undefined);
      setEntry(LINEAR, BigInt(SECOND) | PRESENT | WRITABLE | USER);
      expect(run(INVLPG)).toBe(undefined);
      expect(run(STORE, { [RCX]: 8n })).toBe(undefined);
      expect([guest.read(FIRST, 1)[0], guest.read(SECOND, 1)[0]]).toEqual([7, 8]);
    });

    it('of another page stays as it was under INVLPG', () => {
      const other = LINEAR + BigInt(PAGE);
      guest.map(other, FIRST);
      expect(loaded()).toBe(1n);
      setEntry(LINEAR, BigInt(SECOND) | PRESENT | WRITABLE | USER);
      state.setReg(RCX, other);
      expect(run([0x0f, 0x01, 0x39])).toBe(undefined); // invlpg (%rcx)
      expect(loaded()).toBe(1n);
    });
  });

  describe('a kept translation', () => {
    it('of a supervisor page does not serve the user', () => {
      setEntry(LINEAR, BigInt(FIRST) | PRESENT | WRITABLE);
      expect(loaded()).toBe(1n);
      guest.setMode(64, 3);
      expect(run(LOAD)).toMatchObject({ vector: 14, error: 5, address: LINEAR });
      expect(run(STORE)).toMatchObject({ vector: 14, error: 7 });
      guest.setMode(64, 0);
      expect(loaded()).toBe(1n);
    });

    it('for a supervisor store to a read-only page falls with CR0.WP set', () => {
      setEntry(LINEAR, BigInt(FIRST) | PRESENT | USER);
      expect(run(WRITE_CR0, { [RCX]: 0x8001_0033n & ~WP })).toBe(undefined);
      expect(run(STORE, { [RCX]: 9n })).toBe(undefined);
      expect(run(WRITE_CR0, { [RCX]: 0x8001_0033n })).toBe(undefined);
      expect(run(STORE, { [RCX]: 10n })).toMatchObject({ vector: 14, error: 3, address: LINEAR });
      expect(guest.read(FIRST, 1)[0]).toBe(9);
    });

    it('made by a read lets no store by that is not allowed, and a first store sets the dirty flag', () => {
      expect(loaded()).toBe(1n);
      expect(entry(LINEAR) & DIRTY).toBe(0n);
      expect(run(STORE, { [RCX]: 3n })).toBe(undefined);
      expect(entry(LINEAR) & DIRTY).toBe(DIRTY);
      setEntry(LINEAR, BigInt(FIRST) | PRESENT | USER);
      expect(run(INVLPG)).toBe(undefined);
      expect(loaded()).toBe(3n);
      expect(run(STORE)).toMatchObject({ vector: 14, error: 3 });
    });

    it('of a user page serves the supervisor under SMAP only while AC is set', () => {
      setEntry(CODE_LINEAR, BigInt(CODE) | PRESENT | WRITABLE);
      expect(loaded()).toBe(1n);
      expect(run(WRITE_CR4, { [RCX]: 0xa0n | SMAP })).toBe(undefined);
      expect(run(LOAD)).toMatchObject({ vector: 14, error: 1, address: LINEAR });
      expect(run(STAC)).toBe(undefined);
      expect(loaded()).toBe(1n);
      expect(run(CLAC)).toBe(undefined);
      expect(run(LOAD)).toMatchObject({ vector: 14, error: 1 });
    });

    it('for fetches of a user page falls with CR4.SMEP set', () => {
      expect(loaded()).toBe(1n);
      expect(run(WRITE_CR4, { [RCX]: 0xa0n | SMEP })).toBe(undefined);
      expect(run(LOAD)).toMatchObject({ vector: 14, error: 0x11, address: CODE_LINEAR + BigInt(place - 16) });
    });

    it('with the same place in the cache as another does not serve for it', () => {
      const far = LINEAR + BigInt(PAGE * at.TLB_ENTRIES);
      guest.map(far, SECOND);
      for (let round = 0; round < 2; round++) {
        expect(loaded()).toBe(1n);
        expect(run([0x48, 0x8b, 0x01], { [RCX]: far })).toBe(undefined); // mov (%rcx),%rax
        expect(state.reg(RAX)).toBe(2n);
      }
    });
  });
});
