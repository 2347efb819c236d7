// What a value of the setup header says, in a few words (Documentation/arch/x86/boot.rst, "Details of Header Fields").

import { hex } from '../bits/hex.ts';
import { protocolText } from '../image/bzimage.ts';
import { JUMP_BASE, type SetupHeaderField } from '../image/setup-header.ts';
import { countText, sizeText } from './numbers.ts';

type Meaning = string | ((value: number) => string);

const BY_LOADER = 'filled by the boot loader';
const bytes = (value: number): string => `${countText(value)} bytes`;

const VIDEO_MODES: Readonly<Record<number, string>> = {
  0xffff: 'normal text mode',
  0xfffe: 'extended text mode (80x50)',
  0xfffd: 'ask at boot',
};
const SUBARCHES = ['a PC', 'lguest', 'Xen', 'Intel MID', 'CE4100 TV platform'];

const MEANINGS: Readonly<Partial<Record<SetupHeaderField, Meaning>>> = {
  setup_sects: (n) =>
    n === 0 ? '4 sectors of setup behind the boot sector' : `${n} sectors of setup behind the boot sector`,
  root_flags: (n) => (n === 0 ? 'root is mounted read-write by default' : 'root is mounted read-only by default'),
  syssize: (n) => `protected-mode part: ${bytes(16 * n)}`,
  ram_size: 'obsolete',
  vid_mode: (n) => VIDEO_MODES[n] ?? 'a video mode',
  root_dev: (n) => (n === 0 ? 'no default root device' : `default root device ${n >> 8}:${n & 0xff}`),
  boot_flag: 'mark of a boot sector',
  jump: (n) => `jump; the header ends at ${hex(JUMP_BASE + (n >> 8))}`,
  header: '"HdrS"',
  version: (n) => `boot protocol ${protocolText(n)}`,
  realmode_swtch: (n) => (n === 0 ? 'no hook' : 'hook before leaving real mode'),
  start_sys_seg: 'obsolete',
  kernel_version: (n) => (n === 0 ? 'no version string' : `version string at ${hex(n + 0x200)} in the file`),
  type_of_loader: BY_LOADER,
  setup_move_size: 'for protocols before 2.02',
  code32_start: '32-bit entry, for a boot loader to change',
  ramdisk_image: BY_LOADER,
  ramdisk_size: BY_LOADER,
  bootsect_kludge: 'obsolete',
  heap_end_ptr: BY_LOADER,
  ext_loader_ver: BY_LOADER,
  ext_loader_type: BY_LOADER,
  cmd_line_ptr: BY_LOADER,
  initrd_addr_max: 'highest address for a byte of the initrd',
  kernel_alignment: sizeText,
  relocatable_kernel: (n) => (n === 0 ? 'runs at one address only' : 'runs at any multiple of kernel_alignment'),
  min_alignment: (n) => (n === 0 ? 'none' : n < 53 ? `at least ${sizeText(2 ** n)}` : 'no possible alignment'),
  cmdline_size: (n) => `most characters of the command line: ${countText(n)}`,
  hardware_subarch: (n) => SUBARCHES[n] ?? 'unknown',
  hardware_subarch_data: BY_LOADER,
  payload_offset: 'in the protected-mode part',
  payload_length: bytes,
  setup_data: BY_LOADER,
  pref_address: (n) => (n === 0 ? 'none' : sizeText(n)),
  init_size: (n) => `memory that the kernel needs from its start on: ${bytes(n)}`,
  handover_offset: (n) =>
    n === 0 ? 'no EFI handover entry' : '32-bit EFI handover entry; the 64-bit one 0x200 behind',
  kernel_info_offset: (n) => (n === 0 ? 'no kernel_info' : 'kernel_info in the protected-mode part'),
};

/** "boot protocol 2.15"; '' for fields of flags, whose bits speak for themselves. */
export function fieldMeaning(name: SetupHeaderField, value: number | bigint): string {
  const meaning = MEANINGS[name] ?? '';
  return typeof meaning === 'string' ? meaning : meaning(Number(value));
}
