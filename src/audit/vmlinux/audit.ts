// Audit of a kernel's own ELF file: vmlinux as built, or as unpacked from a bzImage with the relocation table behind it.
//
// Its startup code runs where the kernel was loaded, from a 1:1 map, up to the write of CR3 that installs the mapping the
// rest is linked for. Until then every address must be computed from RIP; a virtual address of the kernel that is
// used as one is a page fault with nobody to say so. Which addresses are used so is found by
// following control flow and values (walk.ts); the relocation table tells what KASLR moves along.
import { kallsyms } from '../../image/kallsyms.ts';
import { ownSymbols, type SymbolTable } from '../../image/symbols.ts';
import type { Coverage, Finding } from '../types.ts';
import { type KernelFile, readKernel } from './layout.ts';
import { layoutFindings } from './layoutFindings.ts';
import { constantsOf, startupFindings, startupNotes } from './startupFindings.ts';
import { followStartup, type StartupCode } from './walk.ts';

export interface VmlinuxAudit {
  readonly what: string;
  /** Errors and warnings. */
  readonly findings: readonly Finding[];
  readonly notes: readonly Finding[];
  readonly coverage: Coverage;
}

/**
 * Audits a kernel's ELF file. Throws an InputError where it is no x86-64 kernel or contradicts itself. Takes time and memory
 * in proportion to the file, which it does not copy.
 * @param symbols of the kernel; without them its own are used: a symbol table, or kallsyms
 */
export function auditVmlinux(bytes: Uint8Array, symbols?: SymbolTable): VmlinuxAudit {
  const kernel = readKernel(bytes);
  const names = { kernel, symbols: symbols ?? ownSymbols(bytes) ?? kallsyms(bytes) };
  const code = kernel.entry === undefined ? NO_CODE : followStartup(kernel, kernel.entry);
  return {
    what: whatOf(kernel),
    findings: [...layoutFindings(kernel), ...startupFindings(names, code)],
    notes: startupNotes(names, code),
    coverage: coverageOf(kernel, code),
  };
}

const NO_CODE: StartupCode = {
  ...{ instructions: [], uses: [], switches: [], left: [], incomplete: false },
};

function whatOf({ relocs, segments }: KernelFile): string {
  const table =
    relocs === undefined
      ? 'without relocation table'
      : `${relocs.from === 'appended' ? 'with an appended relocation table' : 'with .rela sections'} of ${relocs.abs64.length + relocs.abs32.length + relocs.inverse32.length} entries`;
  return `kernel vmlinux, ${segments.length} segments in the kernel mapping, ${table}`;
}

function coverageOf(kernel: KernelFile, code: StartupCode): Coverage {
  return {
    followed: { 16: 0, 32: 0, 64: code.instructions.length },
    swept: 0,
    constants: constantsOf(code, kernel).size,
    dataWords: 0,
  };
}
