// SplitMix64: what RDRAND and RDSEED give.

const u64 = (z: bigint): bigint => BigInt.asUintN(64, z);

export class SplitMix64 {
  state: bigint;

  constructor(seed: bigint) {
    this.state = u64(seed * 0x9e3779b97f4a7c15n + 0x1234_5678_9abc_def1n);
  }

  /** The next 64 bits. */
  next(): bigint {
    this.state = u64(this.state + 0x9e3779b97f4a7c15n);
    let z = this.state;
    z = u64((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = u64((z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    return z ^ (z >> 31n);
  }
}
