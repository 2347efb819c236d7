// Files that are not for us, recognised so that the message can say what they are.
import { packedFormat } from './packed.ts';
import { startsWith } from './payload.ts';

/** e_machine values that Linux runs on (ELF gABI, "Machine"; names as people say them). */
const ELF_MACHINES: Readonly<Record<number, string>> = {
  2: 'SPARC',
  3: 'i386',
  4: 'm68k',
  8: 'MIPS',
  15: 'PA-RISC',
  20: 'PowerPC',
  21: 'PowerPC64',
  22: 'IBM S/390',
  40: '32-bit ARM',
  42: 'SuperH',
  43: 'SPARC64',
  50: 'IA-64',
  62: 'x86-64',
  93: 'ARC',
  94: 'Xtensa',
  183: 'AArch64',
  195: 'ARC v2',
  243: 'RISC-V',
  247: 'BPF',
  252: 'C-SKY',
  258: 'LoongArch',
  0x9026: 'Alpha',
};

export function elfMachineName(machine: number): string {
  return ELF_MACHINES[machine] ?? `an unknown processor (e_machine ${machine})`;
}

interface Magic {
  readonly offset: number;
  readonly bytes: readonly number[];
  readonly what: string;
}

const ascii = (text: string): number[] => Array.from(text, (c) => c.charCodeAt(0));

/** Boot images of other processors, and wrappers, by the magic numbers of their own headers. */
const FOREIGN_IMAGES: readonly Magic[] = [
  { offset: 0x38, bytes: ascii('ARM\x64'), what: 'an Image for AArch64' },
  { offset: 0x30, bytes: ascii('RISCV\0\0\0'), what: 'an Image for RISC-V' },
  { offset: 0x38, bytes: ascii('RSC\x05'), what: 'an Image for RISC-V' },
  { offset: 0x24, bytes: [0x18, 0x28, 0x6f, 0x01], what: 'a zImage for 32-bit ARM' },
  { offset: 0x24, bytes: [0x01, 0x6f, 0x28, 0x18], what: 'a zImage for big-endian 32-bit ARM' },
  { offset: 0, bytes: [0x27, 0x05, 0x19, 0x56], what: 'a uImage for U-Boot' },
  { offset: 0, bytes: [0xd0, 0x0d, 0xfe, 0xed], what: 'a flattened device tree (or a FIT image)' },
  { offset: 0, bytes: ascii('ANDROID!'), what: 'an Android boot image' },
  { offset: 4, bytes: ascii('zimg'), what: 'an EFI zboot image' },
];

/** Files that lie beside kernels and are none. */
const NO_PROGRAMS: readonly Magic[] = [
  { offset: 0, bytes: ascii('070701'), what: 'a cpio archive (an initial RAM disk)' },
  { offset: 0, bytes: ascii('070702'), what: 'a cpio archive (an initial RAM disk)' },
  { offset: 0, bytes: ascii('070707'), what: 'a cpio archive (an initial RAM disk)' },
  { offset: 0, bytes: [0xc7, 0x71], what: 'a cpio archive (an initial RAM disk)' },
  { offset: 0, bytes: ascii('BC\xc0\xde'), what: 'LLVM bitcode, made with -flto: only the link makes code of it' },
  { offset: 0, bytes: ascii('hsqs'), what: 'a squashfs file system' },
  { offset: 0, bytes: ascii('QFI\xfb'), what: 'a qcow2 disk' },
  { offset: 0, bytes: ascii('KDMV'), what: 'a VMDK disk' },
  { offset: 0x8001, bytes: ascii('CD001'), what: 'an ISO 9660 image (a CD)' },
  { offset: 0x438, bytes: [0x53, 0xef], what: 'an ext2, ext3 or ext4 file system' },
  { offset: 0, bytes: [0xed, 0xab, 0xee, 0xdb], what: 'an RPM package' },
  { offset: 0, bytes: ascii('PK\x03\x04'), what: 'a zip archive' },
  { offset: 257, bytes: ascii('ustar'), what: 'a tar archive' },
  { offset: 0, bytes: ascii('#!'), what: 'a script' },
  { offset: 0, bytes: [0x55, 0xaa], what: 'an option ROM' },
];

/** PE/COFF machine numbers (PE format, "Machine Types"). */
const PE_MACHINES: Readonly<Record<number, string>> = {
  0x14c: 'i386',
  0x1c2: '32-bit ARM',
  0x8664: 'x86-64',
  0xaa64: 'AArch64',
  0x5032: '32-bit RISC-V',
  0x5064: 'RISC-V',
  0x6232: '32-bit LoongArch',
  0x6264: 'LoongArch',
};

/** What a file without a setup header and without the ELF magic is, where it can be told: "an Image for AArch64". */
export function foreignKind(bytes: Uint8Array): string | undefined {
  const image = FOREIGN_IMAGES.find((m) => startsWith(bytes, m.bytes, m.offset));
  if (image !== undefined) return image.what;
  const pe = peMachine(bytes);
  if (pe !== undefined) {
    return `an EFI program for ${PE_MACHINES[pe] ?? `machine type ${pe}`} without a Linux setup header`;
  }
  const packed = packedFormat(bytes);
  if (packed !== undefined) return `a file compressed with ${packed}`;
  return NO_PROGRAMS.find((m) => startsWith(bytes, m.bytes, m.offset))?.what;
}

/** Machine of a PE header, whether or not the rest of it can be read. */
export function peMachine(bytes: Uint8Array): number | undefined {
  if (!startsWith(bytes, ascii('MZ')) || bytes.length < 0x40) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header = view.getUint32(0x3c, true);
  if (!startsWith(bytes, ascii('PE\0\0'), header) || header + 6 > bytes.length) return undefined;
  return view.getUint16(header + 4, true);
}
