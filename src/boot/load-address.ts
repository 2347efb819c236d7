// Where an image may be loaded, rule by rule; each refusal names its rule.
import { PAGE_SIZE } from '../bits/address.ts';
import { InputError } from '../bits/errors.ts';
import { hex } from '../bits/hex.ts';
import type { BzImage } from '../image/bzimage.ts';
import type { ElfImage } from '../image/elf.ts';
import {
  alignUp,
  E820_RAM,
  type E820Entry,
  endOf,
  HIGH_MEMORY_START,
  type Range,
  TRADITIONAL_LOAD_ADDRESS,
} from './layout.ts';

const FOUR_GIB = 2 ** 32;
const MAX_PHYS_ADDR = 2 ** 52;
/** Half of a 48-bit address space: what 1:1 page tables of four levels reach. */
const FOUR_LEVEL_REACH = 2 ** 47;
/** From the first segment to the end of the last: as much as a bzImage can ask for with init_size. */
const LARGEST_ELF = 2 ** 32;

export interface LoadRequest {
  readonly entry: 32 | 64;
  /** Undefined: the address the header prefers. */
  readonly loadAt: number | undefined;
  readonly paging: 4 | 5;
  readonly e820: readonly E820Entry[];
  /** No hole below 1 MiB: the image may lie at 0, and the loader's own areas go above it. */
  readonly plainRam: boolean;
}

export interface LoadPlace {
  /** Where the first byte of the image goes. */
  readonly loadAddress: number;
  /** The bytes loaded. */
  readonly loaded: Range;
  /** What the kernel overwrites before it looks at the memory map (init_size from its run-time start). */
  readonly runtime: Range;
  /** Set where it was loaded off its alignment: a relocatable kernel realigns itself (kernel_alignment in the protocol). */
  readonly moves?: { readonly alignment: number; readonly to: number };
}

/** The load address of a bzImage. Throws an InputError that says which rule forbids the one asked for. */
export function placeBzImage(image: BzImage, request: LoadRequest): LoadPlace {
  checkHasEntry(image);
  const wanted = request.loadAt ?? defaultLoadAddress(image, request);
  checkLoadAddress(image, wanted);
  const place = placeAt(image, wanted);
  const problem = problemOf(image, place, request);
  if (problem !== undefined) throw new InputError(problem);
  return place;
}

/** code32_start is where the setup code goes in protected mode; without it only that code knows where. */
function checkHasEntry({ header, relocatable, payload }: BzImage): void {
  if (header.code32_start !== 0 || relocatable || payload !== undefined) return;
  throw new InputError(
    'this image names no 32-bit entry (code32_start is 0): its own real-mode setup has to run first, as a BIOS loader runs it, and Firstlight enters images behind that',
  );
}

/** pref_address where a relocatable kernel fits there, else code32_start, which is 1 MiB. */
function defaultLoadAddress(image: BzImage, request: LoadRequest): number {
  const preferred = Number(image.header.pref_address);
  const usable = image.relocatable && preferred !== 0 && preferred % image.header.kernel_alignment === 0;
  if (usable && problemOf(image, placeAt(image, preferred), request) === undefined) return preferred;
  return image.header.code32_start;
}

function checkLoadAddress(image: BzImage, address: number): void {
  checkIsAddress(address);
  const { pref_address } = image.header;
  const traditional = address === TRADITIONAL_LOAD_ADDRESS || address === image.header.code32_start;
  if (!image.relocatable) {
    if (traditional || (pref_address !== 0n && BigInt(address) === pref_address)) return;
    const places = pref_address === 0n ? '' : `${hex(pref_address)} or `;
    throw new InputError(
      `this kernel is not relocatable: it can be loaded at ${places}${hex(TRADITIONAL_LOAD_ADDRESS)}, not at ${hex(address)}`,
    );
  }
  if (address % PAGE_SIZE !== 0) {
    throw new InputError(`the load address ${hex(address)} is no multiple of a page (${hex(PAGE_SIZE)})`);
  }
}

function checkIsAddress(address: number): void {
  if (!Number.isSafeInteger(address) || address < 0 || address >= MAX_PHYS_ADDR) {
    throw new InputError(`${address} is no load address: it must be a whole number from 0 to 2^52-1`);
  }
}

function placeAt(image: BzImage, loadAddress: number): LoadPlace {
  const loaded = { start: loadAddress, size: image.protectedMode.size };
  const to = runtimeStart(image, loadAddress);
  const { kernel_alignment: alignment, code32_start } = image.header;
  const usual = loadAddress === TRADITIONAL_LOAD_ADDRESS || loadAddress === code32_start;
  const off = image.relocatable && !usual && loadAddress % alignment !== 0;
  return {
    loadAddress,
    loaded,
    runtime: { start: to, size: image.initSize },
    ...(off ? { moves: { alignment, to } } : {}),
  };
}

/**
 * "init_size" in the protocol, and one thing it leaves out: below pref_address (LOAD_PHYSICAL_ADDR) even a relocatable
 * kernel unpacks at pref_address (startup_32 and startup_64 compare with it).
 */
function runtimeStart(image: BzImage, loadAddress: number): number {
  const preferred = Number(image.header.pref_address);
  if (!image.relocatable) return preferred === 0 ? loadAddress : preferred;
  return Math.max(alignUp(loadAddress, image.header.kernel_alignment), preferred);
}

function problemOf(image: BzImage, place: LoadPlace, request: LoadRequest): string | undefined {
  return (
    reachProblem(image, place, request) ??
    ramProblem('the kernel image', place.loaded, request) ??
    ramProblem(runtimeText(image, place), place.runtime, request)
  );
}

/** Names kernel_alignment where that alone decides where the kernel unpacks. */
function runtimeText({ header, relocatable }: BzImage, { loadAddress, runtime }: LoadPlace): string {
  const aligned = relocatable && runtime.start > Math.max(loadAddress, Number(header.pref_address));
  const by = aligned ? `, at a multiple of kernel_alignment, which is ${hex(header.kernel_alignment)},` : '';
  return `the kernel while it unpacks itself (init_size)${by}`;
}

function reachProblem(image: BzImage, place: LoadPlace, request: LoadRequest): string | undefined {
  const end = Math.max(endOf(place.loaded), endOf(place.runtime));
  const where = `loaded at ${hex(place.loadAddress)}, the kernel reaches up to ${hex(end)}`;
  if (end > FOUR_GIB && request.entry === 32) return `${where}: the 32-bit entry works below 4 GiB only`;
  if (end > FOUR_GIB && !image.canLoadAbove4G) {
    return `${where}: this kernel must stay below 4 GiB (xloadflags without XLF_CAN_BE_LOADED_ABOVE_4G)`;
  }
  if (end > MAX_PHYS_ADDR) return `${where}: beyond any physical address (52 bits)`;
  return end > FOUR_LEVEL_REACH && request.paging === 4 ? `${where}: 4-level page tables reach 128 TiB` : undefined;
}

/** Whether [start, end) is RAM as far as the memory map says, in one piece, and above what the loader needs itself. */
function ramProblem(what: string, range: Range, request: LoadRequest): string | undefined {
  const span = `${hex(range.start)} to ${hex(endOf(range))}`;
  if (!request.plainRam && range.start < HIGH_MEMORY_START) {
    return `${what} would lie at ${span}: below 1 MiB are the BIOS, boot_params, the command line and page tables`;
  }
  const ram = request.e820.filter((e) => e.type === E820_RAM);
  if (ram.some((e) => range.start >= e.start && endOf(range) <= endOf(e))) return undefined;
  const have = ram.map((e) => `${hex(e.start)} to ${hex(endOf(e))}`).join(', ');
  return `${what} needs RAM from ${span}, but there is RAM only at ${have}`;
}

/** Where an ELF image goes: each segment at its physical address, moved as a whole for ET_DYN with a load address. */
export function placeElf(image: ElfImage, request: LoadRequest): LoadPlace & { readonly bias: number } {
  if (request.entry === 32) throw new InputError('an ELF image has no 32-bit entry; use the 64-bit one');
  const linked = image.segments[0]?.physAddr ?? 0;
  const wanted = request.loadAt ?? linked;
  checkIsAddress(wanted);
  if (wanted !== linked && image.type === 'EXEC') {
    throw new InputError(
      `this ELF image is linked for ${hex(linked)} (ET_EXEC) and cannot be loaded at ${hex(wanted)}`,
    );
  }
  if ((wanted - linked) % PAGE_SIZE !== 0) {
    throw new InputError(`the load address ${hex(wanted)} is no whole number of pages away from ${hex(linked)}`);
  }
  const bias = wanted - linked;
  const problem = image.segments
    .map((s) => ramProblem('a segment of the ELF image', { start: s.physAddr + bias, size: s.memSize }, request))
    .find((p) => p !== undefined);
  if (problem !== undefined) throw new InputError(problem);
  const end = Math.max(...image.segments.map((s) => s.physAddr + s.memSize)) + bias;
  if (end > FOUR_LEVEL_REACH && request.paging === 4) {
    throw new InputError(`the ELF image reaches up to ${hex(end)}: 4-level page tables reach 128 TiB`);
  }
  const range = { start: wanted, size: end - wanted };
  if (range.size > LARGEST_ELF) {
    throw new InputError(
      `the ELF image spans ${hex(range.size)} bytes of memory; ${hex(LARGEST_ELF)} are mapped at most`,
    );
  }
  return { loadAddress: wanted, loaded: range, runtime: range, bias };
}
