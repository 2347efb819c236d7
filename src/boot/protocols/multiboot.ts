// Multiboot 1 (Multiboot Specification 0.6.96): the information structure of section 3.3 and the machine state of 3.2.
// GRUB, and QEMU with -kernel, load programs so.
import { putU32, putU64 } from '../../bits/cursor.ts';
import { InputError } from '../../bits/errors.ts';
import { KIB } from '../../bits/sizes.ts';
import { findMultibootHeader, hasMultibootHeader, type MultibootLoad } from '../../image/multiboot.ts';
import { E820_RAM, type E820Entry, endOf, HIGH_MEMORY_START } from '../layout.ts';
import {
  planProgram,
  type Program,
  type ProgramImage,
  type ProgramInformation,
  type ProgramPlaces,
  PROGRAM_RULES,
} from '../program.ts';
import type { BootProtocol } from '../protocol.ts';

const BOOTLOADER_MAGIC = 0x2bad_b002n;

/** Which fields of the information are valid. There is no boot device, and there are no video modes. */
const FLAGS = { memory: 1 << 0, cmdline: 1 << 2, modules: 1 << 3, mmap: 1 << 6, loaderName: 1 << 9 } as const;

/** Offsets in the information structure. */
const INFO = {
  flags: 0,
  /** KiB from 0 on, and KiB from 1 MiB on to the first hole. */
  mem_lower: 4,
  mem_upper: 8,
  cmdline: 16,
  mods_count: 20,
  mods_addr: 24,
  mmap_length: 44,
  mmap_addr: 48,
  boot_loader_name: 64,
} as const;
const INFO_SIZE = 120;

/** start, end, string, reserved. */
const MODULE_SIZE = 16;
/** size (of what follows it), base, length, type: types are those of e820. */
const MMAP_SIZE = 24;
const LOADER_NAME = 'Firstlight\0';

export const multiboot: BootProtocol = {
  ...PROGRAM_RULES,
  name: 'multiboot',
  title: 'Multiboot',
  entries: ['multiboot'],
  isUsual: (image) => image.kind === 'multiboot' || (image.kind !== 'bzImage' && hasMultibootHeader(image.bytes)),
  plan: (options, image) => planProgram(options, programOf(image as ProgramImage), informing(options.cmdline ?? '')),
  // What is loaded so is no Linux, whatever it holds.
  guest: () => undefined,
  // Bare-metal test programs are entered so.
  testDevice: true,
  entryText: () => 'entered by Multiboot',
};

/** By the header's addresses where it has them, and they go before what an ELF header says (3.1.3); else as ELF. */
function programOf(image: ProgramImage): Program {
  if (image.kind === 'multiboot') return addressed(image.bytes, image.load);
  const header = findMultibootHeader(image.bytes);
  if (header === undefined) throw new InputError('this ELF file has no Multiboot header in its first 8192 bytes');
  if (header.load !== undefined) return addressed(image.bytes, header.load);
  return { bytes: image.bytes, entry: image.entryPhysical, segments: image.segments };
}

const addressed = (bytes: Uint8Array, load: MultibootLoad): Program => ({ bytes, entry: load.entry, segments: [load] });

/**
 * @param cmdline what follows the program's name: like QEMU and GRUB's first versions, the command line starts with a
 * name. It is the same for every program, so that a run does not hang on how a file is called
 */
const informing = (cmdline: string): ProgramInformation => ({
  cmdline: `kernel ${cmdline}`.trimEnd(),
  information,
  registers: (at) => ({ rax: BOOTLOADER_MAGIC, rbx: BigInt(at) }),
  task: false,
});

/** The structure, and behind it the memory map, the list of modules and the loader's name. */
function information({ e820, cmdline, modules, information: { start } }: ProgramPlaces): Uint8Array {
  const mmap = INFO_SIZE;
  const mods = mmap + MMAP_SIZE * e820.length;
  const name = mods + MODULE_SIZE * modules.length;
  const bytes = new Uint8Array(name + LOADER_NAME.length);
  const set = (field: keyof typeof INFO, value: number): void => putU32(bytes, INFO[field], value);
  set('flags', FLAGS.memory | FLAGS.cmdline | FLAGS.modules | FLAGS.mmap | FLAGS.loaderName);
  set('mem_lower', lowerKib(e820));
  set('mem_upper', upperKib(e820));
  set('cmdline', cmdline);
  set('mods_count', modules.length);
  set('mods_addr', start + mods);
  set('mmap_length', MMAP_SIZE * e820.length);
  set('mmap_addr', start + mmap);
  set('boot_loader_name', start + name);
  e820.forEach((entry, i) => putMmap(bytes, mmap + MMAP_SIZE * i, entry));
  modules.forEach((module, i) => {
    const at = mods + MODULE_SIZE * i;
    putU32(bytes, at, module.start);
    putU32(bytes, at + 4, endOf(module));
    putU32(bytes, at + 8, module.text);
  });
  bytes.set(new TextEncoder().encode(LOADER_NAME), name);
  return bytes;
}

function putMmap(bytes: Uint8Array, at: number, { start, size, type }: E820Entry): void {
  putU32(bytes, at, MMAP_SIZE - 4);
  putU64(bytes, at + 4, BigInt(start));
  putU64(bytes, at + 12, BigInt(size));
  putU32(bytes, at + 20, type);
}

/** At most 640: 3.3 says so. */
function lowerKib(e820: readonly E820Entry[]): number {
  const low = e820.find((e) => e.type === E820_RAM && e.start === 0);
  return low === undefined ? 0 : Math.min(640, Math.floor(low.size / KIB));
}

function upperKib(e820: readonly E820Entry[]): number {
  const upper = e820.find((e) => e.type === E820_RAM && e.start <= HIGH_MEMORY_START && endOf(e) > HIGH_MEMORY_START);
  return upper === undefined ? 0 : Math.floor((endOf(upper) - HIGH_MEMORY_START) / KIB);
}
