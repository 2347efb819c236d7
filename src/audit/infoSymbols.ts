// Symbols that tell where what is: the ones people look for first in a System.map.
import type { ListedSymbol } from '../image/nm.ts';

const KEY_NAMES: ReadonlySet<string> = new Set([
  // Of a kernel.
  '_text',
  'startup_64',
  'secondary_startup_64',
  '_stext',
  '_etext',
  '__start_rodata',
  'linux_banner',
  '_sdata',
  '_edata',
  '__init_begin',
  'start_kernel',
  'x86_64_start_kernel',
  '__init_end',
  '__bss_start',
  '_end',
  // Of a stub.
  'startup_32',
  'efi_pe_entry',
  'efi64_stub_entry',
  'efi_stub_entry',
  'extract_kernel',
  'paging_prepare',
  'configure_5level_paging',
  'trampoline_32bit_src',
  'input_data',
]);

/** Those of them that there are, by address. */
export const keySymbols = (list: readonly ListedSymbol[]): ListedSymbol[] =>
  list.filter(({ name }) => KEY_NAMES.has(name));
