// What Multiboot and PVH have in common: a program that is loaded where it says and entered in 32-bit protected mode with
// paging off, modules behind it, and a command line. What is refused is refused before memory is touched.
import { PAGE_SIZE, physAddr } from '../bits/address.ts';
import { InputError } from '../bits/errors.ts';
import { hex } from '../bits/hex.ts';
import { ATTR_P, TYPE } from '../x86/descriptors.ts';
import { acpiTables } from './acpi.ts';
import { type EntryState, entryState, gdtBytes, type RegisterName } from './entry-state.ts';
import {
  type Areas,
  alignUp,
  areasFrom,
  BIOS_START,
  checkMemorySize,
  E820_RAM,
  type E820Entry,
  e820Table,
  endOf,
  HIGH_MEMORY_START,
  HIGH_RAM_START,
  lowAreas,
  overlap,
  type Range,
  SMBIOS_START,
} from './layout.ts';
import {
  type Boot,
  type BootOptions,
  type Placed,
  type PlacedName,
  putBiosData,
  type WritableMemory,
} from './linux.ts';
import { smbiosTables } from './smbios.ts';

/** A file for the program, and the text that goes with it. */
export interface Module {
  readonly bytes: Uint8Array;
  readonly text: string;
  /** What of the text was not given but added, for reports. */
  readonly added?: string | undefined;
}

export type ProgramOptions = Pick<
  BootOptions,
  'loadAt' | 'cmdline' | 'initrd' | 'memoryBytes' | 'plainRam' | 'apic' | 'processor'
> & {
  /** Behind the initrd, which is the first module where there is one. */
  readonly modules?: readonly Module[] | undefined;
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

/** How one of the two protocols tells a program what there is. */
export interface ProgramProtocol {
  readonly name: 'multiboot' | 'pvh';
  readonly cmdline: string;
  readonly information: (places: ProgramPlaces) => Uint8Array;
  readonly registers: (information: number) => Partial<Record<RegisterName, bigint>>;
  /** The protocol promises a task register. */
  readonly task: boolean;
}

/** Their list has to fit the page that the information has. */
const MOST_MODULES = 64;
const BDA: Range = { start: 0x400, size: 0x100 };
/** Where the loader's areas begin if their usual places are the program's. */
const UPPER_AREAS = 0x80000;
/** PVH: a busy 32-bit TSS of base 0 and limit 67h. */
const TASK = { selector: 0, base: 0n, limit: 0x67, attributes: ATTR_P | TYPE.TSS32_BUSY };

/** Loads a program. Throws an InputError where program, modules and RAM do not go together. */
export function bootProgram(
  options: ProgramOptions,
  program: Program,
  protocol: ProgramProtocol,
  memory: WritableMemory,
): Boot {
  checkMemorySize(options.memoryBytes);
  const e820 = e820Table(options.memoryBytes, options.plainRam ?? false);
  const areas = areasBeside(program);
  const acpi = options.plainRam ? undefined : acpiTables(BIOS_START, options.apic ?? false).bytes;
  const taken = takenRanges(areas, acpi);
  const image = placeProgram(options, program, taken, e820);
  const modules = placeModules(modulesOf(options), image, e820);
  const texts = textBytes([protocol.cmdline, ...modulesOf(options).map((module) => module.text)], areas.cmdline);
  const places: ProgramPlaces = {
    e820,
    cmdline: texts.starts[0] as number,
    modules: modules.map((range, i) => ({ ...range, text: texts.starts[i + 1] as number })),
    rsdp: acpi && BIOS_START,
    information: areas.boot_params,
  };
  const information = protocol.information(places);
  const placement: Placed[] = [{ name: 'stack', ...areas.stack }];
  const put = (name: PlacedName, start: number, bytes: Uint8Array): void => {
    memory.write(physAddr(start), bytes);
    placement.push({ name, start, size: bytes.length });
  };
  if (acpi) {
    putBiosData(put);
    put('acpi_tables', BIOS_START, acpi);
    put('smbios_tables', SMBIOS_START, smbiosTables(SMBIOS_START, options));
  }
  for (const s of program.segments) {
    memory.write(physAddr(s.physAddr), program.bytes.subarray(s.fileOffset, s.fileOffset + s.fileSize));
    placement.push({ name: 'image', start: s.physAddr, size: s.memSize });
  }
  modulesOf(options).forEach((module, i) => put('module', (modules[i] as Range).start, module.bytes));
  put('boot_information', areas.boot_params.start, information);
  put('cmdline', areas.cmdline.start, texts.bytes);
  put('gdt', areas.gdt.start, gdtBytes(32));
  return {
    state: stateOf(program, protocol, areas),
    protocol: protocol.name,
    entry: 32,
    loadAddress: image.start,
    runtime: image,
    placement: placement.sort((a, b) => a.start - b.start),
    e820,
  };
}

/** As QEMU has it, the initrd is a module. */
function modulesOf({ initrd, modules }: ProgramOptions): Module[] {
  return [...(initrd === undefined ? [] : [{ bytes: initrd, text: 'initrd' }]), ...(modules ?? [])];
}

/** A program that is linked into low memory has what the loader keeps above it. */
function areasBeside({ segments }: Program): Areas {
  const isFree = (range: Range): boolean =>
    !segments.some(({ physAddr: start, memSize: size }) => overlap(range, { start, size }));
  const low = lowAreas();
  return takenRanges(low, undefined).every(isFree) ? low : areasFrom(UPPER_AREAS);
}

/** What the loader and the firmware keep: no program may lie there. */
function takenRanges({ gdt, stack, boot_params, cmdline }: Areas, acpi: Uint8Array | undefined): Range[] {
  const firmware = acpi === undefined ? [] : [BDA, { start: BIOS_START, size: acpi.length }];
  return [gdt, stack, boot_params, cmdline, ...firmware];
}

/** From the first byte of the program to the end of its last. */
function placeProgram(
  options: ProgramOptions,
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
function placeModules(modules: readonly Module[], image: Range, e820: readonly E820Entry[]): Range[] {
  if (modules.length > MOST_MODULES) {
    throw new InputError(`${modules.length} modules are too many; ${MOST_MODULES} can be loaded`);
  }
  const ram = ramOf(e820).at(-1) as E820Entry;
  let next = Math.max(endOf(image), HIGH_MEMORY_START);
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

function stateOf(program: Program, protocol: ProgramProtocol, areas: Areas): EntryState {
  const state = entryState({
    entry: 32,
    rip: program.entry,
    bootParams: 0,
    stackTop: endOf(areas.stack),
    gdt: areas.gdt.start,
    cr3: 0,
    levels: 4,
  });
  const registers = { rsp: BigInt(endOf(areas.stack)), ...protocol.registers(areas.boot_params.start) };
  return { ...state, registers, ...(protocol.task ? { tr: TASK } : {}) };
}
