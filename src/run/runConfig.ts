// What a run is made of, and what that comes to for the machine and the loader.

import { InputError } from '../bits/errors.ts';
import { GIB } from '../bits/sizes.ts';
import * as at from '../cpu/state/layout.ts';
import { type DiskImage, SECTOR } from '../devices/disk.ts';
import type { InputByte } from '../machine/input.ts';
import type { MachineConfig } from '../machine/pc.ts';
import { mostDisks } from '../machine/pci.ts';
import type { ExtraDevice } from '../machine/pciFunctions.ts';
import type { CpuModel } from '../x86/models.ts';
import { HIGH_MEMORY_START, HIGH_RAM_START, MMIO_HOLE_START, ramRanges } from '../boot/layout.ts';
import type { Boot, Entry, Module } from '../boot/protocol.ts';
import type { Intervention } from './interventions/table.ts';
import type { Goal } from './outcome.ts';
import type { Processor } from '../boot/smbios.ts';

export type RunConfig = {
  readonly image: Uint8Array;
  /** What the image was unpacked from or found in, for people. */
  readonly origin?: string | undefined;
  readonly entry?: Entry | undefined;
  readonly loadAt?: number | undefined;
  readonly paging?: 4 | 5 | undefined;
  readonly cpu: string;
  readonly memoryBytes: number;
  /** The whole line. */
  readonly cmdline: string;
  /** What of its beginning was not given but added, for reports; the run does not hang on it. */
  readonly cmdlineAdded?: string | undefined;
  readonly initrd?: Uint8Array | undefined;
  /** For Multiboot and PVH, behind the initrd. */
  readonly modules?: readonly Module[] | undefined;
  /** The command that an initramfs runs which is made for it: the machine then has what that needs (machine/command.ts). */
  readonly command?: string | undefined;
  readonly until: Goal;
  /** Stop, too, when the guest has printed this, or shows it on its text screen. */
  readonly untilText?: string | undefined;
  readonly maxInstructions: bigint;
  readonly seed: number;
  /** What is changed in it, and when (interventions/table.ts). A run with them is a run like any other. */
  readonly interventions?: readonly Intervention[] | undefined;
  /** With QEMU's pc-testdev. Default: where a program is entered by Multiboot. */
  readonly testDevice?: boolean | undefined;
  /** The first of the debug-exit ports; 0 for none. Default: 0xf4. */
  readonly debugExit?: number | undefined;
  /** With a local APIC and an IO-APIC, beside the 8259A pair. Default: true. */
  readonly apic?: boolean | undefined;
  /** What arrives at the serial port, in the order of time: the input log of an earlier run. */
  readonly input?: readonly InputByte[] | undefined;
  /** virtio-blk disks, in the order of their slots. What the guest writes stays in the machine. */
  readonly disks?: readonly DiskImage[] | undefined;
  /** What else there is on the PCI bus. */
  readonly extras?: readonly ExtraDevice[] | undefined;
};

/** What the loader has to know of the processor. */
export function linuxOptions(model: CpuModel): { gigabytePages: boolean; apic: boolean; processor: Processor } {
  const { eax, edx } = model.cpuid(1, 0, { cr4: 0n });
  const id = (BigInt(edx) << 32n) | BigInt(eax);
  return {
    gigabytePages: model.features.has('PDPE1GB'),
    apic: model.features.has('APIC'),
    processor: { id, vendor: model.vendor, name: model.brand },
  };
}

/** RAM above the device hole has to lie below the highest address the machine has. */
const MOST_MEMORY = at.PHYS_LIMIT - (HIGH_RAM_START - MMIO_HOLE_START);

/** Throws InputError where the machine cannot be as it is asked for. */
export function checkOptions(config: RunConfig, model: CpuModel): void {
  if (config.memoryBytes > MOST_MEMORY) {
    throw new InputError(`this machine can have ${MOST_MEMORY / GIB} GiB of memory at most`);
  }
  if (config.paging === 5 && !model.features.has('LA57')) {
    throw new InputError(`--paging 5 needs a CPU with la57, which '${model.name}' has not`);
  }
  checkDisks(config.disks ?? []);
}

/** Throws InputError where the processor cannot be in the state in which the image is entered. */
export function checkEntry({ entry }: Pick<Boot, 'entry'>, model: CpuModel): void {
  if (entry === 64 && !model.features.has('LM')) {
    throw new InputError(`the 64-bit entry needs a CPU with lm, which '${model.name}' has not`);
  }
}

function checkDisks(disks: readonly DiskImage[]): void {
  if (disks.length > mostDisks()) throw new InputError(`this machine can have ${mostDisks()} disks at most`);
  for (const { size } of disks) {
    if (size === 0 || size % SECTOR !== 0) {
      throw new InputError(`a disk consists of whole sectors of ${SECTOR} bytes; ${size} bytes do not`);
    }
  }
}

/** @param plain RAM everywhere, with no hole below 1 MiB: what a real PC does not have */
export function machineConfig(config: RunConfig, model: CpuModel, plain: boolean): MachineConfig {
  const ram = ramRanges(config.memoryBytes, plain).map(({ start, size }) => ({ start, end: start + size }));
  const rom = { start: 0xc0000, end: HIGH_MEMORY_START };
  const { seed, input, disks, extras } = config;
  const command = config.command !== undefined;
  const { debugExit } = config;
  return { model, ram, seed, input, disks, extras, command, debugExit, ...(plain ? {} : { rom }) };
}
