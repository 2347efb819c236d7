// A seeded source of test values (xorshift64*): the same seed gives the same cases everywhere.

export type Random = {
  /** 64 random bits. */
  bits(): bigint;
  /** Integer from 0 to n - 1. */
  below(n: number): number;
  pick<T>(items: readonly T[]): T;
  /** 64 bits, often with few significant ones, of either sign: what arithmetic goes wrong on. */
  value(): bigint;
};

export function random(seed: bigint): Random {
  let state = seed;
  const bits = (): bigint => {
    state ^= state >> 12n;
    state = BigInt.asUintN(64, state ^ (state << 25n));
    state ^= state >> 27n;
    return BigInt.asUintN(64, state * 0x2545f4914f6cdd1dn);
  };
  const below = (n: number): number => Number((bits() >> 11n) % BigInt(n));
  const value = (): bigint => {
    const short = bits() >> BigInt(below(64));
    return below(2) ? short : BigInt.asUintN(64, -short);
  };
  return { bits, below, value, pick: (items) => items[below(items.length)] as (typeof items)[number] };
}
