// What an ELF file is. First by what it says of itself (processor, type, headers of boot protocols, a kernel's banner), then by
// what only programs have that run under a kernel.
import { inside, viewOf } from '../bits/cursor.ts';
import { InputError } from '../bits/errors.ts';
import { hex } from '../bits/hex.ts';
import { findBanner } from './banner.ts';
import type { FileIdentity } from './classify.ts';
import type { ElfHead } from './elfHead.ts';
import { elfMachineName } from './foreign.ts';
import { isSystemdStub } from './systemdStub.ts';
import { hasMultibootHeader, multibootHeaderBehindLimit } from './multiboot.ts';
import { hasMultiboot2Header } from './multiboot2.ts';
import { listSymbols } from './nm.ts';
import { pvhEntryOf, pvhTrouble } from './pvhNote.ts';

const EM_386 = 3;
const EM_X86_64 = 62;
const ET_REL = 1;
const ET_EXEC = 2;
const ET_DYN = 3;
const ET_CORE = 4;
const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const PT_INTERP = 3;
const PT_NOTE = 4;
const DT_NEEDED = 1n;
const DT_SONAME = 14n;
const ELFOSABI_GNU = 3;
/** Entries of a dynamic section looked at. */
const MOST_DYNAMIC = 1000;

/** @param head of the same bytes */
export function classifyElf(bytes: Uint8Array, head: ElfHead): FileIdentity {
  const { machine, type, bigEndian } = head;
  const processor = elfMachineName(machine) + (machine === EM_X86_64 && !head.wide ? ' (32-bit ELF file)' : '');
  if (machine !== EM_386 && machine !== EM_X86_64) {
    const order = bigEndian ? ' (big-endian)' : '';
    return { kind: 'other', what: `${foreignWhat(bytes, type)} for ${processor}${order}` };
  }
  const bits = head.wide ? 64 : 32;
  // The reader says what is wrong with such a header.
  if (bigEndian || (machine === EM_386 && head.wide)) return { kind: 'elf', what: 'an ELF file', bits };
  if (type === ET_REL) return relocatable(head, processor, bits);
  if (type === ET_CORE) return { kind: 'other', what: `a core dump (ET_CORE) of ${processor}` };
  if (type !== ET_EXEC && type !== ET_DYN) return { kind: 'elf', what: 'an ELF file', bits };
  return { ...executable(bytes, head, processor), bits };
}

function foreignWhat(bytes: Uint8Array, type: number): string {
  if (type === ET_REL) return 'an ELF object file';
  return findBanner(bytes) === undefined ? 'an ELF file' : 'a Linux kernel (vmlinux)';
}

function relocatable({ sectionNames }: ElfHead, processor: string, bits: 32 | 64): FileIdentity {
  const isModule = sectionNames.has('.modinfo') || sectionNames.has('.gnu.linkonce.this_module');
  if (['.modname', '.moddeps', '.module_license'].some((name) => sectionNames.has(name))) {
    return { kind: 'module', what: `a GRUB module or kernel for ${processor}, never linked (ET_REL)`, bits };
  }
  return isModule
    ? { kind: 'module', what: `a kernel module (.ko) for ${processor}`, bits }
    : { kind: 'object', what: `an object file for ${processor}, never linked (ET_REL)`, bits };
}

type Kind = Omit<FileIdentity, 'bits'>;

function executable(bytes: Uint8Array, head: ElfHead, processor: string): Kind {
  if (hasMultibootHeader(bytes)) return { kind: 'multiboot', what: `a Multiboot ELF file for ${processor}` };
  if (isLinux(bytes, head)) return { kind: 'vmlinux', what: `a Linux kernel's ELF file (vmlinux) for ${processor}` };
  if (pvhEntryOf(bytes) !== undefined) return { kind: 'pvh', what: `an ELF file for ${processor} with a PVH entry` };
  if (hasMultiboot2Header(bytes)) return { kind: 'multiboot2', what: `a Multiboot 2 kernel for ${processor}` };
  if (isStub(bytes, head)) {
    return { kind: 'stub', what: `the ELF file of a boot stub (arch/x86/boot/compressed/vmlinux) for ${processor}` };
  }
  return userProgram(bytes, head, processor) ?? efiProgram(bytes, head, processor) ?? bare(bytes, processor);
}

/** Where kernels are linked: __START_KERNEL_map for 64 bits; PAGE_OFFSET of any VMSPLIT for 32. */
const KERNEL_MAP = 0xffff_ffff_8000_0000n;
const LEAST_PAGE_OFFSET = 0x4000_0000n;

/** Linked where kernels are, and with what it says on the console first, or a symbol that every Linux kernel has. */
function isLinux(bytes: Uint8Array, { programHeaders, wide }: ElfHead): boolean {
  const from = wide ? KERNEL_MAP : LEAST_PAGE_OFFSET;
  if (!programHeaders.some(({ type, virtAddr }) => type === PT_LOAD && virtAddr >= from)) return false;
  return findBanner(bytes) !== undefined || (wide && hasSymbol(bytes, ['start_kernel', 'startup_64']));
}

/** A kernel in it, or an entry of a name that only stubs have. */
const isStub = (bytes: Uint8Array, { sectionNames, programHeaders, wide }: ElfHead): boolean =>
  sectionNames.has('.rodata..compressed') ||
  (wide && programHeaders.every(({ virtAddr }) => virtAddr < LEAST_PAGE_OFFSET) && hasSymbol(bytes, STUB_SYMBOLS));

const STUB_SYMBOLS = ['startup_32', 'startup_64', 'efi32_stub_entry', 'efi64_stub_entry'];

function hasSymbol(bytes: Uint8Array, names: readonly string[]): boolean {
  try {
    return (listSymbols(bytes) ?? []).some(({ name }) => names.includes(name));
  } catch (error) {
    // A symbol table that cannot be read names nothing.
    if (error instanceof InputError) return false;
    throw error;
  }
}

/** What an interpreter, a C library or a language's run time leaves in a file that runs under a kernel. */
function userProgram(bytes: Uint8Array, head: ElfHead, processor: string): Kind | undefined {
  const { needed, named } = dynamicTags(bytes, head);
  const interpreted = head.programHeaders.some(({ type }) => type === PT_INTERP);
  if (head.type === ET_DYN && (named || (needed && !interpreted))) {
    return { kind: 'other', what: `a shared object (.so) for ${processor}` };
  }
  const dynamic = interpreted || needed;
  const hosted = head.abi === ELFOSABI_GNU || HOSTED.some((name) => head.sectionNames.has(name));
  if (!dynamic && !hosted && !hasAbiTag(bytes, head)) return undefined;
  return {
    kind: 'other',
    what: `a ${dynamic ? 'dynamically' : 'statically'} linked program for ${processor}, which runs under a kernel`,
  };
}

/** Sections of glibc's and Go's static programs. */
const HOSTED = ['.note.ABI-tag', '.note.go.buildid', '.go.buildinfo', '__libc_freeres_fn', '__libc_atexit'];

function dynamicTags(bytes: Uint8Array, { programHeaders, wide }: ElfHead): { needed: boolean; named: boolean } {
  const table = programHeaders.find(({ type }) => type === PT_DYNAMIC);
  const size = wide ? 16 : 8;
  const view = viewOf(bytes);
  const tags = new Set<bigint>();
  const count = table === undefined ? 0 : Math.min(MOST_DYNAMIC, Math.floor(table.fileSize / size));
  for (let i = 0; i < count; i++) {
    const at = (table?.offset ?? 0) + i * size;
    if (!inside(at, size, bytes.length)) break;
    tags.add(wide ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true)));
  }
  return { needed: tags.has(DT_NEEDED), named: tags.has(DT_SONAME) };
}

/** NT_GNU_ABI_TAG: namesz 4, descsz 16, type 1, "GNU", and the system 0, Linux. */
const ABI_TAG = [4, 16, 1, 0x0055_4e47, 0];

function hasAbiTag(bytes: Uint8Array, { programHeaders }: ElfHead): boolean {
  const view = viewOf(bytes);
  return programHeaders.some(({ type, offset, fileSize }) => {
    const size = Math.min(fileSize, 4096);
    if (type !== PT_NOTE || !inside(offset, size, bytes.length)) return false;
    for (let at = offset; at + 20 <= offset + size; at += 4) {
      if (ABI_TAG.every((word, i) => view.getUint32(at + 4 * i, true) === word)) return true;
    }
    return false;
  });
}

/** What is made into a PE file by objcopy: sections that only that needs. */
function efiProgram(bytes: Uint8Array, { sectionNames }: ElfHead, processor: string): Kind | undefined {
  if (!['.sdmagic', '.sbat', '.reloc'].some((name) => sectionNames.has(name))) return undefined;
  const stub = isSystemdStub(bytes) ? " (systemd's stub for unified kernel images)" : '';
  return { kind: 'other', what: `the ELF file of an EFI program for ${processor}${stub}` };
}

function bare(bytes: Uint8Array, processor: string): Kind {
  const late = multibootHeaderBehindLimit(bytes);
  const but =
    late === undefined ? pvhTrouble(bytes) : `a Multiboot header stands at ${hex(late)}, behind the first 8192 bytes`;
  const lacks = `has no Multiboot header and no PVH note${but === undefined ? '' : ` (${but})`}`;
  return {
    kind: 'elf',
    what: `an ELF file for ${processor} that is neither a Linux kernel nor its boot stub, and ${lacks}`,
    lacks,
  };
}
