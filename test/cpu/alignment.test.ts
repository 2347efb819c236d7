// Alignment checks (SDM 3A 6.15, #AC, table 6-7). Results but those of 16-byte moves were recorded from a processor; those
// are left to the processor by the manual.

import { beforeEach, describe, expect, it } from 'vitest';
import * as at from '../../src/cpu/state/layout.ts';
import { initialiseX87 } from '../../src/cpu/microcode/fpuState.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import { CR0_AM, CR4_OSFXSR } from '../../src/x86/control.ts';
import { FLAGS } from '../../src/x86/flags.ts';
import { GPR } from '../../src/x86/registers.ts';
import { DATA, makeGuest } from './guest.ts';
import { bytesOfHex } from './hex.ts';

const guest = makeGuest();
const { engine } = guest;
const { state } = engine;
const CODE = DATA + 0x10000;
for (let page = 0; page < 0x12000; page += 4096) guest.map(BigInt(DATA + page), DATA + page);
const AREA = BigInt(DATA + 0x1000);
const CR0 = state.u64(at.CR0);

beforeEach(() => {
  state.setU64(at.CR0, CR0 | CR0_AM);
  state.setU64(at.CR4, state.u64(at.CR4) | CR4_OSFXSR);
  state.rflags = FLAGS.AC | 2;
  initialiseX87(state);
  state.setReg(GPR.RSP, AREA);
  guest.setMode(64, 3);
});

/** Runs one instruction with RAX at a distance from an address that is a multiple of 4096. */
const runAt = (hex: string, distance: number): number | undefined => {
  guest.write(CODE, bytesOfHex(hex));
  state.rip = BigInt(CODE);
  state.setReg(GPR.RAX, AREA + BigInt(distance));
  state.setReg(GPR.RSI, AREA + BigInt(distance));
  state.setReg(GPR.RDI, AREA + 0x100n);
  state.setReg(GPR.RCX, 4n);
  return guest.run(1)?.vector;
};

describe('with CR0.AM and RFLAGS.AC at level 3', () => {
  it.each<[string, string, number]>([
    ['a byte', '8a 08', 1],
    ['a word', '66 8b 08', 2],
    ['a doubleword', '8b 08', 4],
    ['a quadword', '48 8b 08', 8],
    ['a store', '48 89 08', 8],
    ['a read-modify-write', '01 08', 4],
    ['CMPXCHG8B', '0f c7 08', 8],
    ['REP MOVSD', 'f3 a5', 4],
    ['LODSW', '66 ad', 2],
    ['MOVSS', 'f3 0f 10 00', 4],
    ['MOVQ', 'f3 0f 7e 00', 8],
    ['MOVUPS', '0f 10 00', 8],
    ['MOVUPS, stored', '0f 11 00', 8],
    ['FLD m32', 'd9 00', 4],
    ['FLD m64', 'dd 00', 8],
    ['FLD m80', 'db 28', 8],
    ['FNSTENV', 'd9 30', 4],
    ['FNSAVE', 'dd 30', 4],
    ['FRSTOR', 'dd 20', 4],
  ])('%s', (_name, hex, alignment) => {
    for (const distance of [1, 2, 4, 8, 4095]) {
      expect([distance, runAt(hex, distance)]).toEqual([distance, distance % alignment ? 17 : undefined]);
    }
  });

  it('a misaligned operand of 16 bytes that has to be aligned is #GP as ever', () => {
    expect(runAt('0f 28 00', 8)).toBe(13);
    expect(runAt('48 0f c7 08', 8)).toBe(13);
  });

  it('the stack', () => {
    state.setReg(GPR.RSP, AREA + 0x101n);
    expect(runAt('50', 0)).toBe(17);
    expect(runAt('c3', 0)).toBe(17);
    expect(runAt('9c', 0)).toBe(17);
    expect(state.reg(GPR.RSP)).toBe(AREA + 0x101n);
  });

  it('comes before a page fault', () => {
    guest.unmap(AREA + 0x2000n);
    expect(runAt('8b 08', 0x2001)).toBe(17);
    expect(runAt('8b 08', 0x2000)).toBe(14);
    guest.map(AREA + 0x2000n, Number(AREA) + 0x2000);
  });

  it('has no effect on aligned accesses, again and again', () => {
    for (let n = 0; n < 3; n++) expect(runAt('8b 08', 8)).toBeUndefined();
    expect(runAt('8b 08', 2)).toBe(17);
  });

  it('pushes error code 0', () => {
    guest.write(CODE, bytesOfHex('8b 08'));
    state.rip = BigInt(CODE);
    state.setReg(GPR.RAX, AREA + 1n);
    expect(guest.run(1)).toMatchObject({ vector: 17, error: 0 });
  });
});

describe('alignment is not checked', () => {
  it.each([
    ['without RFLAGS.AC', () => (state.rflags = 2)],
    ['without CR0.AM', () => state.setU64(at.CR0, CR0)],
    ['at level 0', () => guest.setMode(64, 0)],
  ])('%s', (_name, change) => {
    change();
    engine.modeChanged();
    expect(runAt('8b 08', 1)).toBeUndefined();
    expect(runAt('d9 00', 1)).toBeUndefined();
  });

  it('once POPF cleared AC, and is again once it set it', () => {
    guest.write(Number(AREA), bytesOfHex('02 00 00 00 00 00 00 00 02 00 04 00 00 00 00 00'));
    expect(runAt('9d', 0)).toBeUndefined();
    expect(runAt('8b 08', 1)).toBeUndefined();
    expect(runAt('9d', 0)).toBeUndefined();
    expect(runAt('8b 08', 1)).toBe(17);
  });

  it('for SGDT beyond the image as a whole', () => {
    expect(state.segment(SEG.CS).attributes & 0x2000).toBe(0x2000);
    expect(runAt('0f 01 00', 0)).toBeUndefined();
  });
});
