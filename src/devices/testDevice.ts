// What bare-metal test programs find in QEMU's -device pc-testdev: a port that keeps what is written to it, one that has
// the host drop a page of the guest's (nothing to do here), the interrupt lines to be driven by hand, and 64 KiB of memory
// that are a chip's, so that any instruction can be tried on a chip. Offsets are distances from port 0xe0.

import type { AccessSize, BulkMemory, Device, InterruptLine } from './device.ts';
import { adoptState, copyState } from './device.ts';

export const TEST_MEMORY_BASE = 0xff00_0000;
export const TEST_MEMORY_SIZE = 0x1_0000;
/** Interrupts 0 to 15 as the ISA bus has them, 16 to 23 at the IO-APIC's own inputs. */
const TEST_LINES = 24;

const LATCH_END = 4;
const FLUSH_END = 8;
const LINES = 0x2000 - 0xe0;

const bitsOf = (size: AccessSize): number => (size === 4 ? 0xffff_ffff : 2 ** (8 * size) - 1);

/** The ports. @param line a line by its number */
export const createTestDevice = (line: (number: number) => InterruptLine): Device => {
  const name = 'testDevice';
  let s = { latch: 0 };
  return {
    name,
    read: (offset, size) => (offset < LATCH_END ? ((s.latch >>> (8 * offset)) & bitsOf(size)) >>> 0 : 0),
    write: (offset, size, value) => {
      if (offset < LATCH_END) {
        const mask = bitsOf(size) << (8 * offset);
        s.latch = ((s.latch & ~mask) | ((value << (8 * offset)) & mask)) >>> 0;
      } else if (offset >= FLUSH_END && offset < LINES + TEST_LINES) line(offset - LINES)(value !== 0);
    },
    state: () => copyState(s),
    restore: (state) => {
      s = adoptState(name, s, state);
    },
    reset: () => {
      s = { latch: 0 };
    },
  };
};

/** The memory: at offsets of its base, in accesses of any size within it. */
export const createTestMemory = (): Device => {
  const bytes = new Uint8Array(TEST_MEMORY_SIZE);
  const bulk: BulkMemory = {
    pieces: () => (bytes.some((byte) => byte !== 0) ? [{ at: 0, bytes }] : []),
    restore: (pieces) => {
      bytes.fill(0);
      for (const piece of pieces) bytes.set(piece.bytes, piece.at);
    },
  };
  return {
    name: 'testMemory',
    read: (offset, size) => {
      let value = 0;
      for (let i = 0; i < size; i++) value += (bytes[offset + i] ?? 0xff) * 2 ** (8 * i);
      return value;
    },
    write: (offset, size, value) => {
      for (let i = 0; i < size; i++) bytes[offset + i] = value >>> (8 * i);
    },
    state: () => ({}),
    restore: () => {},
    reset: () => void bytes.fill(0),
    bulk,
  };
};
