import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { imageInfo } from '../../src/audit/info.ts';
import { SETUP_HEADER_FIELDS } from '../../src/image/setup-header.ts';
import { infoLines } from '../../src/report/info.ts';
import { fieldMeaning } from '../../src/report/infoFields.ts';
import { rowsOf } from '../../src/bits/lines.ts';
import { makeImage, makeKernel } from '../audit/imageParts.ts';
import { sample } from '../cli/fakeIo.ts';
import { makeBzImage } from '../image/synthetic.ts';

const text = (...args: Parameters<typeof infoLines>): string =>
  infoLines(...args)
    .flatMap((line) => rowsOf(line))
    .join('\n');

describe('the report about a bzImage', () => {
  const report = text('vmlinuz', imageInfo(makeImage()));

  it('begins with what it is', () => {
    expect(report).toMatch(/^vmlinuz\n {2}bzImage \(boot protocol 2\.15\), [\d,]+ bytes\n\nSetup header\n/);
  });

  it('has a row for each field, and one for each further flag', () => {
    for (const { name } of SETUP_HEADER_FIELDS)
      expect(report).toMatch(new RegExp(`^ {2}0x[0-9a-f]+ +${name} +0x`, 'm'));
    expect(report).toMatch(/^ {2}0x236 +xloadflags +0x7f +XLF_KERNEL_64: has the 64-bit entry at 0x200$/m);
    expect(report).toMatch(/^ {10,}XLF_5LEVEL: the stub knows 5-level paging$/m);
  });

  it('has the layout and the payload', () => {
    expect(report).toMatch(/^Layout\n {2}0x0 +to 0x400 +1,024 bytes +boot sector and setup/m);
    expect(report).toMatch(/The payload is packed with gzip: [\d,]+ bytes at 0x700 in the file; its/);
    expect(report).toContain('None: the image has no EFI stub.');
  });

  it('has the kernel', () => {
    expect(report).toContain('\nKernel, unpacked\n');
    expect(report).toContain('\n  Banner: Linux version 6.1.0-test (me@here) (gcc) #1 SMP\n');
    expect(report).toContain('\n  Build id: e0e1e2');
    expect(report).toContain('Configuration: in the file, of 6.1.0, 4 options (1 y, 1 m, 1 with another value, 1 not');
    expect(report).toContain("Symbols: 1,100 in the kernel's own table (kallsyms)");
    expect(report).toMatch(/^ {2}0xffffffff81000000 {2}T {2}startup_64$/m);
  });

  it('says so where the kernel was left packed', () => {
    const packed = text('vmlinuz', imageInfo(makeImage(), { headerOnly: true }), true);
    expect(packed).not.toContain('Kernel, unpacked');
    expect(packed).toMatch(/The payload was left packed \(--header-only\)\.$/);
  });

  it('does not let a name command the terminal', () => {
    expect(text('a\x1b[2Jb', imageInfo(makeBzImage(), { headerOnly: true }))).toMatch(/^a\?\[2Jb\n/);
  });
});

describe('the report about an ELF file', () => {
  it('of a kernel has no header of a bzImage', () => {
    const report = text('vmlinux', imageInfo(makeKernel()));
    expect(report).toMatch(/^vmlinux\n {2}kernel ELF file \(vmlinux\), [\d,]+ bytes\n\nKernel\n/);
    expect(report).not.toContain('Setup header');
  });

  it('of a stub says that it is none of a kernel', () => {
    const report = text('stub', imageInfo(new Uint8Array(readFileSync(sample('good.elf')))));
    expect(report).toContain("ELF file of a boot stub (arch/x86/boot/compressed/vmlinux), not the kernel's");
    expect(report).not.toContain('Banner');
    expect(report).toMatch(/T {2}paging_prepare/);
  });
});

describe('what a field says', () => {
  it.each([
    ['setup_sects', 0, '4 sectors of setup behind the boot sector'],
    ['jump', 0x6aeb, 'jump; the header ends at 0x26c'],
    ['kernel_version', 0x42c0, 'version string at 0x44c0 in the file'],
    ['pref_address', 0x1000000n, '16 MiB'],
    ['min_alignment', 21, 'at least 2 MiB'],
    ['min_alignment', 255, 'no possible alignment'],
    ['root_dev', 0x0801, 'default root device 8:1'],
  ] as const)('%s %d', (name, value, meaning) => {
    expect(fieldMeaning(name, value)).toBe(meaning);
  });
});
