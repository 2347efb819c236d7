// Guest memory as a bus master sees it. What a guest writes into a descriptor may name anything; an access that is not
// wholly RAM does not happen at all.

export type Dma = {
  /** A copy of guest bytes; undefined where not all of it is RAM. */
  read(address: number, length: number): Uint8Array | undefined;
  /** @returns false, and nothing written, where not all of it is RAM */
  write(address: number, bytes: Uint8Array): boolean;
};

/** Little-endian, 2 bytes. */
export const readU16 = (dma: Dma, address: number): number | undefined => {
  const bytes = dma.read(address, 2);
  return bytes && (bytes[0] ?? 0) | ((bytes[1] ?? 0) << 8);
};

export const writeU16 = (dma: Dma, address: number, value: number): boolean =>
  dma.write(address, Uint8Array.of(value & 0xff, (value >>> 8) & 0xff));

/** Little-endian, 4 bytes each. */
export const writeU32s = (dma: Dma, address: number, ...values: readonly number[]): boolean =>
  dma.write(
    address,
    Uint8Array.from(values.flatMap((value) => [0, 8, 16, 24].map((shift) => (value >>> shift) & 0xff))),
  );
