import { describe, expect, it } from 'vitest';
import { MSRS, msrAddress, FXSTATE } from '../../src/cpu/state/layout.ts';
import { FEATURE_NAMES, featurePlace } from '../../src/x86/features.ts';
import { absentMsr, findMsr, MSR_EFER, MSR_IA32_PAT, MSR_TABLE, msrSlot, validMemoryTypes } from '../../src/x86/msr.ts';
import { describePageFault, PF_I, PF_P, PF_RSVD, PF_U, PF_W } from '../../src/x86/paging.ts';
import { escalate, exceptionText, type VectorClass, vectorInfo } from '../../src/x86/vectors.ts';

describe('MSR table', () => {
  it('names each number and slot once', () => {
    const numbers = MSR_TABLE.map((msr) => msr.number);
    const slots = MSR_TABLE.flatMap((msr) => (msr.slot === undefined ? [] : [msr.slot]));
    expect(new Set(numbers).size).toBe(numbers.length);
    expect(new Set(MSR_TABLE.map((msr) => msr.name)).size).toBe(numbers.length);
    expect(new Set(slots).size).toBe(slots.length);
  });

  it('fits into the state block', () => {
    const slots = MSR_TABLE.flatMap(({ slot }) => slot ?? []);
    expect(Math.max(...slots)).toBeLessThan(240);
    expect(msrAddress(Math.min(...slots))).toBeGreaterThanOrEqual(MSRS);
    expect(msrAddress(Math.max(...slots)) + 8).toBeLessThanOrEqual(FXSTATE);
  });

  it('resets to values it would take', () => {
    const typed = MSR_TABLE.filter((msr) => msr.check === 'memory types');
    expect(typed.filter((msr) => !validMemoryTypes(msr, msr.reset))).toEqual([]);
    expect(typed).toHaveLength(12);
  });

  it('has no slot for EFER, which is kept elsewhere', () => {
    expect(() => msrSlot(MSR_EFER)).toThrow(RangeError);
    expect(findMsr(MSR_EFER)?.name).toBe('IA32_EFER');
  });

  it('lets UC- (7) into the PAT only', () => {
    const pat = findMsr(MSR_IA32_PAT);
    const fixed = findMsr(0x250);
    if (!pat || !fixed) throw new Error('rows missing');
    expect(validMemoryTypes(pat, 7n)).toBe(true);
    expect(validMemoryTypes(fixed, 7n)).toBe(false);
  });

  it('knows which MSRs rightly are not there', () => {
    expect(absentMsr(0x48)).toBe('IA32_SPEC_CTRL, IA32_PRED_CMD');
    expect(absentMsr(0x1234)).toBeUndefined();
  });
});

describe('features', () => {
  it('do not share a bit', () => {
    const places = FEATURE_NAMES.map((name) => featurePlace(name).join(' '));
    expect(new Set(places).size).toBe(places.length);
  });
});

describe('vectors', () => {
  it('push an error code where the manual says so', () => {
    const pushing = Array.from({ length: 32 }, (_, vector) => vector).filter((vector) => vectorInfo(vector).errorCode);
    expect(pushing).toEqual([8, 10, 11, 12, 13, 14, 17, 21]);
  });

  // SDM 3A table 6-5, row by row.
  it.each<[VectorClass, VectorClass, string]>([
    ['benign', 'benign', 'serial'],
    ['benign', 'contributory', 'serial'],
    ['benign', 'page fault', 'serial'],
    ['contributory', 'benign', 'serial'],
    ['contributory', 'contributory', 'double fault'],
    ['contributory', 'page fault', 'serial'],
    ['page fault', 'benign', 'serial'],
    ['page fault', 'contributory', 'double fault'],
    ['page fault', 'page fault', 'double fault'],
    ['double fault', 'benign', 'serial'],
    ['double fault', 'contributory', 'shutdown'],
    ['double fault', 'page fault', 'shutdown'],
  ])('%s, then %s: %s', (first, second, outcome) => {
    expect(escalate(first, second)).toBe(outcome);
  });

  it('are written as in the manual', () => {
    expect(exceptionText(13, 0x10)).toBe('#GP(0x10)');
    expect(exceptionText(6)).toBe('#UD');
    expect(exceptionText(0x80)).toBe('INT 0x80');
  });
});

describe('page-fault error codes in words', () => {
  it.each([
    [0, 'supervisor read: page not present'],
    [PF_W | PF_U, 'user write: page not present'],
    [PF_P | PF_I, 'supervisor fetch: page present, access not allowed'],
    [PF_P | PF_RSVD, 'supervisor read: reserved bit set in a paging entry'],
  ])('%i', (error, words) => {
    expect(describePageFault(error)).toBe(words);
  });
});
