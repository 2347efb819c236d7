// What the kinds of virtio devices do with the buffers that a driver gives them.

import { describe, expect, it } from 'vitest';
import { createVirtioBlk } from '../../src/devices/virtio/blk.ts';
import { createVirtioConsole } from '../../src/devices/virtio/console.ts';
import { createDisk, imageOf } from '../../src/devices/disk.ts';
import { createVirtioRng } from '../../src/devices/virtio/rng.ts';
import { type Random, random } from '../support/random.ts';
import { recorded } from './support.ts';
import { DRIVER_OK, driven, NEEDS_RESET, type Piece, REG } from './virtioSupport.ts';

const HEADER = 0x8_0000;
const DATA = 0x8_1000;
const STATUS = 0x8_f000;
const T_IN = 0;
const T_OUT = 1;
const T_FLUSH = 4;
const T_GET_ID = 8;
const OK = 0;
const IOERR = 1;
const UNSUPP = 2;

/** Each sector is full of its number. */
const numbered = (sectors: number): Uint8Array =>
  Uint8Array.from({ length: 512 * sectors }, (_, i) => Math.floor(i / 512) & 0xff);

function disk(sectors = 64, room = 2 ** 20) {
  const content = numbered(sectors);
  const model = createVirtioBlk({ image: imageOf(content), room, serial: 'firstlight-0' });
  const set = driven(model);
  set.start();
  /** @returns the status byte */
  const request = (type: number, sector: number, data: readonly Piece[]): number => {
    set.ram.u32(HEADER, type);
    set.ram.u64(HEADER + 8, sector);
    set.ram.bytes[STATUS] = 0xee;
    set.add(0, [{ address: HEADER, length: 16 }, ...data, { address: STATUS, length: 1, write: true }]);
    set.settle();
    return set.ram.bytes[STATUS] ?? 0;
  };
  const read = (length: number): Piece => ({ address: DATA, length, write: true });
  const write = (length: number): Piece => ({ address: DATA, length });
  return { ...set, model, content, request, read, write };
}

describe('virtio-blk', () => {
  it('says how many sectors of 512 bytes it has', () => {
    const { device } = disk(64);
    expect([device.read(REG.config, 4), device.read(REG.config + 4, 4), device.read(REG.config + 20, 4)]).toEqual([
      64, 0, 512,
    ]);
  });

  it('reads sectors into a buffer, and tells how much', () => {
    const { ram, request, read, used } = disk();
    expect(request(T_IN, 5, [read(1024)])).toBe(OK);
    expect([ram.bytes[DATA], ram.bytes[DATA + 511], ram.bytes[DATA + 512], ram.bytes[DATA + 1024]]).toEqual([
      5, 5, 6, 0,
    ]);
    expect(used(0)).toEqual({ count: 1, written: 1025 });
  });

  it('reads what was written, and leaves the image as it was', () => {
    const { ram, content, request, read, write } = disk();
    ram.bytes.fill(0xab, DATA, DATA + 512);
    expect(request(T_OUT, 9, [write(512)])).toBe(OK);
    ram.bytes.fill(0, DATA, DATA + 2048);
    expect(request(T_IN, 8, [read(1536)])).toBe(OK);
    expect([8, 0xab, 10].map((_, i) => ram.bytes[DATA + 512 * i])).toEqual([8, 0xab, 10]);
    expect(Buffer.compare(content, numbered(64))).toBe(0);
  });

  it('cares not how a request lies in its buffer', () => {
    const { ram, add, settle } = disk();
    ram.u32(HEADER, T_IN);
    ram.u64(HEADER + 8, 3);
    add(0, [
      { address: HEADER, length: 3 },
      { address: HEADER + 3, length: 13 },
      { address: DATA, length: 100, write: true },
      { address: DATA + 100, length: 413, write: true },
    ]);
    settle();
    expect([ram.bytes[DATA], ram.bytes[DATA + 511], ram.bytes[DATA + 512]]).toEqual([3, 3, OK]);
  });

  it('flushes, tells its id, and knows no other request', () => {
    const { ram, request, read } = disk();
    expect([request(T_FLUSH, 0, []), request(T_GET_ID, 0, [read(20)]), request(11, 0, [])]).toEqual([OK, OK, UNSUPP]);
    expect(String.fromCharCode(...ram.bytes.subarray(DATA, DATA + 14))).toBe('firstlight-0\0\0');
  });

  it('refuses what is not on the disk, no whole sector, or longer than it said', () => {
    const { request, read, write } = disk(64);
    expect(request(T_IN, 63, [read(512)])).toBe(OK);
    expect(request(T_IN, 63, [read(1024)])).toBe(IOERR);
    expect(request(T_OUT, 64, [write(512)])).toBe(IOERR);
    expect(request(T_IN, 2 ** 55 - 1, [read(512)])).toBe(IOERR);
    expect(request(T_IN, 0, [read(511)])).toBe(IOERR);
    expect(request(T_IN, 0, [read(0xffff_fe00)])).toBe(IOERR);
    expect(request(T_OUT, 0, [write(0xffff_fe00)])).toBe(IOERR);
  });

  it.each([
    ['without a header', [{ address: STATUS, length: 1, write: true }]],
    ['without a status byte', [{ address: HEADER, length: 16 }]],
    ['with a short header', [HEADER, 15, STATUS].slice(0, 1).map((address) => ({ address, length: 15 }))],
  ])('is broken by a request %s', (_, pieces) => {
    const { add, settle, device } = disk();
    add(0, pieces as readonly Piece[]);
    settle();
    expect(device.read(REG.status, 1)).toBe(DRIVER_OK | NEEDS_RESET);
  });

  it('keeps no more than it has room for, and what it keeps can be taken out and put back', () => {
    const { ram, model, request, write, read } = disk(64, 8192);
    ram.bytes.fill(0x77, DATA, DATA + 8192);
    expect([request(T_OUT, 0, [write(4096)]), request(T_OUT, 32, [write(8192)])]).toEqual([OK, IOERR]);
    expect([request(T_OUT, 32, [write(4096)]), request(T_OUT, 1, [write(512)])]).toEqual([OK, OK]);
    const pieces = [...(model.bulk?.pieces() ?? [])].map(({ at, bytes }) => ({ at, bytes: bytes.slice() }));
    expect(pieces.map(({ at, bytes }) => [at, bytes.length])).toEqual([
      [0, 4096],
      [16384, 4096],
    ]);
    const other = disk(64, 8192);
    other.model.bulk?.restore(pieces);
    expect(other.request(T_IN, 32, [read(512)])).toBe(OK);
    expect(other.ram.bytes[DATA]).toBe(0x77);
  });

  it('writes through to nothing that it was given, not even to a Buffer', () => {
    const image = Buffer.from(numbered(9));
    const ours = createDisk(imageOf(image), 2 ** 20);
    const piece = Buffer.alloc(4097).subarray(1);
    ours.bulk.restore([{ at: 0, bytes: piece }]);
    ours.write(0, new Uint8Array(512).fill(0x55));
    ours.read(4096, 512).fill(0x55);
    expect([image[0], image[4096], piece[0]]).toEqual([0, 8, 0]);
    expect([...ours.bulk.pieces()].map(({ bytes }) => bytes.byteOffset % 4)).toEqual([0]);
  });

  it('has a last block that may be short', () => {
    const small = createDisk(imageOf(numbered(9)), 2 ** 20);
    expect(small.write(8 * 512, new Uint8Array(512).fill(0x55))).toBe(true);
    expect([...new Set(small.read(7 * 512, 1024))]).toEqual([7, 0x55]);
  });
});

describe('virtio-rng', () => {
  const entropy = (seed: number): Uint8Array => {
    const { ram, start, add, settle, used } = driven(createVirtioRng(seed));
    start();
    add(0, [{ address: DATA, length: 8192, write: true }]);
    settle();
    expect(used(0)).toEqual({ count: 1, written: 4096 });
    return ram.bytes.slice(DATA, DATA + 4096);
  };

  it('gives the same bytes for the same seed, others for another, and does not repeat itself', () => {
    expect(entropy(1)).toEqual(entropy(1));
    expect(entropy(1)).not.toEqual(entropy(2));
    const words = new Set(new BigUint64Array(entropy(1).buffer));
    expect(words.size).toBe(512);
  });
});

describe('virtio-console', () => {
  const setUp = () => {
    const sent = recorded<number>();
    const model = createVirtioConsole(sent.call);
    const set = driven(model);
    set.start();
    return { ...set, model, sent };
  };

  it('sends what the driver gives it', () => {
    const { ram, add, settle, sent, used } = setUp();
    ram.bytes.set([72, 105, 10], DATA);
    add(1, [{ address: DATA, length: 3 }]);
    settle();
    expect([sent.heard, used(1).count]).toEqual([[72, 105, 10], 1]);
  });

  it('keeps what is typed until the driver has a buffer, and a buffer until something is typed', () => {
    const { ram, device, add, settle, used } = setUp();
    device.typedAt?.receive(0x41);
    settle();
    add(0, [{ address: DATA, length: 8, write: true }]);
    settle();
    expect([used(0), ram.bytes[DATA]]).toEqual([{ count: 1, written: 1 }, 0x41]);
    add(0, [{ address: DATA, length: 1, write: true }]);
    settle();
    expect(used(0).count).toBe(1);
    for (const byte of [0x42, 0x43]) device.typedAt?.receive(byte);
    settle();
    expect([used(0).count, ram.bytes[DATA], device.typedAt?.receiveRoom()]).toEqual([2, 0x42, 63]);
  });

  it('takes no more than it has room for', () => {
    const { model } = setUp();
    expect(Array.from({ length: 65 }, () => model.typed?.receive(1)).filter(Boolean).length).toBe(64);
  });
});

describe('whatever a driver writes', () => {
  const KINDS = {
    blk: () => createVirtioBlk({ image: imageOf(numbered(64)), room: 16384, serial: 'x' }),
    rng: () => createVirtioRng(1),
    console: () => createVirtioConsole(() => undefined),
  };
  /** Addresses and lengths that mean something more often than chance would have it. */
  const halfSensible = ({ ram }: ReturnType<typeof driven>, chance: Random): void => {
    const addresses = [HEADER, DATA, STATUS, 0x8_2000, 0xf_fff8, Number(chance.bits() & 0xffff_ffffn)];
    for (let entry = 0; entry < 8; entry++) {
      const at = chance.pick([0x1000, 0x5000, 0x8_2000]) + 16 * entry;
      ram.u64(at, chance.pick(addresses));
      ram.u32(at + 8, chance.pick([0, 1, 16, 20, 48, 512, 513, 4096, chance.below(2 ** 32)]));
      ram.u16(at + 12, chance.pick([0, 1, 2, 2, 3, 4, 6, 7]));
      ram.u16(at + 14, chance.below(9));
    }
    ram.u64(0x1000, HEADER);
    ram.u64(0x1008, 0x1_0001_0000_0010); // 16 bytes, more in descriptor 1
    for (let i = 0; i < 9; i++)
      ram.u16(chance.pick([0x2000, 0x6000]) + 2 * i, i === 1 ? chance.below(10) : chance.below(3));
    ram.u32(HEADER, chance.pick([T_IN, T_OUT, T_FLUSH, T_GET_ID, chance.below(2 ** 32)]));
    ram.u64(HEADER + 8, chance.below(70));
  };

  it.each(Object.entries(KINDS))('virtio-%s comes to an end, and is whole again after a reset', (_, make) => {
    const chance = random(7n);
    const set = driven(make());
    const seen = new Set<number>();
    for (let round = 0; round < 400; round++) {
      set.start(chance.below(8) << 28);
      halfSensible(set, chance);
      for (const queue of [0, 1, 2]) set.write(REG.notify + 4 * queue, 2, 0);
      for (let i = 0; i < 20 && set.device.nextEvent() !== undefined; i++) {
        set.clock.add(2n ** 33n);
        set.device.advance(set.clock.now());
      }
      expect(set.device.nextEvent()).toBeUndefined();
      seen.add(set.device.read(REG.status, 1));
      set.write(REG.status, 1, 0);
      expect(set.device.read(REG.status, 1)).toBe(0);
    }
    // Without features agreed on, at work, or broken.
    expect([...seen].sort((a, b) => a - b)).toEqual([7, DRIVER_OK, DRIVER_OK | NEEDS_RESET]);
    expect(set.used(0).count + set.used(1).count).toBeGreaterThan(0);
  });
});
