// A part of `npm run mutilated`, which does 5,000.
import { describe, expect, it } from 'vitest';
import { answers } from './answers.ts';
import { mutilated, wholeFiles } from './files.ts';

const PER_TEST = 40;

describe('mutilated files', () => {
  const files = wholeFiles();
  it.each([0, 1, 2, 3, 4, 5])('get a result or a clear line from audit, info, diff and boot (batch %i)', (batch) => {
    const seen = { result: 0, refused: 0 };
    for (let i = 0; i < PER_TEST; i++) {
      const file = mutilated(files, 1000 + batch * PER_TEST + i);
      const whole = files.find(({ name }) => name === file.name)?.bytes ?? new Uint8Array();
      for (const answer of Object.values(answers(file, whole))) seen[answer]++;
    }
    expect(seen.result).toBeGreaterThan(0);
    expect(seen.refused).toBeGreaterThan(0);
    expect(seen.result + seen.refused).toBe(4 * PER_TEST);
  });
});
