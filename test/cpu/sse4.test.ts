// SSE3 to SSE4.2 beside their results, which test/vectors has: which models have them, when they may be used, and what
// they ask of their memory operands.

import { beforeEach, describe, expect, it } from 'vitest';
import type { Fault } from '../../src/cpu/state/cpu.ts';
import * as at from '../../src/cpu/state/layout.ts';
import { CR0_EM, CR0_TS, CR4_OSFXSR, CR4_OSXMMEXCPT } from '../../src/x86/control.ts';
import { DATA, type Guest, makeGuest } from './guest.ts';

const CODE_LINEAR = 0x8000n;
const BUFFER_LINEAR = 0x9000n;
const BUFFER = DATA + 4096;
const NOWHERE = 0x7000_0000n;
const [RAX, RCX, RDI] = [0, 1, 7];
const [UD, NM, GP, PF, MF, XM] = [6, 7, 13, 14, 16, 19];

/** Memory operands are (%rdi). */
const SSE = {
  haddps: 'f20f7c0f',
  addsubpd: '660fd00f',
  movddup: 'f20f120f',
  lddqu: 'f20ff00f',
  pshufb: '660f38000f',
  pmulld: '660f38400f',
  ptest: '660f38170f',
  roundsd: '660f3a0b0f01',
  dpps: '660f3a400fff',
  movntdqa: '660f382a0f',
  pextrb: '660f3a140f02',
  insertps: '660f3a210f02',
  pmovzxbw: '660f38300f',
  pcmpgtq: '660f38370f',
  pcmpistri: '660f3a630f00',
  pcmpestrm: '660f3a600f00',
} as const;
const MMX = { pabsb: '0f381cca', palignr: '0f3a0f0f03', cvtps2pi: '0f2d0f', cvtpi2pd: '660f2aca' } as const;
const GENERAL = { crc32: 'f20f38f007', popcnt: 'f30fb807', cmpxchg16b: '480fc70f' } as const;
const FISTTP = 'dd0f';
const LAHF = '9f';
const SAHF = '9e';

type Machine = { readonly guest: Guest; readonly cr0: bigint; readonly cr4: bigint };

const machine = (model: string): Machine => {
  const guest = makeGuest(undefined, model);
  guest.map(CODE_LINEAR, DATA);
  guest.map(BUFFER_LINEAR, BUFFER);
  const { state } = guest.engine;
  state.setU64(at.CR4, state.u64(at.CR4) | CR4_OSFXSR);
  return { guest, cr0: state.u64(at.CR0), cr4: state.u64(at.CR4) };
};
const [first, second, max] = [machine('x86-64-v1'), machine('x86-64-v2'), machine('max')];

const fromHex = (text: string): Uint8Array => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));

/** Runs one instruction. @returns the fault */
function run({ guest }: Machine, code: string, address = BUFFER_LINEAR): Fault | undefined {
  guest.write(DATA, fromHex(code));
  guest.engine.state.setReg(RDI, address);
  guest.engine.state.rip = CODE_LINEAR;
  return guest.run(1);
}

function control({ guest, cr0, cr4 }: Machine, set: bigint, clear: bigint): void {
  guest.engine.state.setU64(at.CR0, cr0 | set);
  guest.engine.state.setU64(at.CR4, cr4 & ~clear);
  guest.engine.modeChanged();
}

beforeEach(() => {
  for (const one of [first, second, max]) {
    one.guest.setMode(64, 0);
    one.guest.write(BUFFER, new Uint8Array(64));
    const { state } = one.guest.engine;
    state.setU32(at.FXSTATE, 0x37f);
    state.setU32(at.FTW, 0);
    state.setU32(at.MXCSR, 0x1f80);
    control(one, 0n, 0n);
  }
});

const entries = (list: Readonly<Record<string, string>>): [string, string][] => Object.entries(list);

describe('an instruction that came after the first level', () => {
  const later = [...entries(SSE), ...entries(MMX).slice(0, 2), ...entries({ ...GENERAL, FISTTP, LAHF, SAHF })];

  it.each(later)('is there from the second level on: %s', (_, code) => {
    expect(run(first, code)).toMatchObject({ vector: UD });
    expect(run(second, code)).toBe(undefined);
    expect(run(max, code)).toBe(undefined);
  });

  it.each([
    ['movbe', '0f38f007'],
    ['andn', 'c4e2f8f2c1'],
    ['bzhi', 'c4e2f0f5c1'],
    ['adcx', '66480f38f6c1'],
  ])('of the third level is not there before: %s', (_, code) => {
    expect(run(second, code)).toMatchObject({ vector: UD });
    expect(run(max, code)).toBe(undefined);
  });

  it('is not refused outside 64-bit mode where only that mode lacked it', () => {
    first.guest.setMode(32, 0);
    expect(run(first, LAHF)).toBe(undefined);
    expect(run(first, SAHF)).toBe(undefined);
  });

  it('is an older one where its prefix means nothing', () => {
    const count = (one: Machine, code: string): bigint => {
      one.guest.engine.state.setReg(RCX, 0x10n);
      expect(run(one, code)).toBe(undefined);
      return one.guest.engine.state.reg(RAX);
    };
    expect(count(first, 'f30fbdc1'), 'bsr').toBe(4n);
    expect(count(max, 'f30fbdc1'), 'lzcnt').toBe(27n);
    expect(count(first, 'f30fbcc1'), 'bsf').toBe(4n);
    first.guest.engine.state.setReg(RAX, 7n);
    first.guest.engine.state.setReg(RCX, 0n);
    expect(run(first, 'f30fbcc1')).toBe(undefined);
    expect(first.guest.engine.state.reg(RAX) & 0xffff_ffffn, 'bsf of 0 leaves it').toBe(7n);
  });
});

describe('XMM registers', () => {
  it.each(entries(SSE))('may not be used while EM is set, TS is set or OSFXSR is clear: %s', (_, code) => {
    control(max, CR0_EM, 0n);
    expect(run(max, code, NOWHERE)).toMatchObject({ vector: UD });
    control(max, CR0_TS, 0n);
    expect(run(max, code, NOWHERE)).toMatchObject({ vector: NM });
    control(max, CR0_TS, CR4_OSFXSR);
    expect(run(max, code, NOWHERE)).toMatchObject({ vector: UD });
    control(max, 0n, 0n);
    expect(run(max, code, NOWHERE)).toMatchObject({ vector: PF });
  });
});

describe('MMX registers', () => {
  const PENDING = 0x8081_037en;
  it.each(entries(MMX))('may not be used while EM or TS is set or an x87 exception is pending: %s', (_, code) => {
    control(max, CR0_EM, 0n);
    expect(run(max, code)).toMatchObject({ vector: UD });
    control(max, CR0_TS, 0n);
    expect(run(max, code)).toMatchObject({ vector: NM });
    control(max, 0n, 0n);
    max.guest.engine.state.setU32(at.FXSTATE, Number(PENDING));
    expect(run(max, code)).toMatchObject({ vector: MF });
  });

  it.each(entries(MMX).slice(0, 2))('do not need OSFXSR for SSSE3: %s', (_, code) => {
    control(max, 0n, CR4_OSFXSR);
    expect(run(max, code)).toBe(undefined);
    expect(max.guest.engine.state.u32(at.FTW) & 0xff).toBe(0xff);
  });

  it.each(entries(MMX).slice(2))('need it for conversions: %s', (_, code) => {
    control(max, 0n, CR4_OSFXSR);
    expect(run(max, code)).toMatchObject({ vector: UD });
  });
});

describe('general registers', () => {
  it.each(entries(GENERAL))('have nothing to do with the state of SSE: %s', (_, code) => {
    control(max, CR0_EM | CR0_TS, CR4_OSFXSR);
    expect(run(max, code)).toBe(undefined);
  });
});

describe('memory operands', () => {
  const WHOLE = ['haddps', 'addsubpd', 'pshufb', 'pmulld', 'ptest', 'dpps', 'movntdqa', 'pcmpgtq'] as const;
  const ANYWHERE = ['lddqu', 'movddup', 'roundsd', 'pextrb', 'insertps', 'pmovzxbw', 'pcmpistri', 'pcmpestrm'] as const;

  it.each(WHOLE)('of 16 bytes have to be aligned: %s', (name) => {
    expect(run(max, SSE[name], BUFFER_LINEAR + 8n)).toMatchObject({ vector: GP, error: 0 });
  });

  it.each(ANYWHERE)('that are shorter, or of strings, may lie anywhere: %s', (name) => {
    expect(run(max, SSE[name], BUFFER_LINEAR + 3n)).toBe(undefined);
  });
});

describe('an unmasked exception', () => {
  const SIGNALING = 0x7ff0_0000_0000_0001n;
  it.each(['addsubpd', 'roundsd'] as const)('is #XM, or #UD where the system does not handle it: %s', (name) => {
    max.guest.write(BUFFER, new Uint8Array(BigUint64Array.of(SIGNALING, 0n).buffer));
    const { state } = max.guest.engine;
    state.setU32(at.MXCSR, 0x1f00);
    expect(run(max, SSE[name])).toMatchObject({ vector: UD });
    state.setU64(at.CR4, max.cr4 | CR4_OSXMMEXCPT);
    expect(run(max, SSE[name])).toMatchObject({ vector: XM });
    expect(state.u32(at.MXCSR)).toBe(0x1f01);
  });
});
