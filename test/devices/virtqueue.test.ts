// Split virtqueues as a hostile driver may lay them out: whatever the rings hold, a walk ends, and nothing outside RAM is
// touched.

import { describe, expect, it } from 'vitest';
import type { Dma } from '../../src/devices/dma.ts';
import {
  askForNotice,
  gather,
  lengthOf,
  LONGEST_CHAIN,
  powerOnQueue,
  putUsed,
  scatter,
  takeChain,
  wantsInterrupt,
} from '../../src/devices/virtio/queue.ts';
import { ramOf } from './virtioSupport.ts';

const SIZE = 4;
const DESC = 0x1000;
const AVAIL = 0x2000;
const USED = 0x3000;
const INNER = 0x4000;
const NEXT = 1;
const WRITE = 2;
const INDIRECT = 4;

type Row = readonly [address: number, length: number, flags: number, next?: number];

function setUp(rows: readonly Row[], heads: readonly number[] = [0]) {
  const ram = ramOf(0x10000);
  const q = { ...powerOnQueue(SIZE), enabled: true };
  q.descriptors = [DESC, 0];
  q.available = [AVAIL, 0];
  q.usedRing = [USED, 0];
  const table = (at: number, entries: readonly Row[]): void =>
    entries.forEach(([address, length, flags, next = 0], i) => {
      ram.u64(at + 16 * i, address);
      ram.u32(at + 16 * i + 8, length);
      ram.u16(at + 16 * i + 12, flags);
      ram.u16(at + 16 * i + 14, next);
    });
  table(DESC, rows);
  heads.forEach((head, i) => ram.u16(AVAIL + 4 + 2 * (i % SIZE), head));
  ram.u16(AVAIL + 2, heads.length);
  return { ram, q, table, take: (indirect = true) => takeChain(q, ram.dma, indirect) };
}

describe('a virtqueue', () => {
  it('gives the chains made available, in order, then nothing', () => {
    const { take } = setUp(
      [
        [0x5000, 16, NEXT, 2],
        [0x6000, 8, 0],
        [0x7000, 512, WRITE],
      ],
      [1, 0],
    );
    expect(take()).toEqual({ head: 1, readable: [{ address: 0x6000, length: 8 }], writable: [] });
    expect(take()).toEqual({
      head: 0,
      readable: [{ address: 0x5000, length: 16 }],
      writable: [{ address: 0x7000, length: 512 }],
    });
    expect(take()).toBe('empty');
  });

  it('goes on over the end of its 16-bit indices', () => {
    const { ram, q, take } = setUp([[0x5000, 1, WRITE]]);
    q.taken = 0xffff;
    q.used = 0xffff;
    ram.u16(AVAIL + 2, 0);
    expect(take()).toMatchObject({ head: 0 });
    expect(take()).toBe('empty');
    expect(putUsed(q, ram.dma, 7, 1)).toBe(true);
    expect([ram.get32(USED + 4 + 8 * 3), ram.get32(USED + 8 + 8 * 3), ram.get16(USED + 2)]).toEqual([7, 1, 0]);
  });

  it('follows direct descriptors into an indirect table', () => {
    const { table, take } = setUp([
      [0x5000, 4, NEXT, 1],
      [INNER, 32, INDIRECT | WRITE],
    ]);
    table(INNER, [
      [0x6000, 5, NEXT, 1],
      [0x7000, 6, WRITE],
    ]);
    const chain = take();
    if (typeof chain === 'string') throw new Error(chain);
    expect([lengthOf(chain.readable), lengthOf(chain.writable)]).toEqual([9, 6]);
  });
});

describe('a virtqueue is broken', () => {
  const broken: Readonly<Record<string, readonly Row[]>> = {
    'by a loop': [[0x5000, 1, NEXT, 0]],
    'by a loop of two': [
      [0x5000, 1, NEXT, 1],
      [0x5000, 1, NEXT, 0],
    ],
    'by a next descriptor outside the table': [[0x5000, 1, NEXT, SIZE]],
    'by a buffer to read behind one to write': [
      [0x5000, 1, WRITE | NEXT, 1],
      [0x6000, 1, 0],
    ],
    'by more than 2^32 bytes': [
      [0, 0xffff_ffff, NEXT, 1],
      [0, 2, 0],
    ],
    'by an indirect table outside RAM': [[0xffff_ffff_ffff_0000, 16, INDIRECT]],
    'by an indirect table that is empty': [[INNER, 0, INDIRECT]],
    'by an indirect table that ends in a descriptor': [[INNER, 24, INDIRECT]],
    'by an indirect table that is very long': [[INNER, 16 * (LONGEST_CHAIN + 1), INDIRECT]],
    'by a descriptor behind an indirect one': [[INNER, 16, INDIRECT | NEXT, 1]],
  };
  it.each(Object.entries(broken))('%s', (_, rows) => {
    const { table, take } = setUp(rows);
    table(INNER, [[0x5000, 1, 0]]);
    expect(take()).toBe('broken');
  });

  it('by an indirect table in an indirect table, a loop in one, and one that was not agreed on', () => {
    const nested = setUp([[INNER, 16, INDIRECT]]);
    nested.table(INNER, [[INNER, 16, INDIRECT]]);
    expect(nested.take()).toBe('broken');
    const loop = setUp([[INNER, 16, INDIRECT]]);
    loop.table(INNER, [[0x5000, 1, NEXT, 0]]);
    expect(loop.take()).toBe('broken');
    expect(setUp([[INNER, 16, INDIRECT]]).take(false)).toBe('broken');
  });

  it('by a head outside the table and by an index that is too far ahead', () => {
    expect(setUp([], [SIZE]).take()).toBe('broken');
    expect(setUp([[0x5000, 1, 0]], [0, 0, 0, 0, 0]).take()).toBe('broken');
  });

  it('by rings outside RAM', () => {
    const { q, ram, take } = setUp([[0x5000, 1, 0]]);
    expect(takeChain({ ...q, available: [0, 1] }, ram.dma, true)).toBe('broken');
    expect(takeChain({ ...q, descriptors: [0xffff_fff0, 0xffff_ffff] }, ram.dma, true)).toBe('broken');
    expect(putUsed({ ...q, usedRing: [0xfff8, 0] }, ram.dma, 0, 0)).toBe(false);
    expect(take()).toMatchObject({ head: 0 });
  });
});

describe('a driver is interrupted', () => {
  it('unless it asked not to be', () => {
    const { ram, q } = setUp([]);
    expect(wantsInterrupt(q, ram.dma, false)).toBe(true);
    ram.u16(AVAIL, 1);
    expect(wantsInterrupt(q, ram.dma, false)).toBe(false);
  });

  it('with event indices for the one buffer it names', () => {
    const { ram, q } = setUp([]);
    ram.u16(AVAIL + 4 + 2 * SIZE, 1);
    const asked = [0, 1, 2].map(() => {
      putUsed(q, ram.dma, 0, 0);
      return wantsInterrupt(q, ram.dma, true);
    });
    expect(asked).toEqual([false, true, false]);
  });

  it('and tells of the next buffer', () => {
    const { ram, q, take } = setUp([[0x5000, 1, 0]]);
    take();
    expect(askForNotice(q, ram.dma)).toBe(true);
    expect(ram.get16(USED + 4 + 8 * SIZE)).toBe(1);
  });
});

describe('a buffer in pieces', () => {
  const pieces = [
    { address: 0x5000, length: 3 },
    { address: 0x6000, length: 0 },
    { address: 0x7000, length: 4 },
  ];

  it('is filled and read across them', () => {
    const { ram } = setUp([]);
    expect(scatter(ram.dma, pieces, 1, Uint8Array.of(1, 2, 3, 4))).toBe(true);
    expect(gather(ram.dma, pieces, 0, 7)).toEqual(Uint8Array.of(0, 1, 2, 3, 4, 0, 0));
    expect([ram.bytes[0x5003], ram.bytes[0x7002]]).toEqual([0, 0]);
  });

  it('is refused where it is too short or not RAM', () => {
    const { dma }: { dma: Dma } = setUp([]).ram;
    expect(gather(dma, pieces, 4, 4)).toBeUndefined();
    expect(scatter(dma, pieces, 7, Uint8Array.of(1))).toBe(false);
    expect(gather(dma, [{ address: 0xffff, length: 2 }], 0, 2)).toBeUndefined();
    expect(scatter(dma, [{ address: 2 ** 60, length: 2 }], 0, Uint8Array.of(1, 2))).toBe(false);
  });
});
