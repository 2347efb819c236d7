// The audit of a program that is no Linux kernel: what its headers promise loaders, held against the file. Its code is not
// judged: the rules about code are about boot stubs, which run elsewhere than they are linked, and about Linux.
import { InputError } from '../bits/errors.ts';
import { hex } from '../bits/hex.ts';
import type { FileIdentity } from '../image/classify.ts';
import { type Elf32Image, parseElf32 } from '../image/elf32.ts';
import { type ElfImage, isElf, parseElf } from '../image/elf.ts';
import { findMultibootHeader, hasMultibootHeader } from '../image/multiboot.ts';
import { pvhEntryOf } from '../image/pvhNote.ts';
import { type BeforePaging, beforePaging } from './beforePaging.ts';
import { split } from './report.ts';
import type { AuditReport, Finding, RuleId } from './types.ts';

const FOUR_GIB = 2 ** 32;
const NOT_CODE =
  'its headers were looked at, and not its code: the audit knows the code of boot stubs and of Linux kernels';

/** @param identity of a Multiboot or PVH file */
export function auditProgram(bytes: Uint8Array, identity: FileIdentity): AuditReport {
  const findings = programFindings(bytes, identity);
  const followed = findings.length === 0 ? followed32(bytes, identity) : undefined;
  const tags = identity.kind === 'multiboot2' ? ' (the tags of its Multiboot 2 header were not)' : '';
  return {
    kind: 'program',
    size: bytes.length,
    what: `${identity.what.replace(/^an? /, '')}; ${followed === undefined ? NOT_CODE : BEFORE_PAGING}${tags}`,
    ...split([...findings, ...(followed?.findings ?? [])]),
    ...(followed === undefined
      ? {}
      : { coverage: { followed: { 16: 0, 32: followed.instructions, 64: 0 }, swept: 0, constants: 0, dataWords: 0 } }),
  };
}

const BEFORE_PAGING =
  'its headers were looked at, and of its code what certainly runs before paging is on, because it is linked high and loaded low';

/** The way from the entry point to paging, of an ELF file that Multiboot or PVH enters with paging off. */
function followed32(bytes: Uint8Array, { kind, bits }: FileIdentity): BeforePaging | undefined {
  if (!isElf(bytes) || (kind !== 'multiboot' && kind !== 'pvh')) return undefined;
  if (kind === 'multiboot' && findMultibootHeader(bytes)?.load !== undefined) return undefined;
  const { segments, entryPhysical } = bits === 32 ? parseElf32(bytes) : parseElf(bytes);
  const entry = kind === 'pvh' ? pvhEntryOf(bytes) : entryPhysical;
  return entry === undefined ? undefined : beforePaging(bytes, segments, entry);
}

/** Findings of the headers alone, of an ELF file of either class or a flat Multiboot image. */
export function programFindings(bytes: Uint8Array, { kind, bits }: FileIdentity): Finding[] {
  const problems: Finding[] = [];
  const attempt = <T>(rule: RuleId, reason: string, read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof InputError)) throw error;
      problems.push(finding(rule, error.message, reason));
      return undefined;
    }
  };
  const load =
    kind === 'multiboot' ? attempt('image-entry', MULTIBOOT, () => findMultibootHeader(bytes)?.load) : undefined;
  // Where the Multiboot header has addresses of its own, the ELF header is not read (3.1.3).
  if (!isElf(bytes) || load !== undefined) return problems;
  const image = attempt('elf-layout', ELF, () => (bits === 32 ? parseElf32(bytes) : parseElf(bytes)));
  return image === undefined ? problems : [...problems, ...reachFindings(image, kind), ...pvhFindings(image)];
}

const MULTIBOOT =
  'Loaders read this header first, and refuse the file or load it wrongly (Multiboot Specification, 3.1).';
const ELF = 'Loaders place a program by its program headers and enter it at e_entry.';
const PVH = 'Loaders that enter by PVH jump to the address in the note XEN_ELFNOTE_PHYS32_ENTRY, with paging off.';

/** Multiboot and PVH enter with paging off: nothing above 4 GiB can be reached. */
function reachFindings({ segments }: ElfImage | Elf32Image, kind: FileIdentity['kind']): Finding[] {
  const high = segments.find(({ physAddr, memSize }) => physAddr + memSize > FOUR_GIB);
  if (high === undefined || kind === 'vmlinux') return [];
  const message = `the segment at ${hex(high.physAddr)} ends at ${hex(high.physAddr + high.memSize)}, above 4 GiB`;
  return [finding('elf-layout', message, 'The program is entered in 32-bit mode, and loaded below 4 GiB.')];
}

function pvhFindings({ bytes, segments }: ElfImage | Elf32Image): Finding[] {
  const entry = pvhEntryOf(bytes);
  if (entry === undefined) return [];
  if (segments.some((s) => entry >= s.physAddr && entry < s.physAddr + s.memSize)) return [];
  const only = hasMultibootHeader(bytes) ? ' Its Multiboot header names another entry.' : '';
  return [finding('image-entry', `the PVH entry point ${hex(entry)} lies in no loaded segment`, `${PVH}${only}`)];
}

const finding = (rule: RuleId, problem: string, reason: string): Finding => ({
  ...{ rule, severity: 'error', confidence: 'high', reason },
  message: `${problem.slice(0, 1).toUpperCase()}${problem.slice(1)}.`,
});
