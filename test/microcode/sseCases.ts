// Seeded operands for SSE instructions, rich in special values, all rounding modes, FTZ and DAZ; and a digest of what
// came out. sse.test.ts holds the digests that an AMD EPYC gave for the same cases: a C program put the operands into XMM0,
// XMM1, RAX and MXCSR, ran the instruction's bytes, and stored XMM0, RAX, MXCSR, the status flags (after COMISx) and
// whether SIGFPE came.

export type SseCase = { mxcsr: number; a: bigint; b: bigint; rax: bigint };

const MASK = (1n << 64n) - 1n;
const F32_SPECIAL = [
  0x0000_0000, 0x8000_0000, 1, 0x8000_0001, 0x7f_ffff, 0x80_0000, 0x80_0001, 0x8080_0000, 0x3f80_0000, 0xbf80_0000,
  0x3f80_0001, 0x3f7f_ffff, 0x7f7f_ffff, 0xff7f_ffff, 0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xffc0_0000, 0x7f80_0001,
  0xff81_2345, 0x7fc1_2345, 0x4f00_0000, 0xcf00_0000, 0x4eff_ffff, 0x5f00_0000, 0xdf00_0000, 0x3f00_0000, 0x3fc0_0000,
  0x4020_0000, 0x40_0000, 0x8040_0000, 0x4b00_0000, 0x1f80_0000, 0x5e80_0000,
].map(BigInt);
const F64_SPECIAL = [
  0n,
  1n << 63n,
  1n,
  (1n << 63n) | 1n,
  0xf_ffff_ffff_ffffn,
  0x10_0000_0000_0000n,
  0x10_0000_0000_0001n,
  0x3ff0_0000_0000_0000n,
  0xbff0_0000_0000_0000n,
  0x3ff0_0000_0000_0001n,
  0x3fef_ffff_ffff_ffffn,
  0x7fef_ffff_ffff_ffffn,
  0xffef_ffff_ffff_ffffn,
  0x7ff0_0000_0000_0000n,
  0xfff0_0000_0000_0000n,
  0x7ff8_0000_0000_0000n,
  0x7ff0_0000_0000_0001n,
  0xfff1_2345_6789_abcdn,
  0x7ff8_1234_5678_9abcn,
  0x41e0_0000_0000_0000n,
  0xc1e0_0000_0000_0000n,
  0xc1e0_0000_001f_ffffn,
  0xc1e0_0000_0020_0000n,
  0x41df_ffff_ffc0_0000n,
  0x41df_ffff_ffe0_0000n,
  0x43e0_0000_0000_0000n,
  0xc3e0_0000_0000_0000n,
  0x43df_ffff_ffff_ffffn,
  0x3fe0_0000_0000_0000n,
  0x3ff8_0000_0000_0000n,
  0x4004_0000_0000_0000n,
  0x36a0_0000_0000_0000n,
  0x3690_0000_0000_0000n,
  0x380f_ffff_ffff_ffffn,
  0x3810_0000_0000_0000n,
  0x380f_ffff_f000_0000n,
  0x380f_ffff_e000_0000n,
  0x47ef_ffff_e000_0000n,
  0x47ef_ffff_f000_0000n,
];

/** xorshift64*, so that the cases are the same everywhere. */
export class Seeded {
  #state: bigint;
  constructor(seed: bigint) {
    this.#state = seed | 1n;
  }
  next(): bigint {
    let s = this.#state;
    s ^= (s << 13n) & MASK;
    s ^= s >> 7n;
    s ^= (s << 17n) & MASK;
    this.#state = s;
    return (s * 0x2545_f491_4f6c_dd1dn) & MASK;
  }
  below(limit: number): number {
    return Number(this.next() >> 11n) % limit;
  }
}

const exponentOf = (random: Seeded, bias: number): number => {
  const kind = random.below(5);
  if (kind < 2) return bias - 3 + random.below(7);
  if (kind === 2) return random.below(3);
  if (kind === 3) return 2 * bias - random.below(4);
  return Math.max(0, bias + random.below(200) - 140);
};

/** A number as bits: special, random or with an exponent where something happens. */
export const numberBits = (random: Seeded, width: 32 | 64): bigint => {
  const special = width === 32 ? F32_SPECIAL : F64_SPECIAL;
  if (random.below(3) === 0) return special[random.below(special.length)] ?? 0n;
  const fractionBits = width === 32 ? 23 : 52;
  const bias = width === 32 ? 127 : 1023;
  const field = BigInt(Math.min(2 * bias, exponentOf(random, bias)));
  const cut = BigInt(random.below(2) * random.below(fractionBits));
  const fraction = (BigInt.asUintN(fractionBits, random.next()) >> cut) << cut;
  return (BigInt(random.below(2)) << BigInt(width - 1)) | (field << BigInt(fractionBits)) | fraction;
};

const vector = (random: Seeded, width: 32 | 64): bigint => {
  let value = 0n;
  for (let at = 0; at < 128; at += width) value |= numberBits(random, width) << BigInt(at);
  return value;
};

const integers = (random: Seeded): bigint => {
  const small = (): bigint => BigInt.asIntN(32, random.next()) >> BigInt(random.below(32));
  return [0, 32, 64, 96].reduce((all, at) => all | (BigInt.asUintN(32, small()) << BigInt(at)), 0n);
};

/** The cases of an instruction: of doubles where its name says so, integers where it converts them. */
export const casesOf = (name: string, count: number, unmasked: boolean): SseCase[] => {
  const seed = Array.from(name).reduce((sum, letter) => sum * 31 + letter.charCodeAt(0), unmasked ? 7 : 3);
  const random = new Seeded(BigInt(seed));
  const width = /(?:sd|pd)\d?$|^cvtt?[sp]d2/.test(name) && !/2[sp]d$/.test(name) ? 64 : 32;
  return Array.from({ length: count }, () => {
    const flushing = (random.below(3) === 0 ? 0x40 : 0) | (random.below(3) === 0 ? 0x8000 : 0);
    const masks = unmasked ? random.below(64) << 7 : 0x1f80;
    const sticky = random.below(3) === 0 ? random.below(64) : 0;
    const a = vector(random, width);
    const near = random.below(6) === 0 ? a ^ BigInt(random.below(4)) : vector(random, width);
    const b = name.startsWith('cvtdq') ? integers(random) : near;
    const rax = BigInt.asUintN(64, BigInt.asIntN(64, random.next()) >> BigInt(random.below(64)));
    return { mxcsr: (random.below(4) << 13) | flushing | masks | sticky, a, b, rax };
  });
};

/** FNV-1a of 64-bit words, 32 bits of it. */
export const digestOf = (words: Iterable<bigint>): string => {
  let hash = 0x811c_9dc5;
  for (const word of words) {
    for (let n = 0; n < 8; n++) hash = Math.imul(hash ^ Number((word >> BigInt(8 * n)) & 0xffn), 0x0100_0193);
  }
  return (hash >>> 0).toString(16).padStart(8, '0');
};

const SHAPES = [
  ['ss', 'f30f'],
  ['ps', '0f'],
  ['sd', 'f20f'],
  ['pd', '660f'],
] as const;
const FOUR: readonly (readonly [string, string])[] = [
  ['add', '58c1'],
  ['mul', '59c1'],
  ['sub', '5cc1'],
  ['min', '5dc1'],
  ['div', '5ec1'],
  ['max', '5fc1'],
  ['sqrt', '51c1'],
];

const shaped = FOUR.flatMap(([name, bytes]) =>
  SHAPES.map(([suffix, prefix]) => [name + suffix, prefix + bytes] as const),
);
const compared = SHAPES.flatMap(([suffix, prefix]) =>
  [0, 1, 2, 3, 4, 5, 6, 7].map((predicate) => [`cmp${suffix}${predicate}`, `${prefix}c2c10${predicate}`] as const),
);

/** Instructions by name, as bytes in hexadecimal: operands XMM0 and XMM1, or RAX. */
export const SSE_INSTRUCTIONS: readonly (readonly [name: string, bytes: string])[] = [
  ...shaped,
  ...compared,
  ['rcpss', 'f30f53c1'],
  ['rcpps', '0f53c1'],
  ['rsqrtss', 'f30f52c1'],
  ['rsqrtps', '0f52c1'],
  ['ucomiss', '0f2ec1'],
  ['comiss', '0f2fc1'],
  ['ucomisd', '660f2ec1'],
  ['comisd', '660f2fc1'],
  ['cvtsi2ss', 'f30f2ac0'],
  ['cvtsi2sd', 'f20f2ac0'],
  ['cvtsi2ssq', 'f3480f2ac0'],
  ['cvtsi2sdq', 'f2480f2ac0'],
  ['cvtss2si', 'f30f2dc1'],
  ['cvttss2si', 'f30f2cc1'],
  ['cvtsd2si', 'f20f2dc1'],
  ['cvttsd2si', 'f20f2cc1'],
  ['cvtss2siq', 'f3480f2dc1'],
  ['cvttss2siq', 'f3480f2cc1'],
  ['cvtsd2siq', 'f2480f2dc1'],
  ['cvttsd2siq', 'f2480f2cc1'],
  ['cvtdq2ps', '0f5bc1'],
  ['cvtdq2pd', 'f30fe6c1'],
  ['cvtps2dq', '660f5bc1'],
  ['cvttps2dq', 'f30f5bc1'],
  ['cvtpd2dq', 'f20fe6c1'],
  ['cvttpd2dq', '660fe6c1'],
  ['cvtss2sd', 'f30f5ac1'],
  ['cvtsd2ss', 'f20f5ac1'],
  ['cvtps2pd', '0f5ac1'],
  ['cvtpd2ps', '660f5ac1'],
];

export const CASES_EACH = 150;
