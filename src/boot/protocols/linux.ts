// The Linux boot protocol (Documentation/arch/x86/boot.rst): a bzImage's protected-mode part, or a vmlinux in its place, with
// boot_params and the entry state it promises. Read layout.ts first.
import { PAGE_SIZE } from '../../bits/address.ts';
import { InputError } from '../../bits/errors.ts';
import { hex } from '../../bits/hex.ts';
import { GIB } from '../../bits/sizes.ts';
import { findBanner } from '../../image/banner.ts';
import type { BzImage } from '../../image/bzimage.ts';
import type { ElfImage } from '../../image/elf.ts';
import { type KernelImage, stubOf } from '../../image/image.ts';
import { hasMultibootHeader } from '../../image/multiboot.ts';
import { ENTRY_64_OFFSET } from '../../image/setup-header.ts';
import { bootParamsForBzImage, bootParamsForElf } from '../boot-params.ts';
import { type EntryState, entryState, gdtBytes } from '../entry-state.ts';
import { PC_FIRMWARE, rsdpOf } from '../firmware.ts';
import { LINUX } from '../guests.ts';
import {
  type Areas,
  alignDown,
  areasFrom,
  CMDLINE_ROOM,
  checkMemorySize,
  E820_RAM,
  type E820Entry,
  e820Table,
  endOf,
  HIGH_MEMORY_START,
  HIGH_RAM_START,
  lowAreas,
  MAPPED_RAM_LIMIT,
  movedAreas,
  overlap,
  type Range,
} from '../layout.ts';
import { type LoadPlace, type LoadRequest, placeBzImage, placeElf } from '../load-address.ts';
import { identityTables } from '../page-tables.ts';
import type { BootProtocol, ImageOptions, Part, Plan, PlacedName } from '../protocol.ts';

/** What can be entered by it. */
type LinuxImage = BzImage | ElfImage;

/** The kernel proper's COMMAND_LINE_SIZE on x86; a vmlinux has no header that would say it. */
const VMLINUX_CMDLINE_SIZE = 2047;
/** initrd_addr_max of every x86-64 kernel, for images without a header. */
const VMLINUX_INITRD_ADDR_MAX = 0x7fff_ffff;

/** Protocol 2.08 brought the payload's place: kernels have had it since, and loaders in this form leave it out. */
const PAYLOAD_PROTOCOL = 0x208;

/** By the header: a kernel has a payload, or is of a time in which its header said its version only. */
const isLinux = (image: KernelImage): boolean =>
  image.kind === 'bzImage'
    ? image.payload !== undefined || (image.protocol < PAYLOAD_PROTOCOL && /^\d+\.\d+/.test(image.version ?? ''))
    : findBanner(image.bytes) !== undefined;

const cmdlineSize = (image: KernelImage): number =>
  image.kind === 'bzImage' ? image.header.cmdline_size : VMLINUX_CMDLINE_SIZE;

export const linux: BootProtocol = {
  name: 'linux',
  title: 'the Linux boot protocol',
  entries: [32, 64],
  accepts: ['bzImage', 'elf'],
  // An ELF file that has no header of another protocol is entered as a vmlinux is.
  isUsual: (image) =>
    image.kind === 'bzImage' ||
    (image.kind === 'elf' && image.defaultEntry === undefined && !hasMultibootHeader(image.bytes)),
  plan: (options, image) => plan(options, image as LinuxImage),
  firmware: PC_FIRMWARE,
  // As memtest86+ is, a bzImage with nothing to unpack is a program of its own.
  stages: (image) => {
    const stub = stubOf(image);
    return { stub, isKernel: stub === undefined || stub.payload !== undefined, goal: 'banner' };
  },
  guest: (image) => (isLinux(image) ? LINUX : undefined),
  cmdlineRoom: (image) => Math.min(cmdlineSize(image), CMDLINE_ROOM),
  testDevice: false,
  entryText: (entry) => `${entry}-bit entry`,
};

function plan(options: ImageOptions, image: LinuxImage): Plan {
  if (options.modules !== undefined && options.modules.length > 0) {
    throw new InputError('the Linux boot protocol has no modules; it has one initial RAM disk');
  }
  checkMemorySize(options.memoryBytes);
  const plainRam = options.plainRam ?? false;
  const request: LoadRequest = {
    entry: chooseEntry(options, image),
    loadAt: options.loadAt,
    paging: options.paging ?? 4,
    e820: e820Table(options.memoryBytes, plainRam),
    plainRam,
  };
  return image.kind === 'elf' ? planElf(options, request, image) : planBzImage(options, request, image);
}

function chooseEntry(options: ImageOptions, image: LinuxImage): 32 | 64 {
  const has64 = image.kind === 'elf' || image.has64BitEntry;
  if (options.entry === 64 && !has64) {
    throw new InputError(
      'this kernel has no 64-bit entry (xloadflags without XLF_KERNEL_64): it is a 32-bit kernel, or too old; try the 32-bit entry',
    );
  }
  return options.entry === 32 || options.entry === 64 ? options.entry : has64 ? 64 : 32;
}

/** What is common to both kinds of image once it is clear where they go. */
interface Load {
  readonly options: ImageOptions;
  readonly request: LoadRequest;
  readonly place: LoadPlace;
  readonly areas: Areas;
  readonly cmdline: Uint8Array;
  readonly initrd: Range | undefined;
  readonly rip: number;
}

function planBzImage(options: ImageOptions, request: LoadRequest, image: BzImage): Plan {
  const place = placeBzImage(image, request);
  const { cmdline_size, initrd_addr_max } = image.header;
  const rip = place.loadAddress + (request.entry === 64 ? ENTRY_64_OFFSET : 0);
  const load = prepare({ options, request, place, rip }, cmdline_size, initrd_addr_max);
  const { fileOffset, size } = image.protectedMode;
  const bytes = image.bytes.subarray(fileOffset, fileOffset + size);
  return finish(load, bootParamsForBzImage(image, paramsInput(load)), [{ name: 'image', ...place.loaded, bytes }]);
}

function planElf(options: ImageOptions, request: LoadRequest, image: ElfImage): Plan {
  const place = placeElf(image, request);
  const rip = image.entryPhysical + place.bias;
  const load = prepare({ options, request, place, rip }, VMLINUX_CMDLINE_SIZE, VMLINUX_INITRD_ADDR_MAX);
  const images = image.segments.map((s): Part => {
    const bytes = image.bytes.subarray(s.fileOffset, s.fileOffset + s.fileSize);
    return { name: 'image', start: s.physAddr + place.bias, size: s.memSize, bytes };
  });
  return finish(load, bootParamsForElf(paramsInput(load), VMLINUX_CMDLINE_SIZE), images);
}

function prepare(base: Omit<Load, 'areas' | 'cmdline' | 'initrd'>, cmdlineSize: number, initrdMax: number): Load {
  const { options, place, request } = base;
  const cmdline = cmdlineBytes(options.cmdline ?? '', cmdlineSize);
  const usual = request.plainRam ? areasAbove(place, request.e820) : lowAreas();
  const areas = movedAreas(usual, options.places);
  const taken = [place.loaded, place.runtime, ...Object.values(areas)];
  return { ...base, areas, cmdline, initrd: initrdOf(options, initrdMax, taken, request) };
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

/** Where it is asked to be, or where it has room. */
function initrdOf(
  { initrd, places }: ImageOptions,
  addressMax: number,
  taken: readonly Range[],
  request: LoadRequest,
): Range | undefined {
  const start = places?.get('initrd');
  if (initrd === undefined || start === undefined) return placeInitrd(initrd, addressMax, taken, request);
  return { start, size: initrd.length };
}

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
  const rsdp = rsdpOf(load.options);
  return { e820: request.e820, cmdline: areas.cmdline, initrd, loadAddress: place.loadAddress, rsdp };
}

/** Adds what is not image. */
function finish(load: Load, bootParams: Uint8Array, images: readonly Part[]): Plan {
  const { areas, request, options, place, initrd, cmdline } = load;
  const parts: Part[] = [...images, { name: 'stack', ...areas.stack }];
  const put = (name: PlacedName, start: number, bytes: Uint8Array): void => {
    parts.push({ name, start, size: bytes.length, bytes });
  };
  put('boot_params', areas.boot_params.start, bootParams);
  put('cmdline', areas.cmdline.start, cmdline);
  put('gdt', areas.gdt.start, gdtBytes(request.entry));
  if (request.entry === 64) put('page_tables', areas.page_tables.start, pageTables(load));
  if (initrd !== undefined && options.initrd !== undefined) put('initrd', initrd.start, options.initrd);
  return {
    state: stateOf(load),
    entry: request.entry,
    loadAddress: place.loadAddress,
    ...(place.moves === undefined ? {} : { moves: place.moves }),
    runtime: place.runtime,
    e820: request.e820,
    parts,
  };
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
