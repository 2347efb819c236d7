// How the relocation of a constant reads: from the .rela sections that --emit-relocs left, or from the appended table.
import { readerOf } from '../../bits/cursor.ts';
import { hex } from '../../bits/hex.ts';
import { cString } from '../../bits/text.ts';
import { SHT_SYMTAB, sectionBytes } from '../../image/elf.ts';
import { emittedRelocation } from '../../image/kernelRelocs.ts';
import { relocationText as typeText } from '../../image/relocationTypes.ts';
import type { KernelFile } from './layout.ts';
import type { Constant } from './values.ts';

const SYMBOL_SIZE = 24;
const LONGEST_NAME = 4096;

/** "R_X86_64_32S, of early_top_pgt+0x18"; undefined where neither source has one. */
export function relocationText(
  kernel: KernelFile,
  constant: Constant,
  covered: boolean | undefined,
): string | undefined {
  const file = readerOf(kernel.bytes, 'the ELF file');
  const emitted = emittedRelocation(file, constant.address);
  if (emitted !== undefined) {
    const name = symbolName(kernel, emitted.symbol);
    const sign = emitted.addend < 0n ? '-' : '+';
    const size = emitted.addend < 0n ? -emitted.addend : emitted.addend;
    return `${typeText(emitted.type)}, of ${name ?? `symbol ${emitted.symbol}`}${size === 0n ? '' : `${sign}${hex(size)}`}`;
  }
  return covered === true
    ? `${constant.bytes === 8 ? 'R_X86_64_64' : 'R_X86_64_32S'}, by the appended table`
    : undefined;
}

function symbolName(kernel: KernelFile, index: number): string | undefined {
  const table = kernel.sections.find((s) => s.type === SHT_SYMTAB);
  const strings = table === undefined ? undefined : kernel.sections[table.link];
  if (table === undefined || strings === undefined || (index + 1) * SYMBOL_SIZE > table.size) return undefined;
  const file = readerOf(kernel.bytes, 'the ELF file');
  const entry = readerOf(sectionBytes(file, table), 'the symbol table');
  const at = index * SYMBOL_SIZE;
  const section = (entry.u8(at + 4) & 0xf) === STT_SECTION ? kernel.sections[entry.u16(at + 6)] : undefined;
  return section?.name ?? cString(sectionBytes(file, strings), entry.u32(at), LONGEST_NAME);
}

const STT_SECTION = 3;
