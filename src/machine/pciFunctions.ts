// What there may be on the PCI bus, a row each: who asks for it, and which functions that comes to. Slots are given out in
// the order of the rows, so that what is where does not hang on the order in which it was asked for.

import type { DiskImage } from '../devices/disk.ts';
import type { PciModel } from '../devices/pci/function.ts';
import { createVirtioBlk } from '../devices/virtio/blk.ts';
import { createVirtioConsole } from '../devices/virtio/console.ts';
import { createVirtioRng } from '../devices/virtio/rng.ts';
import { virtioFunction } from '../devices/virtio/virtioPci.ts';

/** A name that `--device` knows. */
export type ExtraDevice = string;

/** What a machine is to have. */
export type PciAsked = {
  readonly disks: readonly DiskImage[];
  readonly seed: number;
  /** Takes what the guest sends through a console. */
  readonly transmit: (byte: number) => void;
};

export type PciRow = {
  /** What `--device` calls it; undefined for what follows from other options. */
  readonly device?: ExtraDevice;
  /** Its functions: one where it was asked for by name. */
  functions(asked: PciAsked): readonly PciModel[];
};

/** Bytes that the guest may change on all its disks together. */
const DISK_ROOM = 512 * 2 ** 20;

const disksOf = ({ disks }: PciAsked): PciModel[] => {
  const room = Math.floor(DISK_ROOM / Math.max(1, disks.length));
  return disks.map((image, index) => virtioFunction(createVirtioBlk({ image, room, serial: `firstlight-${index}` })));
};

export const PCI_FUNCTIONS: PciRow[] = [
  { functions: disksOf },
  { device: 'virtio-rng', functions: ({ seed }) => [virtioFunction(createVirtioRng(seed))] },
  { device: 'virtio-console', functions: ({ transmit }) => [virtioFunction(createVirtioConsole(transmit))] },
];

/** What a machine has only when it is asked for it by name. */
export const extraDevices = (): readonly ExtraDevice[] => PCI_FUNCTIONS.flatMap(({ device }) => device ?? []);
