import { describe, expect, it } from 'vitest';
import type { Finding } from '../../src/audit/types.ts';
import { auditLines, quietAuditLines } from '../../src/report/audit.ts';
import { type Line, rowsOf } from '../../src/bits/lines.ts';
import { CLEAN, FIELD, FINDING, LOST, NOTE, OBJECT, REPORT, STABLE } from './auditReports.ts';

/** As one text, so that wrapping does not matter. */
const flat = (lines: readonly Line[]): string => lines.map(({ text }) => text).join('\n');
const report = (change: Partial<typeof REPORT> = {}) =>
  flat(auditLines([{ name: 'bzImage', report: { ...REPORT, ...change } }]));
const finding = (change: Partial<Finding>) => report({ findings: [{ ...FINDING, ...change }] });
const many = (count: number): Finding[] =>
  Array.from({ length: count }, (_, i) => ({ ...FINDING, fileOffset: 0x1000 + i, reason: `Reason ${i}.` }));

describe('the audit of a file', () => {
  it('begins with its name, what it is, and what was looked at', () => {
    expect(report()).toMatch(
      /^bzImage\nbzImage 6\.1 \(boot protocol 2\.15\), 110,592 bytes\nLooked at: 1,234 instructions reached from the entry points \(200 of 32-bit code and 1,034 of 64-bit code\), 7 more that only a linear sweep found; 2,650 constants and 1 word of data were held against the link addresses\.\n/,
    );
  });

  it('says nothing of a sweep that found nothing', () => {
    const coverage = { followed: { 16: 1, 32: 0, 64: 0 }, swept: 0, constants: 1, dataWords: 0 };
    expect(report({ coverage })).toContain(
      'Looked at: 1 instruction reached from the entry points (1 of 16-bit code); 1 constant and 0 words of data were',
    );
  });

  it('has a finding with all that is known of it', () => {
    expect(report()).toContain(
      [
        'FINDING 1: position-dependent-reference',
        FINDING.message,
        '',
        'instruction      mov $0x18040,%rsi',
        'bytes            48 c7 c6 40 80 01 00',
        'in the file at   offset 0x1a280',
        'linked at        0x18280',
        'in               paging_prepare+0x140',
        'points to        0x18040  trampoline_32bit_src, start of a function',
        'repair in place  48 8d 35 b9 fd ff ff  lea -0x247(%rip),%rsi',
        '',
        'Where it comes from:',
        'Relocation in the object file: R_X86_64_REX_GOTPCRELX, of a load from the GOT.',
        'GNU ld made it, in a link without -pie.',
        '',
        'Confidence: high. The number is where a function starts.',
        '',
        'What to do:',
        'Link it with -pie.',
        'Look at the command.',
        '',
      ].join('\n'),
    );
  });

  it('says where an instruction has no repair in place', () => {
    const { repair: _, ...rest } = FINDING;
    expect(report({ findings: [rest] })).toContain('repair in place  none: no position-independent form is as long\n');
  });

  it('leaves out of a finding what it does not have', () => {
    expect(report({ findings: [FIELD] })).toContain(
      [
        'FINDING 1: boot-protocol-field',
        FIELD.message,
        '',
        'what it is      init_size = 0x1000',
        'bytes           00 10 00 00',
        'in the file at  offset 0x260',
        'in              setup header',
        '',
        'Confidence: medium. The two numbers are in the file.',
        '',
      ].join('\n'),
    );
  });

  it('has errors in red and warnings in yellow', () => {
    const tones = (one: Finding) =>
      auditLines([{ name: 'x', report: { ...REPORT, findings: [one] } }]).find(({ text }) => text.startsWith('FINDING'))
        ?.tone;
    expect([tones(FINDING), tones(FIELD)]).toEqual(['bad', 'limit']);
  });

  it('gives what findings have in common once', () => {
    const text = report({ findings: [FINDING, { ...FINDING, fileOffset: 1 }] });
    expect(text.split('Link it with -pie.')).toHaveLength(2);
    expect(text).toContain(
      '\n\nWhere it comes from: as at finding 1.\nConfidence: high. Why: as at finding 1.\nWhat to do: as at finding 1.\n',
    );
  });

  it('tells ten findings of a rule in full and has a row for each of the others', () => {
    const text = report({ findings: [...many(12), FIELD] });
    expect(text).toContain('FINDING 10: position-dependent-reference\n');
    expect(text).not.toContain('FINDING 11:');
    expect(text).toContain('FINDING 13: boot-protocol-field\n');
    expect(text).toContain(
      [
        'AND 2 MORE: position-dependent-reference',
        'finding  offset  in                    what               confidence',
        '11       0x100a  paging_prepare+0x140  mov $0x18040,%rsi  high',
        '12       0x100b  paging_prepare+0x140  mov $0x18040,%rsi  high',
      ].join('\n'),
    );
  });

  it('cuts long names in the rows', () => {
    const long = many(11).map((one) => ({ ...one, place: 'a'.repeat(80) }));
    expect(report({ findings: long })).toContain(`  ${'a'.repeat(33)}...  mov`);
  });

  it('has notes in a line each, of many of a kind the first ten', () => {
    expect(report()).toContain('\nNOTES\nconfiguration: CONFIG_X86_5LEVEL is set.\n');
    const notes = [...Array.from({ length: 12 }, () => NOTE), { ...NOTE, rule: 'checksum' } as const];
    expect(report({ notes })).toContain('configuration: and 2 more, which --json lists.\nchecksum: CONFIG');
  });

  it('shows no control characters from the file', () => {
    expect(finding({ place: '\x1b[31mred\x07' })).toContain('in               ?[31mred?\n');
  });

  it('is at most 100 columns wide', () => {
    const findings = [...many(30), FIELD];
    const lines = auditLines([
      { name: 'a', report: { ...REPORT, findings } },
      { name: 'b', report: OBJECT },
    ]);
    expect(Math.max(...lines.flatMap((line) => rowsOf(line)).map((row) => row.length))).toBeLessThanOrEqual(100);
  });
});

describe('the predictions for an object', () => {
  const text = flat(auditLines([{ name: 'paging.o', report: OBJECT }]));

  it('are counted by linker and output', () => {
    expect(text).toContain(
      [
        'What the linkers make of 3 relocations in 2 objects:',
        'linker  link       PC-relative  fixed',
        'bfd     with -pie  3            0',
        'bfd     without    2            1',
        'gold    with -pie  3            0',
      ].join('\n'),
    );
  });

  it('are told in full where -pie decides', () => {
    expect(text).toContain(
      [
        'One of them depends on -pie:',
        'paging.o, .text+0x143: R_X86_64_REX_GOTPCRELX of trampoline_32bit_src, in `mov 0x0(%rip),%rsi`',
        'bfd: with -pie computed from RIP, without a fixed number',
        'gold, lld, mold: computed from RIP, with -pie or without',
        '',
      ].join('\n'),
    );
  });

  it('say where -pie decides nothing', () => {
    const stable = flat(auditLines([{ name: 'x.o', report: { ...OBJECT, predictions: [STABLE] } }]));
    expect(stable).toContain('of 1 relocation in 1 object:');
    expect(stable).toContain('\nNone of them depends on -pie.\n');
  });

  it('are cut off after twenty', () => {
    const predictions = Array.from({ length: 23 }, () => LOST);
    const long = flat(auditLines([{ name: 'x.o', report: { ...OBJECT, predictions } }]));
    expect(long).toContain('23 of them depend on -pie:');
    expect(long.split('paging.o, .text')).toHaveLength(21);
    expect(long).toContain('\nand 3 more, which --json lists.\n');
  });
});

describe('the end of an audit', () => {
  const end = (reports: (typeof REPORT)[], unreadable = 0) =>
    auditLines(
      reports.map((one, index) => ({ name: `file${index}`, report: one })),
      unreadable,
    ).at(-1);

  it.each([
    [[REPORT], 0, '1 finding in 1 file.'],
    [[CLEAN], 0, 'No findings in 1 file.'],
    [[CLEAN, CLEAN], 1, 'No findings in 2 files; 1 file could not be audited.'],
    [[REPORT, CLEAN, REPORT], 0, '2 findings in 2 of 3 files.'],
    [[REPORT, REPORT], 2, '2 findings in 2 files; 2 files could not be audited.'],
  ])('counts findings and files: %#', (reports, unreadable, text) => {
    expect(end(reports, unreadable)?.text).toBe(text);
  });

  it('is good where nothing was found and every file was read', () => {
    expect([end([CLEAN])?.tone, end([REPORT])?.tone, end([CLEAN], 1)?.tone]).toEqual(['good', 'bad', 'limit']);
  });

  it('does not count notes', () => {
    expect(end([{ ...CLEAN, notes: [NOTE] }])?.text).toBe('No findings in 1 file.');
  });
});

describe('several files', () => {
  it('say for each where nothing was found', () => {
    const files = [
      { name: 'one', report: CLEAN },
      { name: 'two', report: REPORT },
    ];
    expect(flat(auditLines(files))).toMatch(/^one\n.*\n.*\nNo findings\.\n\ntwo\n/);
    expect(flat(auditLines(files)).split('No findings')).toHaveLength(2);
  });

  const text = flat(
    auditLines([
      { name: 'one', report: REPORT },
      { name: 'two', report: REPORT },
    ]),
  );

  it('have their findings counted on', () => {
    expect(text).toContain('\n\ntwo\nbzImage 6.1');
    expect(text).toContain('FINDING 2: ');
  });

  it('share advice', () => {
    expect(text).toContain('What to do: as at finding 1.');
  });
});

describe('--quiet', () => {
  it('is a line for each finding, and the sum', () => {
    const findings = [FINDING, FIELD];
    expect(quietAuditLines([{ name: 'bzImage', report: { ...REPORT, findings } }])).toEqual([
      'bzImage: error: position-dependent-reference: mov $0x18040,%rsi at file offset 0x1a280 in paging_prepare+0x140, address of trampoline_32bit_src (confidence high)',
      'bzImage: warning: boot-protocol-field: init_size is 0x1000, less than the image has. (confidence medium)',
      '2 findings in 1 file.',
    ]);
  });

  it('has the message of a finding without text', () => {
    const lost: Finding = { ...NOTE, rule: 'link-flag-lost', severity: 'error', message: '-pie is missing.' };
    expect(quietAuditLines([{ name: 'x.o', report: { ...OBJECT, findings: [lost] } }])[0]).toBe(
      'x.o: error: link-flag-lost: -pie is missing. (confidence high)',
    );
  });
});
