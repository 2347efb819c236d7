// A set of 256 interrupt vectors as eight 32-bit words, as ISR, TMR and IRR of a local APIC show it.

export const vectorSet = (words: readonly number[], vector: number): boolean =>
  (((words[vector >> 5] ?? 0) >>> (vector & 31)) & 1) === 1;

export const setVector = (words: number[], vector: number, on: boolean): void => {
  const bit = 1 << (vector & 31);
  const old = words[vector >> 5] ?? 0;
  words[vector >> 5] = (on ? old | bit : old & ~bit) >>> 0;
};

/** The highest vector in the set, or -1. */
export const highestVector = (words: readonly number[]): number => {
  for (let i = 7; i >= 0; i--) {
    const word = words[i] ?? 0;
    if (word !== 0) return 32 * i + 31 - Math.clz32(word);
  }
  return -1;
};
