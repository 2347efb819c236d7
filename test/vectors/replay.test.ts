// The vectors' own tests: the files can be read and are whole, and the comparison catches a run that is wrong.
import { Decoder } from 'iced-x86';
import { describe, expect, it } from 'vitest';
import { ARITHMETIC_FLAGS, type FpuState, RFLAGS_BITS } from './layout.ts';
import { loadVectors, parseVectors, type Vector, vectorFamilies } from './load.ts';
import { describeMismatch, replay, replayFamily, type Run, type RunOutput } from './replay.ts';

const ADD = parseVectors(
  [
    'i 64 4801d8 cd5 - Add_rm64_r64 | add %rbx,%rax',
    'rax=7fffffffffffffff rbx=1 f=203 > rax=8000000000000000 f=a96',
    'i 64 480108 cd5 D Add_rm64_r64 | add %rcx,(%rax)',
    'rax=10000f40 rcx=1 D+40=ff00000000000000 > D+40=0001 f=206',
    'i 64 8b00 cd5 D Mov_r32_rm32 | mov (%rax),%eax',
    'rax=10001000 > !14:4 cr2=10001000',
    'i 32 f7f1 400 - Div_rm32 | div %ecx',
    'rcx=0 > !0',
  ].join('\n'),
  'example',
);
const [addRegister, addMemory, pageFault, divide] = [...ADD] as [Vector, Vector, Vector, Vector];

const recorded = ({ out }: Vector): RunOutput => ({ ...out });
const replayChanged = (vector: Vector, change: Partial<RunOutput>) =>
  replay(vector, () => ({ ...recorded(vector), ...change }));

// Runs what a table of recorded outputs says: the run that is right by construction.
function runFromRecord(family: string): Run {
  const outputs = new Map([...loadVectors(family)].map((vector) => [inputKey(vector), recorded(vector)]));
  return (input) => outputs.get(inputKey(input)) ?? { ...input };
}
const inputKey = ({
  mode,
  code,
  regs,
  rflags,
  memory,
}: Pick<Vector, 'mode' | 'code' | 'regs' | 'rflags' | 'memory'>): string =>
  [mode, code, regs, rflags, ...memory.map(({ address, bytes }) => `${address} ${bytes}`)].join(';');

describe('comparison of a run with a vector', () => {
  it('accepts the recorded output', () => {
    for (const vector of [addRegister, addMemory, pageFault, divide])
      expect(replay(vector, () => recorded(vector))).toBeUndefined();
  });

  it('catches a wrong register, by name', () => {
    const regs = addRegister.out.regs.map((value, index) => (index === 0 ? value ^ 1n : value));
    expect(replayChanged(addRegister, { regs })?.differences).toEqual([
      'rax: 0x8000000000000001, should be 0x8000000000000000',
    ]);
  });

  it('catches a register that should not have changed', () => {
    const regs = addRegister.out.regs.map((value, index) => (index === 15 ? 0n : value));
    expect(replayChanged(addRegister, { regs })?.differences).toEqual(['r15: 0x0, should be 0xf7f6f5f4f3f2f1f0']);
  });

  it('catches a wrong flag, by name', () => {
    const rflags = addRegister.out.rflags ^ RFLAGS_BITS.OF;
    expect(replayChanged(addRegister, { rflags })?.differences).toEqual(['OF: clear, should be set']);
  });

  it('does not look at undefined flags', () => {
    expect(replayChanged(divide, { rflags: divide.out.rflags ^ ARITHMETIC_FLAGS })).toBeUndefined();
  });

  it('catches a wrong byte of memory, with its address', () => {
    const memory = addMemory.out.memory.map(({ address, bytes }) => ({
      address,
      bytes: bytes.map((byte, at) => (at === 0x47 ? 1 : byte)),
    }));
    expect(replayChanged(addMemory, { memory })?.differences[0]).toMatch(/^memory at 0x10000f47: 01/);
  });

  it('catches a missing, an added and a different exception', () => {
    expect(replayChanged(pageFault, { vector: undefined })?.differences).toEqual([
      'exception vector: none, should be 14',
    ]);
    expect(replayChanged(addRegister, { vector: 6 })?.differences).toEqual(['exception vector: 6, should be none']);
    expect(replayChanged(divide, { vector: 13 })?.differences).toEqual(['exception vector: 13, should be 0']);
  });

  it('catches a wrong error code, cr2 and rip', () => {
    expect(replayChanged(pageFault, { errorCode: 6 })?.differences).toEqual(['error code: 0x6, should be 0x4']);
    expect(replayChanged(pageFault, { cr2: 1n })?.differences).toEqual(['cr2: 0x1, should be 0x10001000']);
    expect(replayChanged(addRegister, { rip: 0n })?.differences).toEqual(['rip: 0x0, should be 0x11008003']);
  });

  it('catches a wrong selector where the run tells selectors', () => {
    const segments = { ...addRegister.segments, ds: 0 };
    expect(replayChanged(addRegister, { segments })?.differences).toEqual(['ds: 0x0, should be 0x2b']);
  });

  it('reports a run that throws as a mismatch', () => {
    const mismatch = replay(addRegister, () => {
      throw new Error('no such instruction');
    });
    expect(mismatch?.differences).toEqual(['threw no such instruction']);
  });

  it('describes a mismatch with the instruction, its inputs and the difference', () => {
    const mismatch = replayChanged(addRegister, { rip: 0n });
    expect(mismatch && describeMismatch(mismatch)).toBe(
      'example:2 64-bit add %rbx,%rax  [4801d8, Add_rm64_r64]\n' +
        '  before: rflags=203 rax=7fffffffffffffff rcx=1716151413121110 rdx=2726252423222120 rbx=1 rsp=10010f80 ' +
        'rbp=5756555453525150 rsi=6766656463626160 rdi=7776757473727170 r8=8786858483828180 r9=9796959493929190 ' +
        'r10=a7a6a5a4a3a2a1a0 r11=b7b6b5b4b3b2b1b0 r12=c7c6c5c4c3c2c1c0 r13=d7d6d5d4d3d2d1d0 r14=e7e6e5e4e3e2e1e0 ' +
        'r15=f7f6f5f4f3f2f1f0\n  rip: 0x0, should be 0x11008003',
    );
  });
});

describe('comparison of vector and x87 state', () => {
  const text = [
    'x 64 0f58c1 cd5/ffff - Addps_xmm_xmmm128 | addps %xmm1,%xmm0',
    'x0=1 x1=2 mx=1f81 > x0=3 mx=1fa1',
    'x 64 d8c1 cd5/baff - Fadd_st0_sti | fadd %st(1),%st',
    'p0=3fff8000000000000001 tw=3 > p0=3fff8000000000000002 sw=4020 n=bf',
  ].join('\n');
  const parsed = (family: string): [Vector, Vector] => [...parseVectors(text, family)] as [Vector, Vector];
  const [addps, fadd] = parsed('example');
  const changed = (vector: Vector, change: Partial<FpuState>): readonly string[] | undefined =>
    replayChanged(vector, { fpu: { ...(vector.out.fpu as FpuState), ...change } })?.differences;
  const physical = (vector: Vector, index: number, value: bigint): Partial<FpuState> => ({
    physical: (vector.out.fpu as FpuState).physical.map((old, at) => (at === index ? value : old)),
  });

  it('accepts what was recorded', () => {
    expect(replay(addps, () => recorded(addps))).toBeUndefined();
    expect(replay(fadd, () => recorded(fadd))).toBeUndefined();
  });

  it('catches a wrong XMM register and MXCSR', () => {
    const xmm = (addps.out.fpu as FpuState).xmm.map((value, index) => (index === 15 ? 0n : value));
    expect(changed(addps, { xmm })).toEqual(['xmm15: 0x0, should be 0xfffefdfcfbfaf9f8f7f6f5f4f3f2f1f0']);
    expect(changed(addps, { mxcsr: 0x1f81 })).toEqual(['mxcsr: 0x1f81, should be 0x1fa1']);
  });

  it('catches a wrong x87 register, and does not look at empty ones', () => {
    expect(changed(fadd, physical(fadd, 0, 1n))).toEqual(['st(0): 0x1, should be 0x3fff8000000000000002']);
    expect(changed(fadd, physical(fadd, 7, 1n))).toBeUndefined();
  });

  it('compares the status word where it is defined', () => {
    expect(changed(fadd, { fsw: 0x20 })).toBeUndefined();
    expect(changed(fadd, { fsw: 0x4021 })).toEqual(['x87 status word: 0x21, should be 0x20']);
  });

  it('allows transcendental results two units in the last place, and no more', () => {
    const [, inexact] = parsed('transcendental');
    expect(changed(inexact, physical(inexact, 0, 0x3fff8000000000000004n))).toBeUndefined();
    expect(changed(inexact, physical(inexact, 0, 0x3ffeffffffffffffffffn))).toHaveLength(1);
    expect(changed(inexact, physical(inexact, 0, 0x3fff8000000000000005n))).toHaveLength(1);
  });

  it('asks for the state', () => {
    expect(replayChanged(addps, { fpu: undefined })?.differences).toEqual(['no vector and x87 state']);
  });

  it('takes a processor at its word that it does not know an instruction', () => {
    expect(replayChanged(addps, { unimplemented: 'addps' })).toMatchObject({
      unimplemented: true,
      differences: ['unimplemented: addps'],
    });
  });
});

describe('recorded data', () => {
  it('has a family for every group of instructions', () => {
    expect(vectorFamilies()).toEqual(
      'address arithmetic atomic avx-float avx-integer avx-masked avx-moves avx-strings bcd bits bmi branch condition divide far fault fisttp flags fma hint illegal illegal-vector illegal-vex interrupt logic mmx move multiply prefix privileged rotate segment shift sse-float sse-integer sse-moves sse4-float sse4-integer sse4-string ssse3 stack string transcendental x87'.split(
        ' ',
      ),
    );
  });

  it('rejects a line that is no vector', () => {
    expect(() => [...parseVectors('i 64 90 cd5 - Nopd | nop\nrax=1', 'bad')]).toThrow('bad:2');
    expect(() => [...parseVectors('i 64 90 cd5 - Nopd | nop\nwhat=1 > ', 'bad')]).toThrow('what=1');
  });

  it.each(vectorFamilies())('%s: lengths are those iced decodes, faults leave rip at the instruction', (family) => {
    let count = 0;
    const bad: Vector[] = [];
    for (const vector of loadVectors(family)) {
      count++;
      if (!isPlausible(vector)) bad.push(vector);
    }
    expect(bad).toEqual([]);
    expect(count).toBeGreaterThan(200);
  });

  it('catches an ADC that ignores the carry', () => {
    const right = runFromRecord('arithmetic');
    const wrong: Run = (input) => right({ ...input, rflags: input.rflags & ~RFLAGS_BITS.CF });
    const isAdc = ({ iced }: Vector): boolean => iced === 'Adc_rm64_r64';
    expect(replayFamily('arithmetic', right, isAdc).mismatches).toHaveLength(0);
    expect(replayFamily('arithmetic', wrong, isAdc).mismatches.length).toBeGreaterThan(20);
  });
});

const TRAPS = [1, 3, 4];

function isPlausible(vector: Vector): boolean {
  const { out, memory, regs, rip } = vector;
  const sameBlocks = memory.every(({ address }, index) => out.memory[index]?.address === address);
  if (!sameBlocks || regs.length !== 16 || out.regs.length !== 16) return false;
  if (out.vector === undefined) return lengthOf(vector) === vector.code.length;
  return TRAPS.includes(out.vector) || out.rip === rip;
}

// Vectors of one instruction share its bytes.
const lengths = new WeakMap<Uint8Array, number>();
function lengthOf({ code, mode, rip }: Vector): number {
  const known = lengths.get(code);
  if (known !== undefined) return known;
  const decoder = new Decoder(mode, code, 0);
  decoder.ip = rip;
  const instruction = decoder.decode();
  const { length } = instruction;
  instruction.free();
  decoder.free();
  lengths.set(code, length);
  return length;
}
