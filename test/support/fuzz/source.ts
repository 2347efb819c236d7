// A seeded source of choices for the fuzzer (mulberry32): small and quick, the same everywhere.

export type Source = {
  /** Integer from 0 to n - 1. */
  below(n: number): number;
  /** True in so many of a hundred cases. */
  percent(n: number): boolean;
  pick<T>(items: readonly T[]): T;
  u32(): number;
  u64(): bigint;
  /** 64 bits, often few, of either sign, or near a power of two. */
  value(): bigint;
  bytes(length: number): number[];
};

export function source(seed: number): Source {
  let state = seed >>> 0;
  const u32 = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  const below = (n: number): number => u32() % n;
  const u64 = (): bigint => (BigInt(u32()) << 32n) | BigInt(u32());
  const value = (): bigint => {
    switch (below(4)) {
      case 0:
        return BigInt(below(256));
      case 1:
        return BigInt.asUintN(64, (1n << BigInt(below(64))) - BigInt(below(3)));
      case 2:
        return BigInt.asUintN(64, -(u64() >> BigInt(below(64))));
      default:
        return u64() >> BigInt(below(64));
    }
  };
  return {
    below,
    percent: (n) => below(100) < n,
    pick: (items) => items[below(items.length)] as (typeof items)[number],
    u32,
    u64,
    value,
    bytes: (length) => Array.from({ length }, () => below(256)),
  };
}
