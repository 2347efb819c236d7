import { describe, expect, it } from 'vitest';
import { base64, fingerprintText, fnv1a64, uriOf } from '../../src/report/auditText.ts';
import { FIELD, FINDING } from './auditReports.ts';

describe('base64', () => {
  it.each([0, 1, 2, 3, 4, 5, 255])('is what Node makes of it: %d bytes', (length) => {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 37 + 251) & 0xff);
    expect(base64(bytes)).toBe(Buffer.from(bytes).toString('base64'));
  });
});

describe('FNV-1a', () => {
  // The test values of the draft-eastlake-fnv document.
  it.each([
    ['', 'cbf29ce484222325'],
    ['a', 'af63dc4c8601ec8c'],
    ['foobar', '85944171f73967e8'],
  ])('of %j', (text, hash) => {
    expect(fnv1a64(text)).toBe(hash);
  });
});

describe('a path as a URI', () => {
  it.each([
    ['arch/x86/boot/bzImage', 'arch/x86/boot/bzImage'],
    ['./bzImage', 'bzImage'],
    ['../out/bzImage', '../out/bzImage'],
    ['a b/ü#1?.o', 'a%20b/%C3%BC%231%3F.o'],
    ['c:d', 'c%3Ad'],
    ['100%.o', '100%25.o'],
    ['/boot/vm linuz', 'file:///boot/vm%20linuz'],
    ['C:\\out\\bzImage', 'file:///C:/out/bzImage'],
    ['x\ud800y', 'x%EF%BF%BDy'],
  ])('%j', (path, uri) => {
    expect(uriOf(path)).toBe(uri);
  });
});

describe('what a fingerprint is made of', () => {
  it('stays the same when the code has moved', () => {
    const moved = {
      ...FINDING,
      fileOffset: 1,
      linkAddress: 2n,
      text: 'mov    $0x20040,%rsi',
      place: 'paging_prepare+0x15f',
      bytes: Uint8Array.of(1),
      message: 'At 0x2.',
    };
    expect(fingerprintText(moved)).toBe(fingerprintText(FINDING));
  });

  it.each([
    ['rule', { rule: 'kernel-address-before-mapping' }],
    ['register', { text: 'mov    $0x18040,%r8' }],
    ['function', { place: 'extract_kernel+0x140' }],
    ['target', { target: { linkAddress: 1n, symbol: 'pgtable' } }],
  ] as const)('differs with the %s', (_name, change) => {
    expect(fingerprintText({ ...FINDING, ...change })).not.toBe(fingerprintText(FINDING));
  });

  it('tells registers with numbers in their names apart', () => {
    expect(fingerprintText({ ...FINDING, text: 'mov $1,%r8' })).not.toBe(
      fingerprintText({ ...FINDING, text: 'mov $1,%r9' }),
    );
  });

  it('is the message, without its numbers, where there is no text', () => {
    const { text: _, ...rest } = FIELD;
    expect(fingerprintText(rest)).toBe('boot-protocol-field\0setup header\0init_size is #, less than the image has.\0');
  });
});
