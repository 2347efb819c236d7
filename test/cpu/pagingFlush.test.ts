// INVLPG and pages larger than 4 KiB: every cached piece of the page goes (SDM 3A 4.10.4.1).

import { describe, expect, it } from 'vitest';
import * as at from '../../src/cpu/state/layout.ts';
import { type Guest, makeGuest } from './guest.ts';
import { bytesOf, u64At } from './system.ts';
import { VARIANT_NAMES } from '../../src/cpu/binding/variants.ts';

describe.each(VARIANT_NAMES)('in the %s engine', (variant) => {
  const CODE = 0x70_0000;
  const OLD = 0x80_0000;
  const NEW = 0xa0_0000;
  const LARGE_PAGE = 0x4000_0000n;
  const PRESENT_WRITABLE_LARGE = 0x83n;

  const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));

  /** A guest with one page of 2 MiB at LARGE_PAGE. @returns it, and the address of the entry that maps the page */
  const withLargePage = (): { guest: Guest; entry: number } => {
    const guest = makeGuest(undefined, undefined, variant);
    guest.map(BigInt(CODE), CODE);
    guest.map(LARGE_PAGE, OLD);
    const root = Number(guest.engine.state.u64(at.CR3));
    const next = (table: number, index: bigint): number => Number(u64At(guest, table + 8 * Number(index)) & ~0xfffn);
    const directory = next(next(root, (LARGE_PAGE >> 39n) & 511n), (LARGE_PAGE >> 30n) & 511n);
    const entry = directory + 8 * Number((LARGE_PAGE >> 21n) & 511n);
    guest.write(entry, bytesOf(BigInt(OLD) | PRESENT_WRITABLE_LARGE));
    guest.engine.flushTlb(true);
    guest.engine.modeChanged();
    guest.engine.state.rip = BigInt(CODE);
    return { guest, entry };
  };

  describe('INVLPG of a large page', () => {
    it('drops the pieces that other addresses of the page left behind', () => {
      const { guest, entry } = withLargePage();
      const { state } = guest.engine;
      guest.write(OLD + 0x5000, bytesOf(1n));
      guest.write(NEW + 0x5000, bytesOf(2n));
      state.setReg(3, LARGE_PAGE);
      // mov 0x5000(%rbx),%rax; mov %rax,0x6000(%rbx)
      guest.write(CODE, hex('488b8300500000 48898300600000 0f013b 488b8b00500000 48898b00600000'));
      guest.run(2);
      expect(state.reg(0)).toBe(1n);
      guest.write(entry, bytesOf(BigInt(NEW) | PRESENT_WRITABLE_LARGE));
      // invlpg (%rbx); mov 0x5000(%rbx),%rcx; mov %rcx,0x6000(%rbx)
      guest.run(3);
      expect(state.reg(1)).toBe(2n);
      expect(u64At(guest, OLD + 0x6000)).toBe(1n);
      expect(u64At(guest, NEW + 0x6000)).toBe(2n);
    });

    it('leaves translations of other pages', () => {
      const { guest } = withLargePage();
      const { state } = guest.engine;
      const other = LARGE_PAGE + 0x20_0000n;
      guest.map(other, OLD + 0x1000);
      guest.write(OLD + 0x1000, bytesOf(5n));
      state.setReg(3, LARGE_PAGE);
      state.setReg(6, other);
      guest.write(CODE, hex('488b03 488b06 0f013b 488b0e'));
      guest.run(2);
      guest.write(guest.entryOf(other), bytesOf(0n));
      expect(guest.run(2)).toBeUndefined();
      expect(state.reg(1)).toBe(5n);
    });
  });
});
