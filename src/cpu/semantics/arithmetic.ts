// ADD ADC SUB SBB CMP NEG INC DEC, AND OR XOR TEST NOT (SDM 2).

import type { Expr, ValType } from '../../wasm/code.ts';
import type { Operand } from './emission.ts';
import type { Emitter } from './emitter.ts';
import { readCF, setAddFlags, setLogicFlags, setStepFlags, setSubFlags } from './flags.ts';
import { ALL_SIZES, type Definition } from './handler.ts';

type V = Expr<ValType>;
const BINARY = ['E,r', 'r,M', 'E,i'];
const UNARY = ['E'];

type Compute = (e: Emitter, d: Operand, s: Operand) => void;

function sum(e: Emitter, d: Operand, s: Operand, carryIn: boolean): void {
  const w = d.width;
  const a = e.let(d.read());
  const b = e.let(s.read());
  const plain = w.add(a, b);
  const r = e.let(w.narrow(carryIn ? w.add(plain, w.from32(readCF(e))) : plain));
  d.write(r);
  setAddFlags(e, w, a, b, r);
  e.flags = { kind: 'result', w, a, b, r };
}

function difference(e: Emitter, d: Operand, s: Operand, carryIn: boolean, keep: boolean): void {
  const w = d.width;
  const a = e.let(d.read());
  const b = e.let(s.read());
  const plain = w.sub(a, b);
  const r = e.let(w.narrow(carryIn ? w.sub(plain, w.from32(readCF(e))) : plain));
  if (keep) d.write(r);
  setSubFlags(e, w, a, b, r);
  e.flags = { kind: carryIn ? 'result' : 'difference', w, a, b, r };
}

const logic =
  (combine: (w: Operand['width'], a: V, b: V) => V, keep: boolean): Compute =>
  (e, d, s) => {
    const a = e.let(d.read());
    const r = e.let(combine(d.width, a, s.read()));
    if (keep) d.write(r);
    setLogicFlags(e, d.width, r);
    e.flags = { kind: 'logic', w: d.width, a, b: a, r };
  };

const binary = (name: string, effect: Compute): Definition => ({
  name,
  shapes: BINARY,
  sizes: ALL_SIZES,
  intents: ['modify'],
  effect: effect,
});
const comparison = (name: string, effect: Compute): Definition => ({ ...binary(name, effect), intents: ['read'] });

function step(kind: 'inc' | 'dec'): Definition {
  return {
    name: kind,
    shapes: UNARY,
    sizes: ALL_SIZES,
    intents: ['modify'],
    effect: (e, d) => {
      const o = d;
      const w = o.width;
      const a = e.let(o.read());
      const r = e.let(w.narrow(kind === 'inc' ? w.add(a, w.const(1)) : w.sub(a, w.const(1))));
      o.write(r);
      setStepFlags(e, w, a, r, kind);
      e.flags = { kind: 'result', w, a, b: a, r };
    },
  };
}

const NEG: Definition = {
  name: 'neg',
  shapes: UNARY,
  sizes: ALL_SIZES,
  intents: ['modify'],
  effect: (e, d) => {
    const o = d;
    const w = o.width;
    const zero = w.const(0);
    const b = e.let(o.read());
    const r = e.let(w.narrow(w.sub(zero, b)));
    o.write(r);
    setSubFlags(e, w, zero, b, r);
  },
};

const NOT: Definition = {
  name: 'not',
  shapes: UNARY,
  sizes: ALL_SIZES,
  intents: ['modify'],
  effect: (_e, d) => {
    const o = d;
    o.write(o.width.xor(o.read(), o.width.const(-1)));
  },
};

export const arithmetic: readonly Definition[] = [
  binary('add', (e, d, s) => sum(e, d, s, false)),
  binary('adc', (e, d, s) => sum(e, d, s, true)),
  binary('sub', (e, d, s) => difference(e, d, s, false, true)),
  binary('sbb', (e, d, s) => difference(e, d, s, true, true)),
  comparison('cmp', (e, d, s) => difference(e, d, s, false, false)),
  binary(
    'and',
    logic((w, a, b) => w.and(a, b), true),
  ),
  binary(
    'or',
    logic((w, a, b) => w.or(a, b), true),
  ),
  binary(
    'xor',
    logic((w, a, b) => w.xor(a, b), true),
  ),
  // There is no TEST with its operands in the other order.
  {
    ...comparison(
      'test',
      logic((w, a, b) => w.and(a, b), false),
    ),
    shapes: ['E,r', 'E,i'],
  },
  step('inc'),
  step('dec'),
  NEG,
  NOT,
];
