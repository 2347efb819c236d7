// MMX registers are the x87 registers: what an MMX instruction does to x87 state, and what keeps it from running.
// Results of each instruction are in the recorded vectors (family mmx).

import { beforeEach, describe, expect, it } from 'vitest';
import type { Fault } from '../../src/cpu/state/cpu.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { CR0_EM, CR0_TS, CR4_OSFXSR } from '../../src/x86/control.ts';
import { GPR } from '../../src/x86/registers.ts';
import { DATA, makeGuest } from './guest.ts';

const CODE_LINEAR = 0x8000n;
const BUFFER_LINEAR = 0x9000n;
const BUFFER = DATA + 4096;
const UNMAPPED = 0x7000_0000n;
const { RDI } = GPR;

const PADDB = [0x0f, 0xfc, 0xca]; // paddb %mm2,%mm1
const PADDB_LOAD = [0x0f, 0xfc, 0x0f]; // paddb (%rdi),%mm1
const MOVQ_STORE = [0x0f, 0x7f, 0x0f]; // movq %mm1,(%rdi)
const MASKMOVQ = [0x0f, 0xf7, 0xca]; // maskmovq %mm2,%mm1
const MASKMOVDQU = [0x66, 0x0f, 0xf7, 0xca]; // maskmovdqu %xmm2,%xmm1
const [UD, NM, PF, MF] = [6, 7, 14, 16];
const TOP_3 = 3 << 11;
const ES = 0x80;

const guest = makeGuest();
const { engine } = guest;
const { state, memory } = engine;
guest.map(CODE_LINEAR, DATA);
guest.map(BUFFER_LINEAR, BUFFER);
state.setU64(at.CR4, state.u64(at.CR4) | CR4_OSFXSR);
const CR0 = state.u64(at.CR0);

const statusWord = (): number => state.u32(at.FXSTATE) >>> 16;
const tags = (): number => state.u32(at.FTW) & 0xff;
const slot = (n: number): bigint => state.u64(at.ST0 + 16 * n);
const text = (length: number): string => guest.read(BUFFER, length).join();

let place = 0;
function run(code: readonly number[], address: bigint): Fault | undefined {
  guest.write(DATA + place, Uint8Array.from(code));
  state.setReg(RDI, address);
  state.rip = CODE_LINEAR + BigInt(place);
  place = (place + 16) % 4096;
  return guest.run(1);
}

function setCr0(value: bigint): void {
  state.setU64(at.CR0, value);
  engine.modeChanged();
}

/** TOP is 3, so ST(n) is physical register n + 3; each holds its physical number in every byte. */
beforeEach(() => {
  setCr0(CR0);
  state.setU32(at.FXSTATE, 0x37f | (TOP_3 << 16));
  state.setU32(at.FTW, 0);
  for (let n = 0; n < 8; n++) {
    state.setU64(at.ST0 + 16 * n, 0x0101_0101_0101_0101n * BigInt((n + 3) & 7));
    state.setU64(at.ST0 + 16 * n + 8, 0x4000n);
  }
  guest.write(BUFFER, new Uint8Array(4096));
});

describe('an MMX instruction', () => {
  it('sets TOP to 0 and all tags, and finds registers by their physical number', () => {
    expect(run(PADDB, BUFFER_LINEAR)).toBe(undefined);
    expect([statusWord(), tags()]).toEqual([0, 0xff]);
    const low = Array.from({ length: 8 }, (_, n) => Number(slot(n) & 0xffn));
    expect(low).toEqual([0, 3, 2, 3, 4, 5, 6, 7]);
    // Only what was written has all ones above it.
    expect(state.u64(at.ST0 + 16 + 8)).toBe(0xffffn);
    expect(state.u64(at.ST0 + 32 + 8)).toBe(0x4000n);
  });

  it.each([
    ['a load', PADDB_LOAD],
    ['a store', MOVQ_STORE],
    ['a masked store', MASKMOVQ],
  ])('leaves everything as it was where %s faults', (_, code) => {
    state.setU64(at.ST0 + 16 * 7, 0x80n); // mm2: a mask with one byte
    const before = memory.bytes.slice(at.FXSTATE, at.XMM).join();
    expect(run(code, UNMAPPED)).toMatchObject({ vector: PF, address: UNMAPPED });
    expect(memory.bytes.slice(at.FXSTATE, at.XMM).join()).toBe(before);
  });

  it.each([
    ['EM', CR0 | CR0_EM | CR0_TS, ES, UD],
    ['TS', CR0 | CR0_TS, ES, NM],
    ['a pending x87 exception', CR0, ES, MF],
  ])('is denied by %s, before its memory is looked at', (_, cr0, status, vector) => {
    setCr0(cr0);
    state.setU32(at.FXSTATE, 0x37e | ((TOP_3 | status | 1) << 16));
    expect(run(PADDB_LOAD, UNMAPPED)).toMatchObject({ vector });
    expect(statusWord()).toBe(TOP_3 | status | 1);
  });
});

describe('a masked store', () => {
  const setXmm = (index: number, bytes: readonly number[]): void =>
    memory.bytes.set(Uint8Array.from(bytes), at.xmmAddress(index));
  const BYTES = Array.from({ length: 16 }, (_, index) => index + 1);
  const maskOf = (...selected: number[]): number[] =>
    Array.from({ length: 16 }, (_, index) => (selected.includes(index) ? 0x80 : 0x7f));

  it('writes the selected bytes and no other', () => {
    setXmm(1, BYTES);
    setXmm(2, maskOf(0, 3, 15));
    expect(run(MASKMOVDQU, BUFFER_LINEAR)).toBe(undefined);
    expect(text(17)).toBe([1, 0, 0, 4, ...Array<number>(11).fill(0), 16, 0].join());
  });

  it('does not touch a page in which nothing is selected', () => {
    setXmm(1, BYTES);
    setXmm(2, maskOf(1));
    expect(run(MASKMOVDQU, BUFFER_LINEAR + 4096n - 8n)).toBe(undefined);
    setXmm(2, maskOf());
    expect(run(MASKMOVDQU, UNMAPPED)).toBe(undefined);
  });

  it('writes nothing where a later page faults', () => {
    setXmm(1, BYTES);
    setXmm(2, maskOf(1, 9));
    const end = BUFFER_LINEAR + 4096n;
    expect(run(MASKMOVDQU, end - 8n)).toMatchObject({ vector: PF, address: end + 1n, error: 2 });
    expect(guest.read(BUFFER + 4088, 8).join()).toBe(Array(8).fill(0).join());
  });
});
