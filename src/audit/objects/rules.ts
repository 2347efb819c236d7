// What GNU ld, gold, lld and mold make of a reference, as a table. The psABI ("Optimize GOTPCRELX Relocations") says what a
// linker may do; each of them does something else, so the rows are what the linkers of TRIED_WITH did
// (scripts/generate/make-link-matrix.ts tries them, test/data/link-matrix.json keeps it, a test holds every cell against the rows).
import type { Linker, LinkResult } from '../types.ts';
import type { SymbolClass } from './resolve.ts';

export const LINKERS: readonly Linker[] = ['bfd', 'gold', 'lld', 'mold'];

/** As sentences name them. */
export const LINKER_NAMES: Readonly<Record<Linker, string>> = { bfd: 'GNU ld', gold: 'gold', lld: 'lld', mold: 'mold' };

/** The versions the rows come from. */
export const TRIED_WITH: Readonly<Record<Linker, string>> = {
  bfd: 'GNU ld 2.40',
  gold: 'gold 1.16 (binutils 2.40)',
  lld: 'lld 14.0.6',
  mold: 'mold 1.10.1',
};

/** What a relocation stands in, as far as linkers look: they know bytes, not instructions. */
export type ReferenceForm =
  /** mov of type REX_GOTPCRELX with REX.W; addend -4, as in all forms but the last two. */
  | 'got-mov-rexw'
  /** mov of type GOTPCRELX or REX_GOTPCRELX, 32 bits wide or of the wrong type. */
  | 'got-mov'
  /** mov of type GOTPCREL: from before the relaxations of 2015, or -Wa,-mrelax-relocations=no. */
  | 'got-mov-type9'
  /** add, or, adc, sbb, and, sub, xor, cmp, test of type REX_GOTPCRELX. */
  | 'got-alu-rex'
  | 'got-alu'
  /** call and jmp through memory of type GOTPCRELX or REX_GOTPCRELX. */
  | 'got-branch'
  /** Any other instruction, or data, with a GOT relocation. */
  | 'got'
  /** Type GOTPCRELX or REX_GOTPCRELX with another addend than -4. */
  | 'got-addend'
  /** PC32 in code and read-only data. */
  | 'pc32'
  | 'pc32-writable'
  | 'plt32'
  /** Type 32 in code and read-only data. */
  | 'abs32'
  | 'abs32-writable'
  /** Type 32S in code and read-only data. */
  | 'abs32s'
  | 'abs32s-writable'
  /** Type 64 in code and read-only data. */
  | 'abs64'
  | 'abs64-writable';

interface Rule {
  readonly forms: readonly ReferenceForm[];
  readonly symbols: readonly SymbolClass[];
  /** With and without -pie, for bfd, gold, lld and mold in this order. */
  readonly results: string;
  /** The same of bfd and lld with --no-relax, which changes nothing for the others. */
  readonly noRelax?: string;
  /** The same of bfd with -z noreloc-overflow. */
  readonly noRelocOverflow?: string;
}

const WORDS: Readonly<Record<string, LinkResult>> = {
  pc: 'pc-relative',
  got: 'got',
  gotr: 'got-relative',
  abs: 'absolute',
  absr: 'absolute-relative',
  err: 'error',
};

/** Symbols that move with the image. */
const MOVING: readonly SymbolClass[] = [
  'local',
  'local-typed',
  'global',
  'label',
  'script',
  'hidden',
  'hidden-reference',
  'protected',
];
/** What lld may give a canonical PLT entry: its rows differ for these. */
const TYPED: readonly SymbolClass[] = ['local-typed', 'global', 'hidden-reference'];
const WEAK: readonly SymbolClass[] = ['weak-undefined', 'weak-undefined-hidden'];
/** Numbers that stay. */
const FIXED: readonly SymbolClass[] = ['absolute', 'local-absolute', 'no-symbol'];
const ALL: readonly SymbolClass[] = [...MOVING, ...WEAK, ...FIXED];
const MOV: readonly ReferenceForm[] = ['got-mov-rexw', 'got-mov'];
const ALU: readonly ReferenceForm[] = ['got-alu-rex', 'got-alu'];

const KEPT = 'gotr got | gotr got';
const KEPT_FIXED = 'got got | got got';

const ABS32: readonly ReferenceForm[] = ['abs32', 'abs32-writable'];
const ABS32S: readonly ReferenceForm[] = ['abs32s', 'abs32s-writable'];
const REFUSED = 'err abs | err abs | err abs | err abs';

/** Forms, what GNU ld makes of them with -z noreloc-overflow, symbols, results. */
const ABSOLUTE_32: readonly (readonly [readonly ReferenceForm[], string, readonly SymbolClass[], string])[] = [
  [['abs32', 'abs32s'], 'err abs', ['protected'], REFUSED],
  [ABS32, 'absr abs', TYPED, 'err abs | err abs | abs abs | err abs'],
  [ABS32S, 'abs abs', TYPED, 'err abs | err abs | abs abs | err abs'],
  [ABS32, 'absr abs', ['script'], 'err abs | abs abs | err abs | err abs'],
  [ABS32S, 'abs abs', ['script'], 'err abs | abs abs | err abs | err abs'],
  [ABS32, 'absr abs', MOVING, REFUSED],
  [ABS32S, 'abs abs', MOVING, REFUSED],
  [[...ABS32, ...ABS32S], 'abs abs', ['local-absolute'], 'err abs | err abs | abs abs | abs abs'],
  [[...ABS32, ...ABS32S], 'abs abs', ALL, 'err abs | abs abs | abs abs | abs abs'],
];

/** The first row that fits holds. */
const RULES: readonly Rule[] = [
  { forms: ['got-mov-rexw'], symbols: MOVING, results: 'pc abs | pc pc | pc pc | pc pc', noRelax: KEPT },
  // mold relaxes a mov only where REX.W and the type REX_GOTPCRELX come together.
  { forms: ['got-mov'], symbols: MOVING, results: 'pc abs | pc pc | pc pc | gotr got', noRelax: KEPT },
  // gold computes the number from RIP, which is wrong wherever the image moves.
  { forms: MOV, symbols: FIXED, results: 'abs abs | pc pc | got got | got got', noRelax: KEPT_FIXED },
  // GNU ld knows the 0 at link time and says so in the instruction, even with --no-relax.
  { forms: MOV, symbols: WEAK, results: 'abs abs | gotr got | got got | got got', noRelax: 'abs abs | got got' },

  { forms: ['got-mov-type9'], symbols: MOVING, results: 'pc pc | pc pc | gotr got | gotr got', noRelax: KEPT },
  // GNU ld makes a lea of it and then refuses to relocate that.
  { forms: ['got-mov-type9'], symbols: FIXED, results: 'err pc | pc pc | got got | got got', noRelax: KEPT_FIXED },
  {
    forms: ['got-mov-type9'],
    symbols: WEAK,
    results: 'got pc | gotr got | got got | got got',
    noRelax: 'got pc | got got',
  },

  { forms: ['got-alu-rex'], symbols: MOVING, results: 'gotr abs | gotr got | gotr abs | gotr got', noRelax: KEPT },
  // lld changes arithmetic of type REX_GOTPCRELX only.
  { forms: ['got-alu'], symbols: MOVING, results: 'gotr abs | gotr got | gotr got | gotr got', noRelax: KEPT },
  { forms: ALU, symbols: FIXED, results: 'got abs | gotr got | got got | got got', noRelax: KEPT_FIXED },
  { forms: ALU, symbols: WEAK, results: 'abs abs | gotr got | got got | got got', noRelax: 'abs abs | got got' },

  // gold relaxes branches to global symbols only.
  {
    forms: ['got-branch'],
    symbols: ['local', 'local-typed'],
    results: 'pc pc | gotr got | pc pc | pc pc',
    noRelax: KEPT,
  },
  { forms: ['got-branch'], symbols: MOVING, results: 'pc pc | pc pc | pc pc | pc pc', noRelax: KEPT },
  { forms: ['got-branch'], symbols: ['absolute'], results: 'err pc | pc pc | got got | got got', noRelax: KEPT_FIXED },
  { forms: ['got-branch'], symbols: FIXED, results: 'err pc | gotr got | got got | got got', noRelax: KEPT_FIXED },
  { forms: ['got-branch'], symbols: WEAK, results: 'got pc | gotr got | got got | got got', noRelax: KEPT_FIXED },

  { forms: ['got-addend'], symbols: MOVING, results: 'gotr got | gotr got | gotr got | err err' },
  { forms: ['got-addend'], symbols: ALL, results: 'got got | gotr got | got got | err err' },
  { forms: ['got'], symbols: MOVING, results: 'gotr got | gotr got | gotr got | gotr got' },
  { forms: ['got'], symbols: ALL, results: 'got got | gotr got | got got | got got' },

  { forms: ['pc32', 'pc32-writable', 'plt32'], symbols: MOVING, results: 'pc pc | pc pc | pc pc | pc pc' },
  { forms: ['pc32', 'pc32-writable'], symbols: ['no-symbol'], results: 'pc pc | pc pc | pc pc | err pc' },
  { forms: ['pc32', 'pc32-writable'], symbols: FIXED, results: 'err pc | pc pc | err pc | err pc' },
  { forms: ['pc32'], symbols: WEAK, results: 'err pc | pc pc | pc pc | err pc' },
  { forms: ['pc32-writable'], symbols: WEAK, results: 'pc pc | pc pc | pc pc | err pc' },
  { forms: ['plt32'], symbols: [...WEAK, 'no-symbol'], results: 'pc pc | pc pc | pc pc | pc pc' },
  { forms: ['plt32'], symbols: FIXED, results: 'err pc | pc pc | err pc | pc pc' },

  // Without a check for overflow GNU ld leaves R_X86_64_RELATIVE, which is 8 bytes wide, for 4 bytes of type 32; and nothing
  // for type 32S: a silent absolute address with -pie. lld takes a function or object with default visibility for one that it
  // may give a canonical PLT entry, and does not refuse.
  ...ABSOLUTE_32.map(
    ([forms, overflow, symbols, results]): Rule => ({ forms, symbols, results, noRelocOverflow: overflow }),
  ),

  // gold has made numbers of the symbols of a linker script by then.
  { forms: ['abs64-writable'], symbols: ['script'], results: 'absr abs | abs abs | absr abs | absr abs' },
  { forms: ['abs64-writable'], symbols: MOVING, results: 'absr abs | absr abs | absr abs | absr abs' },
  { forms: ['abs64'], symbols: TYPED, results: 'absr abs | absr abs | abs abs | absr abs' },
  { forms: ['abs64'], symbols: ['protected'], results: 'err abs | absr abs | err abs | absr abs' },
  { forms: ['abs64'], symbols: ['script'], results: 'absr abs | abs abs | err abs | absr abs' },
  { forms: ['abs64'], symbols: MOVING, results: 'absr abs | absr abs | err abs | absr abs' },
  // gold relocates local numbers too.
  {
    forms: ['abs64', 'abs64-writable'],
    symbols: ['local-absolute'],
    results: 'abs abs | absr abs | abs abs | abs abs',
  },
  { forms: ['abs64', 'abs64-writable'], symbols: ALL, results: 'abs abs | abs abs | abs abs | abs abs' },
];

export type LinkOutcome = { readonly pie: LinkResult; readonly noPie: LinkResult };
export type LinkOutcomes = Readonly<Record<Linker, LinkOutcome>>;

export interface LinkVariant {
  /** False with --no-relax. */
  readonly relax: boolean;
  /** True with -z noreloc-overflow. */
  readonly noRelocOverflow: boolean;
}

/** What each linker makes of a form against a symbol. The same object for the same arguments. */
export function linkOutcomes(form: ReferenceForm, symbol: SymbolClass, variant: LinkVariant): LinkOutcomes {
  return TABLE.get(`${form} ${symbol}`)![(variant.relax ? 0 : 1) + (variant.noRelocOverflow ? 2 : 0)]!;
}

/** Every form with every class of symbol; by --no-relax, by -z noreloc-overflow. */
const TABLE: ReadonlyMap<string, readonly LinkOutcomes[]> = new Map(
  [...RULES]
    .reverse()
    .flatMap((rule) =>
      rule.forms.flatMap((form) => rule.symbols.map((symbol) => [`${form} ${symbol}`, outcomesOf(rule)] as const)),
    ),
);

function outcomesOf(rule: Rule): LinkOutcomes[] {
  const [bfd, gold, lld, mold] = pairs(rule.results);
  const [bfdKept = bfd, lldKept = lld] = rule.noRelax === undefined ? [] : pairs(rule.noRelax);
  const overflow = rule.noRelocOverflow === undefined ? undefined : pairs(rule.noRelocOverflow)[0];
  return [
    { bfd, gold, lld, mold },
    { bfd: bfdKept, gold, lld: lldKept, mold },
    { bfd: overflow ?? bfd, gold, lld, mold },
    { bfd: overflow ?? bfdKept, gold, lld: lldKept, mold },
  ] as LinkOutcomes[];
}

function pairs(text: string): LinkOutcome[] {
  return text.split('|').map((pair) => {
    const [pie, noPie] = pair
      .trim()
      .split(/\s+/)
      .map((word) => WORDS[word]);
    return { pie: pie!, noPie: noPie! };
  });
}
