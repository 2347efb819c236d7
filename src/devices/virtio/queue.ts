// A split virtqueue (virtio 1.2, 2.7), seen from the device. The rings lie in guest memory and may hold anything: an
// index, a chain or a length that breaks the rules makes the queue broken, and never costs more than a bounded walk.

import { adoptState } from '../device.ts';
import { type Dma, readU16, writeU16, writeU32s } from '../dma.ts';

export type QueueState = {
  /** Entries, a power of two. */
  size: number;
  enabled: boolean;
  /** MSI-X vector, or NO_VECTOR. */
  vector: number;
  /** Guest-physical addresses of the three parts, low and high half. */
  descriptors: number[];
  available: number[];
  usedRing: number[];
  /** Ring indices, modulo 2^16: available entries taken, used entries given back. */
  taken: number;
  used: number;
};

export const NO_VECTOR = 0xffff;
/** Entries that a queue has at most, and until the driver chooses. */
export const LARGEST_QUEUE = 128;

export const powerOnQueue = (size: number): QueueState => ({
  size,
  enabled: false,
  vector: NO_VECTOR,
  descriptors: [0, 0],
  available: [0, 0],
  usedRing: [0, 0],
  taken: 0,
  used: 0,
});

/** Can a saved state be that of a queue? Throws Error where it has other fields. */
export const isQueue = (device: string, saved: QueueState): boolean => {
  const { size, descriptors, available, usedRing } = adoptState(device, powerOnQueue(1), saved);
  const sized = size > 0 && size <= LARGEST_QUEUE && (size & (size - 1)) === 0;
  return sized && [descriptors, available, usedRing].every((halves) => halves.length === 2);
};

/** A piece of a buffer in guest memory. */
export type Segment = { readonly address: number; readonly length: number };

/** A buffer that the driver made available. */
export type Chain = {
  /** Index of its first descriptor: how the driver knows it again. */
  readonly head: number;
  /** What the device reads, then what it writes. */
  readonly readable: readonly Segment[];
  readonly writable: readonly Segment[];
};

export type Taken = Chain | 'empty' | 'broken';

/** Descriptors in a chain, indirect ones counted. No driver makes a chain longer than the queue (2.7.5.3.1). */
export const LONGEST_CHAIN = 1024;
/** 2.7.4.2: a chain holds no more than 2^32 bytes. */
const MOST_BYTES = 2 ** 32;

const DESCRIPTOR_SIZE = 16;
const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;
const NO_INTERRUPT = 1;

/** Above 2^53 it is inexact, but no RAM comes near that. */
const addressOf = (halves: readonly number[]): number => (halves[1] ?? 0) * 2 ** 32 + (halves[0] ?? 0);

type Descriptor = Segment & { readonly flags: number; readonly next: number };

const descriptorAt = (dma: Dma, address: number): Descriptor | undefined => {
  const bytes = dma.read(address, DESCRIPTOR_SIZE);
  if (bytes === undefined) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, DESCRIPTOR_SIZE);
  return {
    address: view.getUint32(4, true) * 2 ** 32 + view.getUint32(0, true),
    length: view.getUint32(8, true),
    flags: view.getUint16(12, true),
    next: view.getUint16(14, true),
  };
};

type Table = { readonly address: number; readonly count: number };

/** The table an indirect descriptor names (2.7.5.3), or undefined where it breaks the rules. */
const indirectTable = ({ address, length, flags }: Descriptor): Table | undefined => {
  const count = length / DESCRIPTOR_SIZE;
  if ((flags & NEXT) !== 0 || count === 0 || count > LONGEST_CHAIN || !Number.isInteger(count)) return undefined;
  return { address, count };
};

const walk = (dma: Dma, direct: Table, head: number, indirect: boolean): Chain | 'broken' => {
  const [readable, writable]: [Segment[], Segment[]] = [[], []];
  let table = direct;
  let index = head;
  let bytes = 0;
  for (let steps = 0; steps < LONGEST_CHAIN; steps++) {
    const found = index < table.count ? descriptorAt(dma, table.address + DESCRIPTOR_SIZE * index) : undefined;
    if (found === undefined) return 'broken';
    const { address, length, flags, next } = found;
    if ((flags & INDIRECT) !== 0) {
      const inner = indirect && table === direct ? indirectTable(found) : undefined;
      if (inner === undefined) return 'broken';
      table = inner;
      index = 0;
      continue;
    }
    const writes = (flags & WRITE) !== 0;
    bytes += length;
    if (bytes > MOST_BYTES || (!writes && writable.length > 0)) return 'broken';
    (writes ? writable : readable).push({ address, length });
    if ((flags & NEXT) === 0) return { head, readable, writable };
    index = next;
  }
  return 'broken';
};

/** The next buffer that the driver made available. @param indirect was VIRTIO_F_INDIRECT_DESC negotiated? */
export const takeChain = (q: QueueState, dma: Dma, indirect: boolean): Taken => {
  const ring = addressOf(q.available);
  const index = readU16(dma, ring + 2);
  if (index === undefined) return 'broken';
  const ahead = (index - q.taken) & 0xffff;
  if (ahead === 0) return 'empty';
  const head = ahead > q.size ? undefined : readU16(dma, ring + 4 + 2 * (q.taken % q.size));
  if (head === undefined) return 'broken';
  const chain = walk(dma, { address: addressOf(q.descriptors), count: q.size }, head, indirect);
  if (chain !== 'broken') q.taken = (q.taken + 1) & 0xffff;
  return chain;
};

/** Gives a buffer back. @param written bytes from its beginning that the device wrote @returns false where there is no RAM */
export const putUsed = (q: QueueState, dma: Dma, head: number, written: number): boolean => {
  const ring = addressOf(q.usedRing);
  if (!writeU32s(dma, ring + 4 + 8 * (q.used % q.size), head, written)) return false;
  q.used = (q.used + 1) & 0xffff;
  return writeU16(dma, ring + 2, q.used);
};

/** Asks the driver to tell of the next buffer (2.7.10). Only with VIRTIO_F_EVENT_IDX. */
export const askForNotice = (q: QueueState, dma: Dma): boolean =>
  writeU16(dma, addressOf(q.usedRing) + 4 + 8 * q.size, q.taken);

/** Does the driver want to be told of the buffer just given back (2.7.7)? */
export const wantsInterrupt = (q: QueueState, dma: Dma, eventIndex: boolean): boolean => {
  const ring = addressOf(q.available);
  if (!eventIndex) return ((readU16(dma, ring) ?? 0) & NO_INTERRUPT) === 0;
  return readU16(dma, ring + 4 + 2 * q.size) === ((q.used - 1) & 0xffff);
};

export const lengthOf = (segments: readonly Segment[]): number =>
  segments.reduce((sum, segment) => sum + segment.length, 0);

/** The part of a buffer from an offset on: pieces of it with where they are. Stops at its end. */
function* pieces(segments: readonly Segment[], offset: number, length: number): Generator<Segment & { from: number }> {
  let start = 0;
  for (const segment of segments) {
    const first = Math.max(offset, start);
    const last = Math.min(offset + length, start + segment.length);
    if (first < last) yield { address: segment.address + first - start, length: last - first, from: first - offset };
    start += segment.length;
  }
}

/** Bytes of a buffer; undefined where it is not all RAM or not that long. */
export const gather = (
  dma: Dma,
  segments: readonly Segment[],
  offset: number,
  length: number,
): Uint8Array | undefined => {
  if (offset + length > lengthOf(segments)) return undefined;
  const bytes = new Uint8Array(length);
  for (const piece of pieces(segments, offset, length)) {
    const part = dma.read(piece.address, piece.length);
    if (part === undefined) return undefined;
    bytes.set(part, piece.from);
  }
  return bytes;
};

/** Fills a buffer from an offset on. @returns false where it is not all RAM or not that long; part may be written then */
export const scatter = (dma: Dma, segments: readonly Segment[], offset: number, bytes: Uint8Array): boolean => {
  if (offset + bytes.length > lengthOf(segments)) return false;
  for (const { address, length, from } of pieces(segments, offset, bytes.length)) {
    if (!dma.write(address, bytes.subarray(from, from + length))) return false;
  }
  return true;
};
