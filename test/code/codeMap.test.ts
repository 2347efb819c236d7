// Code found by following it: what is proven to be code in a small bzImage, and what lies beside it and is none.
import { describe, expect, it } from 'vitest';
import { type CodeMap, findCode } from '../../src/code/codeMap.ts';
import { programOfBzImage } from '../../src/code/program.ts';
import { parseBzImage } from '../../src/image/bzimage.ts';
import { assembleAt, db, dd, type Item, ptr, x86 } from '../support/assembler.ts';
import { bzImageGuest, ENTRY_64 } from '../support/guest.ts';

const { add, call, cmp, fld1, ja, je, jmp, lea, mov, movsxd, nop, ret, rdtsc } = x86;

/** What is at the labels of 64-bit code. */
function found(
  code: readonly Item[],
  entry32?: readonly Item[],
  extra: (at: (label: string) => number) => number[] = () => [],
) {
  const { labels } = assembleAt(64, ENTRY_64, code);
  const at = (label: string): number => Number(labels.get(label));
  const map = findCode(programOfBzImage(parseBzImage(bzImageGuest(code, entry32))), extra(at));
  const kind = (label: string): ReturnType<CodeMap['kindAt']> => map.kindAt(at(label));
  const bits = (label: string): number | undefined => map.instructions.find((insn) => insn.at === at(label))?.bits;
  return { map, at, kind, bits, isFunction: (label: string) => map.functions.has(at(label)) };
}

/** Two bytes that decode, and are nothing that code has: `add %al,(%rax)`. */
const ZEROS = db(0, 0);
/** No instruction in 64-bit code. */
const INVALID = db(0x06);

describe('code', () => {
  it('is what jumps and calls lead to, both ways of a condition, and what follows a call', () => {
    const { kind } = found([
      ...[cmp('eax', 1), je('@taken'), call('@called'), '@back', jmp('@end'), '@data', db(0x90, 0x90)],
      ...['@taken', nop(), '@end', jmp('@end'), '@called', ret(), '@after', nop()],
    ] as Item[]);
    expect(['@taken', '@back', '@end', '@called'].map(kind)).toEqual(['start', 'start', 'start', 'start']);
    expect(['@data', '@after'].map(kind)).toEqual(['none', 'none']);
  });

  it('has instructions with starts and inner bytes, in order', () => {
    const { map, at } = found(['@here', mov('eax', 5), '@next', rdtsc(), '@end', jmp('@end')]);
    const here = at('@here');
    expect([0, 1, 4, 5, 6].map((offset) => map.kindAt(here + offset))).toEqual([
      'start',
      'inner',
      'inner',
      'start',
      'inner',
    ]);
    expect(map.instructions.filter((insn) => insn.at >= here)).toEqual([
      { at: here, length: 5, bits: 64 },
      { at: here + 5, length: 2, bits: 64 },
      { at: here + 7, length: 2, bits: 64 },
    ]);
  });

  it('is as wide as what leads there', () => {
    const { map, bits } = found(['@here', nop(), '@end', jmp('@end')], [mov('eax', 5), '@stop', x86.jmp('@stop')]);
    expect(map.instructions[0]).toEqual({ at: 0, length: 5, bits: 32 });
    expect(bits('@here')).toBe(64);
  });

  it('does not share bytes with other code', () => {
    // A jump into an instruction that is proven: its inner bytes decode too.
    const { map, at } = found([
      '@here',
      mov('eax', 0x90909090),
      je('@inside'),
      '@end',
      jmp('@end'),
      '@inside',
      jmp('@end'),
    ]);
    expect(map.kindAt(at('@here') + 1)).toBe('inner');
    const overlapping = found([
      nop(),
      jmp('@wide'),
      '@wide',
      db(0xb8),
      '@inner',
      db(0xeb, 0xfe, 0x90, 0x90),
      je('@inner'),
      '@end',
      jmp('@end'),
    ]);
    expect(overlapping.kind('@inner')).toBe('inner');
  });

  it.each([
    ['bytes that are none', INVALID],
    ['zeros', ZEROS],
    ['x87 arithmetic', fld1()],
  ])('ends before %s', (_what, odd) => {
    const { kind } = found([nop(), '@before', nop(), '@odd', odd, '@behind', nop()]);
    expect([kind('@before'), kind('@odd'), kind('@behind')]).toEqual(['start', 'none', 'none']);
  });
});

describe('an address that code computes', () => {
  /** The end is proven by the last jump, so that all before it lies below proven code. */
  const around = (...middle: readonly Item[]): readonly Item[] => [
    ...[lea('rax', ptr('@there')), jmp('@end')],
    ...(['@there', ...middle, '@end', jmp('@end')] as Item[]),
  ];

  it('is a function where it decodes up to a return', () => {
    const { kind, isFunction } = found(around(nop(), ret()));
    expect([kind('@there'), isFunction('@there')]).toEqual(['start', true]);
  });

  it.each([
    ['decodes into nonsense', [nop(), ZEROS]],
    ['does not decode', [nop(), INVALID]],
  ])('is none where it %s', (_what, middle) => {
    const { kind, isFunction } = found(around(...middle));
    expect([kind('@there'), isFunction('@there')]).toEqual(['none', false]);
  });

  it('may be followed by anything behind a call in it, which need not come back', () => {
    const { kind } = found(around(call('@end'), INVALID));
    expect(kind('@there')).toBe('start');
  });

  it('is none beyond all proven code', () => {
    const { kind } = found([lea('rax', ptr('@there')), '@end', jmp('@end'), nop(), '@there', nop(), ret()]);
    expect(kind('@there')).toBe('none');
  });

  it('is one beyond it where another brought the proof that far', () => {
    const { kind } = found([
      ...[lea('rax', ptr('@there')), lea('rcx', ptr('@near')), jmp('@end'), '@near', call('@far'), ret()],
      ...['@end', jmp('@end'), nop(), '@there', nop(), ret(), '@far', ret()],
    ] as Item[]);
    expect([kind('@near'), kind('@there')]).toEqual(['start', 'start']);
  });

  it('is told as one that is referred to, with how often', () => {
    const { map, at } = found([
      lea('rax', ptr('@data')),
      mov('ecx', ptr('@data')),
      '@end',
      jmp('@end'),
      '@data',
      dd(0),
    ]);
    expect(map.ripTargets.get(at('@data'))).toBe(2);
  });

  it('may be given from outside', () => {
    const code = [jmp('@end'), '@there', nop(), ret(), '@end', jmp('@end')] as Item[];
    expect(found(code).kind('@there')).toBe('none');
    expect(found(code, undefined, (at) => [at('@there')]).kind('@there')).toBe('start');
  });
});

describe('the cases of a switch', () => {
  const switchOn = (last: number, table: Item): readonly Item[] =>
    [
      ...[
        cmp('edi', last),
        ja('@end'),
        lea('rdx', ptr('@table')),
        movsxd('rax', ptr('rdx', 'rdi*4')),
        add('rax', 'rdx'),
      ],
      ...[jmp('rax'), '@table', table, '@one', nop(), jmp('@end'), '@two', nop(), '@end', jmp('@end')],
    ] as Item[];
  /** Distances of the labels from the table, which is 8 bytes long; the first case is 3 bytes long. */
  const TABLE = dd(8, 11);

  it('are code', () => {
    const { kind } = found(switchOn(1, TABLE));
    expect([kind('@table'), kind('@one'), kind('@two')]).toEqual(['none', 'start', 'start']);
  });

  it('are as many as the comparison lets through', () => {
    const { kind } = found(switchOn(0, TABLE));
    expect([kind('@one'), kind('@two')]).toEqual(['start', 'none']);
  });

  it('are believed where each leads to code only', () => {
    const { kind } = found(switchOn(1, dd(8, 2 ** 31 - 1)));
    expect([kind('@one'), kind('@two')]).toEqual(['none', 'none']);
  });
});
