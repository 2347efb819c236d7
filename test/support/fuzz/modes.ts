// The modes a fuzzed guest starts in, as data.

import { CR4_LA57, CR4_PAE } from '../../../src/x86/control.ts';
import type { CpuModel } from '../../../src/x86/models.ts';
import type { Bits } from './assembler.ts';
import { CODE } from './places.ts';

export type Paging = 0 | 2 | 3 | 4 | 5;

export type Mode = {
  readonly name: string;
  /** How code is decoded. */
  readonly bits: Bits;
  readonly paging: Paging;
  readonly cpl: 0 | 3;
  readonly long: boolean;
  /** Selectors of the code, and of stack and data. */
  readonly code: number;
  readonly data: number;
  /** What CS adds to the instruction pointer. */
  readonly codeBase: number;
  readonly kind: 'real' | 'protected' | 'vm86';
};

/** Selectors of the global descriptor table (world.ts). */
export const SELECTOR = {
  code64: 0x08,
  data: 0x10,
  code32: 0x18,
  code16: 0x20,
  userCode32: 0x2b,
  userData: 0x33,
  userCode64: 0x3b,
  userCode16: 0x43,
  tss: 0x50,
  ldt: 0x60,
} as const;

const protectedMode = (name: string, bits: Bits, paging: Paging, cpl: 0 | 3): Mode => {
  const code = cpl
    ? { 16: SELECTOR.userCode16, 32: SELECTOR.userCode32, 64: SELECTOR.userCode64 }
    : { 16: SELECTOR.code16, 32: SELECTOR.code32, 64: SELECTOR.code64 };
  return {
    name: `${name}, CPL ${cpl}`,
    bits,
    paging,
    cpl,
    long: paging >= 4,
    code: code[bits],
    data: cpl ? SELECTOR.userData : SELECTOR.data,
    codeBase: bits === 16 ? CODE : 0,
    kind: 'protected',
  };
};

const REAL: Mode = {
  name: 'real',
  bits: 16,
  paging: 0,
  cpl: 0,
  long: false,
  code: CODE >> 4,
  data: 0,
  codeBase: CODE,
  kind: 'real',
};

const ROWS: readonly (readonly [string, Bits, Paging])[] = [
  ['16-bit protected', 16, 0],
  ['16-bit protected, paged', 16, 2],
  ['32-bit unpaged', 32, 0],
  ['32-bit paged', 32, 2],
  ['PAE', 32, 3],
  ['compatibility 16', 16, 4],
  ['compatibility 32', 32, 4],
  ['64-bit, 4 levels', 64, 4],
  ['64-bit, 5 levels', 64, 5],
];

const MODES: readonly Mode[] = [
  REAL,
  { ...REAL, name: 'virtual-8086', kind: 'vm86', cpl: 3, paging: 0 },
  { ...REAL, name: 'virtual-8086, paged', kind: 'vm86', cpl: 3, paging: 2 },
  ...ROWS.flatMap(([name, bits, paging]) => ([0, 3] as const).map((cpl) => protectedMode(name, bits, paging, cpl))),
];

/** Control register 4 bits that the number of levels is made of. */
export const pagingCr4 = (paging: Paging): bigint => (paging >= 3 ? CR4_PAE : 0n) | (paging === 5 ? CR4_LA57 : 0n);

export const modesOf = (model: CpuModel): readonly Mode[] =>
  MODES.filter((mode) => mode.paging !== 5 || model.features.has('LA57'));
