// Hostile files: whatever is done to a packed file, it unpacks to something within the limit, or it is refused in one
// line.
import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/bits/errors.ts';
import { unpack } from '../../src/unpack/unpack.ts';
import { asPayload, FIXTURES, type Fixture } from './fixtures.ts';

const LIMIT = 3 << 20;
const TRIES = 300;
/** Large contents take long each; their streams hold little that the others do not. */
const FEWER_TRIES = 40;

describe('a mutilated file', () => {
  it.each(FIXTURES)('$format, $content by "$command"', (fixture) => {
    const tries = fixture.content === 'long' || fixture.content === 'zeros' ? FEWER_TRIES : TRIES;
    const endings = Array.from({ length: tries }, (_, i) => ending(fixture, i + 1));
    const refusals = endings.filter((result) => typeof result === 'string');
    const sizes = endings.filter((result) => typeof result === 'number');
    expect(refusals.length).toBeGreaterThan(0);
    expect(refusals.filter((message) => !/^the \w+ data[^\n]+$/.test(message))).toEqual([]);
    expect(sizes.filter((size) => size > LIMIT)).toEqual([]);
  });
});

/** How many bytes came out, or the message. */
function ending(fixture: Fixture, seed: number): number | string {
  const bytes = mutilated(seed % 2 ? fixture.packed : asPayload(fixture), randomOf(seed));
  try {
    return unpack(fixture.format, bytes, LIMIT).length;
  } catch (error) {
    if (error instanceof InputError) return error.message;
    throw new Error(`${fixture.format}, seed ${seed}`, { cause: error });
  }
}

/**
 * Flipped bits, bytes of all ones or zeros (sizes among them), something left out or cut off. Mostly near the start.
 */
function mutilated(intact: Uint8Array, random: (n: number) => number): Uint8Array {
  const bytes = intact.slice();
  const place = (): number => random(random(2) === 0 ? Math.min(bytes.length, 40) : bytes.length);
  const ways = [
    () => bytes[place()]! ^ (bytes[place()]! ^= 1 << random(8)),
    () => bytes.fill(random(2) * 0xff, ...stretch(place(), 1 + random(8))),
    () => bytes.fill(random(256), ...stretch(place(), 1)),
    () => bytes.copyWithin(place(), place()),
  ];
  for (let times = random(3); times >= 0; times--) ways[random(ways.length)]!();
  return random(4) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes;
}

const stretch = (at: number, size: number): [number, number] => [at, at + size];

function randomOf(seed: number): (n: number) => number {
  let state = Math.imul(seed, 0x9e37_79b1) | 1;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
}
