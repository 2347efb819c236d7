// Vectors on instructions that are bound statically: the definitions that interpret records, with operands that are
// constants instead. A few instructions of each form and a few vectors of each instruction; silicon.test.ts has all.
import { describe, expect, it } from 'vitest';
import { bindAll, type Form, formsOf, handlers, runBound } from './fixedRun.ts';
import { loadVectors, type Vector, vectorFamilies } from './load.ts';
import { describeMismatch, replay } from './replay.ts';

const INSTRUCTIONS_OF_A_FORM = 2;
const VECTORS_OF_AN_INSTRUCTION = 3;

type Work = { readonly form: Form; readonly vectors: Vector[] };

function sample(): Work[] {
  const work: Work[] = [];
  const taken = new Map<string, number>();
  const wanted = ({ handler: { key } }: Form): boolean => {
    const count = taken.get(key) ?? 0;
    taken.set(key, count + 1);
    return key !== 'micro' && count < INSTRUCTIONS_OF_A_FORM;
  };
  for (const family of vectorFamilies()) {
    let code: Uint8Array | undefined;
    let mine: Work[] = [];
    for (const vector of loadVectors(family, VECTORS_OF_AN_INSTRUCTION)) {
      if (vector.code !== code) {
        code = vector.code;
        mine = formsOf(vector)
          .filter(wanted)
          .map((form) => ({ form, vectors: [] }));
        work.push(...mine);
      }
      for (const { form, vectors } of mine) if (form.rip === vector.rip) vectors.push(vector);
    }
  }
  return work;
}

/** Where they leave their work to microcode unless a known time is left, which a function of one instruction has not. */
const TIMED = ['in.dx', 'in.i8'];

describe('instructions bound statically', () => {
  it('do on vectors what a processor did', () => {
    const work = sample();
    const bound = bindAll(work.map(({ form }) => form));
    const run = new Set<string>();
    const left = new Set<string>();
    const wrong: string[] = [];
    work.forEach(({ form: { handler }, vectors }, number) => {
      for (const vector of vectors) {
        const output = runBound(bound[number] as () => number, vector);
        (output ? run : left).add(handler.key);
        const mismatch = output && replay(vector, () => output);
        if (mismatch) wrong.push(`${handler.key}: ${describeMismatch(mismatch)}`);
      }
    });
    expect(wrong.slice(0, 20)).toEqual([]);
    expect([...left].sort()).toEqual(TIMED);
    expect(run.size).toBeGreaterThan(handlers.length - 150);
  });
});
