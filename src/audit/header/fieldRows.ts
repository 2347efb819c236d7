// The fields of the setup header by themselves and against each other, in the order of the header
// (Documentation/arch/x86/boot.rst, "Details of Header Fields"). Fields without a row hold any value: root_flags,
// root_dev and setup_move_size are deprecated or unused since 2.02.
import { hex } from '../../bits/hex.ts';
import { MIB } from '../../bits/sizes.ts';
import {
  ENTRY_64_OFFSET,
  JUMP_BASE,
  KASLR_FLAG,
  LOADED_HIGH,
  QUIET_FLAG,
  type SetupHeaderField,
  XLF_5LEVEL,
  XLF_5LEVEL_ENABLED,
  XLF_CAN_BE_LOADED_ABOVE_4G,
  XLF_EFI_HANDOVER_32,
  XLF_EFI_HANDOVER_64,
  XLF_EFI_KEXEC,
  XLF_KERNEL_64,
} from '../../image/setup-header.ts';
import type { HeaderFacts } from './facts.ts';
import { type FieldRow, isPowerOfTwo, when } from './row.ts';

/** A PMD maps 2 MiB, and the 64-bit kernel's own mapping is made of those (MIN_KERNEL_ALIGN). */
const LEAST_ALIGNMENT_64 = 2 * MIB;
const LEAST_ALIGNMENT_LOG_64 = 21;
/** "range 0x200000 0x1000000 if X86_64" of CONFIG_PHYSICAL_ALIGN. */
const MOST_ALIGNMENT = 16 * MIB;
const BZIMAGE_START = 0x100000;
/** KERNEL_IMAGE_SIZE with KASLR. */
const MOST_KERNEL_MEMORY = 1024 * MIB;
/** What 32-bit kernels used to say; otherwise it is 0x7fffffff. */
const LEAST_INITRD_MAX = 0x37ffffff;
/** The kernel itself sets it at run time for its second half (mem_encrypt=on). */
const XLF_MEM_ENCRYPTION = 1 << 7;
const KNOWN_XLOADFLAGS = 0xff;
const MAX_PHYS_ADDR = 2n ** 52n;
const HANDOVER_BITS = XLF_EFI_HANDOVER_32 | XLF_EFI_HANDOVER_64;

/** A field that the loader fills, and that is 0 in every file a kernel build makes. */
const loaderFills = (field: SetupHeaderField, severity: 'error' | 'warning', consequence: string): FieldRow => ({
  field,
  severity,
  confidence: 'high',
  problem: ({ header }) =>
    when(BigInt(header[field]) !== 0n, `${field} is ${hex(header[field])} in the file, where it must be 0`),
  reason: `The boot loader writes this field ("write" in the protocol). ${consequence}`,
});

const flag = (facts: HeaderFacts, bit: number): boolean => (facts.header.xloadflags & bit) !== 0;

/** A rule about xloadflags: wrong where `wrong` says so. */
const loadFlag = (
  severity: 'error' | 'warning' | 'note',
  wrong: (facts: HeaderFacts) => boolean,
  message: string,
  reason: string,
): FieldRow => ({
  field: 'xloadflags',
  everyImage: true,
  severity,
  confidence: severity === 'note' ? 'medium' : 'high',
  problem: (facts) => when(wrong(facts), message),
  reason,
});

export const FIELD_ROWS: readonly FieldRow[] = [
  {
    field: 'ram_size',
    severity: 'note',
    confidence: 'high',
    problem: ({ header }) =>
      when(header.ram_size !== 0, `ram_size is ${hex(header.ram_size)}; it is obsolete and 0 in kernels`),
    reason: 'No kernel reads the field any more. Something wrote into the boot sector after the build.',
  },
  {
    field: 'vid_mode',
    severity: 'note',
    confidence: 'high',
    problem: ({ header }) =>
      when(header.vid_mode < 0xfffd, `vid_mode is ${hex(header.vid_mode)}: the kernel will ask for that video mode`),
    reason: '0xffff, 0xfffe and 0xfffd are "normal", "extended" and "ask"; others are modes, set by rdev or the build.',
  },
  {
    field: 'realmode_swtch',
    severity: 'warning',
    confidence: 'high',
    problem: ({ header }) =>
      when(
        header.realmode_swtch !== 0,
        `realmode_swtch is ${hex(header.realmode_swtch)}: the setup code will call that address before it leaves real mode`,
      ),
    reason: 'Only a loader sets this hook, for itself; in a file nothing can lie at that address.',
  },
  {
    field: 'start_sys_seg',
    severity: 'note',
    confidence: 'high',
    problem: ({ header }) =>
      when(
        header.start_sys_seg !== 0x1000 && header.start_sys_seg !== 0,
        `start_sys_seg is ${hex(header.start_sys_seg)}, where kernels have 0x1000`,
      ),
    reason: 'The field is obsolete and nothing reads it; something wrote into the header after the build.',
  },
  {
    field: 'kernel_version',
    severity: 'warning',
    confidence: 'high',
    problem: ({ header, version }) =>
      when(
        header.kernel_version !== 0 && version === undefined,
        `kernel_version points to ${hex(header.kernel_version + 0x200)}, where no version string lies within the setup part`,
      ),
    reason: 'The field plus 0x200 is the file offset of a text with a zero at its end, inside the setup part.',
  },
  loaderFills('type_of_loader', 'warning', 'The kernel would believe that this loader had started it.'),
  {
    field: 'loadflags',
    severity: 'warning',
    confidence: 'high',
    problem: ({ header }) =>
      when(
        (header.loadflags & ~(LOADED_HIGH | QUIET_FLAG)) !== 0,
        `loadflags is ${hex(header.loadflags)}: bits other than LOADED_HIGH are set in the file`,
      ),
    reason: `CAN_USE_HEAP and KEEP_SEGMENTS are the loader's to set, KASLR_FLAG (${hex(KASLR_FLAG)}) is the stub's, and bits 2 to 4 are reserved.`,
  },
  {
    field: 'code32_start',
    severity: 'warning',
    confidence: 'high',
    problem: ({ header }) =>
      when(
        header.code32_start !== BZIMAGE_START,
        `code32_start is ${hex(header.code32_start)}; a bzImage says ${hex(BZIMAGE_START)}`,
      ),
    reason: 'It is where the setup code jumps to in protected mode, and a loader that moves nothing loads to 1 MiB.',
  },
  loaderFills(
    'ramdisk_image',
    'warning',
    'A loader without an initrd may leave it, and the kernel would look for one there.',
  ),
  loaderFills('ramdisk_size', 'warning', 'A loader without an initrd may leave it, and the kernel would look for one.'),
  {
    field: 'bootsect_kludge',
    severity: 'note',
    confidence: 'high',
    problem: ({ header }) =>
      when(
        header.bootsect_kludge !== 0,
        `bootsect_kludge is ${hex(header.bootsect_kludge)}; it is obsolete and 0 in kernels`,
      ),
    reason: 'No kernel reads the field any more; something wrote into the header after the build.',
  },
  {
    field: 'heap_end_ptr',
    severity: 'warning',
    confidence: 'medium',
    problem: ({ header }) =>
      when(
        header.heap_end_ptr + 0x200 < JUMP_BASE + (header.jump >> 8),
        `heap_end_ptr is ${hex(header.heap_end_ptr)}, so heap and stack of the setup code would end inside the setup header`,
      ),
    reason:
      'The field plus 0x200 is the end of the real-mode heap and stack. Loaders that set CAN_USE_HEAP write their own.',
  },
  loaderFills('ext_loader_ver', 'warning', 'The kernel would report a loader that did not start it.'),
  loaderFills('ext_loader_type', 'warning', 'The kernel would report a loader that did not start it.'),
  loaderFills(
    'cmd_line_ptr',
    'warning',
    'A loader without a command line may leave it, and the kernel would read one there.',
  ),
  {
    field: 'initrd_addr_max',
    severity: 'warning',
    confidence: 'high',
    problem: ({ header: { initrd_addr_max: max } }) =>
      when(
        max < LEAST_INITRD_MAX || max % 0x1000 !== 0xfff,
        `initrd_addr_max is ${hex(max)}; kernels say 0x7fffffff, old and 32-bit ones ${hex(LEAST_INITRD_MAX)}`,
      ),
    reason: 'It is the last byte an initrd may occupy, so it ends a page, and loaders place the initrd right below it.',
  },
  {
    field: 'kernel_alignment',
    severity: 'error',
    confidence: 'high',
    problem: alignmentProblem,
    reason:
      'The stub aligns the place where the kernel runs to this number by masking, and a 64-bit kernel maps itself with 2 MiB pages.',
  },
  {
    field: 'kernel_alignment',
    severity: 'warning',
    confidence: 'medium',
    problem: ({ header }) =>
      when(
        isPowerOfTwo(header.kernel_alignment) && header.kernel_alignment > MOST_ALIGNMENT,
        `kernel_alignment is ${hex(header.kernel_alignment)}, more than the 16 MiB that CONFIG_PHYSICAL_ALIGN can be`,
      ),
    reason: 'The kernel configuration bounds the value.',
  },
  {
    field: 'relocatable_kernel',
    severity: 'warning',
    confidence: 'high',
    problem: ({ header }) =>
      when(header.relocatable_kernel > 1, `relocatable_kernel is ${hex(header.relocatable_kernel)}, neither 0 nor 1`),
    reason: 'The field is a truth value, and builds write 0 or 1.',
  },
  {
    field: 'min_alignment',
    severity: 'error',
    confidence: 'high',
    problem: minAlignmentProblem,
    reason:
      'Loaders fall back to 2^min_alignment when they cannot align to kernel_alignment; a 64-bit kernel cannot run at less than 2 MiB (21).',
  },
  loadFlag(
    'error',
    (f) => flag(f, XLF_CAN_BE_LOADED_ABOVE_4G) && !f.is64Bit,
    'xloadflags has CAN_BE_LOADED_ABOVE_4G without KERNEL_64',
    'Code loaded above 4 GiB can only be entered in 64-bit mode, at 0x200, which KERNEL_64 promises.',
  ),
  loadFlag(
    'error',
    (f) => flag(f, XLF_CAN_BE_LOADED_ABOVE_4G) && f.header.relocatable_kernel === 0,
    'xloadflags has CAN_BE_LOADED_ABOVE_4G, but relocatable_kernel is 0',
    'A kernel that is not relocatable runs at its preferred address, which lies below 4 GiB.',
  ),
  loadFlag(
    'error',
    (f) => flag(f, XLF_5LEVEL_ENABLED) && !flag(f, XLF_5LEVEL),
    'xloadflags has 5LEVEL_ENABLED without 5LEVEL',
    'A kernel that runs with five levels of page tables has the code to be entered with them; header.S sets both bits or the first alone.',
  ),
  loadFlag(
    'error',
    (f) => flag(f, XLF_5LEVEL) && !f.is64Bit,
    'xloadflags has 5LEVEL without KERNEL_64',
    'Only 64-bit mode has five levels of page tables.',
  ),
  loadFlag(
    'error',
    (f) => flag(f, XLF_EFI_HANDOVER_64) && !f.is64Bit,
    'xloadflags has EFI_HANDOVER_64 without KERNEL_64',
    'The 64-bit handover entry lies in a 64-bit kernel.',
  ),
  loadFlag(
    'warning',
    (f) => flag(f, XLF_EFI_KEXEC) && !f.is64Bit,
    'xloadflags has EFI_KEXEC without KERNEL_64',
    'Builds set this bit for 64-bit kernels only.',
  ),
  loadFlag(
    'warning',
    (f) => flag(f, XLF_MEM_ENCRYPTION),
    'xloadflags has MEM_ENCRYPTION in the file',
    "The stub sets this bit at run time, when mem_encrypt=on is on the command line; in the file it would turn the kernel's memory encryption on where the processor has it.",
  ),
  loadFlag(
    'warning',
    (f) => (f.header.xloadflags & ~KNOWN_XLOADFLAGS) !== 0,
    'xloadflags has bits that no known protocol defines',
    'Bits 0 to 7 are defined; builds leave the others 0.',
  ),
  {
    field: 'xloadflags',
    everyImage: true,
    severity: 'error',
    confidence: 'high',
    problem: entryProblem,
    reason: 'KERNEL_64 promises that 64-bit code is entered 0x200 bytes into the protected-mode part.',
  },
  {
    field: 'cmdline_size',
    severity: 'warning',
    confidence: 'high',
    problem: ({ header: { cmdline_size: size } }) =>
      when(
        size < 255 || size > 0xffff,
        `cmdline_size is ${size}; the protocol has 255 as the least, and kernels say 2047`,
      ),
    reason: 'Loaders cut the command line to this many characters, or refuse one that is longer.',
  },
  loaderFills('hardware_subarch', 'warning', 'Any number but 0 makes the kernel believe in other hardware than a PC.'),
  loaderFills(
    'hardware_subarch_data',
    'warning',
    'The kernel takes it as an address of data that such hardware needs.',
  ),
  loaderFills(
    'setup_data',
    'error',
    'The kernel follows this list, before it prints anything, through memory nobody filled.',
  ),
  {
    field: 'pref_address',
    severity: 'error',
    confidence: 'high',
    problem: preferredProblem,
    reason:
      'The kernel is linked to run at this address (LOAD_PHYSICAL_ADDR), which is CONFIG_PHYSICAL_START aligned up.',
  },
  {
    field: 'init_size',
    severity: 'warning',
    confidence: 'medium',
    problem: ({ header }) =>
      when(
        header.init_size > MOST_KERNEL_MEMORY,
        `init_size is ${hex(header.init_size)}: loaders must find more than 1 GiB in one piece`,
      ),
    reason: 'The kernel image has at most 1 GiB of addresses (KERNEL_IMAGE_SIZE).',
  },
  {
    field: 'handover_offset',
    severity: 'error',
    confidence: 'high',
    problem: handoverProblem,
    reason:
      'The EFI handover entry lies at handover_offset in the protected-mode part, the 64-bit one 0x200 bytes after that; xloadflags says which there are.',
  },
];

function alignmentProblem({ header, is64Bit }: HeaderFacts): string | undefined {
  const alignment = header.kernel_alignment;
  if (!isPowerOfTwo(alignment)) return `kernel_alignment is ${hex(alignment)}, not a power of two`;
  return when(
    is64Bit && alignment < LEAST_ALIGNMENT_64,
    `kernel_alignment is ${hex(alignment)}, less than the 2 MiB a 64-bit kernel needs`,
  );
}

function minAlignmentProblem({ header, is64Bit }: HeaderFacts): string | undefined {
  const { min_alignment: log, kernel_alignment: alignment } = header;
  if (!isPowerOfTwo(alignment)) return undefined;
  if (log > Math.log2(alignment)) {
    return `min_alignment is ${log}, so the least alignment (2^${log}) is more than kernel_alignment (${hex(alignment)})`;
  }
  return when(
    is64Bit && log < LEAST_ALIGNMENT_LOG_64,
    `min_alignment is ${log}, but a 64-bit kernel needs 2 MiB (2^${LEAST_ALIGNMENT_LOG_64})`,
  );
}

function entryProblem(facts: HeaderFacts): string | undefined {
  if (!flag(facts, XLF_KERNEL_64)) return undefined;
  const { part, bytes, header } = facts;
  if (part.size < ENTRY_64_OFFSET + 16) {
    return `xloadflags promises a 64-bit entry at ${hex(ENTRY_64_OFFSET)}, but the protected-mode part has ${hex(part.size)} bytes`;
  }
  if (header.payload_length > 0 && header.payload_offset < ENTRY_64_OFFSET) return undefined;
  const at = part.fileOffset + ENTRY_64_OFFSET;
  const first = bytes[at];
  const filled = bytes.subarray(at, at + 16).every((byte) => byte === first);
  return when(
    filled && (first === 0 || first === 0xff || first === 0xcc),
    `xloadflags promises a 64-bit entry at ${hex(ENTRY_64_OFFSET)}, but there is no code, only bytes ${hex(first ?? 0, 2)}`,
  );
}

function preferredProblem({ header, is64Bit }: HeaderFacts): string | undefined {
  const { pref_address: address, kernel_alignment: alignment } = header;
  if (address < BZIMAGE_START) return `pref_address is ${hex(address)}, below 1 MiB`;
  if (address >= (is64Bit ? MAX_PHYS_ADDR : 2n ** 32n)) {
    return `pref_address is ${hex(address)}, beyond any address this kernel can run at`;
  }
  return when(
    isPowerOfTwo(alignment) && address % BigInt(alignment) !== 0n,
    `pref_address is ${hex(address)}, not a multiple of kernel_alignment (${hex(alignment)})`,
  );
}

/** Before protocol 2.12 there are no bits that say which entries exist. */
function handoverProblem({ header, part, payload }: HeaderFacts): string | undefined {
  const { handover_offset: offset, xloadflags } = header;
  const bits = header.version >= 0x20c ? xloadflags & HANDOVER_BITS : 0;
  if (offset === 0) return when(bits !== 0, 'xloadflags promises an EFI handover entry, but handover_offset is 0');
  if (header.version >= 0x20c && bits === 0) {
    return `handover_offset is ${hex(offset)}, but xloadflags promises no EFI handover entry`;
  }
  const entry = (xloadflags & XLF_EFI_HANDOVER_64) !== 0 ? offset + 0x200 : offset;
  if (entry >= part.size) {
    return `the EFI handover entry (handover_offset ${hex(offset)}) lies at ${hex(entry)}, beyond the protected-mode part (${hex(part.size)} bytes)`;
  }
  const inPayload =
    payload !== undefined && entry >= header.payload_offset && entry < header.payload_offset + header.payload_length;
  return when(inPayload, `the EFI handover entry (handover_offset ${hex(offset)}) lies inside the payload`);
}
