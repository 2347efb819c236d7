import { describe, expect, it } from 'vitest';
import { auditHeaderOf } from '../../../src/audit/header/auditHeader.ts';
import { InputError } from '../../../src/bits/errors.ts';
import { putU32 } from '../../../src/bits/cursor.ts';
import { SETUP_HEADER_FIELDS, type SetupHeaderField } from '../../../src/image/setup-header.ts';
import { healthyImage, PART_SIZE, PAYLOAD_OFFSET, SETUP_SIZE } from './healthy.ts';

type Row = readonly [field: SetupHeaderField, value: number | bigint, severity: string, words: string];

/** One field wrong, everything else as a build makes it. */
const WRONG: readonly Row[] = [
  ['setup_sects', 22, 'error', 'begins at 0x2e00'],
  ['setup_sects', 255, 'error', 'has already ended'],
  ['syssize', 0, 'error', 'empty'],
  ['syssize', PART_SIZE / 16 + 1, 'error', 'the file ends at 0x7000'],
  ['syssize', PART_SIZE / 16 - 1, 'error', '.data goes on to 0x7000'],
  ['ram_size', 1, 'note', 'obsolete'],
  ['vid_mode', 0x317, 'note', 'video mode'],
  ['boot_flag', 0xaa54, 'error', 'not 0xaa55'],
  ['jump', 0x6a90, 'error', 'short jump'],
  ['jump', 0xf0eb, 'error', 'backwards'],
  ['jump', 0x20eb, 'error', 'has fields up to 0x26c'],
  ['version', 0x1ff, 'error', 'protocol 1.255'],
  ['version', 0x205, 'error', 'protocol 2.05'],
  ['version', 0x210, 'note', 'newer'],
  ['realmode_swtch', 0x1234, 'warning', 'real mode'],
  ['start_sys_seg', 0x2000, 'note', '0x1000'],
  ['kernel_version', 0xf000, 'warning', 'no version string'],
  ['type_of_loader', 0x21, 'warning', 'must be 0'],
  ['loadflags', 0, 'error', 'zImage'],
  ['loadflags', 0x81, 'warning', 'bits other than LOADED_HIGH'],
  ['code32_start', 0x200000, 'warning', '0x100000'],
  ['ramdisk_image', 1, 'warning', 'must be 0'],
  ['ramdisk_size', 1, 'warning', 'must be 0'],
  ['bootsect_kludge', 1, 'note', 'obsolete'],
  ['heap_end_ptr', 0, 'warning', 'inside the setup header'],
  ['ext_loader_ver', 1, 'warning', 'must be 0'],
  ['ext_loader_type', 1, 'warning', 'must be 0'],
  ['cmd_line_ptr', 0x90000, 'warning', 'must be 0'],
  ['initrd_addr_max', 0x1000000, 'warning', '0x7fffffff'],
  ['initrd_addr_max', 0x7ffffffe, 'warning', '0x7fffffff'],
  ['kernel_alignment', 0, 'error', 'power of two'],
  ['kernel_alignment', 0x300000, 'error', 'power of two'],
  ['relocatable_kernel', 2, 'warning', 'neither 0 nor 1'],
  ['min_alignment', 22, 'error', 'more than kernel_alignment'],
  ['min_alignment', 12, 'error', '2 MiB'],
  ['xloadflags', 0x5f, 'error', '5LEVEL_ENABLED without 5LEVEL'],
  ['xloadflags', 0xff, 'warning', 'MEM_ENCRYPTION'],
  ['xloadflags', 0x17f, 'warning', 'no known protocol'],
  ['xloadflags', 0x73, 'error', 'promises no EFI handover'],
  ['cmdline_size', 0, 'warning', '255'],
  ['hardware_subarch', 1, 'warning', 'must be 0'],
  ['hardware_subarch_data', 1n, 'warning', 'must be 0'],
  ['payload_offset', PAYLOAD_OFFSET + 1, 'error', 'zstd data begins at 0x400'],
  ['payload_offset', 0x7fffffff, 'error', 'does not lie within'],
  ['payload_length', 0, 'error', 'payload_length is 0'],
  ['payload_length', 0x1004, 'error', 'does not end there'],
  ['payload_length', 0x100c, 'error', 'end after 0x100d bytes'],
  ['payload_length', 0x100e, 'error', 'end after 0x100d bytes'],
  ['setup_data', 0x1000n, 'error', 'must be 0'],
  ['pref_address', 0x1100000n, 'error', 'multiple of kernel_alignment'],
  ['pref_address', 0n, 'error', 'below 1 MiB'],
  ['pref_address', 1n << 60n, 'error', 'beyond any address'],
  ['init_size', 0x3fff, 'error', 'the protected-mode part alone has 0x4000'],
  ['init_size', 0x5000, 'warning', 'unpack in place'],
  ['init_size', 0x40001000, 'warning', 'more than 1 GiB'],
  ['handover_offset', 0, 'error', 'handover_offset is 0'],
  ['handover_offset', PART_SIZE, 'error', 'beyond the protected-mode part'],
  ['handover_offset', 0x300, 'error', 'inside the payload'],
  ['kernel_info_offset', PART_SIZE - 8, 'error', 'beyond the protected-mode part'],
  ['kernel_info_offset', 0x2001, 'error', 'LToP'],
];

/** Rows that name another field than the one changed, because the two contradict each other. */
const NAMED: Partial<Record<string, SetupHeaderField>> = { 'xloadflags 115': 'handover_offset' };

describe('the audit of setup header fields', () => {
  it('finds nothing in an image as a build makes it', () => {
    expect(auditHeaderOf(healthyImage())).toEqual([]);
  });

  it.each(WRONG)('finds %s = %s and nothing else (%s: %s)', (field, value, severity, words) => {
    const findings = auditHeaderOf(healthyImage({ fields: { [field]: value } }));
    expect(findings.map((f) => [f.severity, f.text?.split(' ')[0]])).toEqual([
      [severity, NAMED[`${field} ${value}`] ?? field],
    ]);
    expect(findings[0]?.message).toContain(words);
  });

  it('gives the place and the bytes of the field', () => {
    const [finding] = auditHeaderOf(healthyImage({ fields: { init_size: 0x3fff } }));
    expect(finding).toMatchObject({
      fileOffset: 0x260,
      bytes: Uint8Array.of(0xff, 0x3f, 0, 0),
      text: 'init_size = 0x3fff',
      place: 'setup header',
    });
  });

  it('has a row for every field that means something', () => {
    const seen = new Set(WRONG.map(([field]) => field));
    const without = SETUP_HEADER_FIELDS.map((f) => f.name).filter((name) => !seen.has(name));
    expect(without).toEqual(['root_flags', 'root_dev', 'header', 'setup_move_size']);
  });

  it.each([
    ['above 4 GiB without 64-bit entry', 0x02, 'CAN_BE_LOADED_ABOVE_4G without KERNEL_64'],
    ['5-level without 64-bit entry', 0x20, '5LEVEL without KERNEL_64'],
    ['64-bit handover without 64-bit entry', 0x08, 'EFI_HANDOVER_64 without KERNEL_64'],
    ['EFI_KEXEC without 64-bit entry', 0x10, 'EFI_KEXEC without KERNEL_64'],
  ])('finds xloadflags contradict themselves: %s', (_, xloadflags, words) => {
    const handover_offset = (xloadflags & 0x0c) === 0 ? 0 : 0x1c00;
    const findings = auditHeaderOf(healthyImage({ pe: false, fields: { xloadflags, handover_offset } }));
    expect(findings.map((f) => f.message)).toEqual([expect.stringContaining(words)]);
  });

  it('finds a kernel that can be loaded above 4 GiB and not relocated', () => {
    const findings = auditHeaderOf(healthyImage({ fields: { relocatable_kernel: 0 } }));
    expect(findings.map((f) => f.message)).toEqual([
      'xloadflags has CAN_BE_LOADED_ABOVE_4G, but relocatable_kernel is 0.',
    ]);
  });

  it('finds an alignment that a 64-bit kernel cannot have, and one that no configuration makes', () => {
    const small = auditHeaderOf(healthyImage({ fields: { kernel_alignment: 0x100000, min_alignment: 20 } }));
    expect(small.map((f) => f.text)).toEqual(['kernel_alignment = 0x100000', 'min_alignment = 0x14']);
    const large = auditHeaderOf(healthyImage({ fields: { kernel_alignment: 0x2000000, pref_address: 0x2000000n } }));
    expect(large.map((f) => [f.severity, f.text])).toEqual([['warning', 'kernel_alignment = 0x2000000']]);
  });

  it('finds a 64-bit entry without code', () => {
    const image = healthyImage();
    image.fill(0, SETUP_SIZE + 0x200, SETUP_SIZE + 0x220);
    expect(auditHeaderOf(image).map((f) => f.message)).toEqual([
      'xloadflags promises a 64-bit entry at 0x200, but there is no code, only bytes 0x00.',
    ]);
  });

  it('finds a kernel_info that contradicts itself', () => {
    const size = healthyImage();
    putU32(size, SETUP_SIZE + 0x2004, 0x100);
    expect(auditHeaderOf(size).map((f) => f.message)).toEqual([expect.stringContaining('cannot both be right')]);
    const types = healthyImage();
    putU32(types, SETUP_SIZE + 0x200c, 9);
    expect(auditHeaderOf(types).map((f) => f.message)).toEqual([expect.stringContaining('setup_type_max')]);
  });

  it('finds an unpacked size that cannot be right', () => {
    for (const size of [0, 0x100, 0xf0000000]) {
      const image = healthyImage();
      putU32(image, SETUP_SIZE + PAYLOAD_OFFSET + 9 + 0x1000, size);
      expect(auditHeaderOf(image).map((f) => [f.rule, f.text])).toEqual([
        ['payload-layout', 'payload_length = 0x100d'],
      ]);
    }
  });

  it('finds init_size smaller than what the payload unpacks to', () => {
    const image = healthyImage({ fields: { init_size: 0x8000 } });
    putU32(image, SETUP_SIZE + PAYLOAD_OFFSET + 9 + 0x1000, 0x9000);
    expect(auditHeaderOf(image).map((f) => f.message)).toEqual([
      'init_size is 0x8000, but the payload unpacks to 0x9000 bytes.',
    ]);
  });

  it('notes bytes that nothing names, but not padding', () => {
    expect(auditHeaderOf(healthyImage({ behind: new Uint8Array(100) }))).toEqual([]);
    const appended = auditHeaderOf(healthyImage({ behind: Uint8Array.of(1, 2, 3) }));
    expect(appended.map((f) => [f.severity, f.message])).toEqual([
      ['note', '3 bytes lie behind everything that the headers name; they are not loaded.'],
    ]);
  });

  it('checks no field that the protocol version does not have', () => {
    const fields = { version: 0x20b, xloadflags: 0x100, kernel_info_offset: 0xffffffff };
    expect(auditHeaderOf(healthyImage({ fields }))).toEqual([]);
  });

  it('refuses what is no bzImage', () => {
    expect(() => auditHeaderOf(new Uint8Array())).toThrow(InputError);
    expect(() => auditHeaderOf(new Uint8Array(0x1000))).toThrow(InputError);
    expect(() => auditHeaderOf(healthyImage({ fields: { header: 1 } }))).toThrow(InputError);
    expect(() => auditHeaderOf(healthyImage().subarray(0, 0x230))).toThrow(InputError);
  });
});
