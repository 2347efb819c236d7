// How far a boot goes that cannot be heard: past the end of the one that can be.
import { describe, expect, it } from 'vitest';
import { MUTE_LIMIT, muteLimit } from '../../src/diagnose/mute.ts';
import { outcomeOf } from '../report/result.ts';

const spokenFor = (instructions: bigint) => ({ ...outcomeOf({ kind: 'powered-off' }), instructions });

describe('the limit of a silent boot', () => {
  it.each([
    ['an eighth and more behind the end', 8_000_000_000n, 20_000_000_000n, 9_100_000_000n],
    ['never beyond what was asked for', 8_000_000_000n, 8_500_000_000n, 8_500_000_000n],
    ['never before where it is already', 1000n, 20_000_000_000n, MUTE_LIMIT],
  ])('is %s', (_, end, most, limit) => {
    expect(muteLimit(spokenFor(end), most)).toBe(limit);
  });
});
