// The table itself: complete, and with the rows that the product is about.
import { describe, expect, it } from 'vitest';
import type { SymbolClass } from '../../../src/audit/objects/resolve.ts';
import { LINKERS, linkOutcomes, type ReferenceForm } from '../../../src/audit/objects/rules.ts';

const FORMS: Readonly<Record<ReferenceForm, true>> = {
  'got-mov-rexw': true,
  'got-mov': true,
  'got-mov-type9': true,
  'got-alu-rex': true,
  'got-alu': true,
  'got-branch': true,
  got: true,
  'got-addend': true,
  pc32: true,
  'pc32-writable': true,
  plt32: true,
  abs32: true,
  'abs32-writable': true,
  abs32s: true,
  'abs32s-writable': true,
  abs64: true,
  'abs64-writable': true,
};

const CLASSES: Readonly<Record<SymbolClass, true>> = {
  local: true,
  'local-typed': true,
  global: true,
  label: true,
  script: true,
  hidden: true,
  'hidden-reference': true,
  protected: true,
  absolute: true,
  'local-absolute': true,
  'no-symbol': true,
  'weak-undefined': true,
  'weak-undefined-hidden': true,
};

const ALL = Object.keys(FORMS).flatMap((form) =>
  Object.keys(CLASSES).map((symbol) => [form as ReferenceForm, symbol as SymbolClass] as const),
);
const PLAIN = { relax: true, noRelocOverflow: false };

describe('linkOutcomes', () => {
  it('has a result for every form, class of symbol, linker and output', () => {
    const variants = [true, false].flatMap((relax) =>
      [true, false].map((noRelocOverflow) => ({ relax, noRelocOverflow })),
    );
    const missing = ALL.flatMap(([form, symbol]) =>
      variants.flatMap((variant) =>
        LINKERS.filter((linker) => {
          const outcome = linkOutcomes(form, symbol, variant)?.[linker];
          return outcome?.pie === undefined || outcome.noPie === undefined;
        }).map((linker) => `${form} ${symbol} ${linker}`),
      ),
    );
    expect(missing).toEqual([]);
  });

  it('lets GNU ld alone turn a mov into an immediate, and lld with it an instruction of arithmetic', () => {
    const immediate = (form: ReferenceForm) =>
      LINKERS.filter((linker) => linkOutcomes(form, 'global', PLAIN)[linker].noPie === 'absolute');
    expect(immediate('got-mov-rexw')).toEqual(['bfd']);
    expect(immediate('got-alu-rex')).toEqual(['bfd', 'lld']);
    expect(immediate('got-alu')).toEqual(['bfd']);
    expect(immediate('got-mov-type9')).toEqual([]);
  });
});
