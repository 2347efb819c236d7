// Rules have preconditions: what is asked of kernels is asked of nothing else, and what was not looked at is not called clean.
import { describe, expect, it } from 'vitest';
import { auditFile } from '../../src/audit/audit.ts';
import type { AuditReport } from '../../src/audit/types.ts';
import { crc32Register } from '../../src/bits/crc32.ts';
import { putU32, putU64 } from '../../src/bits/cursor.ts';
import { bytesOfHex } from '../../src/bits/hex.ts';
import { putHeaderField } from '../../src/image/setup-header.ts';
import { healthyImage, PART_SIZE } from './header/healthy.ts';
import { gzipped, makeKernel } from './imageParts.ts';
import { KINDS, makeUki } from '../image/kinds.ts';
import { makeBzImage, makeElf } from '../image/synthetic.ts';

const audit = (bytes: Uint8Array): AuditReport => auditFile(bytes, 'file', {});
const rules = ({ findings }: AuditReport): string[] => findings.map(({ rule, message }) => `${rule}: ${message}`);

/** An image without payload whose header says what a kernel's must not. */
function program(fields: Parameters<typeof makeBzImage>[0] = {}): Uint8Array {
  return makeBzImage({
    payload: new Uint8Array(),
    ...fields,
    fields: {
      ...{ payload_offset: 0, payload_length: 0, kernel_alignment: 0x1000, min_alignment: 12, init_size: 0x1000 },
      ...{ pref_address: 0x1000n, cmdline_size: 0, initrd_addr_max: 0, xloadflags: 1, ...fields.fields },
    },
  });
}

describe('a program with a setup header', () => {
  it('is not measured by what kernels say in theirs', () => {
    expect(rules(audit(program()))).toEqual([]);
  });

  it('is, with a payload', () => {
    const fields = { kernel_alignment: 0x1000, min_alignment: 12, pref_address: 0x1000n, cmdline_size: 0 };
    const found = rules(audit(makeBzImage({ payload: gzipped(makeKernel()), fields })));
    for (const field of Object.keys(fields)) expect(found.join('\n')).toContain(`boot-protocol-field: ${field} is`);
  });

  it('may have sections for firmware behind what BIOS loaders read, which a kernel has not', () => {
    const image = healthyImage();
    putHeaderField(image, 'syssize', PART_SIZE / 16 - 1);
    expect(rules(audit(image)).join()).toContain('The PE section .data goes on to');
    putHeaderField(image, 'payload_offset', 0);
    putHeaderField(image, 'payload_length', 0);
    expect(rules(audit(image)).join()).not.toContain('The PE section');
  });

  it('has no code looked at, and is not said to have', () => {
    const report = audit(program());
    expect(report.coverage).toBeUndefined();
    expect(report.what).toContain('its headers were looked at, and not its code');
  });

  it('is found where its header contradicts itself', () => {
    expect(rules(audit(program({ fields: { xloadflags: 0x40 } })))).toEqual([
      expect.stringContaining('5LEVEL_ENABLED without 5LEVEL'),
    ]);
    expect(rules(audit(program({ fields: { setup_sects: 200 } })))).toEqual([
      expect.stringContaining('setup_sects is'),
    ]);
  });
});

describe('the 64-bit entry that a header promises', () => {
  const withEntry = (hex: string): Uint8Array => {
    const code = new Uint8Array(0x300).fill(0x90);
    code.set(bytesOfHex(hex), 0x200);
    return program({ code });
  };
  const FRAMEBUFFER = Buffer.from('Framebuffer info table').toString('hex');

  it.each([
    ['a text', FRAMEBUFFER, 'stands the text "Framebuffer info table"'],
    ['what is an instruction only in 32-bit code', '60 0e 1f b8 01 00 00 00', 'stands no code'],
    ['breakpoints', 'cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc', 'there is no code, only bytes 0xcc'],
  ])('is an error where %s stands there', (_, hex, words) => {
    expect(rules(audit(withEntry(hex))).join('\n')).toContain(words);
  });

  it.each([
    ['code', '48 31 c0 48 8d 25 00 10 00 00 eb fe'],
    ['a jump over data', 'eb 10 60 60 60 60 60 60'],
    ['code that returns', '31 c0 c3 60 60'],
  ])('is none where %s stands there', (_, hex) => {
    expect(rules(audit(withEntry(hex)))).toEqual([]);
  });
});

/** A bzImage that ends with the build's checksum, as builds up to 6.14 write it. */
function summed(image: Uint8Array): Uint8Array {
  const end = image.length - 4;
  putU32(image, end, crc32Register(image.subarray(0, end), 0xffffffff));
  return image;
}

function withPayload(change: (payload: Uint8Array) => void): Uint8Array {
  const payload = gzipped(makeKernel());
  change(payload);
  const image = makeBzImage({ payload, tail: new Uint8Array(32) });
  // What is rounded up to paragraphs has to be in the file for the sum to be at its end.
  const part = image.length - 0x400;
  const whole = new Uint8Array(0x400 + Math.ceil(part / 16) * 16);
  whole.set(image);
  putHeaderField(whole, 'syssize', (whole.length - 0x400) / 16);
  return whole;
}

const hole = (payload: Uint8Array): void => void payload.fill(0, 1000, 2000);
const DAMAGE = /^payload-layout: The kernel inside cannot be used: the gzip data is damaged/;

describe('a payload', () => {
  it('that is damaged is found without being asked for', () => {
    expect(rules(audit(withPayload(hole)))).toContainEqual(expect.stringMatching(DAMAGE));
    expect(rules(audit(withPayload(() => undefined))).filter((text) => DAMAGE.test(text))).toEqual([]);
  });

  it('that would unpack beyond init_size is found, and no further unpacked', () => {
    const fields = { init_size: 0x4000 };
    const found = rules(audit(makeBzImage({ payload: gzipped(new Uint8Array(1 << 20)), fields })));
    expect(found.join('\n')).toMatch(/unpacks to|init_size is 0x4000/);
  });

  it('is not unpacked where the checksum of the build says that it is whole', () => {
    // Damaged before the sum was made, it goes unseen; nothing but the build could do that.
    const found = rules(audit(summed(withPayload(hole))));
    expect(found.filter((text) => DAMAGE.test(text))).toEqual([]);
  });
});

describe('an ELF file', () => {
  it.each([
    ['a stub', [{ name: 'startup_64', address: 0x10n }], 0x10n, 0n],
    ['a kernel', [{ name: 'start_kernel', address: 0xffffffff81000000n }], 0x1000000n, 0xffffffff81000000n],
  ])('of %s of which nothing can be reached is refused, not clean', (_, symbols, entry, virtAddr) => {
    // No byte is code: it begins with what is no instruction.
    const bytes = new Uint8Array(0x100).fill(0x06);
    const segment = { physAddr: entry & ~0xfffn, virtAddr, memSize: 0x100n, bytes };
    const elf = makeElf({ segments: [segment], entry, symbols });
    putU64(elf, 64 + 48, 0x200000n);
    expect(() => audit(elf)).toThrow(/nothing was looked at|no sections that are loaded/);
  });
});

describe('a unified kernel image', () => {
  it('has its findings where they stand in the file', () => {
    const kernel = makeBzImage({ payload: gzipped(makeKernel()), fields: { cmdline_size: 0 } });
    const image = makeUki(kernel);
    const [inner] = audit(kernel).findings.filter(({ message }) => message.startsWith('cmdline_size'));
    const [outer] = audit(image).findings.filter(({ message }) => message.startsWith('cmdline_size'));
    expect(inner?.fileOffset).toBe(0x238);
    expect(image.subarray(outer?.fileOffset, (outer?.fileOffset ?? 0) + 4)).toEqual(new Uint8Array(4));
    expect((outer?.fileOffset ?? 0) - 0x238).toBe(image.length - Math.ceil(kernel.length / 0x1000) * 0x1000);
  });

  it('whose sections overlap in memory is found', () => {
    const image = makeUki(healthyImage());
    expect(rules(audit(image))).toEqual([]);
    // The address of .linux, the sixth section, becomes that of .cmdline.
    const table = 0x40 + 24 + 112;
    putU32(image, table + 5 * 40 + 12, 0x4000);
    expect(rules(audit(image))).toContainEqual(
      expect.stringMatching(/^pe-header: The PE section \.\w+ overlaps \.linux in memory/),
    );
  });

  it('is none without a kernel in it', () => {
    expect(() => audit(KINDS['stub for unified kernel images']())).toThrow(/with no kernel in it/);
  });
});

describe('what was unpacked', () => {
  it('has findings without an offset in the file', () => {
    const { findings, what } = audit(
      gzipped(makeBzImage({ payload: gzipped(makeKernel()), fields: { cmdline_size: 0 } })),
    );
    expect(what).toContain('unpacked from gzip');
    const found = findings.find(({ message }) => message.startsWith('cmdline_size'));
    expect(found).toMatchObject({ place: 'setup header, in the unpacked file' });
    expect(found?.fileOffset).toBeUndefined();
  });
});

describe('a program that is entered by Multiboot or PVH', () => {
  it('with overlapping segments is found', () => {
    const segment = { physAddr: 0x100000n, virtAddr: 0x100000n, memSize: 0x100n, bytes: KINDS['Multiboot 2 kernel']() };
    const elf = makeElf({ segments: [segment, { ...segment, physAddr: 0x100010n }], entry: 0x100000n });
    expect(rules(audit(elf))).toEqual(['elf-layout: Two segments overlap in memory, at 0x100000 and 0x100010.']);
  });

  it('that reaches above 4 GiB is found', () => {
    const elf = KINDS['PVH kernel']();
    putU32(elf, 64 + 28, 1);
    expect(rules(audit(elf))).toContainEqual(expect.stringContaining('above 4 GiB'));
  });
});
