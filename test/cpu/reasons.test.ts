// What generated code raises is named by the check that failed, and the processor's own checks of fetches and pages too.

import { describe, expect, it } from 'vitest';
import * as at from '../../src/cpu/state/layout.ts';
import { SEG } from '../../src/cpu/state/state.ts';
import { GPR } from '../../src/x86/registers.ts';
import { REASONS, type ReasonId } from '../../src/x86/reasons.ts';
import { DATA, type Guest, makeGuest } from './guest.ts';
import { bytesOf } from './system.ts';

const CODE = BigInt(DATA);
const PAGE = CODE + 0x1000n;
const STACK = CODE + 0x3000n;
const NOT_CANONICAL = 1n << 63n;

type Change = (guest: Guest) => void;
const reg =
  (register: number, value: bigint | number): Change =>
  ({ engine }) =>
    engine.state.setReg(register, BigInt(value));
const control =
  (register: number, set: bigint, clear = 0n): Change =>
  ({ engine }) =>
    engine.state.setU64(register, (engine.state.u64(register) | set) & ~clear);
const user: Change = (guest) => {
  guest.setMode(64, 3);
};
const code32: Change = (guest) => {
  guest.setMode(32, 0);
};
const codeLimit =
  (limit: number): Change =>
  ({ engine }) => {
    engine.state.setSegment(SEG.CS, { ...engine.state.segment(SEG.CS), limit });
    engine.modeChanged();
  };
/** Bits of the entry that maps the page that RAX points to. */
const entry =
  (set: bigint, clear = 0n): Change =>
  (guest) => {
    const place = guest.entryOf(PAGE);
    const old = new DataView(guest.read(place, 8).buffer).getBigUint64(0, true);
    guest.write(place, bytesOf((old | set) & ~clear));
    guest.engine.flushTlb(true);
  };
const flags =
  (bits: number): Change =>
  ({ engine }) =>
    engine.state.setU32(at.FLAGS_REST, engine.state.u32(at.FLAGS_REST) | bits);

const LOAD = '488b00'; // mov (%rax),%rax
const STORE = '488900';
const JUMP = 'ffe0'; // jmp *%rax
const NX = 1n << 63n;

const ROWS: readonly [ReasonId, string, ...Change[]][] = [
  ['divide-by-zero', '48f7f1', reg(GPR.RCX, 0)],
  ['divide-overflow', '48f7f1', reg(GPR.RCX, 1), reg(GPR.RDX, 1)],
  ['divide-overflow', '48f7f9', reg(GPR.RCX, 1), reg(GPR.RDX, 5)],
  ['aam-zero', 'd400', code32],
  ['branch-target-not-canonical', JUMP, reg(GPR.RAX, NOT_CANONICAL)],
  ['branch-target-not-canonical', 'c3', (guest) => guest.write(Number(STACK), bytesOf(NOT_CANONICAL))],
  ['branch-target-beyond-limit', JUMP, code32, codeLimit(DATA + 0xfff), reg(GPR.RAX, DATA + 0x1000)],
  ['fetch-beyond-limit', '488b', code32, codeLimit(DATA + 1)],
  ['fetch-not-canonical', '90', ({ engine }) => (engine.state.rip = NOT_CANONICAL)],
  ['instruction-too-long', `${'2e'.repeat(14)}b801000000`],
  ['address-not-canonical', LOAD, reg(GPR.RAX, NOT_CANONICAL)],
  ['address-not-canonical', '58', reg(GPR.RSP, NOT_CANONICAL)],
  [
    'segment-limit',
    '8b00',
    code32,
    reg(GPR.RAX, 0x2000),
    ({ engine }) => {
      engine.state.setSegment(SEG.DS, { ...engine.state.segment(SEG.DS), limit: 0x1fff });
    },
  ],
  ['cmpxchg16b-misaligned', '480fc708', reg(GPR.RAX, PAGE + 8n)],
  ['vector-misaligned', '0f2900', control(at.CR4, 0x200n), reg(GPR.RAX, PAGE + 8n)],
  ['osfxsr-not-enabled', '0f2900', reg(GPR.RAX, PAGE)],
  ['x87-emulated', '0f2900', control(at.CR4, 0x200n), control(at.CR0, 4n), reg(GPR.RAX, PAGE)],
  ['task-switched', '0f2900', control(at.CR4, 0x200n), control(at.CR0, 8n), reg(GPR.RAX, PAGE)],
  ['avx-not-enabled', 'c5f82900', reg(GPR.RAX, PAGE)],
  ['x87-pending', '0fefc0', ({ engine }) => engine.state.setU32(at.FSW, 0x8081)],
  ['alignment-check', LOAD, user, flags(1 << 18), control(at.CR0, 1n << 18n), reg(GPR.RAX, PAGE + 1n)],
  ['page-not-present', LOAD, reg(GPR.RAX, PAGE), entry(0n, 1n)],
  ['page-not-present', LOAD, reg(GPR.RAX, 1n << 45n)],
  ['page-reserved-bit', LOAD, reg(GPR.RAX, PAGE), entry(1n << 51n)],
  ['page-reserved-bit', LOAD, reg(GPR.RAX, PAGE), control(at.EFER, 0n, 0x800n), entry(NX)],
  ['page-not-writable', STORE, reg(GPR.RAX, PAGE), entry(0n, 2n)],
  ['page-supervisor-only', LOAD, user, reg(GPR.RAX, PAGE), entry(0n, 4n)],
  ['page-no-execute', JUMP, reg(GPR.RAX, PAGE), entry(NX)],
  ['smep', JUMP, control(at.CR4, 1n << 20n), reg(GPR.RAX, PAGE)],
  ['smap', LOAD, control(at.CR4, 1n << 21n), reg(GPR.RAX, PAGE)],
];

/** Its own page is the supervisor's where SMEP or SMAP would keep it from running. */
function prepared(hex: string, changes: readonly Change[]): Guest {
  const guest = makeGuest(undefined, 'max');
  for (let page = 0n; page < 4n; page++) guest.map(CODE + 0x1000n * page, DATA + Number(0x1000n * page));
  guest.write(DATA, Buffer.from(hex.replaceAll(' ', ''), 'hex'));
  guest.engine.state.rip = CODE;
  guest.engine.state.setReg(GPR.RSP, STACK);
  for (const change of changes) change(guest);
  const own = guest.entryOf(CODE);
  if ((guest.engine.state.u64(at.CR4) & (1n << 20n)) !== 0n) guest.write(own, bytesOf(BigInt(DATA) | 3n));
  guest.engine.modeChanged();
  guest.engine.flushTlb(true);
  return guest;
}

describe('a check that fails in generated code', () => {
  it.each(ROWS)('%s: %s', (id, hex, ...changes) => {
    const { engine } = prepared(hex, changes);
    const result = engine.run(engine.retired + 10n);
    expect(result.kind).toBe('triple-fault');
    expect(result.kind === 'triple-fault' && result.chain[0]?.check).toBe(id);
  });

  it('has words and a place in the manual', () => {
    for (const [id] of ROWS) expect(REASONS[id].words.length * REASONS[id].manual.length).toBeGreaterThan(0);
  });
});
