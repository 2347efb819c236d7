// RAM for devices under test, and a driver that knows just enough to make requests.

import type { AccessSize } from '../../src/devices/device.ts';
import type { Dma } from '../../src/devices/dma.ts';
import type { VirtioModel } from '../../src/devices/virtio/model.ts';
import { createPciFunction } from '../../src/devices/pci/function.ts';
import { virtioFunction } from '../../src/devices/virtio/virtioPci.ts';
import { handClock } from './support.ts';

/** RAM from 0 on. */
export function ramOf(size: number) {
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  const within = (address: number, length: number): boolean => address >= 0 && address + length <= size;
  const dma: Dma = {
    read: (address, length) => (within(address, length) ? bytes.slice(address, address + length) : undefined),
    write: (address, data) => {
      if (!within(address, data.length)) return false;
      bytes.set(data, address);
      return true;
    },
  };
  return {
    bytes,
    dma,
    u16: (at: number, value: number): void => view.setUint16(at, value, true),
    u32: (at: number, value: number): void => view.setUint32(at, value, true),
    u64: (at: number, value: number): void => view.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), true),
    get16: (at: number): number => view.getUint16(at, true),
    get32: (at: number): number => view.getUint32(at, true),
  };
}

/** Offsets of the parts in the BAR, and of the registers that the driver needs, as the capabilities tell them. */
export const REG = {
  deviceSelect: 0,
  deviceFeatures: 4,
  driverSelect: 8,
  driverFeatures: 12,
  configVector: 16,
  queues: 18,
  status: 20,
  queueSelect: 22,
  queueSize: 24,
  queueVector: 26,
  queueEnable: 28,
  descriptors: 32,
  available: 40,
  used: 48,
  isr: 0x1000,
  config: 0x2000,
  notify: 0x3000,
  table: 0x4000,
  pending: 0x5000,
} as const;

export const DRIVER_OK = 15;
export const NEEDS_RESET = 0x40;
export const BAR = 0xfe00_0000;

const QUEUE = { size: 8, descriptors: 0x1000, available: 0x2000, used: 0x3000, step: 0x4000 };

export type Piece = { readonly address: number; readonly length: number; readonly write?: boolean };

/** A device with a driver behind it, in 1 MiB of RAM. The queues lie below 0x10000. */
export function driven(model: VirtioModel) {
  const ram = ramOf(0x10_0000);
  const clock = handClock();
  const messages: (readonly [number, number])[] = [];
  const device = createPciFunction(virtioFunction(model), {
    name: model.name,
    bars: [BAR],
    irq: 10,
    dma: ram.dma,
    clock,
    interrupt: () => undefined,
    message: (address, data) => void messages.push([address, data]),
    changed: () => undefined,
  });
  const write = (offset: number, size: AccessSize, value: number): void => device.write(offset, size, value);
  const setUpQueue = (queue: number): void => {
    write(REG.queueSelect, 2, queue);
    write(REG.queueSize, 2, QUEUE.size);
    write(REG.descriptors, 4, QUEUE.descriptors + queue * QUEUE.step);
    write(REG.available, 4, QUEUE.available + queue * QUEUE.step);
    write(REG.used, 4, QUEUE.used + queue * QUEUE.step);
    write(REG.queueEnable, 2, 1);
  };
  const start = (features = 0): void => {
    device.writeConfig(4, 2, 6);
    write(REG.status, 1, 3);
    write(REG.driverSelect, 4, 0);
    write(REG.driverFeatures, 4, features);
    write(REG.driverSelect, 4, 1);
    write(REG.driverFeatures, 4, 1);
    write(REG.status, 1, 11);
    for (let queue = 0; queue < model.queues; queue++) setUpQueue(queue);
    write(REG.status, 1, DRIVER_OK);
  };
  const added = new Map<number, number>();
  /** Makes a buffer available and tells the device. Its descriptors are 0, 1, 2... */
  const add = (queue: number, pieces: readonly Piece[]): void => {
    const base = queue * QUEUE.step;
    pieces.forEach(({ address, length, write: writes }, i) => {
      const at = QUEUE.descriptors + base + 16 * i;
      ram.u64(at, address);
      ram.u32(at + 8, length);
      ram.u16(at + 12, (i + 1 < pieces.length ? 1 : 0) | (writes ? 2 : 0));
      ram.u16(at + 14, i + 1);
    });
    const count = added.get(queue) ?? 0;
    ram.u16(QUEUE.available + base + 4 + 2 * (count % QUEUE.size), 0);
    ram.u16(QUEUE.available + base + 2, count + 1);
    added.set(queue, count + 1);
    write(REG.notify + 4 * queue, 2, queue);
  };
  /** Lets the device do all it has to do. */
  const settle = (): void => {
    for (let event = device.nextEvent(); event !== undefined; event = device.nextEvent()) {
      clock.set(event > clock.now() ? event : clock.now());
      device.advance(clock.now());
    }
  };
  /** Buffers given back by now, and bytes written into the last. */
  const used = (queue: number): { readonly count: number; readonly written: number } => {
    const ring = QUEUE.used + queue * QUEUE.step;
    const count = ram.get16(ring + 2);
    return { count, written: count === 0 ? 0 : ram.get32(ring + 8 + 8 * ((count - 1) % QUEUE.size)) };
  };
  return { ram, clock, device, messages, write, start, add, settle, used };
}
