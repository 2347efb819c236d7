import { describe, expect, it } from 'vitest';
import { auditHeaderOf } from '../../../src/audit/header/auditHeader.ts';
import { putU16, putU32 } from '../../../src/bits/cursor.ts';
import { CERTIFICATE_ENTRY, COFF, healthyImage, OPTIONAL, PART_SIZE, SECTION_TABLE, SETUP_SIZE } from './healthy.ts';

type Edit = (bytes: Uint8Array) => void;

const u16 =
  (at: number, value: number): Edit =>
  (bytes) =>
    putU16(bytes, at, value);
const u32 =
  (at: number, value: number): Edit =>
  (bytes) =>
    putU32(bytes, at, value);
const both =
  (...edits: readonly Edit[]): Edit =>
  (bytes) =>
    edits.forEach((edit) => edit(bytes));

/** Of a section header: its number, and the offset of a field in it. */
const section = (number: number, field: number): number => SECTION_TABLE + 40 * number + field;
const ADDRESS = 12;
const SIZE_IN_FILE = 16;
const OFFSET_IN_FILE = 20;
const FLAGS = 36;
const [SETUP, COMPAT, TEXT, DATA] = [0, 1, 2, 3] as const;

const WRONG: readonly (readonly [what: string, edit: Edit, severity: string, words: string])[] = [
  ['no PE header where MZ points', u32(0x3c, 0x100), 'error', 'no PE header stands at 0x100'],
  ['a PE pointer beyond the file', u32(0x3c, 0xfffffff0), 'error', 'no PE header stands at 0xfffffff0'],
  ['an unknown optional header', u16(OPTIONAL, 0x107), 'error', 'neither PE32 nor PE32+'],
  ['thousands of sections', u16(COFF + 2, 0xffff), 'error', 'The PE image has 65535 sections'],
  ['another machine', u16(COFF, 0xaa64), 'error', 'Machine is 0xaa64'],
  ['a 32-bit machine with a 64-bit kernel', u16(COFF, 0x14c), 'error', '64-bit kernel'],
  ['not executable', u16(COFF + 18, 0x204), 'error', 'without EXECUTABLE_IMAGE'],
  ['relocations stripped', u16(COFF + 18, 0x207), 'warning', 'RELOCS_STRIPPED'],
  ['another subsystem', u16(OPTIONAL + 68, 3), 'error', 'Subsystem is 3'],
  ['an alignment that is no power of two', u32(OPTIONAL + 36, 0x300), 'error', 'powers of two'],
  ['headers smaller than the section table', u32(OPTIONAL + 60, 0x100), 'error', 'the section table ends at 0x198'],
  ['headers that overlap a section', u32(OPTIONAL + 60, 0x1200), 'error', '.setup begins before'],
  ['an entry point outside', u32(OPTIONAL + 16, 0x90000), 'error', "in no section's bytes"],
  ['an entry point in zeros', u32(OPTIONAL + 16, 0x8000), 'error', "in no section's bytes"],
  ['an entry point in data', u32(OPTIONAL + 16, 0x6000), 'error', 'is not executable'],
  ['an entry point in the payload', u32(OPTIONAL + 16, SETUP_SIZE + 0x500), 'error', 'inside the payload'],
  ['an image smaller than its sections', u32(OPTIONAL + 56, 0x8000), 'error', '.data ends at 0x9000'],
  [
    'a section at an odd address',
    both(u32(section(DATA, ADDRESS), 0x6200), u32(OPTIONAL + 56, 0xa000)),
    'warning',
    '.data has the address 0x6200',
  ],
  [
    'a section at an odd place',
    both(u32(section(SETUP, OFFSET_IN_FILE), 0x1010), u32(section(SETUP, SIZE_IN_FILE), 0xe00)),
    'warning',
    '.setup begins at 0x1010',
  ],
  ['overlap in the file', u32(section(SETUP, SIZE_IN_FILE), 0x1200), 'error', '.setup overlaps .compat in the file'],
  ['overlap in memory', u32(section(TEXT, ADDRESS), 0x4000), 'error', 'overlaps .data in memory'],
  [
    'writable code that says NX_COMPAT',
    u32(section(TEXT, FLAGS), 0xe0000020),
    'warning',
    'in an image that says NX_COMPAT',
  ],
  ['no NX_COMPAT', u16(OPTIONAL + 70, 0), 'note', 'does not say NX_COMPAT'],
  ['NX_COMPAT with small sections', both(u32(OPTIONAL + 32, 0x200)), 'warning', 'SectionAlignment is 0x200'],
  [
    'a certificate table beyond the file',
    both(u32(CERTIFICATE_ENTRY, 0x7000), u32(CERTIFICATE_ENTRY + 4, 0x100)),
    'error',
    'does not lie within the file',
  ],
  ['a second entry of an unknown type', u16(0x2000, 0x0802), 'warning', 'type 1 and length 8'],
  ['a second entry in data', u32(0x2004, 0x6000), 'warning', 'in no executable section'],
  [
    'an .sbat without records',
    (bytes) => bytes.set(new TextEncoder().encode('.sbat\0\0\0'), section(COMPAT, 0)),
    'warning',
    'sbat,',
  ],
  ['a checksum of other bytes', u32(OPTIONAL + 64, 0x1234), 'note', 'CheckSum in the PE header is 0x1234'],
];

describe('the audit of the PE header', () => {
  it.each(WRONG)('finds %s and nothing else', (_, edit, severity, words) => {
    const image = healthyImage();
    edit(image);
    const findings = auditHeaderOf(image);
    expect(findings.map((f) => [f.severity, f.message])).toEqual([[severity, expect.stringContaining(words)]]);
  });

  it('takes an image without a PE header as one without', () => {
    expect(auditHeaderOf(healthyImage({ pe: false }))).toEqual([]);
  });

  it('points to the field', () => {
    const image = healthyImage();
    putU16(image, OPTIONAL + 68, 3);
    expect(auditHeaderOf(image)[0]).toMatchObject({
      rule: 'pe-header',
      fileOffset: OPTIONAL + 68,
      bytes: Uint8Array.of(3, 0),
      text: 'Subsystem = 0x3',
    });
  });

  it('finds sections aligned to less than the file, and what follows for NX_COMPAT', () => {
    const image = healthyImage();
    putU32(image, OPTIONAL + 32, 0x100);
    expect(auditHeaderOf(image).map((f) => [f.severity, f.text])).toEqual([
      ['error', 'FileAlignment = 0x200'],
      ['warning', 'DllCharacteristics = 0x100'],
    ]);
  });

  it('finds a section that leaves the file', () => {
    const image = healthyImage();
    putU32(image, section(SETUP, OFFSET_IN_FILE), 0x80000000);
    expect(auditHeaderOf(image).map((f) => f.message)).toEqual([
      'The PE section .setup takes 0x1000 bytes from 0x80000000 on, beyond the end of the file (0x7000).',
    ]);
  });

  it('asks for init_size where the stub unpacks in place, as up to 6.6', () => {
    const image = healthyImage();
    putU32(image, OPTIONAL + 24, 0x1000000);
    putU32(image, section(TEXT, 8), 0x3000);
    expect(auditHeaderOf(image)).toEqual([]);
    putU32(image, section(TEXT, SIZE_IN_FILE), 0x2e00);
    expect(auditHeaderOf(image).map((f) => f.message)).toEqual([
      'SizeOfImage is 0x9000, but setup part and init_size together take 0x103000 bytes.',
    ]);
  });
});

describe('the audit of the certificate table', () => {
  const certificate = (length: number, revision = 0x200, type = 2): Uint8Array => {
    const bytes = new Uint8Array(0x40).fill(0xaa);
    putU32(bytes, 0, length);
    putU16(bytes, 4, revision);
    putU16(bytes, 6, type);
    return bytes;
  };
  const signed = (table: Uint8Array, address = SETUP_SIZE + PART_SIZE, size = table.length): Uint8Array => {
    const image = healthyImage({ behind: table });
    putU32(image, CERTIFICATE_ENTRY, address);
    putU32(image, CERTIFICATE_ENTRY + 4, size);
    return image;
  };
  const messages = (image: Uint8Array): string[] => auditHeaderOf(image).map((f) => f.message);

  it('accepts one that holds together', () => {
    expect(auditHeaderOf(signed(certificate(0x40)))).toEqual([]);
    expect(auditHeaderOf(signed(certificate(0x3d)))).toEqual([]);
  });

  it.each([
    ['an entry longer than the table', certificate(0x41), 'an entry of 0x41 bytes'],
    ['an entry without length', certificate(0), 'an entry of 0x0 bytes'],
    ['another revision', certificate(0x40, 0x100), 'revision 0x100'],
    ['another type', certificate(0x40, 0x200, 1), 'type 1'],
  ])('finds %s', (_, table, words) => {
    expect(messages(signed(table))).toEqual([expect.stringContaining(words)]);
  });

  it('finds one that does not begin at a multiple of 8, or inside a section', () => {
    const behind = new Uint8Array(0x44);
    behind.set(certificate(0x40), 4);
    expect(messages(signed(behind, SETUP_SIZE + PART_SIZE + 4, 0x40))).toEqual([
      expect.stringContaining('multiple of 8'),
    ]);
    const inside = healthyImage();
    putU32(inside, CERTIFICATE_ENTRY, 0x6800);
    putU32(inside, CERTIFICATE_ENTRY + 4, 0x40);
    expect(messages(inside)).toEqual([expect.stringContaining('before the section .data ends')]);
  });
});
