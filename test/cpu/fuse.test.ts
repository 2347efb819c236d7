// Records are fused and flags dropped in the run loop only; stepping runs every instruction plainly. Random straight code,
// full of short jumps, ends in a load that faults: both ways must fault at the same place in the same state.

import { describe, expect, it } from 'vitest';
import type { Fault } from '../../src/cpu/state/cpu.ts';
import { hotKeys } from '../../src/cpu/binding/handlers.ts';
import { random, type Random } from '../support/random.ts';
import { DATA, type Guest, makeGuest } from './guest.ts';

const CODE_LINEAR = 0x8000n;
const BUFFER_LINEAR = 0x9000n;
const UNMAPPED = 0x20_0000n;
const [RBX, RSP, RBP] = [3, 4, 5];
/** Encodings of the registers that may hold anything; RBX points to the buffer, RBP to nothing. */
const FREE = [0, 1, 2, 6, 7];
const INSTRUCTIONS = 60;
const PROGRAMS = 200;

const modrm = (mod: number, reg: number, rm: number): number => (mod << 6) | (reg << 3) | rm;
/** ADD OR ADC SBB AND SUB XOR CMP by their opcode digit; MOV, TEST and CMP twice, because jumps follow those. */
const ALU = [0, 1, 2, 3, 4, 5, 6, 7, 7];
const LOAD_FAULTS = [0x48, 0x8b, 0x45, 0x00]; // mov (%rbp),%rax

/** One random instruction; registers are free ones, memory operands lie in the buffer. */
function instruction(r: Random): number[] {
  const wide = r.below(2) ? [0x48] : [];
  const [a, b] = [r.pick(FREE), r.pick(FREE)];
  const place = r.below(16) * 8;
  const forms: (() => number[])[] = [
    () => [...wide, (r.pick(ALU) << 3) | 1, modrm(3, a, b)],
    () => [...wide, 0x83, modrm(3, r.pick(ALU), b), r.below(256)],
    () => [...wide, (r.pick(ALU) << 3) | 3, modrm(1, a, RBX), place],
    () => [...wide, (r.pick(ALU) << 3) | 1, modrm(1, a, RBX), place],
    () => [...wide, 0x85, modrm(3, a, b)],
    () => [0x80, modrm(3, 7, r.below(3)), r.below(256)],
    () => [...wide, 0xc1, modrm(3, r.pick([0, 1, 4, 5, 7]), b), r.below(256)],
    () => [...wide, 0x0f, 0xaf, modrm(3, a, b)],
    () => [...wide, 0xf7, modrm(3, r.pick([2, 3]), b)],
    () => [...wide, 0x89, modrm(3, a, b)],
    () => [...wide, 0x8b, modrm(1, a, RBX), place],
    () => [...wide, 0x89, modrm(1, a, RBX), place],
    () => [...wide, 0x8d, modrm(1, a, RSP), modrm(r.below(4), b, a), r.below(256)],
    () => [0x0f, 0xb6, modrm(1, a, RBX), place],
    () => [0x0f, 0x90 | r.below(16), modrm(3, 0, r.below(3))],
    () => [...wide, 0x0f, 0x40 | r.below(16), modrm(3, a, b)],
    () => [0x66, 0xc1, modrm(3, 5, b), r.below(32)],
    () => [0x90],
  ];
  return r.pick(forms)();
}

/** A comparison and a jump over the next instruction. */
function skip(r: Random): number[] {
  const compare = r.pick([0x39, 0x39, 0x85, 0x29]);
  const skipped = instruction(r);
  const wide = r.below(2) ? [0x48] : [];
  const jump = [0x70 | r.below(16), skipped.length];
  return [...wide, compare, modrm(3, r.pick(FREE), r.pick(FREE)), ...jump, ...skipped];
}

function program(r: Random): number[] {
  const code: number[] = [];
  for (let i = 0; i < INSTRUCTIONS; i++) code.push(...(r.below(4) ? instruction(r) : skip(r)));
  const fault = r.below(2) ? LOAD_FAULTS : [0x48, 0x3b, 0x45, 0x00];
  return [...code, ...fault, ...instruction(r), ...LOAD_FAULTS];
}

type End = {
  fault: Fault | undefined;
  retired: bigint;
  rip: bigint;
  flags: number;
  registers: bigint[];
  buffer: string;
};

function runProgram(guest: Guest, seed: bigint, slice: number): End {
  const { engine } = guest;
  const r = random(seed);
  guest.write(DATA, Uint8Array.from(program(r)));
  guest.write(DATA + 4096, new Uint8Array(BigUint64Array.from({ length: 16 }, () => r.value()).buffer));
  for (const index of FREE) engine.state.setReg(index, r.value());
  engine.state.setReg(RBX, BUFFER_LINEAR);
  engine.state.setReg(RBP, UNMAPPED);
  engine.state.rip = CODE_LINEAR;
  engine.state.rflags = r.below(0x1000) & 0x8d5;
  engine.retired = 0n;
  let fault: Fault | undefined;
  while (!fault && engine.retired < 10_000n) fault = guest.run(slice);
  return {
    fault,
    retired: engine.retired,
    rip: engine.state.rip,
    flags: engine.state.rflags,
    registers: FREE.map((index) => engine.state.reg(index)),
    buffer: guest.read(DATA + 4096, 128).join(),
  };
}

function guestWithCode(): Guest {
  const guest = makeGuest();
  guest.map(CODE_LINEAR, DATA);
  guest.map(BUFFER_LINEAR, DATA + 4096);
  return guest;
}

describe('fused and flagless records', () => {
  it('end in the state that stepping ends in', () => {
    const [stepped, run] = [guestWithCode(), guestWithCode()];
    for (let seed = 1n; seed <= BigInt(PROGRAMS); seed++) {
      const expected = runProgram(stepped, seed, 1);
      expect(expected.fault?.vector, `program ${seed}`).toBe(14);
      expect(runProgram(run, seed, 100_000), `program ${seed}`).toEqual(expected);
    }
  });

  it('all derive from handlers that exist', () => {
    const { planner } = guestWithCode().engine.code;
    for (const key of hotKeys) expect(() => planner.number(key)).not.toThrow();
  });
});
