// What a file is, decided once: every command asks here, and then asks the reader of that kind. Told by headers and by what
// the file itself says, never by its name; a file whose headers contradict it still has a kind, and its reader complains.
import { viewOf } from '../bits/cursor.ts';
import { findBanner } from './banner.ts';
import { hasSetupHeader } from './bzimage.ts';
import { classifyElf } from './classifyElf.ts';
import { elfHead } from './elfHead.ts';
import { foreignKind } from './foreign.ts';
import { hasMultibootHeader } from './multiboot.ts';
import { hasMultiboot2Header } from './multiboot2.ts';
import { startsWith } from './payload.ts';
import { PE_MACHINE_I386, PE_MACHINE_X86_64, peGlance } from './pe.ts';
import { isSystemdStub } from './systemdStub.ts';
import { isUki } from './uki.ts';

export type FileKind =
  /** A Linux kernel with its setup header. */
  | 'bzImage'
  /** A setup header, and no kernel packed behind it: memtest86+, iPXE, memdisk. */
  | 'linux-program'
  /** A Linux kernel's own ELF file. */
  | 'vmlinux'
  /** arch/x86/boot/compressed/vmlinux. */
  | 'stub'
  /** ELF or flat, by the header of Multiboot 1. */
  | 'multiboot'
  | 'multiboot2'
  /** An ELF file that is no Linux kernel and has a PVH note. */
  | 'pvh'
  /** An ELF executable for x86 of no other kind. */
  | 'elf'
  | 'object'
  | 'module'
  | 'archive'
  /** A unified kernel image: PE with a section .linux. */
  | 'uki'
  /** What runs under an operating system or firmware, is for another processor, or is no program. */
  | 'other';

export interface FileIdentity {
  readonly kind: FileKind;
  /** With its article: "an ELF executable for AArch64". */
  readonly what: string;
  /** Of ELF files, and of images with a setup header that says so: the width of the kernel's own code. */
  readonly bits?: 32 | 64;
  /** Of an ELF file that nothing says how to enter: what it has not, and what comes close. */
  readonly lacks?: string;
}

/** Never throws. Takes time in proportion to the file where a kernel's banner is looked for, else next to none. */
export function classify(bytes: Uint8Array): FileIdentity {
  if (bytes.length === 0) return { kind: 'other', what: 'an empty file' };
  const head = elfHead(bytes);
  if (head !== undefined) return classifyElf(bytes, head);
  if (startsWith(bytes, [0x7f, 0x45, 0x4c, 0x46])) return { kind: 'elf', what: 'an ELF file' };
  if (hasSetupHeader(bytes)) return setupKind(bytes);
  return archiveKind(bytes) ?? peKind(bytes) ?? multibootKind(bytes) ?? otherKind(bytes);
}

const VERSION = 0x206;
const CODE32_START = 0x214;
const KERNEL_VERSION = 0x20e;
const XLOADFLAGS = 0x236;
const PAYLOAD_OFFSET = 0x248;
const PAYLOAD_LENGTH = 0x24c;

/**
 * A kernel has a payload, or, from before protocol 2.08 had the field, a 32-bit entry and a version text that begins with a
 * release.
 */
function setupKind(bytes: Uint8Array): FileIdentity {
  const view = viewOf(bytes);
  const word = (at: number): number => (at + 4 <= bytes.length ? view.getUint32(at, true) : 0);
  const version = word(VERSION) & 0xffff;
  const packed = version >= 0x208 && (word(PAYLOAD_OFFSET) !== 0 || word(PAYLOAD_LENGTH) !== 0);
  // xloadflags came with 2.12.
  const bits = version < 0x20c ? {} : { bits: (word(XLOADFLAGS) & 1) === 0 ? (32 as const) : (64 as const) };
  const old = version < 0x208 && word(CODE32_START) !== 0 && namesRelease(bytes, word(KERNEL_VERSION) & 0xffff);
  if (packed || old) return { kind: 'bzImage', what: 'a Linux kernel (bzImage)', ...bits };
  return { kind: 'linux-program', what: 'a program with a Linux setup header and no kernel packed in it', ...bits };
}

function namesRelease(bytes: Uint8Array, kernelVersion: number): boolean {
  if (kernelVersion === 0) return false;
  const text = String.fromCharCode(...bytes.subarray(kernelVersion + 0x200, kernelVersion + 0x208));
  return /^\d\.\d/.test(text);
}

const ascii = (text: string): number[] => Array.from(text, (c) => c.charCodeAt(0));

function archiveKind(bytes: Uint8Array): FileIdentity | undefined {
  const thin = startsWith(bytes, ascii('!<thin>\n'));
  if (!thin && !startsWith(bytes, ascii('!<arch>\n'))) return undefined;
  if (startsWith(bytes, ascii('debian-binary'), 8)) return { kind: 'other', what: 'a Debian package' };
  return { kind: 'archive', what: thin ? 'a thin archive of object files' : 'an archive of object files' };
}

const PE_NAMES: Readonly<Record<number, string>> = { [PE_MACHINE_I386]: 'i386', [PE_MACHINE_X86_64]: 'x86-64' };

function peKind(bytes: Uint8Array): FileIdentity | undefined {
  const pe = peGlance(bytes);
  const processor = pe && PE_NAMES[pe.machine];
  if (pe === undefined || processor === undefined) return undefined;
  if (isUki(pe.sections)) return { kind: 'uki', what: `a unified kernel image for ${processor}` };
  const stub = isSystemdStub(bytes);
  const without = stub
    ? "systemd's stub for unified kernel images, with no kernel in it: it has no section .linux"
    : 'it has no Linux setup header and no section .linux';
  return { kind: 'other', what: `an EFI program for ${processor} (${without})` };
}

function multibootKind(bytes: Uint8Array): FileIdentity | undefined {
  if (hasMultibootHeader(bytes)) return { kind: 'multiboot', what: 'a flat Multiboot image', bits: 32 };
  return hasMultiboot2Header(bytes) ? { kind: 'multiboot2', what: 'a flat Multiboot 2 image' } : undefined;
}

function otherKind(bytes: Uint8Array): FileIdentity {
  const foreign = foreignKind(bytes);
  if (foreign !== undefined) return { kind: 'other', what: foreign };
  if (bytes.length >= 0x200 && viewOf(bytes).getUint16(0x1fe, true) === 0xaa55) {
    return { kind: 'other', what: 'a boot sector or a disk, but no kernel: "HdrS" is missing at 0x202' };
  }
  if (bytes.length < 0x206 && findBanner(bytes) === undefined) {
    return { kind: 'other', what: `not a kernel: ${bytes.length} bytes are too few to hold a setup header` };
  }
  return { kind: 'other', what: 'not a kernel: it has no "HdrS" at 0x202, and no ELF, PE or Multiboot header' };
}
