// Guest-physical and linear addresses are different things that look alike; the brands keep them apart.
// A guest-physical address fits a JavaScript number (at most 52 bits); a linear one needs all 64 bits.

/** Guest-physical address, an integer in 0 .. 2^52-1. */
export type PhysAddr = number & { readonly __space: 'guest-physical' };

/** Linear address, a bigint in 0 .. 2^64-1. */
export type LinAddr = bigint & { readonly __space: 'linear' };

export const physAddr = (value: number): PhysAddr => value as PhysAddr;
export const linAddr = (value: bigint): LinAddr => BigInt.asUintN(64, value) as LinAddr;

/** Bytes in a page of the smallest kind; every map of memory here is kept by this size. */
export const PAGE_SIZE = 4096;
