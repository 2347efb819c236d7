// What the stub asks of the ELF file of the kernel it unpacks (parse_elf and handle_relocations in
// arch/x86/boot/compressed/misc.c): where one of these does not hold it stops with a message, or goes on to a crash.
import { readerOf } from '../../bits/cursor.ts';
import { hex } from '../../bits/hex.ts';
import { KEEP_PAGE_SIZE } from '../../words/link.ts';
import type { Finding } from '../types.ts';
import { type KernelFile, unsigned } from './layout.ts';

const PT_LOAD = 1;
const PHDR_SIZE = 56;
/** What the stub asks p_align to be a multiple of (MIN_KERNEL_ALIGN). */
const ALIGNMENT = 0x200000n;

export function layoutFindings(kernel: KernelFile): Finding[] {
  return [...alignmentFindings(kernel), ...headerFindings(kernel), ...relocationFindings(kernel)];
}

const found = (message: string, rest: Omit<Finding, 'rule' | 'severity' | 'confidence' | 'message'>): Finding => ({
  ...{ rule: 'elf-layout', severity: 'error', confidence: 'high', message },
  ...rest,
});

function alignmentFindings({ bytes }: KernelFile): Finding[] {
  const file = readerOf(bytes, 'the ELF file');
  const table = file.size64(32, 'e_phoff');
  const headers = Array.from({ length: file.u16(56) }, (_, i) => table + i * PHDR_SIZE);
  return headers.flatMap((at, i) => {
    const align = file.u64(at + 48);
    if (file.u32(at) !== PT_LOAD || file.u64(at + 40) === 0n || (align !== 0n && align % ALIGNMENT === 0n)) return [];
    return found(`Segment ${i} has p_align ${hex(align)}, which is no multiple of 2 MiB.`, {
      reason:
        'The stub checks p_align of each PT_LOAD segment and stops with "Alignment of LOAD segment isn\'t multiple of 2MB".',
      fileOffset: at + 48,
      bytes: file.slice(at + 48, 8),
      text: `p_align = ${hex(align)}`,
      decision: 'The linker takes it from -z max-page-size; its own default for x86-64 is 4 KiB.',
      advice: KEEP_PAGE_SIZE,
    });
  });
}

function headerFindings({ bytes, elf, entry }: KernelFile): Finding[] {
  const list: Finding[] = [];
  if (elf.type !== 'EXEC') {
    list.push({
      ...found('The kernel was linked with -pie or -shared: it is ET_DYN.', {
        reason: 'x86 kernels are linked as ET_EXEC, and moved by a relocation table of their own.',
        ...{ fileOffset: 16, bytes: bytes.subarray(16, 18), text: 'e_type = ET_DYN' },
      }),
      severity: 'warning',
    });
  }
  if (entry === undefined) {
    list.push(
      found(`The entry point ${hex(elf.entry)} lies in no bytes that the file loads.`, {
        reason: 'When the kernel is unpacked, the stub jumps to e_entry (in older kernels to the first byte).',
        ...{ fileOffset: 24, bytes: bytes.subarray(24, 32), text: `e_entry = ${hex(elf.entry)}` },
      }),
    );
  }
  return list;
}

function relocationFindings({ relocs, relocsProblem, elfEnd, start, end }: KernelFile): Finding[] {
  if (relocsProblem !== undefined) {
    const reason =
      'The stub takes the last words of the unpacked file for the table of what to relocate, when KASLR moves the kernel.';
    const message = `${relocsProblem[0]?.toUpperCase()}${relocsProblem.slice(1)}.`;
    return [found(message, { reason, fileOffset: elfEnd, advice: 'Look at how vmlinux.bin.all is put together.' })];
  }
  if (relocs?.from !== 'appended') return [];
  return [relocs.abs64, relocs.inverse32, relocs.abs32].flatMap((list) => {
    const [lowest, highest] = [list[0] ?? start, list.at(-1) ?? start];
    const outside = lowest < start ? lowest : highest > end ? highest : undefined;
    if (outside === undefined) return [];
    return found(`The relocation table names ${hex(unsigned(outside))}, which lies outside the kernel.`, {
      reason: 'The stub stops with "relocation outside of kernel!" at such an entry, when KASLR moves the kernel.',
      fileOffset: elfEnd,
      linkAddress: unsigned(outside),
    });
  });
}
