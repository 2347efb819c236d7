// The bits of the setup header's two fields of flags (Documentation/arch/x86/boot.rst, loadflags and xloadflags).
import type { SetupHeaderField } from '../image/setup-header.ts';

export type FlagRow = {
  readonly bit: number;
  readonly name: string;
  /** What it says when it is set, after the name. */
  readonly meaning: string;
};

const FLAGS: Readonly<Partial<Record<SetupHeaderField, readonly FlagRow[]>>> = {
  loadflags: [
    { bit: 0, name: 'LOADED_HIGH', meaning: 'the protected-mode part is loaded at 1 MiB or above' },
    { bit: 1, name: 'KASLR_FLAG', meaning: 'set by the stub for the kernel: KASLR is on' },
    { bit: 5, name: 'QUIET_FLAG', meaning: 'the stub prints nothing but errors' },
    { bit: 6, name: 'KEEP_SEGMENTS', meaning: 'obsolete: segment registers are not reloaded at the 32-bit entry' },
    { bit: 7, name: 'CAN_USE_HEAP', meaning: 'set by the boot loader: heap_end_ptr is valid' },
  ],
  xloadflags: [
    { bit: 0, name: 'XLF_KERNEL_64', meaning: 'has the 64-bit entry at 0x200' },
    {
      bit: 1,
      name: 'XLF_CAN_BE_LOADED_ABOVE_4G',
      meaning: 'kernel, boot_params, command line and initrd may be above 4 GiB',
    },
    { bit: 2, name: 'XLF_EFI_HANDOVER_32', meaning: 'has the 32-bit EFI handover entry' },
    { bit: 3, name: 'XLF_EFI_HANDOVER_64', meaning: 'has the 64-bit EFI handover entry' },
    { bit: 4, name: 'XLF_EFI_KEXEC', meaning: 'can be started by kexec with EFI runtime services' },
    { bit: 5, name: 'XLF_5LEVEL', meaning: 'the stub knows 5-level paging' },
    { bit: 6, name: 'XLF_5LEVEL_ENABLED', meaning: 'the kernel can use 5-level paging' },
    { bit: 7, name: 'XLF_MEM_ENCRYPTION', meaning: 'set by the stub for the kernel: mem_encrypt=on' },
  ],
};

/** Names of the bits that are set, in their order; "bit 9" for one without a name; undefined for a field of no flags. */
export function flagNames(field: SetupHeaderField, value: number): string[] | undefined {
  const rows = FLAGS[field];
  if (rows === undefined) return undefined;
  const bits = Array.from({ length: 16 }, (_, bit) => bit).filter((bit) => (value >> bit) & 1);
  return bits.map((bit) => rows.find((row) => row.bit === bit)?.name ?? `bit ${bit}`);
}

/** What the bit of that name says. */
export function flagMeaning(field: SetupHeaderField, name: string): string {
  return FLAGS[field]?.find((row) => row.name === name)?.meaning ?? 'unknown';
}
