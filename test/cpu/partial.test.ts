// Instructions that access memory more than once, or far from where their operand points: on a fault in a later access
// the registers must be as they were.

import { describe, expect, it } from 'vitest';
import { FLAGS } from '../../src/cpu/state/state.ts';
import { DATA, makeGuest } from './guest.ts';

const PAGE = 4096;
const [RAX, RCX, RBX, RSP, RBP] = [0, 1, 3, 4, 5];
const RET = 0xc3;
const CODE_LINEAR = 0x8000n;
/** Two pages; the one below is not mapped. */
const MEMORY_LINEAR = 0x20000n;
const MEMORY = DATA + PAGE;

const guest = makeGuest();
const { state } = guest.engine;
guest.map(CODE_LINEAR, DATA);
guest.map(MEMORY_LINEAR, MEMORY);
guest.map(MEMORY_LINEAR + 4096n, MEMORY + PAGE);

const bytes = (value: bigint): Uint8Array => new Uint8Array(BigUint64Array.of(value).buffer);
const u64 = (linear: bigint): bigint => {
  const place = guest.read(MEMORY + Number(linear - MEMORY_LINEAR), 8);
  return new DataView(place.buffer).getBigUint64(0, true);
};
const put = (linear: bigint, value: bigint): void => guest.write(MEMORY + Number(linear - MEMORY_LINEAR), bytes(value));

/** @returns vector of the fault, if there was one */
function run(code: readonly number[], registers: Record<number, bigint>, bitness: 64 | 32 = 64): number | undefined {
  guest.write(DATA, Uint8Array.of(...code, RET));
  guest.setMode(bitness, 0);
  for (const [index, value] of Object.entries(registers)) state.setReg(Number(index), value);
  state.rip = CODE_LINEAR;
  return guest.run(1)?.vector;
}

describe('ENTER', () => {
  const STACK = MEMORY_LINEAR + 0x100n;

  it('pushes the frame pointers of the enclosing levels and its own', () => {
    const old = MEMORY_LINEAR + 0x800n;
    [0x111n, 0x222n].forEach((value, i) => put(old - BigInt(8 * (i + 1)), value));
    expect(run([0xc8, 0x20, 0x00, 0x03], { [RSP]: STACK, [RBP]: old })).toBe(undefined);
    const frame = STACK - 8n;
    expect([1n, 2n, 3n, 4n].map((i) => u64(STACK - 8n * i))).toEqual([old, 0x111n, 0x222n, frame]);
    expect([state.reg(RBP), state.reg(RSP)]).toEqual([frame, STACK - 32n - 0x20n]);
  });

  it('changes no register where the frame it makes could not be written', () => {
    expect(run([0xc8, 0x00, 0x01, 0x00], { [RSP]: STACK, [RBP]: 0x777n })).toBe(14);
    expect([state.reg(RSP), state.reg(RBP)]).toEqual([STACK, 0x777n]);
  });

  it('changes no register where an enclosing frame cannot be read', () => {
    expect(run([0xc8, 0x00, 0x00, 0x02], { [RSP]: STACK, [RBP]: MEMORY_LINEAR })).toBe(14);
    expect([state.reg(RSP), state.reg(RBP)]).toEqual([STACK, MEMORY_LINEAR]);
  });
});

describe('POP to memory', () => {
  it('computes its address after the stack pointer has moved', () => {
    put(MEMORY_LINEAR, 0xabcn);
    expect(run([0x8f, 0x44, 0x24, 0x10], { [RSP]: MEMORY_LINEAR })).toBe(undefined); // pop 16(%rsp)
    expect([state.reg(RSP), u64(MEMORY_LINEAR + 0x18n)]).toEqual([MEMORY_LINEAR + 8n, 0xabcn]);
  });

  it('leaves the stack pointer where the destination cannot be written', () => {
    expect(run([0x8f, 0x03], { [RSP]: MEMORY_LINEAR, [RBX]: 0x1000n })).toBe(14); // pop (%rbx)
    expect(state.reg(RSP)).toBe(MEMORY_LINEAR);
  });
});

describe('PUSHAD', () => {
  it('leaves the stack pointer where not all registers fit', () => {
    expect(run([0x60], { [RSP]: MEMORY_LINEAR + 12n }, 32)).toBe(14);
    expect(state.reg(RSP)).toBe(MEMORY_LINEAR + 12n);
  });

  it('is undone by POPAD, but for the stack pointer that was stored', () => {
    const top = MEMORY_LINEAR + 0x200n;
    const registers = { 0: 10n, 1: 11n, 2: 12n, 3: 13n, 5: 15n, 6: 16n, 7: 17n };
    expect(run([0x60], { ...registers, [RSP]: top }, 32)).toBe(undefined);
    const cleared = { 0: 0n, 1: 0n, 2: 0n, 3: 0n, 5: 0n, 6: 0n, 7: 0n };
    expect(run([0x61], cleared, 32)).toBe(undefined);
    expect([0, 1, 2, 3, 4, 5, 6, 7].map((index) => state.reg(index))).toEqual([10n, 11n, 12n, 13n, top, 15n, 16n, 17n]);
  });
});

describe('a bit string in memory', () => {
  const base = MEMORY_LINEAR + 0x800n;

  it('reaches bits before its operand by a negative offset', () => {
    put(base - 0x100n, 0n);
    expect(run([0x48, 0x0f, 0xab, 0x0b], { [RBX]: base, [RCX]: -0x800n + 5n })).toBe(undefined); // bts %rcx,(%rbx)
    expect([u64(base - 0x100n), state.rflags & FLAGS.CF]).toEqual([1n << 5n, 0]);
  });

  it('reaches bits in a later page', () => {
    put(MEMORY_LINEAR + 0x1000n, 1n << 63n);
    const offset = 0x800n * 8n + 63n;
    expect(run([0x48, 0x0f, 0xbb, 0x0b], { [RBX]: base, [RCX]: offset })).toBe(undefined); // btc %rcx,(%rbx)
    expect([u64(MEMORY_LINEAR + 0x1000n), state.rflags & FLAGS.CF]).toEqual([0n, 1]);
  });

  it('takes a 32-bit offset as signed, and wraps at the address size', () => {
    put(base, 0n);
    const far = BigInt.asUintN(32, base + 4n);
    const code = [0x0f, 0xab, 0x0b]; // bts %ecx,(%ebx)
    expect(run(code, { [RBX]: far, [RCX]: BigInt.asUintN(32, -32n) }, 32)).toBe(undefined);
    expect(u64(base)).toBe(1n);
  });
});

describe('CMPXCHG', () => {
  it('needs its operand writable even where it does not exchange', () => {
    const before = { [RAX]: 1n, [RBX]: 0x3000n, [RCX]: 2n };
    expect(run([0x48, 0x0f, 0xb1, 0x0b], before)).toBe(14); // cmpxchg %rcx,(%rbx)
    expect(state.reg(RAX)).toBe(1n);
  });

  it('of 16 bytes raises #GP(0) where it is not aligned', () => {
    expect(run([0x48, 0x0f, 0xc7, 0x0b], { [RBX]: MEMORY_LINEAR + 8n })).toBe(13); // cmpxchg16b (%rbx)
  });
});
