import { describe, expect, it } from 'vitest';
import type { DiffReport, FunctionDifference, Instruction, Row } from '../../src/audit/diff/types.ts';
import { diffLines, isEqual, quietDiffLines } from '../../src/report/diff.ts';
import { diffJson } from '../../src/report/diffJson.ts';
import { rowsOf } from '../../src/bits/lines.ts';

const NAMES = { good: 'good/bzImage', bad: 'bad/bzImage' };

const instruction = (linkAddress: bigint, text: string, target?: string): Instruction => ({
  fileOffset: Number(linkAddress) + 0x2000,
  linkAddress,
  bytes: Uint8Array.of(0x90, Number(linkAddress & 0xffn)),
  text,
  ...(target === undefined ? {} : { target }),
});

const ROWS: readonly Row[] = [
  { kind: 'equal', good: instruction(0x100n, 'push   %rbx'), bad: instruction(0x200n, 'push   %rbx') },
  {
    kind: 'addressing-mode-of-same-target',
    good: instruction(0x101n, 'lea    -0x247(%rip),%rsi', 'trampoline_32bit_src'),
    bad: instruction(0x201n, 'mov    $0x18040,%rsi', 'trampoline_32bit_src'),
    note: 'Both mean trampoline_32bit_src (0x18040).',
  },
  { kind: 'removed', good: instruction(0x108n, 'cld') },
  { kind: 'inserted', bad: instruction(0x208n, 'jne    0x0000000000000250') },
];

const DIFFERENCE: FunctionDifference = {
  good: { name: 'prepare', linkAddress: 0x100n, instructions: 3 },
  bad: { linkAddress: 0x200n, instructions: 3 },
  kind: 'addressing-mode-of-same-target',
  counts: { 'addressing-mode-of-same-target': 1, removed: 1, inserted: 1 },
  matchedBy: 'order',
  hunks: [ROWS],
};

const SIDE = {
  what: 'bzImage 6.1',
  size: 1234567,
  functions: 38,
  instructions: 16377,
  named: true,
  bytesLeft: undefined,
};

const report = (parts: Partial<DiffReport> = {}): DiffReport => ({
  good: SIDE,
  bad: { ...SIDE, named: false },
  functions: { matched: 37, equal: 36, moved: 12, differing: 1, layoutOnly: 0 },
  differing: [DIFFERENCE],
  onlyGood: [],
  onlyBad: [],
  ...parts,
});

const textOf = (of: DiffReport, width?: number): string[] =>
  diffLines(of, NAMES, width).flatMap((line) => rowsOf(line, 200));

describe('the report of a comparison', () => {
  it('has both listings side by side, in the width given', () => {
    const rows = textOf(report(), 80);
    expect(rows.slice(4)).toEqual([
      '1. prepare (GOOD 0x100, BAD 0x200): 1 addressing mode of the same target changed, 1 instruction only in GOOD, 1 instruction only in BAD',
      '   Both mean trampoline_32bit_src (0x18040).',
      '   GOOD                                    BAD',
      '   100  push %rbx                          200  push %rbx',
      '   101  lea -0x247(%rip),%rsi            ! 201  mov $0x18040,%rsi',
      '        # trampoline_32bit_src                  # trampoline_32bit_src',
      '   108  cld                              <',
      '                                         > 208  jne 0x250',
      '',
      '1 function of 37 differs; 12 moved and equal.',
    ]);
  });

  it('says what was compared', () => {
    expect(textOf(report()).slice(0, 3)).toEqual([
      'GOOD good/bzImage: bzImage 6.1, 1,234,567 bytes; 16,377 instructions in 38 functions',
      'BAD bad/bzImage: bzImage 6.1, 1,234,567 bytes; 16,377 instructions in 38 functions, without symbols',
      'Code is compared that control flow reaches or a symbol names. Data, the packed kernel and real-mode code are not.',
    ]);
  });

  it('keeps every row within the width', () => {
    const long = instruction(
      0xffffffff81000000n,
      'movabs $0x123456789abcdef0,%rax',
      'a_name_that_is_rather_long_'.repeat(4),
    );
    const differing = [{ ...DIFFERENCE, hunks: [[{ kind: 'different-target', good: long, bad: long } as const]] }];
    const rows = diffLines(report({ differing }), NAMES, 80).filter(({ whole }) => whole);
    expect(rows.length).toBeGreaterThan(4);
    expect(rows.flatMap((line) => rowsOf(line, 80)).filter((row) => row.length > 80)).toEqual([]);
  });

  it('marks the suspicious row for colours, and leaves equal ones plain', () => {
    const tones = diffLines(report(), NAMES)
      .filter(({ whole }) => whole)
      .map(({ tone }) => tone);
    expect(tones).toEqual(['note', 'plain', 'bad', 'bad', 'limit', 'limit']);
  });

  it('tells twenty functions in full, and the others in a line each', () => {
    const rows = textOf(report({ differing: Array.from({ length: 23 }, () => DIFFERENCE) }));
    expect(rows.filter((row) => /^\d+\. prepare/.test(row)).length).toBe(20);
    expect(rows).toContain('AND 3 MORE');
    expect(rows.filter((row) => row.startsWith('  prepare (GOOD')).length).toBe(3);
  });

  it('names functions that one side alone has', () => {
    const only = { onlyBad: [{ name: 'extra', linkAddress: 0x300n, instructions: 52 }] };
    expect(textOf(report(only))).toContain('  0x300  52 instructions  extra');
    expect(quietDiffLines(report(only)).at(-1)).toBe('1 function of 37 differs; 12 moved and equal; 1 only in BAD.');
  });

  it('lets no control character of a name through', () => {
    const evil = { ...DIFFERENCE, good: { ...DIFFERENCE.good, name: 'a\x1b[31m' } };
    expect(
      [...textOf(report({ differing: [evil] })), ...quietDiffLines(report({ differing: [evil] }))].join(''),
    ).not.toContain('\x1b');
  });

  it('is short where nothing differs', () => {
    const same = report({
      functions: { matched: 37, equal: 37, moved: 0, differing: 0, layoutOnly: 2 },
      differing: [],
    });
    expect(isEqual(same)).toBe(true);
    expect(quietDiffLines(same)).toEqual([
      'None of 37 functions differs in meaning; 2 equal but for numbers that follow from the layout (shown by --all).',
    ]);
  });
});

describe('the JSON of a comparison', () => {
  it('has addresses as text, and null for what is missing', () => {
    const json = diffJson(report({ onlyGood: [{ linkAddress: 0xffffffff81000000n, instructions: 1 }] }), NAMES);
    expect(json.good).toEqual({ name: 'good/bzImage', ...SIDE, bytesLeft: null });
    expect(json.summary).toEqual({
      ...{ matched: 37, equal: 36, moved: 12, differing: 1, layoutOnly: 0 },
      ...{ onlyGood: 1, onlyBad: 0 },
    });
    expect(json.onlyGood).toEqual([{ name: null, linkAddress: '0xffffffff81000000', instructions: 1 }]);
    expect(json.differing[0]).toMatchObject({ kind: 'addressing-mode-of-same-target', matchedBy: 'order' });
    expect(json.differing[0]?.hunks[0]?.[2]).toEqual({
      kind: 'removed',
      good: { fileOffset: 0x2108, linkAddress: '0x108', bytes: '90 08', text: 'cld', target: null },
      bad: null,
      note: null,
    });
  });
});
