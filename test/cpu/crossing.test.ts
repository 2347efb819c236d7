// An instruction that lies on two pages, of which the second is stored to: what runs then is what stands there then.
import { describe, expect, it } from 'vitest';
import { assembleAt, byte, db, type Item, x86 } from '../support/assembler.ts';
import { VARIANT_NAMES } from '../../src/cpu/binding/variants.ts';
import { DATA, makeGuest } from './guest.ts';

const { add, call, inc, jmp, mov, nop, ret, xor } = x86;
/** The instruction's immediate. */
const NUMBER = 0x01010101;
const PAGE = 0x1000;
const CODE = 0x8000;
/** The second page of code, seen as data. */
const ALIAS = 0x20000;
const STACK = 0x31000;
const [RAX, RBX, RSP] = [0, 3, 4];
const PAGES = [
  [CODE, DATA],
  [CODE + PAGE, DATA + PAGE],
  [ALIAS, DATA + PAGE],
  [STACK - PAGE, DATA + 2 * PAGE],
] as const;
/** Instructions before the loop. */
const ENTRY = [1, 2] as const;

/** Instructions of one turn of either loop. */
const TURN = 6;

/** The store is in a loop that calls it. @param tail bytes of the instruction that lie on the first page */
function called(tail: number): readonly Item[] {
  const head = [
    ...[xor('ebx', 'ebx'), '@again', call('@edge'), add('rbx', 'rax')],
    ...[inc(byte(ALIAS)), jmp('@again')],
  ] as const;
  const { bytes } = assembleAt(64, CODE, [...head, '@edge']);
  return [...head, db(...new Uint8Array(PAGE - tail - bytes.length)), '@edge', mov('eax', NUMBER), ret()];
}

/** The store is just before it, in straight code. */
function straight(tail: number): readonly Item[] {
  const entry = [xor('ebx', 'ebx'), jmp('@again')];
  const before = [nop(), inc(byte(ALIAS))];
  const room =
    PAGE - tail - assembleAt(64, CODE, [...before, xor('ebx', 'ebx'), '@again', db(0, 0, 0, 0, 0)]).bytes.length;
  const behind = [add('rbx', 'rax'), nop(), jmp('@again')];
  return [...entry, db(...new Uint8Array(room)), '@again', ...before, mov('eax', NUMBER), ...behind];
}

describe.each(VARIANT_NAMES)('in the engine %s', (variant) => {
  it.each([
    ['in a loop that calls it', 1, called, 0],
    ['in a loop that calls it', 4, called, 0],
    ['just before it is run', 1, straight, 1],
    ['just before it is run', 3, straight, 1],
  ] as const)(
    'an instruction that is changed %s, with %i bytes before the page ends, is run as it stands there',
    (_what, tail, program, first) => {
      const guest = makeGuest(undefined, undefined, variant);
      for (const [linear, physical] of PAGES) guest.map(BigInt(linear), physical);
      guest.write(DATA, assembleAt(64, CODE, program(tail)).bytes);
      const { state } = guest.engine;
      state.setReg(RSP, BigInt(STACK));
      state.rip = BigInt(CODE);
      const turns = 5;
      expect(guest.run(ENTRY[first] + TURN * turns)).toBeUndefined();
      // What is counted up is the first byte of the second page: byte `tail - 1` of the number.
      const numbers = Array.from({ length: turns }, (_, i) => NUMBER + (i + first) * 2 ** (8 * (tail - 1)));
      expect(state.reg(RAX)).toBe(BigInt(numbers[turns - 1] as number));
      expect(state.reg(RBX)).toBe(BigInt(numbers.reduce((sum, number) => sum + number, 0)));
    },
  );
});
