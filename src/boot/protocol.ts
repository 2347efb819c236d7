// What a boot protocol is. Each is one file in protocols/ and one row of protocols/table.ts; whoever boots, tracks stages,
// words command lines or reports asks the table, and nobody asks what kind an image is of.

import type { PhysAddr } from '../bits/address.ts';
import type { BzImage } from '../image/bzimage.ts';
import type { KernelImage } from '../image/image.ts';
import type { EntryState } from './entry-state.ts';
import type { FirmwarePart } from './firmware.ts';
import type { Guest } from './guests.ts';
import type { E820Entry, Places, Range } from './layout.ts';
import type { Processor } from './smbios.ts';

/** What `--entry` says: 32 and 64 are the entries of the Linux boot protocol, others are called as their protocol is. */
export type Entry = 32 | 64 | string;

/** A file for a program, and the text that goes with it. */
export interface Module {
  readonly bytes: Uint8Array;
  readonly text: string;
  /** What of the text was not given but added, for reports. */
  readonly added?: string | undefined;
}

export interface ImageOptions {
  /** By default the usual one of the protocol that is usual for the image. */
  readonly entry?: Entry | undefined;
  /** Guest-physical address of the image's first byte; by default what the header prefers. */
  readonly loadAt?: number | undefined;
  /** Levels of the page tables at the 64-bit entry (5 sets CR4.LA57). The 32-bit entry has paging off. Default 4. */
  readonly paging?: 4 | 5 | undefined;
  readonly cmdline?: string | undefined;
  readonly initrd?: Uint8Array | undefined;
  /** Behind the initrd, which is the first module where there is one. */
  readonly modules?: readonly Module[] | undefined;
  /** RAM in bytes; what does not fit below 3 GiB lies above 4 GiB. */
  readonly memoryBytes: number;
  /** RAM from 0 on without the PC's hole below 1 MiB, so that a stub can run at its link address 0. Default false. */
  readonly plainRam?: boolean | undefined;
  /** What is to be put elsewhere than it would be; `image` stands for `loadAt`. */
  readonly places?: Places | undefined;
  /** The CPU has 1 GiB pages (CPUID.80000001H:EDX.Page1GB). Default false. */
  readonly gigabytePages?: boolean | undefined;
  /** The machine has a local APIC and an I/O APIC, and the ACPI tables say so. Default false. */
  readonly apic?: boolean | undefined;
  /** What the SMBIOS tables say of it; nothing where undefined. */
  readonly processor?: Processor | undefined;
}

/** All that booting needs of a machine's memory. It must read as zero where nothing was written. */
export interface WritableMemory {
  write(address: PhysAddr, bytes: Uint8Array): void;
}

export type PlacedName =
  | 'image'
  | 'boot_params'
  | 'cmdline'
  | 'initrd'
  | 'page_tables'
  | 'gdt'
  | 'stack'
  | 'interrupt_vectors'
  | 'bios_data_area'
  | 'bios_handlers'
  | 'acpi_tables'
  | 'smbios_tables'
  | 'boot_information'
  | 'module';

/** One thing in memory that belongs to somebody. */
export interface Placed extends Range {
  readonly name: PlacedName;
}

/** One that is to be put there. */
export interface Part extends Placed {
  /** Its first bytes; the rest of it is zero. */
  readonly bytes?: Uint8Array;
}

/** Where everything goes and how the processor starts: what a protocol makes of an image before anything is touched. */
export interface Plan {
  readonly state: EntryState;
  readonly entry: 32 | 64;
  /** Where the image's first byte lies. For a bzImage this is also the load bias: its stub is linked at 0. */
  readonly loadAddress: number;
  /** Set where a relocatable kernel was loaded off its alignment, which no loader does by itself. */
  readonly moves?: { readonly alignment: number; readonly to: number };
  /** What the kernel overwrites while it unpacks itself: init_size bytes from its run-time start. */
  readonly runtime: Range;
  readonly e820: readonly E820Entry[];
  /** Of two that overlap the later one is written later. What firmware leaves comes before all of them. */
  readonly parts: readonly Part[];
}

export interface Boot extends Omit<Plan, 'parts'> {
  /** The protocol's name. */
  readonly protocol: string;
  /** Everything that was put into memory, by address. */
  readonly placement: readonly Placed[];
}

/** Which stages there are (src/run/stages.ts), and how they are told. */
export interface StageRules {
  /**
   * The packed image whose stub unpacks the kernel: its stages are told by what the stub does with its payload. Undefined
   * where what is entered is the kernel itself: then entry and handoff are one.
   */
  readonly stub: BzImage | undefined;
  /** Is it a kernel that will come to a first program? Others may compute in silence for as long as they like. */
  readonly isKernel: boolean;
  /** How far a boot goes that is not told. */
  readonly goal: 'banner' | 'end';
}

export interface BootProtocol {
  /** In JSON: one word. */
  readonly name: string;
  /** In sentences: "the Linux boot protocol". */
  readonly title: string;
  /** What `--entry` says to have it. No two protocols share one. */
  readonly entries: readonly Entry[];
  /** The kinds of image that it enters; others never come to `plan`. */
  readonly accepts: readonly KernelImage['kind'][];
  /** Is this image entered by it where no entry is asked for? Of the table's rows the first that says so has it. */
  isUsual(image: KernelImage): boolean;
  /** Where the protocol is asked for by its entry: reads a file that need not say by itself what it is. Throws InputError. */
  readonly read?: ((bytes: Uint8Array) => KernelImage) | undefined;
  /** Throws InputError where the options, the image and the RAM do not go together. */
  plan(options: ImageOptions, image: KernelImage): Plan;
  /** What a PC's firmware has done before, and the protocol leaves as it is. */
  readonly firmware: readonly FirmwarePart[];
  stages(image: KernelImage): StageRules;
  /** Who it is that is entered, where the protocol and the image's form tell; else what it says of itself does. */
  guest(image: KernelImage): Guest | undefined;
  /** Bytes of the longest command line, without what the protocol itself puts around it. */
  cmdlineRoom(image: KernelImage): number;
  /** Do its programs expect QEMU's pc-testdev? */
  readonly testDevice: boolean;
  /** How the image was entered, for reports: "64-bit entry". */
  entryText(entry: 32 | 64): string;
}
