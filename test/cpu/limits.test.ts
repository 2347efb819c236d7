// Segment limits outside 64-bit mode: fetches, branches and data (SDM 3A 5.3; 2A JMP, CALL). What is expected was recorded
// from a processor, with segments of an LDT; the near calls are in the manual's order, limit before stack.

import { beforeEach, describe, expect, it } from 'vitest';
import { bytesOfHex } from './hex.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import { GPR } from '../../src/x86/registers.ts';
import { DATA, makeGuest } from './guest.ts';
import { VARIANT_NAMES } from '../../src/cpu/binding/variants.ts';

describe.each(VARIANT_NAMES)('in the %s engine', (variant) => {
  const guest = makeGuest(undefined, undefined, variant);
  const { engine } = guest;
  const { state } = engine;
  const SIZE = 0x20000;
  for (let page = 0; page < SIZE; page += 4096) guest.map(BigInt(DATA + page), DATA + page);
  const STACK = 0x18000;

  const setCode = (bitness: 16 | 32, limit: number): void => {
    guest.setMode(bitness, 3);
    state.setSegment(SEG.CS, { ...state.segment(SEG.CS), base: BigInt(DATA), limit });
    engine.modeChanged();
  };

  beforeEach(() => {
    guest.write(DATA, new Uint8Array(SIZE).fill(0x90));
    setCode(32, 0x1fff);
    for (const index of [SEG.ES, SEG.SS, SEG.DS]) {
      state.setSegment(index, { selector: 0x2b, attributes: 0xc0f3, base: BigInt(DATA), limit: 0xffff_ffff });
    }
    state.setReg(GPR.RSP, BigInt(STACK));
    state.setReg(GPR.RCX, 5n);
    state.setReg(GPR.RAX, 0x2000n);
    state.rflags = 0x42;
  });

  /** Runs from an offset. @returns the vector raised, and where */
  const runAt = (offset: number, hex: string, instructions = 3): [number | undefined, bigint] => {
    guest.write(DATA + offset, bytesOfHex(hex));
    state.rip = BigInt(offset);
    const met = guest.run(instructions);
    return [met?.vector, state.rip];
  };

  describe('a fetch', () => {
    it.each<[string, number, string, number, number]>([
      ['runs on past the limit', 0x1ffe, '90 90', 13, 0x2000],
      ['runs over it within an instruction', 0x1ffd, 'b8 01 02 03 04', 13, 0x1ffd],
      ['has a whole instruction before it', 0x1ffe, '0f 0b', 6, 0x1ffe],
      ['has half of one', 0x1fff, '0f', 13, 0x1fff],
      ['has prefixes only', 0x1ff8, '66 66 66 66 66 66 66 66', 13, 0x1ff8],
      ['knows that LOCK was wrong', 0x1ffe, 'f0 90', 6, 0x1ffe],
    ])('that %s', (_name, offset, hex, vector, rip) => {
      expect(runAt(offset, hex)).toEqual([vector, BigInt(rip)]);
    });

    it('has its limit inside a page as well', () => {
      setCode(32, 0x1233);
      expect(runAt(0x1230, '90 90 90 90 90')).toEqual([undefined, 0x1233n]);
      expect(guest.run(2)?.vector).toBe(13);
      expect(state.rip).toBe(0x1234n);
      expect(runAt(0x1232, 'b0 01')).toEqual([13, 0x1234n]);
      expect(runAt(0x1233, 'b0 01')).toEqual([13, 0x1233n]);
    });

    it('does not look at the page behind the limit', () => {
      guest.unmap(BigInt(DATA + 0x2000));
      expect(runAt(0x1ffd, 'b8 01 02')).toEqual([13, 0x1ffdn]);
      guest.map(BigInt(DATA + 0x2000), DATA + 0x2000);
    });

    it('does not wrap at 64 KiB in 16-bit code', () => {
      setCode(16, 0xffff);
      expect(runAt(0xffff, '90')).toEqual([13, 0x10000n]);
      expect(runAt(0xfffe, '8c d8', 2)).toEqual([13, 0x10000n]);
      setCode(16, 0x1ffff);
      guest.write(DATA + 0x10000, bytesOfHex('0f 0b'));
      expect(runAt(0xffff, '90')).toEqual([6, 0x10000n]);
    });
  });

  describe('a near branch beyond the limit is a fault of the branch', () => {
    it.each([
      ['JMP', 0x100, 'e9 fb 1e 00 00'],
      ['a short JMP', 0x1ff0, 'eb 0e'],
      ['Jcc that is taken', 0x100, '0f 84 fa 1e 00 00'],
      ['LOOP', 0x1ff0, 'e2 7f'],
      ['CALL', 0x100, 'e8 fb 1e 00 00'],
      ['JMP through a register', 0x100, 'ff e0'],
      ['CALL through a register', 0x100, 'ff d0'],
    ])('%s', (_name, offset, hex) => {
      expect(runAt(offset, hex)).toEqual([13, BigInt(offset)]);
      expect(state.reg(GPR.RCX)).toBe(5n);
      expect(state.reg(GPR.RSP)).toBe(BigInt(STACK));
    });

    it('Jcc behind a comparison', () => {
      expect(runAt(0x100, '39 c0 0f 84 f8 1e 00 00')).toEqual([13, 0x102n]);
    });

    it.each([
      ['RET', 'c3'],
      ['RET imm16', 'c2 08 00'],
    ])('%s', (_name, hex) => {
      guest.write(DATA + STACK, bytesOfHex('00 20 00 00'));
      expect(runAt(0x100, hex)).toEqual([13, 0x100n]);
      expect(state.reg(GPR.RSP)).toBe(BigInt(STACK));
    });

    it('is not one where it is not taken', () => {
      expect(runAt(0x100, '0f 85 fa 1e 00 00 0f 0b')).toEqual([6, 0x106n]);
      state.setReg(GPR.RCX, 1n);
      expect(runAt(0x1ff0, 'e2 7f 0f 0b')).toEqual([6, 0x1ff2n]);
    });

    it('wraps with a 16-bit operand, and does not with a 32-bit one', () => {
      setCode(16, 0xffff);
      guest.write(DATA + 0x71, bytesOfHex('0f 0b'));
      expect(runAt(0xfff0, 'eb 7f')).toEqual([6, 0x71n]);
      expect(runAt(0xfff0, '66 e9 80 00 00 00')).toEqual([13, 0xfff0n]);
    });

    it('counts nothing as retired', () => {
      const before = engine.retired;
      runAt(0x100, 'e9 fb 1e 00 00');
      expect(engine.retired).toBe(before);
    });
  });

  describe('data through ES', () => {
    const UP = { attributes: 0x40f3, limit: 0xfff };
    const DOWN32 = { attributes: 0x40f7, limit: 0xfff };
    const DOWN16 = { attributes: 0x00f7, limit: 0xfff };
    const BYTE = '26 8a 08';
    const WORD = '66 26 8b 08';
    const DOUBLEWORD = '26 8b 08';
    it.each<[string, { attributes: number; limit: number }, number, string, boolean]>([
      ['the last byte', UP, 0xfff, BYTE, true],
      ['the byte behind it', UP, 0x1000, BYTE, false],
      ['a doubleword that ends at the limit', UP, 0xffc, DOUBLEWORD, true],
      ['a doubleword that runs over it', UP, 0xffd, DOUBLEWORD, false],
      ['a doubleword that wraps', UP, 0xffff_ffff, DOUBLEWORD, false],
      ['the limit of an expand-down segment', DOWN32, 0xfff, BYTE, false],
      ['the first byte above it', DOWN32, 0x1000, BYTE, true],
      ['a doubleword that begins below it', DOWN32, 0xffd, DOUBLEWORD, false],
      ['the last byte of a 16-bit expand-down segment', DOWN16, 0xffff, BYTE, true],
      ['a word that runs over that', DOWN16, 0xffff, WORD, false],
      ['the byte behind it', DOWN16, 0x10000, BYTE, false],
      ['a write to what can only be read', { attributes: 0x40f1, limit: 0xfff }, 0x10, '26 88 08', false],
      ['a null segment', { attributes: 0, limit: 0 }, 0x10, BYTE, false],
    ])('%s', (_name, segment, offset, hex, allowed) => {
      state.setSegment(SEG.ES, { selector: 0x2b, base: BigInt(DATA), ...segment });
      state.setReg(GPR.RAX, BigInt(offset));
      const [vector] = runAt(0x100, hex, 1);
      expect(vector).toBe(allowed ? undefined : 13);
    });

    it('the stack segment raises #SS', () => {
      state.setSegment(SEG.SS, { ...state.segment(SEG.SS), limit: 0xfff });
      expect(runAt(0x100, '50')).toEqual([12, 0x100n]);
      expect(state.u32(at.FAULT_VECTOR) | 0).toBe(at.FAULT_NONE);
    });
  });
});
