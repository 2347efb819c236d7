import type { Random } from './random.ts';

// Around zero, the sign bits and the carries between nibbles, bytes, words and doublewords; then bit patterns.
const SEEDS = [
  '0 1 2 3 7 8 9 a f 10 11 7e 7f 80 81 99 9a a0 fe ff 100 101',
  '7ffe 7fff 8000 8001 fffe ffff 10000 10001 7ffffffe 7fffffff 80000000 80000001 fffffffe ffffffff',
  '100000000 100000001 7fffffffffffffff 8000000000000000 fffffffffffffffe ffffffffffffffff',
  'ffffffff80000000 ffffffff00000000 aaaaaaaaaaaaaaaa 5555555555555555 0f0f0f0f0f0f0f0f 0123456789abcdef fedcba9876543210',
]
  .join(' ')
  .split(' ')
  .map((hex) => BigInt(`0x${hex}`));

// The values that matter at every size: 0, 1, -1, most negative, most positive and their neighbours.
const corners = (bits: number): bigint[] => {
  const sign = 1n << BigInt(bits - 1);
  return [0n, 1n, (sign << 1n) - 1n, (sign << 1n) - 2n, sign, sign - 1n, sign + 1n];
};

const EDGES = new Map<number, readonly bigint[]>(
  [8, 16, 32, 64, 128].map((bits) => [
    bits,
    [...corners(bits), ...corners(bits), ...new Set(SEEDS.map((seed) => BigInt.asUintN(bits, seed)))],
  ]),
);

/** An edge value of `bits` bits (8, 16, 32, 64 or 128), a single bit or its complement, or now and then a random one. */
export function edgeValue(bits: number, random: Random): bigint {
  const kind = random.below(100);
  if (kind < 55) return random.pick(EDGES.get(bits) ?? []);
  if (kind < 75) return random.bits(bits);
  const bit = 1n << BigInt(random.below(bits));
  if (kind < 85) return bit;
  if (kind < 92) return BigInt.asUintN(bits, ~bit);
  return random.bits(bits) >> BigInt(random.below(bits));
}

/** A second operand that stands in a telling relation to the first: equal, its negative, its complement, one off. */
export function relatedValue(bits: number, first: bigint, random: Random): bigint {
  if (!random.chance(25)) return edgeValue(bits, random);
  const value = random.pick([first, -first, ~first, first + 1n, first - 1n, first << 1n, 0x99n - first]);
  return BigInt.asUintN(bits, value);
}

/** Shift counts: both sides of every operand size and of the count's own mask. */
export const SHIFT_COUNTS = [
  0, 1, 2, 3, 4, 7, 8, 9, 10, 15, 16, 17, 18, 24, 27, 31, 32, 33, 34, 47, 48, 62, 63, 64, 65, 96, 127, 128, 129, 160,
  200, 254, 255,
];
