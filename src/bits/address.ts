// Guest-physical addresses are not to be taken for other numbers; the brand keeps them apart. One fits a JavaScript number
// (at most 52 bits); a linear address needs all 64 bits and is a bigint.

/** Guest-physical address, an integer in 0 .. 2^52-1. */
export type PhysAddr = number & { readonly __space: 'guest-physical' };

export const physAddr = (value: number): PhysAddr => value as PhysAddr;

/** Bytes in a page of the smallest kind; every map of memory here is kept by this size. */
export const PAGE_SIZE = 4096;
