// XXH32 and XXH64 with seed 0, as lz4 and zstd frames carry them
// (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md; steps are numbered there).
// JavaScript has no fast 64-bit integers: XXH64 works on halves, signed 32-bit each.
import { viewOf } from '../bits/cursor.ts';

const P32 = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1] as const;

const rotate = (value: number, by: number): number => (value << by) | (value >>> (32 - by));

export function xxh32(bytes: Uint8Array): number {
  const view = viewOf(bytes);
  const round = (lane: number, word: number) => Math.imul(rotate(lane + Math.imul(word, P32[1]), 13), P32[0]);
  let at = 0;
  let sum: number = P32[4];
  if (bytes.length >= 16) {
    let [a, b, c, d] = [(P32[0] + P32[1]) | 0, P32[1] | 0, 0, -P32[0] | 0];
    for (; at + 16 <= bytes.length; at += 16) {
      a = round(a, view.getInt32(at, true));
      b = round(b, view.getInt32(at + 4, true));
      c = round(c, view.getInt32(at + 8, true));
      d = round(d, view.getInt32(at + 12, true));
    }
    sum = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
  }
  sum = (sum + bytes.length) | 0;
  for (; at + 4 <= bytes.length; at += 4) {
    sum = Math.imul(rotate(sum + Math.imul(view.getInt32(at, true), P32[2]), 17), P32[3]);
  }
  for (; at < bytes.length; at++) sum = Math.imul(rotate(sum + Math.imul(bytes[at]!, P32[4]), 11), P32[0]);
  sum = Math.imul(sum ^ (sum >>> 15), P32[1]);
  sum = Math.imul(sum ^ (sum >>> 13), P32[2]);
  return (sum ^ (sum >>> 16)) >>> 0;
}

const P64 = [
  0x9e37_79b1_85eb_ca87n,
  0xc2b2_ae3d_27d4_eb4fn,
  0x1656_67b1_9e37_79f9n,
  0x85eb_ca77_c2b2_ae63n,
  0x27d4_eb2f_1656_67c5n,
] as const;
const MASK64 = 0xffff_ffff_ffff_ffffn;

/** The low 32 bits of XXH64, which is what a zstd frame ends with. */
export function xxh64Low(bytes: Uint8Array): number {
  const striped = bytes.length & ~31;
  let sum = striped === 0 ? P64[4] : sumOfLanes(bytes.subarray(0, striped));
  sum = (sum + BigInt(bytes.length)) & MASK64;
  sum = withTail(sum, bytes.subarray(striped));
  sum = ((sum ^ (sum >> 33n)) * P64[1]) & MASK64;
  sum = ((sum ^ (sum >> 29n)) * P64[2]) & MASK64;
  return Number((sum ^ (sum >> 32n)) & 0xffff_ffffn);
}

const rotate64 = (value: bigint, by: bigint): bigint => ((value << by) | (value >> (64n - by))) & MASK64;

const round64 = (lane: bigint, word: bigint): bigint =>
  (rotate64((lane + word * P64[1]) & MASK64, 31n) * P64[0]) & MASK64;

/** Step 5: what is left after the stripes, fewer than 32 bytes. */
function withTail(start: bigint, bytes: Uint8Array): bigint {
  const view = viewOf(bytes);
  let sum = start;
  let at = 0;
  for (; at + 8 <= bytes.length; at += 8) {
    sum = (rotate64(sum ^ round64(0n, view.getBigUint64(at, true)), 27n) * P64[0] + P64[3]) & MASK64;
  }
  if (at + 4 <= bytes.length) {
    sum = (rotate64(sum ^ ((BigInt(view.getUint32(at, true)) * P64[0]) & MASK64), 23n) * P64[1] + P64[2]) & MASK64;
    at += 4;
  }
  for (; at < bytes.length; at++)
    sum = (rotate64(sum ^ ((BigInt(bytes[at]!) * P64[4]) & MASK64), 11n) * P64[0]) & MASK64;
  return sum;
}

/** Steps 1 to 3: four lanes over whole stripes of 32 bytes. */
function sumOfLanes(bytes: Uint8Array): bigint {
  const seeds = [P64[0] + P64[1], P64[1], 0n, -P64[0]];
  const lanes = seeds.map((seed, i) => laneOf(bytes, 8 * i, BigInt.asUintN(64, seed)));
  const [a = 0n, b = 0n, c = 0n, d = 0n] = lanes;
  const sum = rotate64(a, 1n) + rotate64(b, 7n) + rotate64(c, 12n) + rotate64(d, 18n);
  return lanes.reduce((merged, lane) => ((merged ^ round64(0n, lane)) * P64[0] + P64[3]) & MASK64, sum & MASK64);
}

const half = (value: bigint, index: number): number => Number(BigInt.asIntN(32, value >> BigInt(32 * index)));

const P1_LOW = half(P64[0], 0);
const P1_HIGH = half(P64[0], 1);
const P2_LOW = half(P64[1], 0);
const P2_HIGH = half(P64[1], 1);

/** The upper 32 bits of the product of two unsigned 32-bit numbers. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = Math.imul(aHigh, bLow) + (Math.imul(aLow, bLow) >>> 16);
  const carried = Math.imul(aLow, bHigh) + (middle & 0xffff);
  return (Math.imul(aHigh, bHigh) + (middle >>> 16) + (carried >>> 16)) | 0;
}

/** One lane: 8 bytes of each stripe, from `offset` on. The same as round64, on halves. */
function laneOf(bytes: Uint8Array, offset: number, seed: bigint): bigint {
  const view = viewOf(bytes);
  let low = half(seed, 0);
  let high = half(seed, 1);
  for (let at = offset; at < bytes.length; at += 32) {
    const wordLow = view.getInt32(at, true);
    const wordHigh = view.getInt32(at + 4, true);
    // lane += word * P2
    const addLow = Math.imul(wordLow, P2_LOW);
    const sumLow = (low + addLow) | 0;
    const carry = sumLow >>> 0 < addLow >>> 0 ? 1 : 0;
    const addHigh = multiplyHigh(wordLow, P2_LOW) + Math.imul(wordLow, P2_HIGH) + Math.imul(wordHigh, P2_LOW);
    const sumHigh = (high + addHigh + carry) | 0;
    // lane = rotate(lane, 31)
    const turnedLow = (sumLow << 31) | (sumHigh >>> 1);
    const turnedHigh = (sumHigh << 31) | (sumLow >>> 1);
    // lane *= P1
    low = Math.imul(turnedLow, P1_LOW);
    high = (multiplyHigh(turnedLow, P1_LOW) + Math.imul(turnedLow, P1_HIGH) + Math.imul(turnedHigh, P1_LOW)) | 0;
  }
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}
