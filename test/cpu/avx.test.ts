// VEX instructions where the vectors do not lead: who may use them, what is left alone, 32 bytes at the ends of pages.

import { beforeEach, describe, expect, it } from 'vitest';
import type { Fault } from '../../src/cpu/state/cpu.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import { CR0_EM, CR0_PE, CR0_PG, CR0_TS, CR4_OSFXSR, CR4_OSXSAVE } from '../../src/x86/control.ts';
import { DATA, type Guest, makeGuest } from './guest.ts';

const PAGE = 4096;
const CODE = DATA;
const CODE_LINEAR = 0x8000n;
const BUFFER_LINEAR = 0x9000n;
const FIRST = DATA + PAGE;
const SECOND = DATA + 4 * PAGE;
const END = BUFFER_LINEAR + 4096n;
const [RAX, RDI] = [0, 7];
const [UD, NM, GP, PF] = [6, 7, 13, 14];

const VPXOR = [0xc5, 0xed, 0xef, 0xca]; // vpxor %ymm2,%ymm2,%ymm1
const VADDPS = [0xc5, 0xec, 0x58, 0xca]; // vaddps %ymm2,%ymm2,%ymm1
const LOAD = [0xc5, 0xfc, 0x10, 0x0f]; // vmovups (%rdi),%ymm1
const STORE = [0xc5, 0xfc, 0x11, 0x0f]; // vmovups %ymm1,(%rdi)
const LOAD_ALIGNED = [0xc5, 0xfc, 0x28, 0x0f];
const STORE_ALIGNED = [0xc5, 0xfc, 0x29, 0x0f];
const NARROW_ALIGNED = [0xc5, 0xf8, 0x28, 0x0f]; // vmovaps (%rdi),%xmm1
const ADD_FROM = [0xc5, 0xf5, 0xfc, 0x0f]; // vpaddb (%rdi),%ymm1,%ymm1
const ZEROUPPER = [0xc5, 0xf8, 0x77];
const ZEROALL = [0xc5, 0xfc, 0x77];
const ANDN = [0xc4, 0xe2, 0x70, 0xf2, 0xc2]; // andn %edx,%ecx,%eax
const MASKED_STORE = [0xc4, 0xe2, 0x75, 0x8e, 0x17]; // vpmaskmovd %ymm2,%ymm1,(%rdi)
const GATHER = [0xc4, 0xe2, 0x6d, 0x90, 0x0c, 0x1f]; // vpgatherdd %ymm2,(%rdi,%ymm3,1),%ymm1
const EVEX = [0x62, 0xf1, 0x6c, 0x28, 0x58, 0xca]; // vaddps, in its AVX-512 encoding
const SSE_MOVE = [0x0f, 0x28, 0xca]; // movaps %xmm2,%xmm1
const SSE_ADD = [0x0f, 0x58, 0xca]; // addps %xmm2,%xmm1

let place = 0;

/** A guest with AVX enabled, and a page of code; a buffer of two pages that are physically apart. */
function prepared(modelName?: string): Guest {
  const guest = makeGuest(undefined, modelName);
  guest.map(CODE_LINEAR, CODE);
  guest.map(BUFFER_LINEAR, FIRST);
  guest.map(END, SECOND);
  const { state } = guest.engine;
  state.setU64(at.CR4, state.u64(at.CR4) | CR4_OSFXSR | CR4_OSXSAVE);
  state.setU64(at.XCR0, 7n);
  guest.engine.modeChanged();
  return guest;
}

function runOn(
  { engine: { state }, ...guest }: Guest,
  code: readonly number[],
  address = BUFFER_LINEAR,
): Fault | undefined {
  guest.write(CODE + place, Uint8Array.from(code));
  state.setReg(RDI, address);
  state.rip = CODE_LINEAR + BigInt(place);
  place = (place + 16) % PAGE;
  return guest.run(1);
}

const guest = prepared();
const { state, memory } = guest.engine;
const run = (code: readonly number[], address?: bigint): Fault | undefined => runOn(guest, code, address);
const [CR0, CR4] = [state.u64(at.CR0), state.u64(at.CR4)];

function setControl(cr0: bigint, cr4: bigint, xcr0: bigint): void {
  state.setU64(at.CR0, cr0);
  state.setU64(at.CR4, cr4);
  state.setU64(at.XCR0, xcr0);
  guest.engine.modeChanged();
}

const fill = (index: number, low: number, high: number): void => {
  memory.bytes.fill(low, at.xmmAddress(index), at.xmmAddress(index) + 16);
  memory.bytes.fill(high, at.YMM_HIGH + 16 * index, at.YMM_HIGH + 16 * index + 16);
};
const bytesOf = (index: number): readonly [number, number] => [
  memory.bytes[at.xmmAddress(index)] ?? -1,
  memory.bytes[at.YMM_HIGH + 16 * index] ?? -1,
];
const ones = (count: number, value: number): Uint8Array => new Uint8Array(count).fill(value);

beforeEach(() => {
  guest.setMode(64, 0);
  setControl(CR0, CR4, 7n);
  for (let index = 0; index < 16; index++) fill(index, 0x10 + index, 0x80 + index);
  guest.write(FIRST, ones(PAGE, 0x55));
  guest.write(SECOND, ones(PAGE, 0x66));
});

// Instructions of the engine and of the microcode.
describe.each([
  ['VPXOR', VPXOR],
  ['VADDPS', VADDPS],
] as const)('%s', (_, code) => {
  it.each([
    ['without CR4.OSXSAVE', CR0, CR4 & ~CR4_OSXSAVE, 7n, UD],
    ['without XCR0.AVX', CR0, CR4, 3n, UD],
    ['without XCR0.SSE', CR0, CR4, 5n, UD],
    ['with CR0.TS', CR0 | CR0_TS, CR4, 7n, NM],
    ['with CR0.TS and without XCR0.AVX', CR0 | CR0_TS, CR4, 3n, UD],
  ])('is denied %s', (_text, cr0, cr4, xcr0, vector) => {
    setControl(cr0, cr4, xcr0);
    expect(run(code)?.vector).toBe(vector);
    expect(bytesOf(1)).toEqual([0x11, 0x81]);
  });

  it('asks neither CR0.EM nor CR4.OSFXSR', () => {
    setControl(CR0 | CR0_EM, CR4 & ~CR4_OSFXSR, 7n);
    expect(run(code)).toBeUndefined();
  });

  it('is not there on older models', () => {
    const older = prepared('x86-64-v2');
    expect(runOn(older, code)?.vector).toBe(UD);
  });
});

describe('encodings', () => {
  it('EVEX is none', () => {
    expect(run(EVEX)?.vector).toBe(UD);
  });

  it('a gather whose mask is its destination is none', () => {
    expect(run([0xc4, 0xe2, 0x75, 0x90, 0x0c, 0x1f])?.vector).toBe(UD);
  });

  it('real mode has no VEX, not for general registers either', () => {
    const real = prepared();
    const other = real.engine.state;
    other.setU64(at.CR0, other.u64(at.CR0) & ~(CR0_PE | CR0_PG));
    other.setU64(at.EFER, 0n);
    for (const code of [ANDN, VPXOR, VADDPS]) {
      real.write(CODE, Uint8Array.from(code));
      const segment = { selector: 0, attributes: 0x93, base: BigInt(CODE), limit: 0xffff };
      other.setSegment(SEG.CS, segment);
      other.rip = 0n;
      real.engine.flushTlb(true);
      real.engine.modeChanged();
      expect(real.run(1)?.vector).toBe(UD);
    }
  });

  it('general registers need nothing of XCR0', () => {
    setControl(CR0 | CR0_TS, CR4 & ~CR4_OSXSAVE, 1n);
    expect(run(ANDN)).toBeUndefined();
  });
});

describe('upper halves', () => {
  it('are left alone by SSE', () => {
    for (const code of [SSE_MOVE, SSE_ADD]) {
      expect(run(code)).toBeUndefined();
      expect(bytesOf(1)[1]).toBe(0x81);
    }
  });

  it('VZEROUPPER clears them and nothing else', () => {
    expect(run(ZEROUPPER)).toBeUndefined();
    expect([bytesOf(0), bytesOf(15)]).toEqual([
      [0x10, 0],
      [0x1f, 0],
    ]);
  });

  it('VZEROALL clears whole registers', () => {
    expect(run(ZEROALL)).toBeUndefined();
    expect([bytesOf(0), bytesOf(15)]).toEqual([
      [0, 0],
      [0, 0],
    ]);
  });

  it('outside 64-bit mode eight registers are meant', () => {
    guest.setMode(32, 0);
    run(ZEROUPPER);
    run(ZEROALL);
    expect([bytesOf(7), bytesOf(8)]).toEqual([
      [0, 0],
      [0x18, 0x88],
    ]);
  });
});

describe('memory of 32 bytes', () => {
  it('lies anywhere but for the aligned moves', () => {
    expect(run(LOAD, BUFFER_LINEAR + 1n)).toBeUndefined();
    expect(bytesOf(1)).toEqual([0x55, 0x55]);
    expect(run(ADD_FROM, BUFFER_LINEAR + 3n)).toBeUndefined();
    for (const code of [LOAD_ALIGNED, STORE_ALIGNED]) {
      expect(run(code, BUFFER_LINEAR + 16n)).toMatchObject({ vector: GP, error: 0 });
      expect(run(code, BUFFER_LINEAR + 32n)).toBeUndefined();
    }
    expect(run(NARROW_ALIGNED, BUFFER_LINEAR + 16n)).toBeUndefined();
    expect(run(NARROW_ALIGNED, BUFFER_LINEAR + 8n)).toMatchObject({ vector: GP });
  });

  it('runs over a page', () => {
    expect(run(LOAD, END - 16n)).toBeUndefined();
    expect(bytesOf(1)).toEqual([0x55, 0x66]);
    expect(run(LOAD, END - 17n)).toBeUndefined();
    fill(1, 1, 2);
    expect(run(STORE, END - 15n)).toBeUndefined();
    expect(guest.read(FIRST + PAGE - 16, 16)).toEqual(Uint8Array.of(0x55, ...ones(15, 1)));
    expect(guest.read(SECOND, 18)).toEqual(Uint8Array.of(1, ...ones(16, 2), 0x66));
  });

  it.each([16n, 1n, 31n])('is written whole or not at all, %s bytes before a page that is missing', (before) => {
    guest.unmap(END);
    expect(run(STORE, END - before)).toMatchObject({ vector: PF, error: 2, address: END });
    expect(guest.read(FIRST + PAGE - 32, 32)).toEqual(ones(32, 0x55));
    expect(run(LOAD, END - before)).toMatchObject({ vector: PF, error: 0, address: END });
    guest.map(END, SECOND);
  });

  it('meets the first page first', () => {
    guest.unmap(BUFFER_LINEAR);
    guest.unmap(END);
    expect(run(STORE, END - 8n)).toMatchObject({ vector: PF, address: END - 8n });
    guest.map(BUFFER_LINEAR, FIRST);
    guest.map(END, SECOND);
  });

  it('is canonical to its last byte, before a page is looked at', () => {
    const last = 0x8000_0000_0000n - 8n;
    for (const code of [LOAD, STORE, ADD_FROM]) expect(run(code, last)).toMatchObject({ vector: GP, error: 0 });
    expect(run(LOAD, 0x8000_0000_0000n - 32n)).toMatchObject({ vector: PF });
  });

  it('changes code that has been decoded', () => {
    const code = [...STORE, 0xb0, 0x01]; // vmovups %ymm1,(%rdi); mov $1,%al
    const start = 0x800;
    guest.write(CODE + start, Uint8Array.from([...code, ...ones(64, 0x90)]));
    state.rip = CODE_LINEAR + BigInt(start) + 4n;
    guest.run(1);
    expect(state.reg(RAX) & 0xffn).toBe(1n);
    memory.bytes.set([0xb0, 0x02], at.xmmAddress(1));
    state.setReg(RDI, CODE_LINEAR + BigInt(start) + 4n);
    state.rip = CODE_LINEAR + BigInt(start);
    guest.run(2);
    expect(state.reg(RAX) & 0xffn).toBe(2n);
  });
});

describe('selected elements', () => {
  const mask = (chosen: (n: number) => boolean): void => {
    const view = new DataView(memory.bytes.buffer);
    for (let n = 0; n < 8; n++) {
      const base = n < 4 ? at.xmmAddress(1) + 4 * n : at.YMM_HIGH + 16 + 4 * (n - 4);
      view.setUint32(base, chosen(n) ? 0x8000_0000 : 0x7fff_ffff, true);
    }
  };

  it('alone are written, and none of them where one cannot be', () => {
    guest.unmap(END);
    mask((n) => n < 4);
    expect(run(MASKED_STORE, END - 16n)).toBeUndefined();
    expect(guest.read(FIRST + PAGE - 16, 16)).toEqual(ones(16, 0x12));
    guest.write(FIRST, ones(PAGE, 0x55));
    mask((n) => n !== 1);
    expect(run(MASKED_STORE, END - 16n)).toMatchObject({ vector: PF, error: 2, address: END });
    expect(guest.read(FIRST + PAGE - 16, 16)).toEqual(ones(16, 0x55));
    guest.map(END, SECOND);
  });

  it('a gather keeps what it has when it faults, and goes on from there', () => {
    const view = new DataView(memory.bytes.buffer);
    const placeOf = (register: number, n: number): number =>
      n < 4 ? at.xmmAddress(register) + 4 * n : at.YMM_HIGH + 16 * register + 4 * (n - 4);
    for (let n = 0; n < 8; n++) {
      view.setInt32(placeOf(3, n), n < 3 ? -4 * (n + 1) : 4 * n, true);
      view.setUint32(placeOf(2, n), 0xffff_ffff, true);
    }
    guest.unmap(END);
    expect(run(GATHER, END)).toMatchObject({ vector: PF, error: 0, address: END + 12n });
    const left = [...Array(8).keys()].map((n) => view.getUint32(placeOf(2, n), true) >>> 31);
    expect(left).toEqual([0, 0, 0, 1, 1, 1, 1, 1]);
    expect([view.getUint32(placeOf(1, 2), true), view.getUint32(placeOf(1, 3), true)]).toEqual([
      0x5555_5555, 0x1111_1111,
    ]);
    guest.map(END, SECOND);
    expect(run(GATHER, END)).toBeUndefined();
    expect([...Array(8).keys()].map((n) => view.getUint32(placeOf(1, n), true))).toEqual([
      ...Array(3).fill(0x5555_5555),
      ...Array(5).fill(0x6666_6666),
    ]);
    expect(bytesOf(2)).toEqual([0, 0]);
  });
});
