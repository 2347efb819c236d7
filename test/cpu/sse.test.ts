// SSE and SSE2 moves, integers and logic against what a processor made of them (test/data/sse-results.txt), in the run
// loop and stepped; and what happens around them: alignment, pages, code, permission, modes.

import { readFileSync } from 'node:fs';
import { beforeEach, describe, expect, it } from 'vitest';
import { physAddr } from '../../src/bits/address.ts';
import type { Fault } from '../../src/cpu/state/cpu.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import { CR0_EM, CR0_TS, CR4_OSFXSR } from '../../src/x86/control.ts';
import { DATA, makeGuest } from './guest.ts';

const PAGE = 4096;
const CODE = DATA;
const CODE_LINEAR = 0x8000n;
/** Two pages side by side, physically apart. */
const BUFFER_LINEAR = 0x9000n;
const FIRST = DATA + PAGE;
const SECOND = DATA + 4 * PAGE;
const [RAX, RCX, RDI, R10] = [0, 1, 7, 10];

const JUMP_TO_SELF = [0xeb, 0xfe];
const MOVAPS_LOAD = [0x0f, 0x28, 0x0f]; // movaps (%rdi),%xmm1
const MOVAPS_STORE = [0x0f, 0x29, 0x0f]; // movaps %xmm1,(%rdi)
const MOVUPS_LOAD = [0x0f, 0x10, 0x0f];
const MOVUPS_STORE = [0x0f, 0x11, 0x0f];
const PADDB_LOAD = [0x66, 0x0f, 0xfc, 0x0f]; // paddb (%rdi),%xmm1
const MOVNTDQ = [0x66, 0x0f, 0xe7, 0x0f];
const PXOR = [0x66, 0x0f, 0xef, 0xca]; // pxor %xmm2,%xmm1
const MOVD = [0x66, 0x0f, 0x7e, 0xc8]; // movd %xmm1,%eax

const [UD, NM, GP, PF] = [6, 7, 13, 14];

const guest = makeGuest();
const { engine } = guest;
const { state, memory } = engine;
guest.map(CODE_LINEAR, CODE);
guest.map(BUFFER_LINEAR, FIRST);
guest.map(BUFFER_LINEAR + 4096n, SECOND);
state.setU64(at.CR4, state.u64(at.CR4) | CR4_OSFXSR);
const [CR0, CR4] = [state.u64(at.CR0), state.u64(at.CR4)];

const fromHex = (text: string): Uint8Array => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
const pattern = (first: number): Uint8Array => Uint8Array.from({ length: 16 }, (_, index) => first + index);

const setXmm = (index: number, bytes: Uint8Array): void => memory.bytes.set(bytes, at.xmmAddress(index));
const xmm = (index: number): string => hex(memory.bytes.slice(at.xmmAddress(index), at.xmmAddress(index) + 16));

function setMode(cr0: bigint, cr4: bigint): void {
  state.setU64(at.CR0, cr0);
  state.setU64(at.CR4, cr4);
  engine.modeChanged();
}

let place = 0;
/** Runs one instruction at a place of its own. @returns the fault */
function run(code: readonly number[], address: bigint): Fault | undefined {
  guest.write(CODE + place, Uint8Array.from(code));
  state.setReg(RDI, address);
  state.rip = CODE_LINEAR + BigInt(place);
  place = (place + 16) % PAGE;
  return guest.run(1);
}

beforeEach(() => {
  guest.setMode(64, 0);
  setMode(CR0, CR4);
  setXmm(1, pattern(0x10));
  setXmm(2, pattern(0x80));
  guest.write(FIRST, new Uint8Array(PAGE));
  guest.write(SECOND, new Uint8Array(PAGE));
});

// Results ---------------------------------------------------------------------------------------------------------------

const lines = readFileSync(new URL('../data/sse-results.txt', import.meta.url), 'utf8')
  .trim()
  .split('\n');
const states = lines.filter((line) => line.startsWith('state ')).map((line) => fromHex(line.slice(6)));
const XMM_BYTES = 256;

function enterState(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer);
  memory.bytes.set(bytes.subarray(0, XMM_BYTES), at.XMM);
  state.setReg(RAX, view.getBigUint64(XMM_BYTES, true));
  state.setReg(R10, view.getBigUint64(XMM_BYTES + 8, true));
  guest.write(FIRST, bytes.subarray(XMM_BYTES + 16));
  state.setReg(RDI, BUFFER_LINEAR);
  state.rip = CODE_LINEAR;
}

function leftState(length: number): string {
  const registers = new Uint8Array(BigUint64Array.of(state.reg(RAX), state.reg(R10)).buffer);
  const buffer = guest.read(FIRST, length - XMM_BYTES - 16);
  return hex(memory.bytes.slice(at.XMM, at.XMM_END)) + hex(registers) + hex(buffer);
}

function expected(before: Uint8Array, change: string): string {
  const after = before.slice();
  if (change !== '-') {
    const [offset = '', bytes = ''] = change.split(':');
    after.set(fromHex(bytes), parseInt(offset, 16));
  }
  return hex(after);
}

/** Runs every line's instruction from every state. @returns the texts of those that came out wrong, and how many ran */
function runAll(instructions: number): { wrong: string[]; count: number } {
  const wrong: string[] = [];
  let count = 0;
  for (const line of lines) {
    if (line.startsWith('#') || line.startsWith('state')) continue;
    const [results = '', text = ''] = line.split(' ; ');
    const [code = '', ...changes] = results.split(' ');
    guest.write(CODE, Uint8Array.from([...fromHex(code), ...JUMP_TO_SELF]));
    states.forEach((before, index) => {
      enterState(before);
      const fault = guest.run(instructions);
      const right = leftState(before.length) === expected(before, changes[index] ?? '');
      if (fault || !right) wrong.push(`${text} (state ${index})`);
      count++;
    });
  }
  return { wrong, count };
}

describe('SSE2 moves, integers and logic', () => {
  it.each([
    ['stepped', 1],
    ['in the run loop', 5000],
  ])('give what a processor gave, %s', (_, instructions) => {
    const { wrong, count } = runAll(instructions);
    expect(wrong).toEqual([]);
    expect(count).toBe(662 * 5);
  });
});

// Around them -----------------------------------------------------------------------------------------------------------

describe('16-byte operands', () => {
  it.each([
    ['movaps load', MOVAPS_LOAD],
    ['movaps store', MOVAPS_STORE],
    ['movntdq', MOVNTDQ],
    ['paddb', PADDB_LOAD],
  ])('have to be aligned: %s', (_, code) => {
    expect(run(code, BUFFER_LINEAR + 8n)).toMatchObject({ vector: GP, error: 0 });
    expect(xmm(1)).toBe(hex(pattern(0x10)));
    expect(hex(guest.read(FIRST, 32))).toBe('00'.repeat(32));
  });

  it('alignment is looked at before the page is', () => {
    expect(run(MOVAPS_LOAD, 0x7000_0008n)).toMatchObject({ vector: GP });
    expect(run(MOVAPS_LOAD, 0x7000_0010n)).toMatchObject({ vector: PF, address: 0x7000_0010n });
  });

  it.each([1n, 5n, 8n, 12n, 15n])('run over the end of a page: %i bytes before it', (before) => {
    const address = BUFFER_LINEAR + 4096n - before;
    expect(run(MOVUPS_STORE, address)).toBe(undefined);
    const there = hex(guest.read(FIRST + PAGE - Number(before), Number(before)));
    expect(there + hex(guest.read(SECOND, 16 - Number(before)))).toBe(hex(pattern(0x10)));
    setXmm(1, pattern(0));
    expect(run(MOVUPS_LOAD, address)).toBe(undefined);
    expect(xmm(1)).toBe(hex(pattern(0x10)));
  });

  it.each([1n, 8n, 12n, 15n])('change nothing where the second page faults: %i bytes before it', (before) => {
    const end = BUFFER_LINEAR + 2n * 4096n;
    for (const [code, error] of [
      [MOVUPS_LOAD, 0],
      [MOVUPS_STORE, 2],
    ] as const) {
      expect(run(code, end - before)).toMatchObject({ vector: PF, error, address: end });
    }
    expect(xmm(1)).toBe(hex(pattern(0x10)));
    expect(hex(guest.read(SECOND + PAGE - 16, 16))).toBe('00'.repeat(16));
  });

  it('are checked for a canonical address whole', () => {
    expect(run(MOVUPS_LOAD, 0x7fff_ffff_fff8n)).toMatchObject({ vector: GP, error: 0 });
  });

  it('are held against the segment limit outside 64-bit mode', () => {
    guest.setMode(32, 0);
    const ds = state.segment(SEG.DS);
    state.setSegment(SEG.DS, { ...ds, limit: Number(BUFFER_LINEAR) + 15 });
    expect(run(MOVUPS_LOAD, BUFFER_LINEAR)).toBe(undefined);
    expect(run(MOVUPS_LOAD, BUFFER_LINEAR + 1n)).toMatchObject({ vector: GP, error: 0 });
    state.setSegment(SEG.DS, ds);
  });

  it('stored over code that has run make the new code run', () => {
    const program = [...MOVUPS_STORE, 0x31, 0xc0, ...JUMP_TO_SELF]; // xor %eax,%eax
    const target = CODE_LINEAR + BigInt(MOVUPS_STORE.length);
    guest.write(CODE, Uint8Array.from(program));
    setXmm(1, Uint8Array.from([0x31, 0xc0, ...JUMP_TO_SELF, ...new Uint8Array(12)]));
    const go = (): void => {
      state.setReg(RAX, 1n);
      state.setReg(RDI, target);
      state.rip = CODE_LINEAR;
      expect(guest.run(5000)).toBe(undefined);
    };
    go();
    expect(state.reg(RAX)).toBe(0n);
    setXmm(1, Uint8Array.from([0xff, 0xc0, ...JUMP_TO_SELF, ...new Uint8Array(12)])); // inc %eax
    go();
    expect(state.reg(RAX)).toBe(2n);
  });

  it('on a watched page are told of before they happen', () => {
    const watched: boolean[] = [];
    const observation = engine.observe({
      access: ({ write }) => {
        watched.push(write);
        expect(hex(guest.read(SECOND, 16))).toBe('00'.repeat(16));
      },
    });
    observation.watch(physAddr(SECOND), 1, at.PAGE_WATCH_WRITE);
    expect(run(MOVUPS_STORE, BUFFER_LINEAR + 4096n - 4n)).toBe(undefined);
    observation.dispose();
    expect(watched).toEqual([true]);
    expect(hex(guest.read(SECOND, 12))).toBe(hex(pattern(0x10).subarray(4)));
  });
});

describe('a device', () => {
  const accesses: string[] = [];
  const withDevice = makeGuest({
    read: (address, size) => {
      accesses.push(`read ${size} at ${address.toString(16)}`);
      return BigInt(address & 0xff) * 0x0101_0101_0101_0101n;
    },
    write: (address, size, value) => accesses.push(`write ${size} at ${address.toString(16)}: ${value.toString(16)}`),
    emptyAccesses: 0,
  });
  const step = (code: readonly number[], registers: Uint8Array): string => {
    accesses.length = 0;
    const other = withDevice.engine;
    other.memory.bytes.set(registers, at.xmmAddress(1));
    withDevice.map(CODE_LINEAR, CODE);
    withDevice.map(BUFFER_LINEAR, 0x4000_0000);
    withDevice.write(CODE, Uint8Array.from(code));
    other.state.setU64(at.CR4, CR4);
    other.modeChanged();
    other.state.setReg(RDI, BUFFER_LINEAR + 0x20n);
    other.state.rip = CODE_LINEAR;
    expect(withDevice.run(1)).toBe(undefined);
    return hex(other.memory.bytes.slice(at.xmmAddress(1), at.xmmAddress(1) + 16));
  };

  it('is read 8 bytes at a time', () => {
    expect(step(MOVUPS_LOAD, pattern(0))).toBe('20'.repeat(8) + '28'.repeat(8));
    expect(accesses).toEqual(['read 8 at 40000020', 'read 8 at 40000028']);
  });

  it('is written 8 bytes at a time', () => {
    step(MOVUPS_STORE, pattern(0x10));
    expect(accesses).toEqual(['write 8 at 40000020: 1716151413121110', 'write 8 at 40000028: 1f1e1d1c1b1a1918']);
  });
});

describe('permission', () => {
  it.each([
    ['EM', CR0 | CR0_EM, CR4, UD],
    ['no OSFXSR', CR0, CR4 & ~CR4_OSFXSR, UD],
    ['TS', CR0 | CR0_TS, CR4, NM],
    ['EM before TS', CR0 | CR0_EM | CR0_TS, CR4, UD],
    ['no OSFXSR before TS', CR0 | CR0_TS, CR4 & ~CR4_OSFXSR, UD],
  ])('%s denies XMM registers', (_, cr0, cr4, vector) => {
    setMode(cr0, cr4);
    for (const code of [PXOR, MOVD, MOVUPS_LOAD, MOVUPS_STORE]) {
      const fault = run(code, BUFFER_LINEAR);
      expect(fault).toMatchObject({ vector });
      expect(fault?.error).toBe(undefined);
    }
    expect(xmm(1)).toBe(hex(pattern(0x10)));
  });

  it('comes before alignment and paging', () => {
    setMode(CR0 | CR0_TS, CR4);
    expect(run(MOVAPS_LOAD, 0x7000_0008n)).toMatchObject({ vector: NM });
  });

  it('follows CR0 for code that is already decoded', () => {
    guest.write(CODE, Uint8Array.from([0x0f, 0x22, 0xc1, ...PXOR, ...JUMP_TO_SELF])); // mov %rcx,%cr0
    const go = (cr0: bigint): Fault | undefined => {
      state.setReg(RCX, cr0);
      state.rip = CODE_LINEAR;
      return guest.run(5000);
    };
    expect(go(CR0)).toBe(undefined);
    expect(go(CR0 | CR0_TS)).toMatchObject({ vector: NM });
    expect(go(CR0)).toBe(undefined);
    expect(xmm(1)).toBe(hex(pattern(0x10)));
  });
});
