// Puts a kernel image into memory as the Linux boot protocol wants it, and says what state the processor starts in.
// A pure function of its options and the image: memory is only written to. Read layout.ts first.
import { PAGE_SIZE, type PhysAddr, physAddr } from '../bits/address.ts';
import { putU16 } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import { hex } from '../bits/hex.ts';
import type { BzImage } from '../image/bzimage.ts';
import type { ElfImage } from '../image/elf.ts';
import { ENTRY_64_OFFSET } from '../image/setup-header.ts';
import { acpiTables } from './acpi.ts';
import { bootParamsForBzImage, bootParamsForElf } from './boot-params.ts';
import { type EntryState, entryState, gdtBytes } from './entry-state.ts';
import {
  type Areas,
  alignDown,
  areasFrom,
  BDA_BASE_MEMORY_KIB,
  BDA_EBDA_SEGMENT,
  BIOS_HANDLERS_START,
  BIOS_START,
  CMDLINE_ROOM,
  checkMemorySize,
  E820_RAM,
  type E820Entry,
  EBDA_START,
  e820Table,
  endOf,
  GIB,
  HIGH_MEMORY_START,
  HIGH_RAM_START,
  KIB,
  lowAreas,
  MAPPED_RAM_LIMIT,
  overlap,
  type Range,
  SMBIOS_START,
} from './layout.ts';
import { type LoadPlace, type LoadRequest, placeBzImage, placeElf } from './load-address.ts';
import { biosHandlers, interruptVectors } from './interruptVectors.ts';
import { identityTables } from './page-tables.ts';
import { type Processor, smbiosTables } from './smbios.ts';

export interface BootOptions {
  /** The protocol's entry; by default the 64-bit one where the image has it. */
  readonly entry?: 32 | 64 | undefined;
  /** Guest-physical address of the image's first byte; by default what the header prefers. */
  readonly loadAt?: number | undefined;
  /** Levels of the page tables at the 64-bit entry (5 sets CR4.LA57). The 32-bit entry has paging off. Default 4. */
  readonly paging?: 4 | 5 | undefined;
  readonly cmdline?: string | undefined;
  readonly initrd?: Uint8Array | undefined;
  /** RAM in bytes; what does not fit below 3 GiB lies above 4 GiB. */
  readonly memoryBytes: number;
  /** RAM from 0 on without the PC's hole below 1 MiB, so that a stub can run at its link address 0. Default false. */
  readonly plainRam?: boolean | undefined;
  /** The CPU has 1 GiB pages (CPUID.80000001H:EDX.Page1GB). Default false. */
  readonly gigabytePages?: boolean | undefined;
  /** The machine has a local APIC and an I/O APIC, and the ACPI tables say so. Default false. */
  readonly apic?: boolean | undefined;
  /** What the SMBIOS tables say of it; nothing where undefined. */
  readonly processor?: Processor | undefined;
}

/** What can be entered by the Linux boot protocol. */
export type LinuxImage = BzImage | ElfImage;

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

export interface Boot {
  readonly state: EntryState;
  /** How the image was entered; Multiboot and PVH enter in 32-bit mode. */
  readonly protocol: 'linux' | 'multiboot' | 'pvh';
  readonly entry: 32 | 64;
  /** Where the image's first byte lies. For a bzImage this is also the load bias: its stub is linked at 0. */
  readonly loadAddress: number;
  /** Set where a relocatable kernel was loaded off its alignment, which no loader does by itself. */
  readonly moves?: { readonly alignment: number; readonly to: number };
  /** What the kernel overwrites while it unpacks itself: init_size bytes from its run-time start. */
  readonly runtime: Range;
  /** Everything that was put into memory, by address. */
  readonly placement: readonly Placed[];
  readonly e820: readonly E820Entry[];
}

/** The kernel proper's COMMAND_LINE_SIZE on x86; a vmlinux has no header that would say it. */
export const VMLINUX_CMDLINE_SIZE = 2047;
/** initrd_addr_max of every x86-64 kernel, for images without a header. */
const VMLINUX_INITRD_ADDR_MAX = 0x7fff_ffff;

/** Loads `image` into `memory`. Throws an InputError where the options, the image and the RAM do not go together. */
export function bootLinux(options: BootOptions, image: LinuxImage, memory: WritableMemory): Boot {
  checkMemorySize(options.memoryBytes);
  const plainRam = options.plainRam ?? false;
  const request: LoadRequest = {
    entry: chooseEntry(options, image),
    loadAt: options.loadAt,
    paging: options.paging ?? 4,
    e820: e820Table(options.memoryBytes, plainRam),
    plainRam,
  };
  return image.kind === 'bzImage'
    ? bootBzImage(options, request, image, memory)
    : bootElf(options, request, image, memory);
}

function chooseEntry(options: BootOptions, image: LinuxImage): 32 | 64 {
  const has64 = image.kind === 'elf' || image.has64BitEntry;
  if (options.entry === 64 && !has64) {
    throw new InputError(
      'this kernel has no 64-bit entry (xloadflags without XLF_KERNEL_64): it is a 32-bit kernel, or too old; try the 32-bit entry',
    );
  }
  return options.entry ?? (has64 ? 64 : 32);
}

/** What is common to both kinds of image once it is clear where they go. */
interface Load {
  readonly options: BootOptions;
  readonly request: LoadRequest;
  readonly place: LoadPlace;
  readonly areas: Areas;
  readonly cmdline: Uint8Array;
  readonly initrd: Range | undefined;
  readonly rip: number;
}

function bootBzImage(options: BootOptions, request: LoadRequest, image: BzImage, memory: WritableMemory): Boot {
  const place = placeBzImage(image, request);
  const { cmdline_size, initrd_addr_max } = image.header;
  const rip = place.loadAddress + (request.entry === 64 ? ENTRY_64_OFFSET : 0);
  const load = prepare({ options, request, place, rip }, cmdline_size, initrd_addr_max);
  const { fileOffset, size } = image.protectedMode;
  memory.write(physAddr(place.loadAddress), image.bytes.subarray(fileOffset, fileOffset + size));
  return finish(load, memory, bootParamsForBzImage(image, paramsInput(load)), [{ name: 'image', ...place.loaded }]);
}

function bootElf(options: BootOptions, request: LoadRequest, image: ElfImage, memory: WritableMemory): Boot {
  const place = placeElf(image, request);
  const rip = image.entryPhysical + place.bias;
  const load = prepare({ options, request, place, rip }, VMLINUX_CMDLINE_SIZE, VMLINUX_INITRD_ADDR_MAX);
  const images = image.segments.map((s): Placed => {
    memory.write(physAddr(s.physAddr + place.bias), image.bytes.subarray(s.fileOffset, s.fileOffset + s.fileSize));
    return { name: 'image', start: s.physAddr + place.bias, size: s.memSize };
  });
  return finish(load, memory, bootParamsForElf(paramsInput(load), VMLINUX_CMDLINE_SIZE), images);
}

/** Everything that can be refused is refused here, before memory is touched. */
function prepare(base: Omit<Load, 'areas' | 'cmdline' | 'initrd'>, cmdlineSize: number, initrdMax: number): Load {
  const { options, place, request } = base;
  const cmdline = cmdlineBytes(options.cmdline ?? '', cmdlineSize);
  const areas = request.plainRam ? areasAbove(place, request.e820) : lowAreas();
  const taken = [place.loaded, place.runtime, ...Object.values(areas)];
  return { ...base, areas, cmdline, initrd: placeInitrd(options.initrd, initrdMax, taken, request) };
}

/** NUL-terminated. cmdline_size counts without the NUL. */
function cmdlineBytes(text: string, cmdlineSize: number): Uint8Array {
  if (text.includes('\0')) throw new InputError('the command line contains a NUL character');
  const bytes = new TextEncoder().encode(text);
  const limit = Math.min(cmdlineSize, CMDLINE_ROOM);
  if (bytes.length > limit) {
    throw new InputError(
      `the command line has ${bytes.length} bytes; this kernel takes ${limit} at most (cmdline_size)`,
    );
  }
  const terminated = new Uint8Array(bytes.length + 1);
  terminated.set(bytes);
  return terminated;
}

/** Without a PC's low memory the loader's areas go behind all that the kernel loads and unpacks. */
function areasAbove(place: LoadPlace, e820: readonly E820Entry[]): Areas {
  const areas = areasFrom(Math.max(endOf(place.loaded), endOf(place.runtime)));
  const start = areas.gdt.start;
  const end = endOf(areas.page_tables);
  if (!isLowRam({ start, size: end - start }, e820)) {
    throw new InputError(
      `boot_params, the command line and page tables need RAM from ${hex(start)} to ${hex(end)}; give more memory`,
    );
  }
  return areas;
}

const isLowRam = (range: Range, e820: readonly E820Entry[]): boolean =>
  lowRam(e820).some((ram) => range.start >= ram.start && endOf(range) <= endOf(ram));

const lowRam = (e820: readonly E820Entry[]): E820Entry[] =>
  e820.filter((e) => e.type === E820_RAM && e.start < HIGH_RAM_START);

/** The highest page-aligned place below initrd_addr_max and the end of RAM below 4 GiB that nobody else has. */
function placeInitrd(
  initrd: Uint8Array | undefined,
  addressMax: number,
  taken: readonly Range[],
  request: LoadRequest,
): Range | undefined {
  if (initrd === undefined) return undefined;
  if (initrd.length === 0) throw new InputError('the initrd is empty');
  const size = initrd.length;
  const floor = request.plainRam ? 0 : HIGH_MEMORY_START;
  const ram = lowRam(request.e820).find((e) => endOf(e) > HIGH_MEMORY_START);
  let top = Math.min(addressMax + 1, ram === undefined ? 0 : endOf(ram));
  while (top - size >= floor) {
    const range = { start: alignDown(top - size, PAGE_SIZE), size };
    const inTheWay = taken.find((other) => overlap(range, other));
    if (inTheWay === undefined && range.start >= floor) return range;
    top = inTheWay === undefined ? floor : inTheWay.start;
  }
  throw new InputError(
    `the initrd of ${size} bytes does not fit into RAM below ${hex(addressMax + 1)} (initrd_addr_max) beside the kernel`,
  );
}

function paramsInput(load: Load): Parameters<typeof bootParamsForElf>[0] {
  const { request, areas, initrd, place } = load;
  const rsdp = request.plainRam ? undefined : BIOS_START;
  return { e820: request.e820, cmdline: areas.cmdline, initrd, loadAddress: place.loadAddress, rsdp };
}

/** Writes what is not image, and gathers the result. */
function finish(load: Load, memory: WritableMemory, bootParams: Uint8Array, images: readonly Placed[]): Boot {
  const { areas, request, options, place, initrd, cmdline } = load;
  const placement: Placed[] = [...images, { name: 'stack', ...areas.stack }];
  const put = (name: PlacedName, start: number, bytes: Uint8Array): void => {
    memory.write(physAddr(start), bytes);
    placement.push({ name, start, size: bytes.length });
  };
  if (!request.plainRam) {
    putBiosData(put);
    put('acpi_tables', BIOS_START, acpiTables(BIOS_START, options.apic ?? false).bytes);
    put('smbios_tables', SMBIOS_START, smbiosTables(SMBIOS_START, options));
  }
  put('boot_params', areas.boot_params.start, bootParams);
  put('cmdline', areas.cmdline.start, cmdline);
  put('gdt', areas.gdt.start, gdtBytes(request.entry));
  if (request.entry === 64) put('page_tables', areas.page_tables.start, pageTables(load));
  if (initrd !== undefined && options.initrd !== undefined) put('initrd', initrd.start, options.initrd);
  return {
    state: stateOf(load),
    protocol: 'linux',
    entry: request.entry,
    loadAddress: place.loadAddress,
    ...(place.moves === undefined ? {} : { moves: place.moves }),
    runtime: place.runtime,
    placement: placement.sort((a, b) => a.start - b.start),
    e820: request.e820,
  };
}

/** Interrupt vectors with their handlers, and the two words of the BIOS data area that stubs read; the rest of it is zero. */
export function putBiosData(put: (name: PlacedName, start: number, bytes: Uint8Array) => void): void {
  const bytes = new Uint8Array(BDA_BASE_MEMORY_KIB + 2 - BDA_EBDA_SEGMENT);
  putU16(bytes, 0, EBDA_START >> 4);
  putU16(bytes, BDA_BASE_MEMORY_KIB - BDA_EBDA_SEGMENT, EBDA_START / KIB);
  put('bios_data_area', BDA_EBDA_SEGMENT, bytes);
  put('interrupt_vectors', 0, interruptVectors());
  put('bios_handlers', BIOS_HANDLERS_START, biosHandlers());
}

function pageTables(load: Load): Uint8Array {
  const { areas, request, options } = load;
  const bytes = identityTables({
    at: areas.page_tables.start,
    gigabytes: mappedGigabytes(load),
    levels: request.paging,
    gigabytePages: options.gigabytePages ?? false,
  });
  if (bytes.length > areas.page_tables.size)
    throw new RangeError(`page tables of ${bytes.length} bytes outgrow their area`);
  return bytes;
}

/** The first four, all RAM up to a bound, and whatever the kernel is loaded at and unpacks to. */
function mappedGigabytes(load: Load): Set<number> {
  const bounded = load.request.e820.filter((e) => e.start < MAPPED_RAM_LIMIT);
  const ram = bounded.map(({ start, size }) => ({ start, size: Math.min(size, MAPPED_RAM_LIMIT - start) }));
  const ranges = [{ start: 0, size: 4 * GIB }, ...ram, load.place.loaded, load.place.runtime];
  return new Set(ranges.flatMap(gigabytesOf));
}

function gigabytesOf(range: Range): number[] {
  const first = Math.floor(range.start / GIB);
  const count = Math.ceil(endOf(range) / GIB) - first;
  return Array.from({ length: count }, (_, i) => first + i);
}

function stateOf(load: Load): EntryState {
  const { areas, request, rip } = load;
  return entryState({
    entry: request.entry,
    rip,
    bootParams: areas.boot_params.start,
    stackTop: endOf(areas.stack),
    gdt: areas.gdt.start,
    cr3: areas.page_tables.start,
    levels: request.paging,
  });
}
