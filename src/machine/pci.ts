// The devices on PCI bus 0, as firmware leaves them: each in a slot, its BAR in the hole below 4 GiB, its INTA routed.
// A line is asserted while any device on it asks.

import type { GuestClock, InterruptLine } from '../devices/device.ts';
import { type Dma, writeU32s } from '../devices/dma.ts';
import type { SendMessage } from '../devices/msix.ts';
import { PCI_SLOTS } from '../devices/pciConfig.ts';
import { pciRoute } from '../devices/pciSpace.ts';
import { createVirtioBlk } from '../devices/virtio/blk.ts';
import { createVirtioConsole, type VirtioConsole } from '../devices/virtio/console.ts';
import type { DiskImage } from '../devices/disk.ts';
import type { VirtioModel } from '../devices/virtio/model.ts';
import { createVirtioRng } from '../devices/virtio/rng.ts';
import { createVirtioPci, VIRTIO_BAR_SIZE, type VirtioPci } from '../devices/virtio/virtioPci.ts';
import type { Receiver } from './input.ts';
import type { PciInput } from './interrupts.ts';
import type { DeviceWindow } from './memoryBus.ts';

/** Devices that a machine has only when it is asked for them. */
export const EXTRA_DEVICES = ['virtio-rng', 'virtio-console'] as const;
export type ExtraDevice = (typeof EXTRA_DEVICES)[number];

/** Slots 1 to 31, less those of the devices that are no disks. */
export const MOST_DISKS = PCI_SLOTS - 1 - EXTRA_DEVICES.length;

/** BARs begin here, one behind the other; the I/O APIC is well above the last. */
const BAR_BASE = 0xfe00_0000;
/** Writes to here are interrupt messages; elsewhere they are what they look like. */
const MESSAGES = 0xfee0_0000;
const MESSAGES_END = 0xfef0_0000;

/** A bit for each input of the 8259A pair that PCI lines come to. */
export const PCI_IRQS = [0, 1, 2, 3].reduce((bits, slot) => bits | (1 << pciRoute(slot).irq), 0);

/** Bytes that the guest may change on all its disks together. */
const DISK_ROOM = 512 * 2 ** 20;

export type PciOptions = {
  readonly disks: readonly DiskImage[];
  readonly extras: readonly ExtraDevice[];
  readonly seed: number;
  readonly dma: Dma;
  readonly clock: GuestClock;
  /** What the guest sends through the virtio console. */
  readonly transmit: (byte: number) => void;
  readonly line: (input: PciInput) => InterruptLine;
  /** Takes an interrupt message. */
  readonly message: SendMessage;
  readonly changed: () => void;
};

export type Pci = {
  /** By slot. */
  readonly functions: ReadonlyMap<number, VirtioPci>;
  readonly windows: readonly DeviceWindow[];
  /** The virtio console as something that is typed at. */
  readonly hvc0: Receiver | undefined;
};

export function createPci(options: PciOptions): Pci {
  const { disks, extras, seed } = options;
  const room = Math.floor(DISK_ROOM / Math.max(1, disks.length));
  const blocks = disks.map((image, index) => createVirtioBlk({ image, room, serial: `firstlight-${index}` }));
  const rng = extras.includes('virtio-rng') ? [createVirtioRng(seed)] : [];
  const console = extras.includes('virtio-console') ? createVirtioConsole(options.transmit) : undefined;
  const functions = place([...blocks, ...rng, ...(console ? [console] : [])], options);
  const hvc = [...functions.values()].at(-1);
  return {
    functions,
    windows: [...functions.values()].map((device) => ({
      base: () => device.barBase(),
      size: VIRTIO_BAR_SIZE,
      device,
    })),
    hvc0: console && hvc ? receiverOf(console, hvc) : undefined,
  };
}

/** Puts the devices into slots, from 1 on. */
function place(models: readonly VirtioModel[], options: PciOptions): Map<number, VirtioPci> {
  const functions = new Map<number, VirtioPci>();
  const asks = (wanted: 'gsi' | 'irq', input: number): boolean =>
    [...functions].some(([slot, device]) => pciRoute(slot)[wanted] === input && device.interruptLevel());
  const interruptOf = (slot: number): (() => void) => {
    const { gsi, irq } = pciRoute(slot);
    const [toIoApic, toPic] = [options.line({ gsi }), options.line({ irq })];
    return () => {
      toIoApic(asks('gsi', gsi));
      toPic(asks('irq', irq));
    };
  };
  const message: SendMessage = (address, data) => {
    if (address >= MESSAGES && address < MESSAGES_END) options.message(address, data);
    else writeU32s(options.dma, address, data);
  };
  models.forEach((model, index) => {
    const slot = index + 1;
    const bar = BAR_BASE + index * VIRTIO_BAR_SIZE;
    const { irq } = pciRoute(slot);
    const { dma, clock, changed } = options;
    functions.set(
      slot,
      createVirtioPci({
        model,
        name: `${model.name}${index}`,
        bar,
        irq,
        dma,
        clock,
        interrupt: interruptOf(slot),
        message,
        changed,
      }),
    );
  });
  return functions;
}

const receiverOf = (console: VirtioConsole, device: VirtioPci): Receiver => ({
  // Before its driver is at work nobody is there to read.
  receiveRoom: () => (device.live() ? console.room() : 0),
  receive: (byte) => {
    console.receive(byte);
    device.kick(0);
  },
});
