// String instructions over several pages, against a model that does one element at a time: what vectors recorded in one
// small block cannot show. Pages lie in host memory in another order than in linear memory, and some are missing.

import { describe, expect, it } from 'vitest';
import { FLAGS, SEG } from '../../src/cpu/state/state.ts';
import { GPR } from '../../src/x86/registers.ts';
import { type Random, random } from '../support/random.ts';
import { DATA, makeGuest } from './guest.ts';
import { VARIANT_NAMES } from '../../src/cpu/binding/variants.ts';

describe.each(VARIANT_NAMES)('in the %s engine', (variant) => {
  const PAGE = 4096;
  const { RAX, RCX, RSI, RDI } = GPR;
  const CODE_LINEAR = 0x8000n;
  const CODE = DATA - PAGE;
  /** Linear pages of the arena, and where in physical memory each one lies; two of them are the same frame. */
  const ARENA = 0x20000;
  const FRAMES = [5, 2, 7, 0, 3, 3, 6, 1];
  const ARENA_BYTES = FRAMES.length * PAGE;

  type Form = {
    readonly name: string;
    readonly bitness: 64 | 32;
    readonly prefix: readonly number[];
    readonly mask: bigint;
  };
  const FORMS: readonly Form[] = [
    { name: '64-bit addresses', bitness: 64, prefix: [], mask: (1n << 64n) - 1n },
    { name: '32-bit addresses in 64-bit mode', bitness: 64, prefix: [0x67], mask: 0xffffffffn },
    { name: 'FS as the source', bitness: 64, prefix: [0x64], mask: (1n << 64n) - 1n },
    { name: 'compatibility mode', bitness: 32, prefix: [], mask: 0xffffffffn },
  ];
  const FS_BASE = 0x1000n;

  const OPCODES = { movs: 0xa4, cmps: 0xa6, stos: 0xaa, lods: 0xac, scas: 0xae } as const;
  type Operation = keyof typeof OPCODES;
  const REPEATS = { rep: 0xf3, repe: 0xf3, repne: 0xf2 } as const;
  type Repeat = keyof typeof REPEATS;

  type Case = {
    form: Form;
    operation: Operation;
    repeat: Repeat;
    bytes: 1 | 2 | 4 | 8;
    down: boolean;
    count: bigint;
    source: bigint;
    destination: bigint;
    accumulator: bigint;
    missing: ReadonlySet<number>;
    /** Highest offset in ES; outside 64-bit mode only. */
    limit: bigint;
  };

  type Outcome = { memory: Uint8Array; rcx: bigint; rsi: bigint; rdi: bigint; rax: bigint; fault: number | undefined };

  /** Ends what is decoded: nothing is run beyond the instruction. */
  const RET = 0xc3;

  function encode({ form, operation, repeat, bytes }: Case): Uint8Array {
    const size = bytes === 2 ? [0x66] : [];
    const rex = bytes === 8 ? [0x48] : [];
    const opcode = OPCODES[operation] + (bytes === 1 ? 0 : 1);
    return Uint8Array.of(...form.prefix, ...size, REPEATS[repeat], ...rex, opcode, RET);
  }

  /** One element after the other, as SDM 2B writes it down. */
  function model(test: Case, frames: Uint8Array): Outcome {
    const memory = Uint8Array.from(frames);
    const { operation, bytes, form } = test;
    const step = BigInt(test.down ? -bytes : bytes);
    const base = form.prefix.includes(0x64) ? FS_BASE : 0n;
    let [rcx, rsi, rdi, rax] = [test.count, test.source, test.destination, test.accumulator];
    let fault: number | undefined;
    const place = (linear: bigint): number | undefined => {
      const page = Number(linear) - ARENA;
      const frame = FRAMES[Math.floor(page / PAGE)];
      if (page < 0 || frame === undefined || test.missing.has(Math.floor(page / PAGE))) return undefined;
      return frame * PAGE + (page % PAGE);
    };
    const places = (linear: bigint): number[] | undefined => {
      const found = Array.from({ length: bytes }, (_, i) => place(linear + BigInt(i)));
      return found.every((at) => at !== undefined) ? found : undefined;
    };
    const load = (at: number[]): bigint =>
      at.reduceRight((sum, byte) => (sum << 8n) | BigInt(memory[byte] as number), 0n);
    const usesSource = operation === 'movs' || operation === 'cmps' || operation === 'lods';
    const usesDestination = operation !== 'lods';
    while (rcx !== 0n && fault === undefined) {
      const from = usesSource ? places(rsi + base) : [];
      const beyond = usesDestination && form.bitness === 32 && rdi + BigInt(bytes) - 1n > test.limit;
      const to = usesDestination ? places(rdi) : [];
      if (!from) fault = 14;
      else if (beyond) fault = 13;
      else if (!to) fault = 14;
      if (fault !== undefined || !from || !to) break;
      const low = BigInt.asUintN(8 * bytes, rax);
      const stored = operation === 'movs' ? load(from) : low;
      if (operation === 'movs' || operation === 'stos') {
        for (const [i, at] of to.entries()) memory[at] = Number((stored >> BigInt(8 * i)) & 0xffn);
      }
      if (operation === 'lods') rax = bytes === 4 ? load(from) : (rax & ~((1n << BigInt(8 * bytes)) - 1n)) | load(from);
      rcx--;
      if (usesSource) rsi = (rsi + step) & form.mask;
      if (usesDestination) rdi = (rdi + step) & form.mask;
      if (operation === 'cmps' && (load(from) === load(to)) !== (test.repeat === 'repe')) break;
      if (operation === 'scas' && (low === load(to)) !== (test.repeat === 'repe')) break;
    }
    return { memory, rcx, rsi, rdi, rax, fault };
  }

  const guest = makeGuest(undefined, undefined, variant);
  const { state } = guest.engine;
  guest.map(CODE_LINEAR, CODE);

  function run(test: Case, frames: Uint8Array): Outcome {
    FRAMES.forEach((frame, index) => {
      const linear = BigInt(ARENA + index * PAGE);
      if (test.missing.has(index)) guest.unmap(linear);
      else guest.map(linear, DATA + frame * PAGE);
    });
    guest.write(DATA, frames);
    guest.write(CODE, encode(test));
    guest.setMode(test.form.bitness, 0);
    state.setSegment(SEG.FS, { selector: 0x2b, attributes: 0xc0f3, base: FS_BASE, limit: 0xffffffff });
    state.setSegment(SEG.ES, { selector: 0x2b, attributes: 0xc0f3, base: 0n, limit: Number(test.limit) });
    const values = [test.accumulator, test.count, test.source, test.destination] as const;
    [RAX, RCX, RSI, RDI].forEach((register, i) => state.setReg(register, values[i] as bigint));
    state.rflags = test.down ? FLAGS.DF : 0;
    state.rip = CODE_LINEAR;
    let fault = guest.run(1);
    while (!fault && state.rip === CODE_LINEAR) fault = guest.run(1);
    return {
      memory: guest.read(DATA, ARENA_BYTES),
      rcx: state.reg(RCX),
      rsi: state.reg(RSI),
      rdi: state.reg(RDI),
      rax: state.reg(RAX),
      fault: fault?.vector,
    };
  }

  function makeCase(r: Random, form: Form, operation: Operation, repeat: Repeat): Case {
    const bytes = r.pick(form.bitness === 64 ? ([1, 2, 4, 8] as const) : ([1, 2, 4] as const));
    const place = (): bigint => BigInt(ARENA + r.below(ARENA_BYTES));
    const source = place();
    // Often a destination close to the source, so that they overlap.
    const destination = r.below(2) ? place() : source + BigInt(r.below(40) - 20);
    const base = form.prefix.includes(0x64) ? FS_BASE : 0n;
    const uniform = r.below(2) === 1;
    return {
      form,
      operation,
      repeat,
      bytes,
      down: r.below(2) === 1,
      count: BigInt(r.below(5) === 0 ? r.below(12) : r.below(3 * PAGE)),
      source: source - base,
      destination,
      accumulator: form.bitness === 32 ? 0x21212121n : uniform ? 0x2121212121212121n : r.bits(),
      missing: new Set(r.below(2) ? [r.below(FRAMES.length)] : []),
      limit: r.below(3) ? 0xffffffffn : BigInt(ARENA + r.below(ARENA_BYTES)),
    };
  }

  /** Mostly equal bytes, so that comparisons run on for a while; or noise. */
  const pool = random(11n);
  const ALIKE = Uint8Array.from({ length: ARENA_BYTES }, () => (pool.below(400) ? 0x21 : pool.below(256)));
  const NOISE = Uint8Array.from({ length: ARENA_BYTES }, () => pool.below(256));

  const WAYS: readonly (readonly [Operation, Repeat])[] = [
    ['movs', 'rep'],
    ['stos', 'rep'],
    ['lods', 'rep'],
    ['scas', 'repe'],
    ['scas', 'repne'],
    ['cmps', 'repe'],
    ['cmps', 'repne'],
  ];
  const CASES = 40;

  const firstDifference = (a: Uint8Array, b: Uint8Array): number => a.findIndex((byte, at) => byte !== b[at]);

  describe('repeated string instructions', () => {
    for (const form of FORMS) {
      for (const [operation, repeat] of WAYS) {
        it(`${repeat} ${operation} with ${form.name} does what one element at a time does`, () => {
          const r = random(BigInt(1 + FORMS.indexOf(form)) * 0x9e3779b97f4a7c15n);
          for (let i = 0; i < CASES; i++) {
            const test = makeCase(r, form, operation, repeat);
            const compares = operation === 'scas' || operation === 'cmps';
            const frames = compares && repeat === 'repe' ? ALIKE : NOISE;
            const [got, want] = [run(test, frames), model(test, frames)];
            const { memory: wantMemory, ...wantRest } = want;
            const { memory: gotMemory, ...gotRest } = got;
            const wrongByte = firstDifference(gotMemory, wantMemory);
            expect({ test, ...gotRest, wrongByte }).toEqual({ test, ...wantRest, wrongByte: -1 });
          }
        });
      }
    }

    it('takes a page piece for one instruction, however many elements it has', () => {
      const test = { ...makeCase(random(7n), FORMS[0] as Form, 'stos', 'rep'), bytes: 8 as const, down: false };
      const started = guest.engine.retired;
      run(
        { ...test, count: 1024n, destination: BigInt(ARENA), missing: new Set<number>() },
        new Uint8Array(ARENA_BYTES),
      );
      expect(guest.engine.retired - started).toBe(2n);
    });

    it('goes one by one where the destination holds decoded code', () => {
      const own: Case = { ...makeCase(random(5n), FORMS[0] as Form, 'stos', 'rep'), bytes: 1, down: false };
      const frames = new Uint8Array(ARENA_BYTES);
      const test = { ...own, count: 200n, destination: BigInt(ARENA), missing: new Set<number>() };
      // A RET at the destination's start is run first, so that the page counts as code.
      guest.map(BigInt(ARENA), DATA + (FRAMES[0] as number) * PAGE);
      guest.write(DATA + (FRAMES[0] as number) * PAGE, Uint8Array.of(0x90, RET));
      guest.setMode(64, 0);
      state.rip = BigInt(ARENA);
      guest.run(1);
      const [got, want] = [run(test, frames), model(test, frames)];
      expect(got.rcx).toBe(0n);
      expect(firstDifference(got.memory, want.memory)).toBe(-1);
    });

    it('leaves flags as they were when a comparison faults before its end', () => {
      const test: Case = {
        ...makeCase(random(3n), FORMS[0] as Form, 'scas', 'repe'),
        bytes: 1,
        down: false,
        count: 10000n,
        destination: BigInt(ARENA),
        accumulator: 0x21n,
        missing: new Set([1]),
      };
      const outcome = run(test, new Uint8Array(ARENA_BYTES).fill(0x21));
      expect([outcome.fault, outcome.rcx, state.rflags & FLAGS.ZF]).toEqual([14, 10000n - 4096n, 0]);
    });
  });
});
