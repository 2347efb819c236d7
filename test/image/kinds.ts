// A small file of every kind that people hand over, byte by byte.
import { gzipSync } from 'node:zlib';
import { putU16, putU32, putU64 } from '../../src/bits/cursor.ts';
import { gzipped, makeImage, makeKernel } from '../audit/imageParts.ts';
import { codeOf, HALT, makeElf32, multibootHeader, pvhNote } from '../boot/programs.ts';
import { asNoteSegment, note } from './kernelParts.ts';
import { concat, type ElfParts, makeBzImage, makeElf } from './synthetic.ts';

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const padded = (bytes: Uint8Array, size: number): Uint8Array => concat([bytes, new Uint8Array(size - bytes.length)]);

/** An ELF64 file with empty sections of these names, the last of them .shstrtab. */
export function elfWithSections(names: readonly string[], parts: ElfParts = {}): Uint8Array {
  const elf = makeElf(parts);
  const strings = ascii(`\0${[...names, '.shstrtab'].map((name) => `${name}\0`).join('')}`);
  const headers = new Uint8Array(64 * (names.length + 2));
  let nameAt = 1;
  for (const [i, name] of [...names, '.shstrtab'].entries()) {
    putU32(headers, 64 * (i + 1), nameAt);
    putU32(headers, 64 * (i + 1) + 4, i === names.length ? 3 : 1);
    putU64(headers, 64 * (i + 1) + 24, BigInt(elf.length));
    putU64(headers, 64 * (i + 1) + 32, BigInt(i === names.length ? strings.length : 0));
    nameAt += name.length + 1;
  }
  const whole = concat([elf, strings, headers]);
  putU64(whole, 40, BigInt(elf.length + strings.length));
  putU16(whole, 58, 64);
  putU16(whole, 60, names.length + 2);
  putU16(whole, 62, names.length + 1);
  return whole;
}

/** An ELF file whose one segment is a dynamic section with these tags. */
export function dynamicElf(type: 2 | 3, ...tags: readonly bigint[]): Uint8Array {
  const bytes = new Uint8Array(16 * tags.length);
  for (const [i, tag] of tags.entries()) putU64(bytes, 16 * i, tag);
  const segment = { physAddr: 0n, virtAddr: 0n, memSize: BigInt(bytes.length), bytes };
  const elf = makeElf({ segments: [segment], entry: 0n, type });
  putU32(elf, 64, 2);
  return elf;
}

const PE_AT = 0x40;
const OPTIONAL_SIZE = 112;
const ALIGNMENT = 0x1000;

export type PeParts = { readonly name: string; readonly bytes: Uint8Array };

/** A PE32+ EFI application of these sections, the first of which is its code. */
export function makePe(sections: readonly PeParts[], machine = 0x8664): Uint8Array {
  const header = new Uint8Array(ALIGNMENT);
  header.set(ascii('MZ'));
  putU32(header, 0x3c, PE_AT);
  header.set(ascii('PE\0\0'), PE_AT);
  putU16(header, PE_AT + 4, machine);
  putU16(header, PE_AT + 6, sections.length);
  putU16(header, PE_AT + 20, OPTIONAL_SIZE);
  putU16(header, PE_AT + 22, 0x22);
  const optional = PE_AT + 24;
  const sizes = sections.map(({ bytes }) => Math.ceil(bytes.length / ALIGNMENT) * ALIGNMENT);
  const end = ALIGNMENT + sizes.reduce((sum, size) => sum + size, 0);
  putU16(header, optional, 0x20b);
  for (const [at, value] of [
    [16, ALIGNMENT],
    [32, ALIGNMENT],
    [36, ALIGNMENT],
    [56, end],
    [60, ALIGNMENT],
  ] as const) {
    putU32(header, optional + at, value);
  }
  putU16(header, optional + 68, 10);
  putU16(header, optional + 70, 0x100);
  let at = ALIGNMENT;
  for (const [i, { name, bytes }] of sections.entries()) {
    const row = optional + OPTIONAL_SIZE + 40 * i;
    header.set(ascii(name).subarray(0, 8), row);
    [bytes.length, at, sizes[i] as number, at].forEach((word, j) => putU32(header, row + 8 + 4 * j, word));
    putU32(header, row + 36, i === 0 ? 0x60000020 : 0x40000040);
    at += sizes[i] as number;
  }
  return concat([header, ...sections.map(({ bytes }, i) => padded(bytes, sizes[i] as number))]);
}

const CODE: PeParts = { name: '.text', bytes: new Uint8Array(16).fill(0x90) };
const STUB: PeParts = { name: '.sdmagic', bytes: ascii('#### LoaderInfo: systemd-stub 252 ####') };
export const UKI_CMDLINE = 'root=/dev/vda panic=-1';
export const UKI_INITRD = ascii('070701 and so on');

/** A unified kernel image around `kernel`. */
export const makeUki = (kernel: Uint8Array = makeImage()): Uint8Array =>
  makePe([
    CODE,
    STUB,
    { name: '.osrel', bytes: ascii('NAME="Test"\nPRETTY_NAME="Test OS 1"\n') },
    { name: '.cmdline', bytes: ascii(`${UKI_CMDLINE}\n\0`) },
    { name: '.initrd', bytes: UKI_INITRD },
    { name: '.linux', bytes: kernel },
  ]);

const NO_PAYLOAD = { payload_offset: 0, payload_length: 0 };
const lowSegment = (bytes: Uint8Array, physAddr = 0x100000n): ElfParts => ({
  segments: [{ physAddr, virtAddr: physAddr, memSize: BigInt(bytes.length), bytes }],
  entry: physAddr,
});

const MULTIBOOT2 = (() => {
  const bytes = new Uint8Array(24);
  [0xe852_50d6, 0, 24, -(0xe852_50d6 + 24) >>> 0, 0, 8].forEach((word, i) => putU32(bytes, 4 * i, word));
  return concat([bytes, codeOf(HALT)]);
})();

/** ELF64 with code and, in another segment, notes. */
function withNotes(notes: Uint8Array, loaders = true): Uint8Array {
  const code = codeOf(HALT, '00000000 00000000 00000000 00');
  const elf = makeElf({
    segments: [
      { physAddr: 0x100000n, virtAddr: 0x100000n, memSize: 16n, bytes: code },
      { physAddr: 0x101000n, virtAddr: 0x101000n, memSize: BigInt(notes.length), bytes: notes },
    ],
    entry: 0x100000n,
  });
  return loaders ? asNoteSegment(elf, 1) : elf;
}

const BANNER_32 = ascii('Linux version 6.1.0-test-686 (me@here) (gcc) #1 SMP\n\0');

/** A 32-bit kernel, linked at 0xc1000000. */
function vmlinux32(notes?: Uint8Array): Uint8Array {
  const elf = makeElf32({ bytes: padded(BANNER_32, 256), physAddr: 0x1000000, ...(notes ? { notes } : {}) });
  putU32(elf, 52 + 8, 0xc1000000);
  return elf;
}

/** A Multiboot header in a file that is entered by nothing else, behind the first 8192 bytes. */
const lateMultiboot = (): Uint8Array => {
  const bytes = new Uint8Array(0x4000);
  bytes.set(multibootHeader(0), 0x3000);
  return makeElf32({ bytes });
};

/** memtest86+'s kind: entered by 64 bits, nothing packed. */
const setupProgram = (fields: Parameters<typeof makeBzImage>[0] = {}): Uint8Array =>
  makeBzImage({ payload: new Uint8Array(), ...fields, fields: { ...NO_PAYLOAD, ...fields.fields } });

export const KINDS = {
  bzImage: () => makeImage(),
  'bzImage of a 32-bit kernel': () =>
    makeBzImage({ payload: gzipped(vmlinux32()), fields: { xloadflags: 0, kernel_alignment: 0x400000 } }),
  'bzImage, gzip': () => gzipped(makeImage()),
  'bzImage, gzip twice': () => gzipped(gzipped(makeImage())),
  'bzImage, gzip, cut': () => gzipped(makeImage()).subarray(0, 400),
  'unified kernel image': () => makeUki(),
  'unified kernel image, gzip': () => gzipped(makeUki()),
  'program with a setup header': () => setupProgram(),
  'program that needs its real-mode setup': () =>
    setupProgram({ fields: { code32_start: 0, relocatable_kernel: 0, xloadflags: 0, version: 0x207 } }),
  'program of protocol 2.03': () => setupProgram({ fields: { version: 0x203, jump: 0x3eeb } }),
  vmlinux: () => makeKernel(),
  'vmlinux, gzip': () => gzipped(makeKernel()),
  'vmlinux of a 32-bit kernel': () => vmlinux32(),
  'vmlinux of a 32-bit kernel with a PVH note': () => vmlinux32(pvhNote(0x1000000)),
  'Multiboot ELF file': () => makeElf32({ bytes: concat([multibootHeader(0), codeOf(HALT)]), entry: 0x10000c }),
  'Multiboot ELF64 file, gzip': () => gzipped(makeElf(lowSegment(concat([multibootHeader(0), codeOf(HALT)])))),
  'flat Multiboot image': () => {
    const size = 12 + 20 + 4;
    return concat([multibootHeader(1 << 16, [0x100000, 0x100000, 0x100000 + size, 0, 0x100020]), codeOf(HALT, '90')]);
  },
  'Multiboot header with an unknown demand': () => makeElf32({ bytes: concat([multibootHeader(0x10), codeOf(HALT)]) }),
  'Multiboot header behind 8192 bytes': lateMultiboot,
  'Multiboot 2 kernel': () => makeElf(lowSegment(MULTIBOOT2)),
  'PVH kernel': () => withNotes(pvhNote(0x100000)),
  'PVH kernel with a wrong address': () => withNotes(pvhNote(0x40100000)),
  'PVH note of another type': () => withNotes(note('Xen', 17, new Uint8Array(4))),
  'PVH note in no PT_NOTE': () => withNotes(pvhNote(0x100000), false),
  'ELF file of nothing known': () => makeElf(lowSegment(codeOf(HALT))),
  'EFI boot manager': () =>
    makePe([CODE, { name: '.sdmagic', bytes: ascii('#### LoaderInfo: systemd-boot 252 ####') }]),
  'ELF file of an EFI program': () => elfWithSections(['.text', '.sdmagic', '.sbat'], lowSegment(codeOf(HALT), 0n)),
  'object file': () => elfWithSections(['.text'], { type: 1 }),
  'kernel module': () => elfWithSections(['.text', '.modinfo'], { type: 1 }),
  'GRUB module': () => elfWithSections(['.text', '.modname'], { type: 1 }),
  'shared object': () => dynamicElf(3, 1n, 14n),
  'dynamically linked program': () => dynamicElf(2, 1n),
  'statically linked program': () => elfWithSections(['.text', '.note.ABI-tag'], lowSegment(codeOf(HALT), 0x400000n)),
  'ELF file for another processor': () => makeElf({ machine: 183 }),
  'EFI program': () => makePe([CODE]),
  'stub for unified kernel images': () => makePe([CODE, STUB]),
  'EFI program for another processor': () => makePe([CODE], 0xaa64),
  'kernel for another processor, gzip': () => {
    const bytes = new Uint8Array(4096);
    bytes.set(ascii('ARM\x64'), 0x38);
    return gzipped(bytes);
  },
  'initial RAM disk': () => padded(ascii('070701'), 2048),
  'initial RAM disk, gzip': () => new Uint8Array(gzipSync(padded(ascii('070701'), 2048))),
  'Debian package': () => ascii('!<arch>\ndebian-binary   1410122664  0     0     100644  4         `\n2.0\n'),
  text: () => ascii('# a configuration\n'.repeat(100)),
  'boot sector': () => {
    const bytes = new Uint8Array(1024);
    bytes.set([0x55, 0xaa], 0x1fe);
    return bytes;
  },
  nothing: () => new Uint8Array(),
} as const satisfies Readonly<Record<string, () => Uint8Array>>;

export type KindName = keyof typeof KINDS;
