// struct boot_params, the "zero page" (Documentation/arch/x86/zero-page.rst): all zero but what is set here. The setup
// header lies in it at the offset it has in the file.
import { putU16, putU32, putU64 } from '../bits/cursor.ts';
import { KIB } from '../bits/sizes.ts';
import type { BzImage } from '../image/bzimage.ts';
import { BOOT_FLAG, HEADER_MAGIC, LOADED_HIGH, putHeaderField, SETUP_HEADER_START } from '../image/setup-header.ts';
import { E820_RAM, type E820Entry, endOf, HIGH_MEMORY_START, HIGH_RAM_START, type Range } from './layout.ts';

const BOOT_PARAMS_SIZE = 4096;
const TWO_32 = 2 ** 32;

/** Offsets outside the setup header. */
const BOOT_PARAMS = {
  /** screen_info.ext_mem_k, KiB above 1 MiB as int 15h/88h gives them, a word. */
  ext_mem_k: 0x002,
  acpi_rsdp_addr: 0x070,
  ext_ramdisk_image: 0x0c0,
  ext_ramdisk_size: 0x0c4,
  ext_cmd_line_ptr: 0x0c8,
  /** KiB above 1 MiB as int 15h/e801h gives them. */
  alt_mem_k: 0x1e0,
  e820_entries: 0x1e8,
  /** 20 bytes each: address 8, size 8, type 4. */
  e820_table: 0x2d0,
} as const;

const E820_ENTRY_SIZE = 20;
/** int 15h/88h counts up to 63 MiB. */
const EXT_MEM_K_LIMIT = 0xfc00;
/** type_of_loader: a loader without an assigned number. */
const LOADER_UNDEFINED = 0xff;
/** vid_mode "normal" (vga= on the command line). */
const VID_MODE_NORMAL = 0xffff;

export interface BootParamsInput {
  readonly e820: readonly E820Entry[];
  readonly cmdline: Range;
  readonly initrd: Range | undefined;
  readonly loadAddress: number;
  /** Guest-physical address of the ACPI RSDP. */
  readonly rsdp: number | undefined;
}

/**
 * boot_params for a bzImage: its own setup header up to where that says it ends, then what the loader has to write.
 *
 * screen_info stays zero: there is no video card, and a stub that finds orig_video_lines 0 leaves 0xb8000 alone, as does
 * the kernel's console. loadflags stay as in the file: heap_end_ptr and CAN_USE_HEAP are for the real-mode part, which is
 * neither loaded nor run.
 */
export function bootParamsForBzImage(image: BzImage, input: BootParamsInput): Uint8Array {
  const params = new Uint8Array(BOOT_PARAMS_SIZE);
  params.set(image.bytes.subarray(SETUP_HEADER_START, image.headerEnd), SETUP_HEADER_START);
  if (input.loadAddress < TWO_32) putHeaderField(params, 'code32_start', input.loadAddress);
  fillCommon(params, input);
  return params;
}

/** What startup_64 of a vmlinux looks at: it has no setup header of its own to copy, so a bare one is made up. */
export function bootParamsForElf(input: BootParamsInput, cmdlineSize: number): Uint8Array {
  const params = new Uint8Array(BOOT_PARAMS_SIZE);
  putHeaderField(params, 'boot_flag', BOOT_FLAG);
  putHeaderField(params, 'header', HEADER_MAGIC);
  putHeaderField(params, 'version', 0x20c);
  putHeaderField(params, 'loadflags', LOADED_HIGH);
  putHeaderField(params, 'cmdline_size', cmdlineSize);
  fillCommon(params, input);
  return params;
}

function fillCommon(params: Uint8Array, input: BootParamsInput): void {
  putHeaderField(params, 'type_of_loader', LOADER_UNDEFINED);
  putHeaderField(params, 'vid_mode', VID_MODE_NORMAL);
  putSplit(params, 'cmd_line_ptr', BOOT_PARAMS.ext_cmd_line_ptr, input.cmdline.start);
  putSplit(params, 'ramdisk_image', BOOT_PARAMS.ext_ramdisk_image, input.initrd?.start ?? 0);
  putSplit(params, 'ramdisk_size', BOOT_PARAMS.ext_ramdisk_size, input.initrd?.size ?? 0);
  // Protocol 2.14; before that nobody reads it, and the kernel searches the BIOS area.
  putU64(params, BOOT_PARAMS.acpi_rsdp_addr, BigInt(input.rsdp ?? 0));
  fillMemory(params, input.e820);
}

/** The low half of an address has a field in the header, the high half one outside it (protocol 2.12). */
function putSplit(
  params: Uint8Array,
  low: 'cmd_line_ptr' | 'ramdisk_image' | 'ramdisk_size',
  high: number,
  value: number,
): void {
  putHeaderField(params, low, value % TWO_32);
  putU32(params, high, Math.floor(value / TWO_32));
}

function fillMemory(params: Uint8Array, e820: readonly E820Entry[]): void {
  params[BOOT_PARAMS.e820_entries] = e820.length;
  for (const [index, { start, size, type }] of e820.entries()) {
    const at = BOOT_PARAMS.e820_table + index * E820_ENTRY_SIZE;
    putU64(params, at, BigInt(start));
    putU64(params, at + 8, BigInt(size));
    putU32(params, at + 16, type);
  }
  const high = e820.find((e) => e.type === E820_RAM && endOf(e) > HIGH_MEMORY_START && e.start < HIGH_RAM_START);
  const kib = high === undefined ? 0 : (endOf(high) - HIGH_MEMORY_START) / KIB;
  putU16(params, BOOT_PARAMS.ext_mem_k, Math.min(kib, EXT_MEM_K_LIMIT));
  putU32(params, BOOT_PARAMS.alt_mem_k, kib);
}
