// Block device (virtio 1.2, 5.2): read, write, flush, get-id. Everything written is kept at once, so a flush has nothing
// to do. The layout of a request within its buffer is free (2.7.4): a header of 16 bytes, data, and a status byte last.

import type { Dma } from '../dma.ts';
import { createDisk, type DiskImage, SECTOR } from '../disk.ts';
import type { Handled, VirtioModel } from './model.ts';
import { type Chain, gather, lengthOf, scatter } from './queue.ts';

const F_SIZE_MAX = 1 << 1;
const F_SEG_MAX = 1 << 2;
const F_BLK_SIZE = 1 << 6;
const F_FLUSH = 1 << 9;

const T_IN = 0;
const T_OUT = 1;
const T_FLUSH = 4;
const T_GET_ID = 8;

const S_OK = 0;
const S_IOERR = 1;
const S_UNSUPP = 2;

const HEADER = 16;
const ID_BYTES = 20;
/** Bytes in a piece of a request and pieces in a request: what a driver is told, and together the longest request. */
const SIZE_MAX = 32 * 1024;
const SEG_MAX = 126;
const LONGEST = SIZE_MAX * SEG_MAX;

const little = (value: number, size: number): number[] =>
  Array.from({ length: size }, (_, i) => Math.floor(value / 2 ** (8 * i)) % 256);

export type BlkOptions = {
  readonly image: DiskImage;
  /** Bytes that the guest may change. */
  readonly room: number;
  /** What get-id gives: 20 ASCII characters at most. */
  readonly serial: string;
};

type Reply = { readonly status: number; readonly data?: Uint8Array };

const IO_ERROR: Reply = { status: S_IOERR };
const OK: Reply = { status: S_OK };

export const createVirtioBlk = ({ image, room, serial }: BlkOptions): VirtioModel => {
  const disk = createDisk(image, room);
  const sectors = Math.floor(image.size / SECTOR);

  const within = (sector: number, length: number): boolean =>
    length % SECTOR === 0 && length <= LONGEST && sector + length / SECTOR <= sectors;

  const readSectors = (sector: number, length: number): Reply =>
    within(sector, length) ? { status: S_OK, data: disk.read(sector * SECTOR, length) } : IO_ERROR;

  const writeSectors = (sector: number, chain: Chain, dma: Dma): Reply | 'broken' => {
    const length = lengthOf(chain.readable) - HEADER;
    if (!within(sector, length)) return IO_ERROR;
    const data = gather(dma, chain.readable, HEADER, length);
    if (data === undefined) return 'broken';
    return disk.write(sector * SECTOR, data) ? OK : IO_ERROR;
  };

  const identify = (room: number): Reply => {
    const id = new Uint8Array(ID_BYTES);
    id.set(new TextEncoder().encode(serial).subarray(0, ID_BYTES));
    return { status: S_OK, data: id.subarray(0, Math.min(room, ID_BYTES)) };
  };

  const request = (chain: Chain, dma: Dma, room: number): Reply | 'broken' => {
    const header = gather(dma, chain.readable, 0, HEADER);
    if (header === undefined) return 'broken';
    const view = new DataView(header.buffer);
    const sector = view.getUint32(12, true) * 2 ** 32 + view.getUint32(8, true);
    switch (view.getUint32(0, true)) {
      case T_IN:
        return readSectors(sector, room);
      case T_OUT:
        return writeSectors(sector, chain, dma);
      case T_FLUSH:
        return OK;
      case T_GET_ID:
        return identify(room);
      default:
        return { status: S_UNSUPP };
    }
  };

  const handle = (_queue: number, chain: Chain, dma: Dma): Handled => {
    const room = lengthOf(chain.writable) - 1;
    if (room < 0) return 'broken';
    const reply = request(chain, dma, room);
    if (reply === 'broken') return 'broken';
    const { status, data } = reply;
    if (data && !scatter(dma, chain.writable, 0, data)) return 'broken';
    if (!scatter(dma, chain.writable, room, Uint8Array.of(status))) return 'broken';
    // Bytes from the beginning that are written for sure (2.7.8.2): where data is left out, none before the status.
    return (data?.length ?? 0) === room ? room + 1 : (data?.length ?? 0);
  };

  return {
    name: 'virtioBlk',
    id: 2,
    classCode: 0x01_0000,
    features: F_SIZE_MAX | F_SEG_MAX | F_BLK_SIZE | F_FLUSH,
    queues: 1,
    config: [...little(sectors, 8), ...little(SIZE_MAX, 4), ...little(SEG_MAX, 4), 0, 0, 0, 0, ...little(SECTOR, 4)],
    ready: () => true,
    handle,
    bulk: disk.bulk,
    state: () => ({}),
    restore: () => undefined,
    resetByGuest: () => undefined,
    reset: () => disk.bulk.restore([]),
  };
};
