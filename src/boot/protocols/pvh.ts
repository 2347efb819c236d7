// The PVH entry: struct hvm_start_info, version 1 (Xen's public/arch-x86/hvm/start_info.h), in 32-bit protected mode as
// docs/misc/pvh describes it. Linux has this entry in its vmlinux where it is built with CONFIG_PVH.
import { putU32, putU64 } from '../../bits/cursor.ts';
import { InputError } from '../../bits/errors.ts';
import { hex } from '../../bits/hex.ts';
import { findBanner } from '../../image/banner.ts';
import { pvhEntryOf } from '../../image/pvhNote.ts';
import { LINUX } from '../guests.ts';
import {
  planProgram,
  type Program,
  type ProgramImage,
  type ProgramInformation,
  type ProgramPlaces,
  PROGRAM_RULES,
} from '../program.ts';
import type { BootProtocol } from '../protocol.ts';

const MAGIC = 0x336e_c578;
const VERSION = 1;

/** Offsets in hvm_start_info; addresses are 64 bits wide. */
const INFO = {
  magic: 0,
  version: 4,
  flags: 8,
  nr_modules: 12,
  modlist_paddr: 16,
  cmdline_paddr: 24,
  rsdp_paddr: 32,
  memmap_paddr: 40,
  memmap_entries: 48,
} as const;
const INFO_SIZE = 56;
/** paddr, size, cmdline_paddr, reserved: 64 bits each. */
const MODULE_SIZE = 32;
/** addr, size: 64 bits each; type as in e820, reserved: 32 bits each. */
const MEMMAP_SIZE = 24;

export const pvh: BootProtocol = {
  ...PROGRAM_RULES,
  name: 'pvh',
  title: 'PVH',
  entries: ['pvh'],
  // Linux's vmlinux has such a note too, and is entered by its own protocol.
  isUsual: (image) => image.kind === 'elf32' || (image.kind === 'elf' && image.defaultEntry === 'pvh'),
  plan: (options, image) => planProgram(options, programOf(image as ProgramImage), informing(options.cmdline ?? '')),
  guest: ({ bytes }) => (findBanner(bytes) === undefined ? undefined : LINUX),
  testDevice: false,
  entryText: () => 'PVH entry',
};

function programOf(image: ProgramImage): Program {
  const entry = image.kind === 'multiboot' ? undefined : pvhEntryOf(image.bytes);
  if (image.kind === 'multiboot' || entry === undefined) {
    throw new InputError('this file has no PVH entry (no ELF note XEN_ELFNOTE_PHYS32_ENTRY)');
  }
  if (!image.segments.some((s) => entry >= s.physAddr && entry < s.physAddr + s.memSize)) {
    throw new InputError(`the PVH entry point ${hex(entry)} lies in no loaded segment`);
  }
  return { bytes: image.bytes, entry, segments: image.segments };
}

const informing = (cmdline: string): ProgramInformation => ({
  cmdline,
  information,
  registers: (at) => ({ rbx: BigInt(at) }),
  task: true,
});

/** The structure, and behind it the memory map and the list of modules. */
function information({ e820, cmdline, modules, rsdp, information: { start } }: ProgramPlaces): Uint8Array {
  const memmap = INFO_SIZE;
  const modlist = memmap + MEMMAP_SIZE * e820.length;
  const bytes = new Uint8Array(modlist + MODULE_SIZE * modules.length);
  putU32(bytes, INFO.magic, MAGIC);
  putU32(bytes, INFO.version, VERSION);
  putU32(bytes, INFO.nr_modules, modules.length);
  putU64(bytes, INFO.modlist_paddr, BigInt(modules.length === 0 ? 0 : start + modlist));
  putU64(bytes, INFO.cmdline_paddr, BigInt(cmdline));
  putU64(bytes, INFO.rsdp_paddr, BigInt(rsdp ?? 0));
  putU64(bytes, INFO.memmap_paddr, BigInt(start + memmap));
  putU32(bytes, INFO.memmap_entries, e820.length);
  e820.forEach((entry, i) => {
    const at = memmap + MEMMAP_SIZE * i;
    putU64(bytes, at, BigInt(entry.start));
    putU64(bytes, at + 8, BigInt(entry.size));
    putU32(bytes, at + 16, entry.type);
  });
  modules.forEach((module, i) => {
    const at = modlist + MODULE_SIZE * i;
    putU64(bytes, at, BigInt(module.start));
    putU64(bytes, at + 8, BigInt(module.size));
    putU64(bytes, at + 16, BigInt(module.text));
  });
  return bytes;
}
