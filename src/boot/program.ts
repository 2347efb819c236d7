// What Multiboot and PVH have in common: a program that is loaded where it says and entered in 32-bit protected mode with
// paging off, modules behind it, and a command line.
import { PAGE_SIZE } from '../bits/address.ts';
import { InputError } from '../bits/errors.ts';
import { hex } from '../bits/hex.ts';
import type { Elf32Image } from '../image/elf32.ts';
import type { ElfImage } from '../image/elf.ts';
import type { MultibootImage } from '../image/multiboot.ts';
import { ATTR_P, TYPE } from '../x86/descriptors.ts';
import { type EntryState, entryState, gdtBytes, type RegisterName } from './entry-state.ts';
import { firmwareKeeps, PC_FIRMWARE, rsdpOf } from './firmware.ts';
import {
  type Areas,
  alignUp,
  areasFrom,
  BIOS_START,
  CMDLINE_ROOM,
  checkMemorySize,
  E820_RAM,
  type E820Entry,
  e820Table,
  endOf,
  HIGH_MEMORY_START,
  HIGH_RAM_START,
  lowAreas,
  movedAreas,
  overlap,
  type Range,
} from './layout.ts';
import type { BootProtocol, ImageOptions, Module, Part, PlacedName, Plan } from './protocol.ts';

/** The kinds of image that hold such a program. */
export type ProgramImage = ElfImage | Elf32Image | MultibootImage;
const PROGRAM_KINDS: readonly ProgramImage['kind'][] = ['elf', 'elf32', 'multiboot'];

/** What a name before the command line takes, as Multiboot has it. */
export const NAME_ROOM = 'kernel '.length;

/** What holds for each protocol by which such a program is entered. */
export const PROGRAM_RULES: Pick<BootProtocol, 'accepts' | 'firmware' | 'stages' | 'cmdlineRoom'> = {
  accepts: PROGRAM_KINDS,
  firmware: PC_FIRMWARE,
  stages: () => ({ stub: undefined, isKernel: false, goal: 'end' }),
  cmdlineRoom: () => CMDLINE_ROOM - NAME_ROOM,
};

/** What is loaded where: at most 4 GiB, because it is entered in 32-bit mode. */
export interface Program {
  readonly bytes: Uint8Array;
  readonly entry: number;
  readonly segments: readonly {
    readonly fileOffset: number;
    readonly fileSize: number;
    readonly physAddr: number;
    readonly memSize: number;
  }[];
}

/** Guest-physical addresses of what the information for the program points to. */
export interface ProgramPlaces {
  readonly e820: readonly E820Entry[];
  readonly cmdline: number;
  readonly modules: readonly (Range & { readonly text: number })[];
  /** Undefined where the machine has no ACPI tables. */
  readonly rsdp: number | undefined;
  /** The area that the information itself goes to. */
  readonly information: Range;
}

/** How a program is told what there is. */
export interface ProgramInformation {
  readonly cmdline: string;
  readonly information: (places: ProgramPlaces) => Uint8Array;
  readonly registers: (information: number) => Partial<Record<RegisterName, bigint>>;
  /** The protocol promises a task register. */
  readonly task: boolean;
}

/** Their list has to fit the page that the information has. */
const MOST_MODULES = 64;
/** Where the loader's areas begin if their usual places are the program's. */
const UPPER_AREAS = 0x80000;
/** PVH: a busy 32-bit TSS of base 0 and limit 67h. */
const TASK = { selector: 0, base: 0n, limit: 0x67, attributes: ATTR_P | TYPE.TSS32_BUSY };

/** Throws an InputError where program, modules and RAM do not go together. */
export function planProgram(options: ImageOptions, program: Program, told: ProgramInformation): Plan {
  checkMemorySize(options.memoryBytes);
  const e820 = e820Table(options.memoryBytes, options.plainRam ?? false);
  const areas = movedAreas(areasBeside(program), options.places);
  const taken = [...loaderKeeps(areas), ...firmwareKeeps(options)];
  const image = placeProgram(options, program, taken, e820);
  const modules = placeModules(modulesOf(options), options.places?.get('module') ?? endOf(image), e820);
  const texts = textBytes([told.cmdline, ...modulesOf(options).map((module) => module.text)], areas.cmdline);
  const information = told.information({
    e820,
    cmdline: texts.starts[0] as number,
    modules: modules.map((range, i) => ({ ...range, text: texts.starts[i + 1] as number })),
    rsdp: rsdpOf(options),
    information: areas.boot_params,
  });
  const part = (name: PlacedName, start: number, bytes: Uint8Array): Part => ({
    name,
    start,
    size: bytes.length,
    bytes,
  });
  const segments = program.segments.map(({ physAddr: start, memSize: size, fileOffset, fileSize }): Part => {
    return { name: 'image', start, size, bytes: program.bytes.subarray(fileOffset, fileOffset + fileSize) };
  });
  return {
    state: stateOf(program, told, areas),
    entry: 32,
    loadAddress: image.start,
    runtime: image,
    e820,
    parts: [
      { name: 'stack', ...areas.stack },
      ...segments,
      ...modulesOf(options).map((module, i) => part('module', (modules[i] as Range).start, module.bytes)),
      part('boot_information', areas.boot_params.start, information),
      part('cmdline', areas.cmdline.start, texts.bytes),
      part('gdt', areas.gdt.start, gdtBytes(32)),
    ],
  };
}

/** As QEMU has it, the initrd is a module. */
function modulesOf({ initrd, modules }: ImageOptions): Module[] {
  return [...(initrd === undefined ? [] : [{ bytes: initrd, text: 'initrd' }]), ...(modules ?? [])];
}

/** A program that is linked into low memory has what the loader keeps above it. */
function areasBeside({ segments }: Program): Areas {
  const isFree = (range: Range): boolean =>
    !segments.some(({ physAddr: start, memSize: size }) => overlap(range, { start, size }));
  const low = lowAreas();
  return loaderKeeps(low).every(isFree) ? low : areasFrom(UPPER_AREAS);
}

/** No program may lie there. */
const loaderKeeps = ({ gdt, stack, boot_params, cmdline }: Areas): Range[] => [gdt, stack, boot_params, cmdline];

/** From the first byte of the program to the end of its last. */
function placeProgram(
  options: ImageOptions,
  program: Program,
  taken: readonly Range[],
  e820: readonly E820Entry[],
): Range {
  for (const { physAddr: start, memSize: size } of program.segments) {
    if (!loadable(e820).some((range) => start >= range.start && start + size <= endOf(range))) {
      const have = loadable(e820).map((range) => `${hex(range.start)} to ${hex(endOf(range))}`);
      throw new InputError(
        `the program needs RAM from ${hex(start)} to ${hex(start + size)}, and there is RAM for programs only at ${have.join(', ')}`,
      );
    }
    const other = taken.find((range) => overlap(range, { start, size }));
    if (other !== undefined) {
      throw new InputError(
        `the program takes ${hex(start)} to ${hex(start + size)}, and the loader keeps ${hex(other.start)} to ${hex(endOf(other))}`,
      );
    }
  }
  const start = Math.min(...program.segments.map((s) => s.physAddr));
  const end = Math.max(...program.segments.map((s) => s.physAddr + s.memSize));
  if (options.loadAt !== undefined && options.loadAt !== start) {
    throw new InputError(
      `this program is loaded where it is linked, at ${hex(start)}, and not at ${hex(options.loadAt)}`,
    );
  }
  return { start, size: end - start };
}

/**
 * RAM below the device hole, and the BIOS area below 1 MiB: of a program linked at 1 MiB, linkers put the ELF headers into
 * the page before, as a segment of its own.
 */
function loadable(e820: readonly E820Entry[]): Range[] {
  const [low, high] = [ramOf(e820)[0], ramOf(e820).at(-1)] as [E820Entry, E820Entry];
  const start = Math.min(BIOS_START, high.start);
  return [low, { start, size: endOf(high) - start }];
}

const ramOf = (e820: readonly E820Entry[]): E820Entry[] =>
  e820.filter((e) => e.type === E820_RAM && e.start < HIGH_RAM_START);

/** One behind the other on page boundaries, behind the program: where GRUB and QEMU have them. */
function placeModules(modules: readonly Module[], from: number, e820: readonly E820Entry[]): Range[] {
  if (modules.length > MOST_MODULES) {
    throw new InputError(`${modules.length} modules are too many; ${MOST_MODULES} can be loaded`);
  }
  const ram = ramOf(e820).at(-1) as E820Entry;
  let next = Math.max(from, HIGH_MEMORY_START);
  return modules.map(({ bytes: { length: size } }) => {
    const start = alignUp(next, PAGE_SIZE);
    next = start + size;
    if (size === 0) throw new InputError('a module is empty');
    if (next > endOf(ram)) throw new InputError(`a module of ${size} bytes does not fit into RAM behind the program`);
    return { start, size };
  });
}

/** NUL-terminated texts one behind the other, and where each starts. */
function textBytes(texts: readonly string[], area: Range): { bytes: Uint8Array; starts: number[] } {
  if (texts.some((text) => text.includes('\0'))) throw new InputError('the command line contains a NUL character');
  const bytes = new TextEncoder().encode(texts.map((text) => `${text}\0`).join(''));
  if (bytes.length > area.size) {
    throw new InputError(
      `the command line and the texts of modules have ${bytes.length} bytes; ${area.size} at most are passed on`,
    );
  }
  const starts: number[] = [];
  for (let at = 0; at < bytes.length; at = bytes.indexOf(0, at) + 1) starts.push(area.start + at);
  return { bytes, starts };
}

function stateOf(program: Program, told: ProgramInformation, areas: Areas): EntryState {
  const state = entryState({
    entry: 32,
    rip: program.entry,
    bootParams: 0,
    stackTop: endOf(areas.stack),
    gdt: areas.gdt.start,
    cr3: 0,
    levels: 4,
  });
  const registers = { rsp: BigInt(endOf(areas.stack)), ...told.registers(areas.boot_params.start) };
  return { ...state, registers, ...(told.task ? { tr: TASK } : {}) };
}
