// 64-bit products and quotients, for which WebAssembly has no instruction, against BigInt.

import { describe, expect, it } from 'vitest';
import { FLAGS } from '../../src/cpu/state/state.ts';
import { GPR } from '../../src/x86/registers.ts';
import { random } from '../support/random.ts';
import { DATA, makeGuest } from './guest.ts';

const { RAX, RCX, RDX } = GPR;
const CODE_LINEAR = 0x8000n;
const CASES = 3000;
const MUL = [0x48, 0xf7, 0xe1]; // mul %rcx
const IMUL = [0x48, 0xf7, 0xe9]; // imul %rcx
const IMUL_SHORT = [0x48, 0x0f, 0xaf, 0xc1]; // imul %rcx,%rax
const DIV = [0x48, 0xf7, 0xf1]; // div %rcx
const IDIV = [0x48, 0xf7, 0xf9]; // idiv %rcx
const RET = 0xc3;

const unsigned = (value: bigint): bigint => BigInt.asUintN(64, value);
const signed = (value: bigint): bigint => BigInt.asIntN(64, value);
const fits = (value: bigint, isSigned: boolean): boolean => (isSigned ? signed(value) : unsigned(value)) === value;

const guest = makeGuest();
const { state } = guest.engine;
guest.map(CODE_LINEAR, DATA);

type Registers = { rax: bigint; rdx: bigint; rcx: bigint };
type Result = { rax: bigint; rdx: bigint; overflow: boolean } | 'divide error' | 'another fault';

/** Runs the instruction on each set of registers. */
function runAll(code: readonly number[], inputs: readonly Registers[]): Result[] {
  guest.write(DATA, Uint8Array.of(...code, RET));
  return inputs.map(({ rax, rdx, rcx }) => {
    state.setReg(RAX, rax);
    state.setReg(RDX, rdx);
    state.setReg(RCX, rcx);
    state.rflags = 0;
    state.rip = CODE_LINEAR;
    const fault = guest.run(1);
    if (fault) return fault.vector === 0 ? 'divide error' : 'another fault';
    return { rax: state.reg(RAX), rdx: state.reg(RDX), overflow: (state.rflags & FLAGS.OF) !== 0 };
  });
}

const r = random(0x1234567n);
const INPUTS: readonly Registers[] = Array.from({ length: CASES }, () => ({
  rax: r.value(),
  rdx: r.value(),
  rcx: r.value(),
}));

describe('64-bit multiplication', () => {
  it('MUL gives the whole product, and overflow where the upper half is not 0', () => {
    const want = INPUTS.map(({ rax, rcx }) => {
      const product = rax * rcx;
      return { rax: unsigned(product), rdx: product >> 64n, overflow: !fits(product, false) };
    });
    expect(runAll(MUL, INPUTS)).toEqual(want);
  });

  it('IMUL gives the whole signed product, and overflow where the lower half does not hold it', () => {
    const want = INPUTS.map(({ rax, rcx }) => {
      const product = signed(rax) * signed(rcx);
      return { rax: unsigned(product), rdx: unsigned(product >> 64n), overflow: !fits(product, true) };
    });
    expect(runAll(IMUL, INPUTS)).toEqual(want);
  });

  it('IMUL into a register tells overflow too, near the limit as well', () => {
    const limit = Array.from({ length: CASES }, () => {
      const rax = r.value() | 1n;
      return { rax, rdx: 0n, rcx: unsigned((1n << 63n) / (signed(rax) || 1n) + BigInt(r.below(3) - 1)) };
    });
    const inputs = [...INPUTS, ...limit];
    const want = inputs.map(({ rax, rcx, rdx }) => {
      const product = signed(rax) * signed(rcx);
      return { rax: unsigned(product), rdx, overflow: !fits(product, true) };
    });
    expect(runAll(IMUL_SHORT, inputs)).toEqual(want);
  });
});

/** Dividends of a chosen quotient, near the largest that fits or anywhere, so that most divisions do not fault. */
function dividends(isSigned: boolean): Registers[] {
  return Array.from({ length: CASES }, () => {
    const rcx = r.value();
    const divisor = isSigned ? signed(rcx) : rcx;
    const edge = (isSigned ? 1n << 63n : 1n << 64n) - BigInt(r.below(3));
    const quotient = r.below(4) ? (isSigned ? signed(r.value()) : r.value()) : r.below(2) && isSigned ? -edge : edge;
    const remainder = divisor === 0n ? 0n : r.value() % (divisor < 0n ? -divisor : divisor);
    const product = quotient * divisor;
    const dividend = product + (product < 0n ? -remainder : remainder);
    return { rax: unsigned(dividend), rdx: unsigned(dividend >> 64n), rcx };
  });
}

const divide = ({ rax, rdx, rcx }: Registers, isSigned: boolean): Result => {
  const dividend = ((isSigned ? signed(rdx) : rdx) << 64n) | rax;
  const divisor = isSigned ? signed(rcx) : rcx;
  if (divisor === 0n || !fits(dividend / divisor, isSigned)) return 'divide error';
  return { rax: unsigned(dividend / divisor), rdx: unsigned(dividend % divisor), overflow: false };
};

describe('64-bit division', () => {
  for (const [name, code, isSigned] of [
    ['DIV', DIV, false],
    ['IDIV', IDIV, true],
  ] as const) {
    it(`${name} divides 128 bits, and raises #DE where the quotient does not fit`, () => {
      const inputs = [...dividends(isSigned), ...INPUTS];
      const want = inputs.map((input) => divide(input, isSigned));
      expect(want.filter((result) => result !== 'divide error').length).toBeGreaterThan(CASES / 2);
      expect(runAll(code, inputs)).toEqual(want);
    });
  }
});
