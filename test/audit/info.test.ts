import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type ImageInfo, imageInfo } from '../../src/audit/info.ts';
import { keySymbols } from '../../src/audit/infoSymbols.ts';
import { payloadOf, unpackPayload } from '../../src/audit/payload.ts';
import { InputError } from '../../src/bits/errors.ts';
import { hexDigits } from '../../src/report/info.ts';
import { sample } from '../cli/fakeIo.ts';
import { makeBzImage, makeElf, randomOf } from '../image/synthetic.ts';
import { kernel } from '../support/kernels.ts';
import {
  BANNER,
  BUILD_ID,
  CONFIG,
  damagedImage,
  gzipped,
  makeImage,
  makeKernel,
  makeStub,
  SYMBOLS,
} from './imageParts.ts';

const field = (info: ImageInfo, name: string) => info.bzImage?.fields.find((f) => f.name === name);

describe('what a bzImage is', () => {
  const info = imageInfo(makeImage());

  it('is read without a problem', () => {
    expect(info).toMatchObject({ kind: 'bzImage', size: makeImage().length, problems: [], elf: undefined });
  });

  it('has every field of the setup header, flags by name', () => {
    expect(info.bzImage?.fields).toHaveLength(39);
    expect(field(info, 'pref_address')).toMatchObject({ offset: 0x258, size: 8, value: 0x1000000n });
    expect(field(info, 'loadflags')?.flags).toEqual(['LOADED_HIGH']);
    expect(field(info, 'xloadflags')?.flags).toHaveLength(7);
    expect(field(info, 'pref_address')).not.toHaveProperty('flags');
  });

  it('has no field that its protocol does not have', () => {
    const old = imageInfo(makeBzImage({ fields: { version: 0x20a } }), { headerOnly: true });
    expect(field(old, 'init_size')).toBeDefined();
    expect(field(old, 'xloadflags')).toBeUndefined();
  });

  it('names a flag that nobody knows by its bit', () => {
    const odd = imageInfo(makeBzImage({ fields: { xloadflags: 0x201 } }), { headerOnly: true });
    expect(field(odd, 'xloadflags')?.flags).toEqual(['XLF_KERNEL_64', 'bit 9']);
  });

  it('has its layout', () => {
    const image = makeBzImage({ signature: new Uint8Array(24) });
    const { bzImage, payload } = imageInfo(image, { headerOnly: true });
    expect(bzImage).toMatchObject({ setupSize: 0x400, headerEnd: 0x26c, protectedMode: { fileOffset: 0x400 } });
    expect((bzImage?.protectedMode.size ?? 0) + (bzImage?.behind ?? 0)).toBe(image.length - 0x400);
    expect(payload).toEqual({ fileOffset: 0x700, length: 12, format: 'zstd', unpackedSize: 0x1000 });
  });
});

describe('the kernel in a bzImage', () => {
  const { kernel: inner, payload } = imageInfo(makeImage());

  it('is identified', () => {
    expect(inner).toMatchObject({ banner: BANNER, buildId: BUILD_ID, size: makeKernel().length });
    expect(payload?.unpackedSize).toBe(makeKernel().length);
  });

  it('has its configuration', () => {
    expect(inner?.config).toEqual({ text: CONFIG, version: '6.1.0', options: { y: 1, m: 1, n: 1, other: 1 } });
  });

  it('has its symbols', () => {
    expect(inner?.symbols).toMatchObject([{ from: 'kallsyms', form: 'base-relative' }]);
    expect(inner?.symbols[0]?.list).toHaveLength(SYMBOLS.length);
    const key = keySymbols(inner?.symbols[0]?.list ?? []).map(({ name }) => name);
    expect(key).toEqual(['_stext', 'startup_64', 'start_kernel', '_end']);
  });

  it('has its ELF header', () => {
    expect(inner?.elf).toMatchObject({ type: 'EXEC', entry: 0x1000000n, sections: 0, relocations: undefined });
    expect(inner?.elf?.segments).toHaveLength(1);
  });

  it('stays packed where only the header is wanted', () => {
    const info = imageInfo(damagedImage(), { headerOnly: true });
    expect(info).toMatchObject({ kernel: undefined, problems: [], payload: { format: 'gzip' } });
  });

  it.each([
    ['is damaged', damagedImage(), /^the gzip data /],
    ['holds a configuration that is damaged', makeImage(gzipped(makeKernel('no configuration'))), /no line sets/],
    ['is no ELF file', makeImage(gzipped(new Uint8Array(64))), /ELF/],
  ])('that %s is a problem, and the rest is there', (_name, bytes, problem) => {
    const info = imageInfo(bytes);
    expect(info.problems).toHaveLength(1);
    expect(info.problems[0]).toMatch(problem);
    expect(info.bzImage?.fields).toHaveLength(39);
  });

  it('in a format that is not known is left alone', () => {
    const info = imageInfo(makeImage(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)));
    expect(info).toMatchObject({ kernel: undefined, problems: [], payload: { format: 'unknown' } });
  });
});

describe('an ELF file', () => {
  it('of a kernel is one', () => {
    const info = imageInfo(makeKernel());
    expect(info).toMatchObject({ kind: 'vmlinux', bzImage: undefined, payload: undefined, elf: undefined });
    expect(info.kernel).toMatchObject({ banner: BANNER, buildId: BUILD_ID });
  });

  it('of a stub is one, with its symbols', () => {
    const { kind, elf, kernel: inner } = imageInfo(new Uint8Array(readFileSync(sample('good.elf'))));
    expect(kind).toBe('stub');
    expect(inner).toBeUndefined();
    const names = keySymbols(elf?.symbols[0]?.list ?? []).map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['startup_64', 'paging_prepare', 'trampoline_32bit_src']));
  });

  it('of a stub with a packed kernel has both', () => {
    const info = imageInfo(makeStub(gzipped(makeKernel())));
    expect(info).toMatchObject({ kind: 'stub', payload: { format: 'gzip' }, kernel: { banner: BANNER } });
    expect(info.elf?.elf?.entry).toBe(0x200n);
  });

  it('that is neither is said to be', () => {
    const program = makeElf({
      segments: [{ physAddr: 0x400000n, virtAddr: 0x400000n, memSize: 0x100n, bytes: new Uint8Array(16) }],
      entry: 0x400000n,
    });
    expect(imageInfo(program).kind).toBe('elf');
  });

  it.each([
    ['nothing', new Uint8Array(), 'this is an empty file'],
    ['an object file', makeElf({ type: 1 }), 'an object file for x86-64, never linked'],
    ['for another machine', makeElf({ machine: 183 }), 'AArch64'],
  ])('%s is refused', (_name, bytes, message) => {
    expect(() => imageInfo(bytes)).toThrow(InputError);
    expect(() => imageInfo(bytes)).toThrow(message);
  });
});

describe('a mutilated image', () => {
  it('is told about or refused, in a line', () => {
    const image = makeImage();
    const kernelFile = makeKernel();
    const endings = Array.from({ length: 300 }, (_, seed) => ending(mutilated(seed % 2 ? image : kernelFile, seed)));
    expect(endings.filter((end) => end === 'told').length).toBeGreaterThan(30);
    expect(endings.filter((end) => end !== 'told' && !/^[^\n]{10,300}$/.test(end))).toEqual([]);
    expect(new Set(endings).size).toBeGreaterThan(10);
  });
});

function ending(bytes: Uint8Array): string {
  try {
    const { problems } = imageInfo(bytes);
    return problems[0] ?? 'told';
  } catch (error) {
    if (error instanceof InputError) return error.message;
    throw error;
  }
}

/** Damage mostly in the headers. */
function mutilated(intact: Uint8Array, seed: number): Uint8Array {
  const random = randomOf(seed);
  const bytes = intact.slice();
  const place = (): number => random(random(3) === 0 ? bytes.length : 0x300);
  for (let times = random(3); times >= 0; times--) {
    const at = place();
    if (random(2) === 0) bytes[at] = random(256);
    else bytes.fill(random(2) * 255, at, at + 1 + random(8));
  }
  return random(4) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes;
}

describe.each([
  ['debian-6.1', 'Linux version 6.1.', 'base-relative-percpu'],
  ['debian-6.12-cloud', 'Linux version 6.12.', 'base-relative-percpu'],
])('the kernel in %s', (name, banner, form) => {
  const file = kernel(name);

  it.skipIf(file === undefined)('has banner, build id and symbols, each symbol where it says', () => {
    const bytes = new Uint8Array(readFileSync(file?.path ?? ''));
    const payload = payloadOf(bytes);
    const vmlinux = unpackPayload(bytes, payload as NonNullable<typeof payload>);
    const { kernel: inner, kind } = imageInfo(vmlinux);
    expect(kind).toBe('vmlinux');
    expect(inner?.banner?.startsWith(banner)).toBe(true);
    expect(hexDigits(inner?.buildId ?? new Uint8Array())).toMatch(/^[0-9a-f]{40}$/);
    expect(inner?.elf?.relocations?.abs64).toBeGreaterThan(100_000);
    const [symbols] = inner?.symbols ?? [];
    expect(symbols?.form).toBe(form);
    expect(symbols?.list.length).toBeGreaterThan(90_000);
    const addressOf = (wanted: string): bigint => symbols?.list.find((s) => s.name === wanted)?.address ?? 0n;
    const offsetOf = (address: bigint): number => {
      const segment = inner?.elf?.segments.find(
        (s) => address >= s.virtAddr && address < s.virtAddr + BigInt(s.fileSize),
      );
      return segment === undefined ? -1 : segment.fileOffset + Number(address - segment.virtAddr);
    };
    // e_entry is a physical address; the first segment has 0xffffffff80000000 between the two.
    expect(addressOf('startup_64')).toBe((inner?.elf?.entry ?? 0n) + 0xffffffff80000000n);
    expect(offsetOf(addressOf('start_kernel'))).toBeGreaterThan(0);
    const at = offsetOf(addressOf('linux_banner'));
    expect(new TextDecoder().decode(vmlinux.subarray(at, at + banner.length))).toBe(banner);
  });
});
