// Link addresses in code of a program that is linked to 0xc0100000, loaded at 1 MiB, and entered there with paging off.
import { describe, expect, it } from 'vitest';
import { auditFile } from '../../src/audit/audit.ts';
import { concat, makeElf } from '../image/synthetic.ts';
import { codeOf, multibootHeader } from '../boot/programs.ts';

const BASE = 0xc0100000n;
const HALT = 'f4 eb fd';

function audit(...code: readonly string[]) {
  const bytes = concat([multibootHeader(0), codeOf(...code, HALT)]);
  const segment = { physAddr: 0x100000n, virtAddr: BASE, memSize: 0x2000n, bytes };
  return auditFile(makeElf({ segments: [segment], entry: 0x10000cn }), 'kernel', {});
}

const found = (...code: readonly string[]): (string | undefined)[] => audit(...code).findings.map(({ text }) => text);

/** mov $0xc0101018,%eax, a link address */
const MOV = 'b8 18 10 10 c0';
/** lgdt (%eax) */
const LGDT = '0f 01 10';

describe('a link address before paging', () => {
  it('is found at the instruction that holds it, with the right one', () => {
    const { findings, coverage } = audit(MOV, '90', LGDT);
    expect(coverage?.followed[32]).toBeGreaterThan(3);
    expect(findings).toMatchObject([
      {
        rule: 'position-dependent-reference',
        severity: 'error',
        text: 'mov $0xc0101018,%eax',
        linkAddress: 0xc010000cn,
      },
    ]);
    expect(findings[0]?.message).toContain('`lgdt (%eax)` at 0x100012 uses it before paging is on');
    expect(findings[0]?.advice).toContain('SYMBOL - 0xc0000000: 0x101018 here');
  });

  it.each([
    ['read directly', 'a1 18 10 10 c0', 'mov 0xc0101018,%eax'],
    ['with a displacement', 'b8 00 10 10 c0 c7 40 18 01 00 00 00', 'mov $0xc0101000,%eax'],
    ['cleared', 'bf 00 10 10 c0 f3 ab', 'mov $0xc0101000,%edi'],
    ['jumped to', 'b8 10 00 10 c0 ff e0', 'mov $0xc0100010,%eax'],
    ['handed from register to register', `${MOV} 89 c3 0f 01 13`, 'mov $0xc0101018,%eax'],
    ['in a branch', `85 c9 74 02 eb fe ${MOV} ${LGDT}`, 'mov $0xc0101018,%eax'],
    ['in a function', `e8 02 00 00 00 eb fe ${MOV} ${LGDT}`, 'mov $0xc0101018,%eax'],
  ])('is found where it is %s', (_, code, text) => {
    expect(found(code)).toEqual([text]);
  });

  it.each([
    ['corrected by hand', `${MOV} 2d 00 00 00 c0 ${LGDT}`],
    ['only calculated with', `${MOV} 89 c3 c1 e8 16`],
    ['overwritten', `${MOV} 31 c0 ${LGDT}`],
    ['used when CR0 was written', `${MOV} 0f 22 c1 ${LGDT}`],
    ['used when LMSW was executed', `${MOV} 0f 01 f1 ${LGDT}`],
    ['used when segments were changed', `${MOV} 8e d9 ${LGDT}`],
    ['used behind a far jump', `ea 13 00 10 00 08 00 ${MOV} ${LGDT}`],
    ['used behind a call, which may have turned paging on', `e8 0a 00 00 00 ${MOV} ${LGDT} eb fe c3`],
    ['computed, and not used', '8d 05 18 10 10 c0'],
    ['outside of the program', 'a1 00 00 e0 fe'],
  ])('is none where it is %s', (_, code) => {
    expect(found(code)).toEqual([]);
  });

  it('is not looked for in a program that is loaded where it is linked', () => {
    const bytes = concat([multibootHeader(0), codeOf('a1 18 10 10 40', HALT)]);
    const segment = { physAddr: 0x40100000n, virtAddr: 0x40100000n, memSize: 0x2000n, bytes };
    expect(auditFile(makeElf({ segments: [segment], entry: 0x4010000cn }), 'kernel', {}).coverage).toBeUndefined();
  });
});
