// Every recorded vector on the interpreter: what a real processor did with one instruction, we do too (test/vectors/README.md).

import { describe, expect, it } from 'vitest';
import { SEG, type Segment } from '../../src/cpu/state.ts';
import { REGION_NAMES, REGIONS, SEGMENT_NAMES, type VectorMode } from '../vectors/layout.ts';
import { type VectorInput, vectorFamilies } from '../vectors/load.ts';
import { describeMismatches, replayFamily, type RunOutput } from '../vectors/replay.ts';
import { DATA, makeGuest } from './guest.ts';

const PAGE = 4096;
const CODE = DATA + 0x10000;
/** A REP instruction counts once for each piece it works in. */
const MOST_PIECES = 300;
const USER_HALF_END = 1n << 47n;
const SEGMENTS = { es: SEG.ES, cs: SEG.CS, ss: SEG.SS, ds: SEG.DS, fs: SEG.FS, gs: SEG.GS } as const;

const guest = makeGuest();
const physical = new Map<bigint, number>();
for (const [index, name] of REGION_NAMES.entries()) {
  physical.set(REGIONS[name].page, DATA + index * PAGE);
  guest.map(REGIONS[name].page, DATA + index * PAGE);
}
for (const [index, page] of [0x11007000n, 0x11008000n, 0x7000n, 0x8000n].entries())
  guest.map(page, CODE + index * PAGE);
const codePlace = (rip: bigint): number => CODE + (rip >= 0x11000000n ? PAGE : 3 * PAGE) + Number(rip & 0xfffn);

const pageOf = (address: bigint): bigint => address & ~0xfffn;
const placeOf = (address: bigint): number => (physical.get(pageOf(address)) ?? 0) + Number(address & 0xfffn);

function dataSegment(selector: number, base: bigint, mode: VectorMode): Segment {
  const usable = selector !== 0;
  const open = usable || mode === 64;
  return { selector, attributes: usable ? 0xc0f3 : 0, base, limit: open ? 0xffffffff : 0 };
}

function prepare(input: VectorInput): void {
  const { state } = guest.engine;
  for (const page of physical.values()) guest.write(page, new Uint8Array(PAGE));
  for (const { address, bytes } of input.memory) guest.write(placeOf(address), bytes);
  guest.write(codePlace(input.rip) & ~0xfff, new Uint8Array(PAGE).fill(0xcc));
  guest.write(codePlace(input.rip), input.code);
  guest.setMode(input.mode, 3);
  for (const name of SEGMENT_NAMES) {
    if (name === 'cs') continue;
    const base = name === 'gs' ? input.gsBase : 0n;
    state.setSegment(SEGMENTS[name], dataSegment(input.segments[name], base, input.mode));
  }
  state.setSegment(SEG.CS, { ...state.segment(SEG.CS), selector: input.segments.cs });
  guest.engine.modeChanged();
  for (const [index, value] of input.regs.entries()) state.setReg(index, value);
  state.rflags = input.rflags;
  state.rip = input.rip;
}

function run(input: VectorInput): RunOutput {
  const { state } = guest.engine;
  prepare(input);
  let fault = guest.run(1);
  for (let piece = 1; piece < MOST_PIECES && !fault && state.rip === input.rip; piece++) fault = guest.run(1);
  const regs = input.regs.map((_, index) => state.reg(index));
  // Linux reports every page fault above the user half as a protection fault (it hides what is mapped there).
  const hidden = fault?.vector === 14 && (fault.address ?? 0n) >= USER_HALF_END ? 1 : 0;
  return {
    regs,
    rflags: state.rflags,
    rip: state.rip,
    memory: input.memory.map(({ address, bytes }) => ({ address, bytes: guest.read(placeOf(address), bytes.length) })),
    vector: fault?.vector,
    errorCode: fault?.error === undefined ? undefined : fault.error | hidden,
    cr2: fault?.address,
  };
}

describe('recorded vectors', () => {
  for (const family of vectorFamilies()) {
    it(`${family}: every instruction does what the processor did`, () => {
      const result = replayFamily(family, run);
      expect(result.count).toBeGreaterThan(0);
      expect(result.mismatches.length === 0 ? '' : describeMismatches(result)).toBe('');
    });
  }
});
