// One case run in two ways that must come to the same: in few long runs, and in odd pieces, or watched, or again.

import { type CaseOptions, type CaseResult, runCase } from './case.ts';

export type Compared = {
  readonly result: CaseResult;
  /** The first life in which the ways differ, in words. */
  readonly differs: string | undefined;
};

function difference(name: string, first: CaseResult, second: CaseResult): string | undefined {
  for (let i = 0; i < Math.max(first.lives.length, second.lives.length); i++) {
    const [a, b] = [first.lives[i], second.lives[i]];
    if (JSON.stringify(a) !== JSON.stringify(b)) {
      return `${name}: life ${i} was ${JSON.stringify(a)} and is ${JSON.stringify(b)}`;
    }
  }
  return undefined;
}

/** In what way a case is run besides: every one in pieces, and some watched or a second time. */
export type SecondLook = 'pieces' | 'watched' | 'again';

export const lookOf = (seed: number): SecondLook => (seed % 4 === 0 ? 'watched' : seed % 4 === 1 ? 'again' : 'pieces');

export function compareCase(seed: number, options: Omit<CaseOptions, 'cut'>): Compared {
  const look = lookOf(seed);
  const chosen = { ...options, unpaged: look === 'watched' };
  const result = runCase(seed, { ...chosen, cut: 'whole' });
  const lengths = result.lives.map((life) => (life.ending === 'went on' ? life.instructions : options.instructions));
  const second = runCase(seed, { ...chosen, lengths, cut: look === 'again' ? 'whole' : look });
  return { result, differs: difference(look, result, second) };
}
