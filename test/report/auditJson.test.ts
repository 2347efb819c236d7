import { describe, expect, it } from 'vitest';
import { auditJson } from '../../src/report/auditJson.ts';
import { FIELD, FINDING, NOTE, OBJECT, REPORT } from './auditReports.ts';

/** As it is printed. */
const printed = (...reports: (typeof REPORT)[]): unknown =>
  JSON.parse(JSON.stringify(auditJson(reports.map((report, index) => ({ name: `file${index}`, report })))));

describe('the JSON of an audit', () => {
  it('has the files with what was looked at, the findings, and the notes', () => {
    expect(printed(REPORT)).toEqual({
      files: [
        {
          name: 'file0',
          kind: 'bzImage',
          size: 110_592,
          what: 'bzImage 6.1 (boot protocol 2.15)',
          coverage: { followed: { '16': 0, '32': 200, '64': 1034 }, swept: 7, constants: 2650, dataWords: 1 },
          predictions: null,
        },
      ],
      findings: [
        {
          file: 'file0',
          rule: 'position-dependent-reference',
          severity: 'error',
          confidence: 'high',
          fileOffset: 0x1a280,
          linkAddress: '0x18280',
          bytes: '48 c7 c6 40 80 01 00',
          text: 'mov    $0x18040,%rsi',
          place: 'paging_prepare+0x140',
          target: { linkAddress: '0x18040', symbol: 'trampoline_32bit_src', what: 'start of a function' },
          message: FINDING.message,
          reason: FINDING.reason,
          relocation: FINDING.relocation,
          decision: FINDING.decision,
          repair: { bytes: '48 8d 35 b9 fd ff ff', text: 'lea    -0x247(%rip),%rsi' },
          advice: FINDING.advice,
        },
      ],
      notes: [expect.objectContaining({ file: 'file0', rule: 'configuration', message: NOTE.message })],
    });
  });

  it('has null for what is not there', () => {
    const { rule, severity, confidence, message, reason } = NOTE;
    expect(printed({ ...OBJECT, findings: [NOTE] })).toMatchObject({
      files: [{ coverage: null }],
      findings: [
        {
          ...{ rule, severity, confidence, message, reason },
          ...{ fileOffset: null, linkAddress: null, bytes: null, text: null, place: null, target: null },
          ...{ relocation: null, decision: null, repair: null, advice: null },
        },
      ],
    });
  });

  it('has null for the name of a target without one', () => {
    const target = { linkAddress: 0xffffffff81000000n };
    expect(printed({ ...REPORT, findings: [{ ...FINDING, target }] })).toMatchObject({
      findings: [{ target: { linkAddress: '0xffffffff81000000', symbol: null, what: null } }],
    });
  });

  it('says of each finding which file it is in', () => {
    expect(printed(REPORT, { ...REPORT, findings: [FIELD] })).toMatchObject({
      findings: [{ file: 'file0' }, { file: 'file1', rule: 'boot-protocol-field' }],
    });
  });

  it('has the predictions for objects', () => {
    const same = { pie: 'pc-relative', noPie: 'pc-relative' };
    const { files } = printed(OBJECT) as { files: { predictions: unknown[] }[] };
    expect(files[0]?.predictions).toHaveLength(3);
    expect(files[0]?.predictions[0]).toEqual({
      object: 'paging.o',
      section: '.text',
      offset: '0x143',
      relocation: 'R_X86_64_REX_GOTPCRELX',
      symbol: 'trampoline_32bit_src',
      addend: '-0x4',
      text: 'mov    0x0(%rip),%rsi',
      results: { bfd: { pie: 'pc-relative', noPie: 'absolute' }, gold: same, lld: same, mold: same },
      breaksWithoutPie: ['bfd'],
    });
  });
});
