import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/bits/errors.ts';
import { findEmbeddedConfig, isOff, isOn, numberOf, parseKernelConfig } from '../../src/image/kernelConfig.ts';
import { concat } from './synthetic.ts';

const TEXT = `#
# Automatically generated file; DO NOT EDIT.
# Linux/x86 6.1.192 Kernel Configuration
#
CONFIG_X86_64=y
CONFIG_EXT4_FS=m
# CONFIG_IKCONFIG is not set
CONFIG_PHYSICAL_START=0x1000000
CONFIG_NR_CPUS=8192
CONFIG_CMDLINE="quiet \\"now\\" \\\\o/"
CONFIG_EMPTY=""
# CONFIG_ is not set
not an option
`;

const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);

describe('the text of a .config', () => {
  const config = parseKernelConfig(TEXT);

  it('gives each kind of value', () => {
    expect([...config.options]).toEqual([
      ['X86_64', 'y'],
      ['EXT4_FS', 'm'],
      ['IKCONFIG', 'n'],
      ['PHYSICAL_START', '0x1000000'],
      ['NR_CPUS', '8192'],
      ['CMDLINE', 'quiet "now" \\o/'],
      ['EMPTY', ''],
    ]);
  });

  it('tells off from unknown', () => {
    expect(isOn(config, 'X86_64')).toBe(true);
    expect(isOn(config, 'EXT4_FS')).toBe(false);
    expect(isOff(config, 'IKCONFIG')).toBe(true);
    expect(isOff(config, 'UNKNOWN')).toBe(false);
  });

  it('reads numbers, and nothing else as one', () => {
    expect(numberOf(config, 'PHYSICAL_START')).toBe(0x1000000);
    expect(numberOf(config, 'NR_CPUS')).toBe(8192);
    expect(numberOf(config, 'CMDLINE')).toBeUndefined();
    expect(numberOf(config, 'EMPTY')).toBeUndefined();
  });

  it('gives the version it was made for', () => {
    expect(config.version).toBe('6.1.192');
    expect(parseKernelConfig('CONFIG_A=y').version).toBeUndefined();
  });

  it('reads lines that end as Windows ends them', () => {
    expect(parseKernelConfig('CONFIG_A=y\r\n# CONFIG_B is not set\r\n').options.get('B')).toBe('n');
  });

  it('refuses a text without options', () => {
    expect(() => parseKernelConfig('hello\n')).toThrow(InputError);
  });
});

describe('an embedded configuration', () => {
  const gzip = Uint8Array.of(0x1f, 0x8b, 8, 0, 1, 2, 3);

  it('is found between its marks', () => {
    const image = concat([ascii('xxIKCFG_ST not this, IKCFG_ST'), gzip, ascii('IKCFG_ED')]);
    expect(findEmbeddedConfig(image)).toEqual({ fileOffset: 29, size: gzip.length });
  });

  it('is not there without both', () => {
    expect(findEmbeddedConfig(concat([ascii('IKCFG_ST'), gzip]))).toBeUndefined();
    expect(findEmbeddedConfig(ascii('IKCFG_ED'))).toBeUndefined();
    expect(findEmbeddedConfig(ascii('IKCFG_ST'))).toBeUndefined();
  });
});
