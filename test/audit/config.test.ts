import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { auditConfig, type ConfigFacts, configFactsOf } from '../../src/audit/config.ts';
import { parseKernelConfig } from '../../src/image/kernelConfig.ts';
import { kernels } from '../support/kernels.ts';
import { healthyImage } from './header/healthy.ts';

const TEXT = `# Linux/x86 7.1.9 Kernel Configuration
CONFIG_X86_64=y
CONFIG_RELOCATABLE=y
CONFIG_RANDOMIZE_BASE=y
CONFIG_X86_5LEVEL=y
CONFIG_EFI_STUB=y
CONFIG_EFI_MIXED=y
CONFIG_PHYSICAL_START=0x1000000
CONFIG_PHYSICAL_ALIGN=0x200000
# CONFIG_KERNEL_XZ is not set
CONFIG_KERNEL_ZSTD=y
CONFIG_LD_IS_BFD=y
CONFIG_LTO_NONE=y
`;

const facts = configFactsOf(healthyImage());

const audit = (text: string, image: ConfigFacts = facts) => auditConfig(parseKernelConfig(text), image);
const warnings = (text: string, image?: ConfigFacts): string[] =>
  audit(text, image)
    .filter((f) => f.severity !== 'note')
    .map((f) => f.message);
const notes = (text: string): string[] =>
  audit(text)
    .filter((f) => f.severity === 'note')
    .map((f) => f.message);

describe('a configuration against its image', () => {
  it('finds no contradiction where there is none', () => {
    expect(warnings(TEXT)).toEqual([]);
  });

  it.each([
    ['RELOCATABLE=y', { relocatable_kernel: 0 }, 'CONFIG_RELOCATABLE=y, but relocatable_kernel is 0.'],
    ['X86_64=y', { xloadflags: 0 }, 'CONFIG_X86_64=y, but xloadflags lacks KERNEL_64.'],
    ['X86_5LEVEL=y', { xloadflags: 0x3f }, 'CONFIG_X86_5LEVEL=y, but xloadflags lacks 5LEVEL_ENABLED.'],
    ['EFI_MIXED=y', { xloadflags: 0x7b }, 'CONFIG_EFI_MIXED=y, but xloadflags lacks EFI_HANDOVER_32.'],
    ['PHYSICAL_ALIGN=0x200000', { kernel_alignment: 0x1000000 }, 'kernel_alignment is 0x1000000.'],
    ['PHYSICAL_START=0x1000000', { pref_address: 0x2000000n }, 'pref_address is 0x2000000.'],
  ])('finds that CONFIG_%s is not in the header', (_, fields, words) => {
    const found = warnings(TEXT, configFactsOf(healthyImage({ fields })));
    expect(found).toEqual([expect.stringContaining(words)]);
  });

  it.each(['RELOCATABLE', 'X86_64', 'X86_5LEVEL', 'EFI_MIXED', 'EFI_STUB'])(
    'finds that the header has what CONFIG_%s leaves out',
    (option) => {
      const text = TEXT.replace(`CONFIG_${option}=y`, `# CONFIG_${option} is not set`);
      expect(warnings(text)).toEqual([expect.stringContaining(`CONFIG_${option} not set, but`)]);
    },
  );

  it('finds another payload format, and no PE header', () => {
    expect(warnings(TEXT.replace('CONFIG_KERNEL_ZSTD', 'CONFIG_KERNEL_LZ4'))).toEqual([
      'The configuration has CONFIG_KERNEL_LZ4=y, but the payload is packed with zstd.',
    ]);
    expect(warnings(TEXT, configFactsOf(healthyImage({ pe: false })))).toEqual([
      'The configuration has CONFIG_EFI_STUB=y, but the image has no PE header.',
    ]);
  });

  it('finds another version, and takes the names that distributions give it', () => {
    const of = (version: string) => warnings(TEXT, configFactsOf(healthyImage({ version })));
    expect(of('7.1.0-56-amd64 (someone)')).toEqual([]);
    expect(of('7.2.0 (someone)')).toEqual([expect.stringContaining('7.1.9, but the image says that it is 7.2.0')]);
  });

  it('aligns PHYSICAL_START as the kernel does', () => {
    const text = TEXT.replace('CONFIG_PHYSICAL_START=0x1000000', 'CONFIG_PHYSICAL_START=0xf00001');
    expect(warnings(text)).toEqual([]);
  });

  it('says nothing about options it does not name, nor of an image it does not know', () => {
    expect(audit('CONFIG_OTHER=y')).toEqual([]);
    expect(warnings(TEXT, {})).toEqual([]);
  });

  it('takes a kernel from before 5LEVEL bits as it is', () => {
    expect(warnings(TEXT, configFactsOf(healthyImage({ fields: { xloadflags: 0x1f } })))).toEqual([]);
  });
});

describe('what options mean for the findings', () => {
  it('tells what the linker makes of a lost -pie', () => {
    expect(notes(TEXT)[0]).toContain('GNU ld');
    expect(notes(TEXT.replace('LD_IS_BFD', 'LD_IS_LLD'))[0]).toContain('lld');
    expect(notes(TEXT.replace('CONFIG_LD_IS_BFD=y', 'CONFIG_LD_VERSION=235020000\nCONFIG_LLD_VERSION=0'))[0]).toContain(
      'GNU ld',
    );
  });

  it('tells where the kernel runs', () => {
    const off = '# CONFIG_RANDOMIZE_BASE is not set';
    expect(notes(TEXT)[1]).toContain('another address each boot');
    expect(notes(TEXT.replace('CONFIG_RANDOMIZE_BASE=y', off))[1]).toContain('same place each boot');
    expect(notes(TEXT.replace('CONFIG_RELOCATABLE=y', '# CONFIG_RELOCATABLE is not set'))[1]).toContain(
      'CONFIG_PHYSICAL_START',
    );
  });

  it('mentions LTO only where it is on', () => {
    expect(notes(TEXT).join()).not.toContain('link-time');
    expect(notes(`${TEXT}CONFIG_LTO_CLANG_THIN=y\n`).join()).toContain('CONFIG_LTO_CLANG_THIN=y');
  });
});

describe.skipIf(kernels().files.length === 0)("Debian's configurations", () => {
  it.each(kernels().files.map((file) => [file.name, file] as const))('of %s contradict nothing', (_, file) => {
    const image = configFactsOf(new Uint8Array(readFileSync(file.path)));
    const found = audit(readFileSync(file.config, 'utf8'), image);
    expect(found.filter((f) => f.severity !== 'note')).toEqual([]);
    expect(found.length).toBeLessThanOrEqual(4);
  });
});
