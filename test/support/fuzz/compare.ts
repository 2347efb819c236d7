// One case run in two ways that must come to the same: in few long runs, and in odd pieces, or watched, or again, or in
// pieces in another engine.

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

/** In what way a case is run besides. */
const LOOKS = ['watched', 'again', 'pieces', 'exact', 'watched', 'pieces', 'unfused', 'exact'] as const;
type SecondLook = (typeof LOOKS)[number];

const lookOf = (seed: number): SecondLook => LOOKS[seed % LOOKS.length] as SecondLook;

const WAYS: Record<SecondLook, Pick<CaseOptions, 'cut' | 'variant'>> = {
  watched: { cut: 'watched' },
  again: { cut: 'whole' },
  pieces: { cut: 'pieces' },
  exact: { cut: 'pieces', variant: 'exact' },
  unfused: { cut: 'pieces', variant: 'unfused' },
};

export function compareCase(seed: number, options: Omit<CaseOptions, 'cut'>): Compared {
  const look = lookOf(seed);
  const result = runCase(seed, { ...options, cut: 'whole' });
  const lengths = result.lives.map((life) => (life.ending === 'went on' ? life.instructions : options.instructions));
  const second = runCase(seed, { ...options, lengths, ...WAYS[look] });
  return { result, differs: difference(look, result, second) };
}
