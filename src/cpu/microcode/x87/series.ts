// Elementary functions by their series, in fixed point: a number v stands for v / 2^bits. Errors are a few hundred units
// of the last of these places; callers ask for some 300 places more than they keep.

/** Sum of the terms that `next` gives one after another, until they vanish. */
const sumOf = (first: bigint, next: (term: bigint, n: bigint) => bigint): bigint => {
  let sum = 0n;
  let term = first;
  for (let n = 1n; term !== 0n && term !== -1n; n += 1n) {
    sum += term;
    term = next(term, n);
  }
  return sum;
};

/** Sum of z^(2k+1) / (2k+1), with alternating signs where asked: atan, else atanh. */
const oddPowers = (z: bigint, bits: bigint, alternating: boolean): bigint => {
  const square = (z * z) >> bits;
  let power = z;
  let sum = 0n;
  for (let n = 1n; power !== 0n && power !== -1n; n += 2n) {
    sum += power / n;
    power = (power * square) >> bits;
    if (alternating) power = -power;
  }
  return sum;
};

/** e^t - 1; |t| up to 1 or so. */
export const expm1 = (t: bigint, bits: bigint): bigint => sumOf(t, (term, n) => ((term * t) >> bits) / (n + 1n));

export const atanh = (z: bigint, bits: bigint): bigint => oddPowers(z, bits, false);

export const sine = (t: bigint, bits: bigint): bigint => {
  const square = (t * t) >> bits;
  return sumOf(t, (term, n) => -((term * square) >> bits) / (2n * n * (2n * n + 1n)));
};
export const cosine = (t: bigint, bits: bigint): bigint => {
  const square = (t * t) >> bits;
  return sumOf(1n << bits, (term, n) => -((term * square) >> bits) / ((2n * n - 1n) * (2n * n)));
};

/** Integer square root of a value that is not negative (Newton's iteration from above). */
const squareRootOf = (value: bigint): bigint => {
  let root = 1n << BigInt((value.toString(16).length * 4 + 1) >> 1);
  for (;;) {
    const better = (root + value / root) >> 1n;
    if (better >= root) return root;
    root = better;
  }
};

/** atan t, t from 0 to 1: halved three times, since atan t = 2 atan(t / (1 + sqrt(1 + t^2))). */
export const atan = (t: bigint, bits: bigint): bigint => {
  const one = 1n << bits;
  let part = t;
  for (let n = 0; n < 3; n++) part = (part << bits) / (one + squareRootOf((one << bits) + part * part));
  return oddPowers(part, bits, true) << 3n;
};

const remembered = (compute: (bits: bigint) => bigint): ((bits: bigint) => bigint) => {
  const known = new Map<bigint, bigint>();
  return (bits) => {
    const value = known.get(bits) ?? compute(bits);
    known.set(bits, value);
    return value;
  };
};

/** Places that constants are computed with beyond those asked for. */
const GUARD = 32n;

/** ln 2 = 2 atanh(1/3). */
export const ln2 = remembered((bits) => (2n * atanh((1n << (bits + GUARD)) / 3n, bits + GUARD)) >> GUARD);

/** Machin: pi = 16 atan(1/5) - 4 atan(1/239). */
export const pi = remembered((bits) => {
  const places = bits + GUARD;
  const inverse = (n: bigint): bigint => oddPowers((1n << places) / n, places, true);
  return (16n * inverse(5n) - 4n * inverse(239n)) >> GUARD;
});
