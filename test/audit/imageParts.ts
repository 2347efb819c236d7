// A whole image for tests of `info` and `extract`: a kernel's ELF file with banner, build id, configuration and symbols,
// packed into a bzImage.
import { gzipSync } from 'node:zlib';
import { putU16, putU32, putU64 } from '../../src/bits/cursor.ts';
import { asNoteSegment, BASE, makeKernelWithSymbols, note, someSymbols } from '../image/kernelParts.ts';
import { concat, makeBzImage, makeElf } from '../image/synthetic.ts';

export const BANNER = 'Linux version 6.1.0-test (me@here) (gcc) #1 SMP';
export const CONFIG =
  '# Linux/x86 6.1.0 Kernel Configuration\nCONFIG_SMP=y\nCONFIG_EXT4_FS=m\n# CONFIG_KVM is not set\nCONFIG_HZ=250\n';
export const BUILD_ID = Uint8Array.from({ length: 20 }, (_, i) => i + 0xe0);
export const SYMBOLS = someSymbols();

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Code, symbols, banner and configuration in one segment, notes in another. */
export function makeKernel(config = CONFIG): Uint8Array {
  const extra = concat([
    ascii(`${BANNER}\n\0`),
    ascii('IKCFG_ST'),
    new Uint8Array(gzipSync(config)),
    ascii('IKCFG_ED'),
    new Uint8Array(8),
  ]);
  const inner = makeKernelWithSymbols({ symbols: SYMBOLS, form: 'base-relative', order: 'since 6.4' }, 64, extra);
  const bytes = inner.subarray(64 + 56);
  const notes = note('GNU', 3, BUILD_ID);
  const elf = makeElf({
    segments: [
      { physAddr: 0x1000000n, virtAddr: BASE, memSize: 0x100000n, bytes: bytes.subarray(0, bytes.length & ~7) },
      { physAddr: 0x1200000n, virtAddr: BASE + 0x200000n, memSize: BigInt(notes.length), bytes: notes },
    ],
  });
  return asNoteSegment(elf, 1);
}

/** gzip ends with the size; the kernel's build appends none then. */
export const gzipped = (bytes: Uint8Array): Uint8Array => new Uint8Array(gzipSync(bytes));

export const makeImage = (payload: Uint8Array = gzipped(makeKernel())): Uint8Array => makeBzImage({ payload });

/** The image with a byte in the middle of its payload changed. */
export function damagedImage(): Uint8Array {
  const payload = gzipped(makeKernel());
  putU32(payload, payload.length >> 1, 0xdeadbeef);
  return makeBzImage({ payload });
}

const COMPRESSED = '.rodata..compressed';

/** A stub's ELF file whose one named section is the packed kernel. */
export function makeStub(payload: Uint8Array): Uint8Array {
  const code = { physAddr: 0n, virtAddr: 0n, memSize: 0x1000n, bytes: new Uint8Array(0x300) };
  const elf = makeElf({ segments: [code], entry: 0x200n });
  const names = ascii(`\0${COMPRESSED}\0`);
  const headers = new Uint8Array(3 * 64);
  section(headers, 64, { name: 1, type: 1, offset: elf.length, size: payload.length });
  section(headers, 128, { name: 0, type: 3, offset: elf.length + payload.length, size: names.length });
  const whole = concat([elf, payload, names, headers]);
  putU64(whole, 40, BigInt(whole.length - headers.length));
  putU16(whole, 58, 64);
  putU16(whole, 60, 3);
  putU16(whole, 62, 2);
  return whole;
}

type SectionParts = { readonly name: number; readonly type: number; readonly offset: number; readonly size: number };

function section(headers: Uint8Array, at: number, { name, type, offset, size }: SectionParts): void {
  putU32(headers, at, name);
  putU32(headers, at + 4, type);
  putU64(headers, at + 24, BigInt(offset));
  putU64(headers, at + 32, BigInt(size));
}
