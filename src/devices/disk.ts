// What a disk holds: an image that is only read, and above it the blocks that the guest wrote, in memory and bounded. The
// image itself never changes.

import type { BulkMemory } from './device.ts';

/** Bytes: a disk is whole sectors. */
export const SECTOR = 512;

/** An image, read piece by piece. The same offset gives the same bytes for as long as a machine has it. */
export type DiskImage = {
  /** Bytes. */
  readonly size: number;
  /** A copy of `length` bytes; offset + length are within the size. */
  read(offset: number, length: number): Uint8Array;
};

export type Disk = {
  readonly size: number;
  read(offset: number, length: number): Uint8Array;
  /** @returns false, and nothing changed, where there is no room left for what the guest writes */
  write(offset: number, bytes: Uint8Array): boolean;
  readonly bulk: BulkMemory;
};

/** An image in memory. */
export const imageOf = (bytes: Uint8Array): DiskImage => ({
  size: bytes.length,
  // Not slice(): that of a Node Buffer is no copy.
  read: (offset, length) => new Uint8Array(bytes.subarray(offset, offset + length)),
});

/** Bytes of what is kept of a write together. */
const BLOCK = 4096;

/** @param room bytes that the guest may change, in blocks of 4 KiB */
export const createDisk = (image: DiskImage, room: number): Disk => {
  const written = new Map<number, Uint8Array>();
  const most = Math.floor(room / BLOCK);

  /** Calls `each` for every block of a range: where the range is in it, and where that is in the range. */
  const forBlocks = (
    offset: number,
    length: number,
    each: (block: number, at: number, from: number, to: number) => void,
  ): void => {
    for (let done = 0; done < length; ) {
      const block = Math.floor((offset + done) / BLOCK);
      const at = (offset + done) % BLOCK;
      const part = Math.min(BLOCK - at, length - done);
      each(block, at, done, done + part);
      done += part;
    }
  };

  const freshBlock = (block: number): Uint8Array => {
    const bytes = new Uint8Array(BLOCK);
    bytes.set(image.read(block * BLOCK, Math.min(BLOCK, image.size - block * BLOCK)));
    written.set(block, bytes);
    return bytes;
  };

  return {
    size: image.size,
    read: (offset, length) => {
      const bytes = image.read(offset, length);
      forBlocks(offset, length, (block, at, from, to) => {
        const changed = written.get(block);
        if (changed) bytes.set(changed.subarray(at, at + to - from), from);
      });
      return bytes;
    },
    write: (offset, bytes) => {
      let fresh = 0;
      forBlocks(offset, bytes.length, (block) => {
        if (!written.has(block)) fresh++;
      });
      if (written.size + fresh > most) return false;
      forBlocks(offset, bytes.length, (block, at, from, to) => {
        (written.get(block) ?? freshBlock(block)).set(bytes.subarray(from, to), at);
      });
      return true;
    },
    bulk: {
      *pieces() {
        for (const block of [...written.keys()].sort((a, b) => a - b)) {
          yield { at: block * BLOCK, bytes: written.get(block) as Uint8Array };
        }
      },
      restore: (pieces) => {
        written.clear();
        for (const { at, bytes } of pieces) {
          const fits = at % BLOCK === 0 && at >= 0 && at < image.size && bytes.length === BLOCK && written.size < most;
          if (!fits) throw new Error(`a disk has no block of ${bytes.length} bytes at ${at}`);
          written.set(at / BLOCK, new Uint8Array(bytes));
        }
      },
    },
  };
};
