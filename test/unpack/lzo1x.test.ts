import { describe, expect, it } from 'vitest';
import { unpackLzo1x } from '../../src/unpack/lzo1x.ts';
import { outputOf, written } from '../../src/unpack/output.ts';

/** lzo.rst: 17, then two bytes of zeros. */
const END = [0x11, 0, 0];

function unpacked(input: readonly number[], size: number): number[] {
  const output = outputOf('the lzo data', 1 << 20, 0);
  unpackLzo1x(Uint8Array.from(input), size, output);
  return [...written(output)];
}

/** A first instruction of `size` literals, 18 or more. */
function run(literals: readonly number[]): number[] {
  const zeros = Math.floor((literals.length - 19) / 255);
  return [0, ...Array<number>(zeros).fill(0), literals.length - 18 - 255 * zeros, ...literals];
}

describe('LZO1X', () => {
  // The farthest match of one instruction has the distance at which the other ends the block.
  it('copies from 16 KiB back with the instruction for up to there', () => {
    const literals = Array.from({ length: 0x4000 }, (_, i) => (i * 7) & 0xff);
    const match = [0x20 | 1, 0xfc, 0xff];
    expect(unpacked([...run(literals), ...match, ...END], 0x4003).slice(-3)).toEqual(literals.slice(0, 3));
  });

  it('copies three bytes from 2 KiB back after a run of literals', () => {
    const literals = Array.from({ length: 0x801 }, (_, i) => (i * 5) & 0xff);
    expect(unpacked([...run(literals), 0, 0, ...END], 0x804).slice(-3)).toEqual(literals.slice(0, 3));
  });

  it.each([
    ['reaches before its beginning', [20, 1, 2, 3, 0x40, 1, ...END], 6],
    ['is longer than its block', [20, 1, 2, 3, 0x40, 0, ...END], 5],
  ])('refuses a match that %s', (problem, input, size) => {
    expect(() => unpacked(input, size)).toThrow(`the lzo data is damaged: a match ${problem}`);
  });
});
