import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/bits/errors.ts';
import type { BzImage } from '../../src/image/bzimage.ts';
import { parseImage } from '../../src/image/image.ts';
import type { PayloadFormat } from '../../src/image/payload.ts';
import { definedHeaderEnd, SETUP_HEADER_FIELDS } from '../../src/image/setup-header.ts';
import { makeBzImage, SETUP_SIZE } from './synthetic.ts';

function parsed(bytes: Uint8Array): BzImage {
  const image = parseImage(bytes);
  if (image.kind !== 'bzImage') throw new Error(`parsed as ${image.kind}`);
  return image;
}

describe('the setup header table', () => {
  it('follows the protocol without gaps from 0x1f1 to 0x26c', () => {
    const starts = SETUP_HEADER_FIELDS.map((field) => field.offset);
    const ends: number[] = SETUP_HEADER_FIELDS.map((field) => field.offset + field.size);
    expect([...starts, 0x26c]).toEqual([0x1f1, ...ends]);
  });

  it('knows where the header of an older protocol ends', () => {
    // boot.rst: 2.06's last field is cmdline_size at 0x238/4, 2.11's handover_offset at 0x264/4.
    expect(definedHeaderEnd(0x206)).toBe(0x23c);
    expect(definedHeaderEnd(0x20b)).toBe(0x268);
  });
});

describe('a bzImage', () => {
  it('gives its parts and their places in the file', () => {
    const image = parsed(makeBzImage());
    expect(image).toMatchObject({
      protocol: 0x20f,
      headerEnd: 0x26c,
      setupSize: SETUP_SIZE,
      protectedMode: { fileOffset: 0x400, size: 0x330 - 4 },
      payload: { fileOffset: 0x700, length: 12, format: 'zstd' },
      has64BitEntry: true,
      canLoadAbove4G: true,
      relocatable: true,
      initSize: 0x1000000,
    });
    expect(image.header.pref_address).toBe(0x1000000n);
    expect(image.header.kernel_alignment).toBe(0x200000);
  });

  it('does not load a signature behind the protected-mode part', () => {
    const image = parsed(makeBzImage({ tail: new Uint8Array(0x24), signature: new Uint8Array(0x123) }));
    expect(image.protectedMode.size).toBe(0x330);
  });

  it('counts setup_sects 0 as 4', () => {
    const bytes = makeBzImage({
      code: new Uint8Array(0x1000),
      fields: { setup_sects: 0, syssize: 0x40, payload_offset: 0, payload_length: 0 },
    });
    expect(parsed(bytes).setupSize).toBe(5 * 512);
  });

  it('reads fields its protocol does not have as zero', () => {
    const image = parsed(makeBzImage({ fields: { version: 0x209, jump: 0x56eb } }));
    expect(image.header.pref_address).toBe(0n);
    expect(image.header.xloadflags).toBe(0);
    expect(image.has64BitEntry).toBe(false);
    expect(image.initSize).toBe(image.protectedMode.size);
  });

  it('shows the version string that kernel_version points to', () => {
    const bytes = makeBzImage({ fields: { kernel_version: 0x100 } });
    bytes.set(new TextEncoder().encode('6.1.0-test (me@here) #1\0'), 0x300);
    expect(parsed(bytes).version).toBe('6.1.0-test (me@here) #1');
  });

  it.each<[PayloadFormat, number[]]>([
    ['gzip', [0x1f, 0x8b, 8]],
    ['bzip2', [0x42, 0x5a, 0x68, 0x39]],
    ['lzma', [0x5d, 0, 0, 0x80]],
    ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]],
    ['lzo', [0x89, 0x4c, 0x5a, 0x4f]],
    ['lz4', [0x02, 0x21, 0x4c, 0x18]],
    ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
    ['elf', [0x7f, 0x45, 0x4c, 0x46]],
    ['unknown', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 1]],
  ])('tells a %s payload by its magic', (format, magic) => {
    expect(parsed(makeBzImage({ payload: Uint8Array.of(...magic, 0, 0, 0, 0) })).payload?.format).toBe(format);
  });
});

describe('a header that contradicts the file', () => {
  it.each([
    [
      'setup beyond the file',
      { setup_sects: 200 },
      /the file ends at 0x72c, its header promises 102912 bytes of setup/,
    ],
    ['a syssize beyond the file', { syssize: 0x100 }, /the file ends at 0x72c, its header promises 5120 bytes/],
    ['syssize 0', { syssize: 0 }, /syssize 0/],
    [
      'a payload beyond the protected-mode part',
      { payload_length: 0x1000 },
      /payload_offset 0x300, payload_length 0x1000/,
    ],
    ['a payload offset that wraps', { payload_offset: 0xffffffff, payload_length: 2 }, /does not lie within/],
    ['a payload without length', { payload_length: 0 }, /payload_length is 0/],
    ['init_size below the code', { init_size: 0x100 }, /init_size is 0x100, less than/],
    ['an odd alignment', { kernel_alignment: 0x300000 }, /kernel_alignment is 0x300000, not a power of two/],
    ['no alignment', { kernel_alignment: 0 }, /kernel_alignment is 0x0/],
    ['a preferred address beyond 52 bits', { pref_address: 1n << 52n }, /pref_address/],
    ['no jump', { jump: 0x6a90 }, /not with a short jump/],
    ['a jump backwards', { jump: 0x80eb }, /goes backwards/],
    [
      'a header too short for its protocol',
      { jump: 0x60eb },
      /ends at 0x262, but protocol 2.15 has fields up to 0x26c/,
    ],
    ['a kernel_info beyond the file', { kernel_info_offset: 0x10000 }, /kernel_info_offset is 0x10000, beyond/],
    ['a kernel_info without magic', { kernel_info_offset: 0x10 }, /no kernel_info/],
    ['an old protocol', { version: 0x205 }, /2\.05; Firstlight needs 2\.06/],
    ['an unknown protocol', { version: 0x300 }, /3\.00, which is unknown/],
    ['a zImage', { loadflags: 0 }, /without LOADED_HIGH/],
  ])('%s is one clear line', (_, fields, message) => {
    const bytes = makeBzImage({ fields });
    expect(() => parseImage(bytes)).toThrow(InputError);
    expect(() => parseImage(bytes)).toThrow(message);
  });

  it('promises a 64-bit entry that its code is too short for', () => {
    const bytes = makeBzImage({ code: new Uint8Array(0x40), fields: { init_size: 0x1000 } });
    expect(() => parseImage(bytes)).toThrow(/64-bit entry at 0x200/);
  });

  it('is fine with an alignment that a fixed kernel never uses', () => {
    expect(parsed(makeBzImage({ fields: { kernel_alignment: 0, relocatable_kernel: 0 } })).relocatable).toBe(false);
  });
});

describe('a file that is no x86 kernel', () => {
  const file = (length: number, at: number, bytes: number[]): Uint8Array => {
    const out = new Uint8Array(length);
    out.set(bytes, at);
    return out;
  };
  const text = (s: string): number[] => Array.from(new TextEncoder().encode(s));

  it.each([
    ['nothing', new Uint8Array(), /an empty file/],
    ['a few bytes', new Uint8Array(100), /100 bytes are too few/],
    ['zeros', new Uint8Array(4096), /no "HdrS" at 0x202, and no ELF, PE or Multiboot header/],
    ['a boot sector', file(4096, 0x1fe, [0x55, 0xaa]), /a boot sector or a disk, but no kernel/],
    ['a setup header without boot flag', file(4096, 0x202, text('HdrS')), /boot_flag is not 0xaa55/],
    ['an arm64 Image', file(4096, 0x38, text('ARM\x64')), /Image for AArch64; Firstlight boots kernels for x86/],
    ['a RISC-V Image', file(4096, 0x30, text('RISCV')), /Image for RISC-V/],
    ['an arm zImage', file(4096, 0x24, [0x18, 0x28, 0x6f, 0x01]), /zImage for 32-bit ARM/],
    ['a uImage', file(4096, 0, [0x27, 0x05, 0x19, 0x56]), /uImage/],
    ['a gzip file', file(4096, 0, [0x1f, 0x8b]), /compressed with gzip/],
  ])('%s is named', (_, bytes, message) => {
    expect(() => parseImage(bytes)).toThrow(InputError);
    expect(() => parseImage(bytes)).toThrow(message);
  });

  it('is an EFI program for another processor', () => {
    const bytes = file(4096, 0, text('MZ'));
    bytes[0x3c] = 0x80;
    bytes.set([...text('PE\0\0'), 0x64, 0xaa], 0x80);
    expect(() => parseImage(bytes)).toThrow(/EFI program for AArch64/);
  });
});

describe('setup_sects', () => {
  it('is named where it is wrong, and not what lies behind it', () => {
    expect(() => parseImage(makeBzImage({ fields: { setup_sects: 2 } }))).toThrow(
      /^setup_sects is 2, but what the header names in the protected-mode part lies where it has to be with 1$/,
    );
  });

  it('is not blamed for a payload of a format that is not known', () => {
    const payload = Uint8Array.from({ length: 4096 }, (_, i) => (i % 512 === 0 ? 0x1f : i % 512 === 1 ? 0x8b : 1));
    payload[0] = 0;
    expect(() => parseImage(makeBzImage({ payload }))).not.toThrow();
  });
});
