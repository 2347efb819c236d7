// The setup header of a bzImage as one table (Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header").
// The offsets are those in the file and in struct boot_params alike: a loader copies the header to where it was.
import type { Reader } from '../bits/cursor.ts';
import { putU16, putU32, putU64 } from '../bits/cursor.ts';

interface FieldRow {
  readonly name: string;
  /** From the start of the file, and of struct boot_params. */
  readonly offset: number;
  /** In bytes. */
  readonly size: 1 | 2 | 4 | 8;
  /** First boot protocol version that has it, (major << 8) + minor. */
  readonly since: number;
}

export const SETUP_HEADER_FIELDS = [
  { name: 'setup_sects', offset: 0x1f1, size: 1, since: 0x000 },
  { name: 'root_flags', offset: 0x1f2, size: 2, since: 0x000 },
  { name: 'syssize', offset: 0x1f4, size: 4, since: 0x204 },
  { name: 'ram_size', offset: 0x1f8, size: 2, since: 0x000 },
  { name: 'vid_mode', offset: 0x1fa, size: 2, since: 0x000 },
  { name: 'root_dev', offset: 0x1fc, size: 2, since: 0x000 },
  { name: 'boot_flag', offset: 0x1fe, size: 2, since: 0x000 },
  { name: 'jump', offset: 0x200, size: 2, since: 0x200 },
  { name: 'header', offset: 0x202, size: 4, since: 0x200 },
  { name: 'version', offset: 0x206, size: 2, since: 0x200 },
  { name: 'realmode_swtch', offset: 0x208, size: 4, since: 0x200 },
  { name: 'start_sys_seg', offset: 0x20c, size: 2, since: 0x200 },
  { name: 'kernel_version', offset: 0x20e, size: 2, since: 0x200 },
  { name: 'type_of_loader', offset: 0x210, size: 1, since: 0x200 },
  { name: 'loadflags', offset: 0x211, size: 1, since: 0x200 },
  { name: 'setup_move_size', offset: 0x212, size: 2, since: 0x200 },
  { name: 'code32_start', offset: 0x214, size: 4, since: 0x200 },
  { name: 'ramdisk_image', offset: 0x218, size: 4, since: 0x200 },
  { name: 'ramdisk_size', offset: 0x21c, size: 4, since: 0x200 },
  { name: 'bootsect_kludge', offset: 0x220, size: 4, since: 0x200 },
  { name: 'heap_end_ptr', offset: 0x224, size: 2, since: 0x201 },
  { name: 'ext_loader_ver', offset: 0x226, size: 1, since: 0x202 },
  { name: 'ext_loader_type', offset: 0x227, size: 1, since: 0x202 },
  { name: 'cmd_line_ptr', offset: 0x228, size: 4, since: 0x202 },
  { name: 'initrd_addr_max', offset: 0x22c, size: 4, since: 0x203 },
  { name: 'kernel_alignment', offset: 0x230, size: 4, since: 0x205 },
  { name: 'relocatable_kernel', offset: 0x234, size: 1, since: 0x205 },
  { name: 'min_alignment', offset: 0x235, size: 1, since: 0x20a },
  { name: 'xloadflags', offset: 0x236, size: 2, since: 0x20c },
  { name: 'cmdline_size', offset: 0x238, size: 4, since: 0x206 },
  { name: 'hardware_subarch', offset: 0x23c, size: 4, since: 0x207 },
  { name: 'hardware_subarch_data', offset: 0x240, size: 8, since: 0x207 },
  { name: 'payload_offset', offset: 0x248, size: 4, since: 0x208 },
  { name: 'payload_length', offset: 0x24c, size: 4, since: 0x208 },
  { name: 'setup_data', offset: 0x250, size: 8, since: 0x209 },
  { name: 'pref_address', offset: 0x258, size: 8, since: 0x20a },
  { name: 'init_size', offset: 0x260, size: 4, since: 0x20a },
  { name: 'handover_offset', offset: 0x264, size: 4, since: 0x20b },
  { name: 'kernel_info_offset', offset: 0x268, size: 4, since: 0x20f },
] as const satisfies readonly FieldRow[];

type Row = (typeof SETUP_HEADER_FIELDS)[number];
export type SetupHeaderField = Row['name'];

/** Every field by its name in the protocol; eight-byte ones are bigints. A field newer than the image's protocol reads 0. */
export type SetupHeader = { readonly [R in Row as R['name']]: R['size'] extends 8 ? bigint : number };

/** 0xAA55 at the end of the boot sector. */
export const BOOT_FLAG = 0xaa55;
/** "HdrS". */
export const HEADER_MAGIC = 0x53726448;
/** "LToP", the first word of kernel_info. */
export const KERNEL_INFO_MAGIC = 0x506f544c;
/** jmp rel8: its operand, counted from 0x202, is also the header's end. */
export const JUMP_OPCODE = 0xeb;
export const SETUP_HEADER_START = 0x1f1;
/** What the jump byte counts from. */
export const JUMP_BASE = 0x202;

/** loadflags */
export const LOADED_HIGH = 1 << 0;
export const KASLR_FLAG = 1 << 1;
export const QUIET_FLAG = 1 << 5;

/** xloadflags */
export const XLF_KERNEL_64 = 1 << 0;
export const XLF_CAN_BE_LOADED_ABOVE_4G = 1 << 1;
export const XLF_EFI_HANDOVER_32 = 1 << 2;
export const XLF_EFI_HANDOVER_64 = 1 << 3;
export const XLF_EFI_KEXEC = 1 << 4;
/** The stub knows what to do with either setting of CR4.LA57. */
export const XLF_5LEVEL = 1 << 5;
export const XLF_5LEVEL_ENABLED = 1 << 6;

/** The 64-bit entry lies this far from the start of the protected-mode part ("64-bit Boot Protocol"). */
export const ENTRY_64_OFFSET = 0x200;

const rowOf = new Map<SetupHeaderField, Row>(SETUP_HEADER_FIELDS.map((row) => [row.name, row]));

function row(name: SetupHeaderField): Row {
  const found = rowOf.get(name);
  if (found === undefined) throw new RangeError(`no setup header field ${name}`);
  return found;
}

/** End of the last field that protocol `version` defines. */
export function definedHeaderEnd(version: number): number {
  return Math.max(...SETUP_HEADER_FIELDS.filter((f) => f.since <= version).map((f) => f.offset + f.size));
}

/** Reads all fields the image's own `version` defines. Throws an InputError where the file ends before they do. */
export function readSetupHeader(file: Reader): SetupHeader {
  const version = file.u16(row('version').offset);
  const fields = SETUP_HEADER_FIELDS.map((f) => [f.name, f.since <= version ? readField(file, f) : zero(f)]);
  return Object.fromEntries(fields) as SetupHeader;
}

const zero = (f: FieldRow): number | bigint => (f.size === 8 ? 0n : 0);

function readField(file: Reader, f: FieldRow): number | bigint {
  if (f.size === 8) return file.u64(f.offset);
  if (f.size === 4) return file.u32(f.offset);
  return f.size === 2 ? file.u16(f.offset) : file.u8(f.offset);
}

/** Sets one field in a struct boot_params (or in a file: the offsets are the same). */
export function putHeaderField(bootParams: Uint8Array, name: SetupHeaderField, value: number | bigint): void {
  const f: FieldRow = row(name);
  if (f.size === 8) putU64(bootParams, f.offset, BigInt(value));
  else if (f.size === 4) putU32(bootParams, f.offset, Number(value));
  else if (f.size === 2) putU16(bootParams, f.offset, Number(value));
  else bootParams[f.offset] = Number(value);
}
