/** A seeded source of numbers: the same seed gives the same vectors. */
export interface Random {
  /** 32 random bits. */
  u32(): number;
  /** `bits` random bits, 1 to 128. */
  bits(bits: number): bigint;
  /** 0 to `limit` - 1. */
  below(limit: number): number;
  /** True in `percent` of 100 cases. */
  chance(percent: number): boolean;
  pick<T>(items: readonly T[]): T;
}

// FNV-1a, so that a family's numbers hang on its name and not on what was generated before it.
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (const char of text) value = Math.imul(value ^ char.charCodeAt(0), 0x01000193);
  return value >>> 0;
}

// The "sfc32" generator of PractRand.
export function seededRandom(seed: string): Random {
  let a = hash(`${seed}a`);
  let b = hash(`${seed}b`);
  let c = hash(`${seed}c`);
  let counter = 1;
  const u32 = (): number => {
    const result = (a + b + counter++) >>> 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) >>> 0;
    c = (((c << 21) | (c >>> 11)) + result) >>> 0;
    return result;
  };
  for (let round = 0; round < 16; round++) u32();
  const below = (limit: number): number => Math.floor((u32() / 2 ** 32) * limit);
  return {
    u32,
    below,
    bits: (bits) => {
      let value = 0n;
      for (let have = 0; have < bits; have += 32) value = (value << 32n) | BigInt(u32());
      return BigInt.asUintN(bits, value);
    },
    chance: (percent) => below(100) < percent,
    pick: <T>(items: readonly T[]): T => items[below(items.length)] as T,
  };
}
