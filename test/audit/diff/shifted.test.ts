import { describe, expect, it } from 'vitest';
import { diffImages } from '../../../src/audit/diff/diff.ts';
import { linkStub, type Part, type Piece, absolute, relative } from './link.ts';

const LEA_RSI = '48 8d 35';
const MOV_RSI = '48 c7 c6';

/** What takes the address of `trampoline`: the piece under test, and what follows it. */
const prepare = (reference: readonly Piece[], more: readonly Piece[] = []): Part => ({
  name: 'prepare',
  // push %rbx; lea table(%rip),%rdi; <reference>; mov $0x100,%edx; call copy; mov state(%rip),%eax; pop %rbx; ret
  pieces: [
    ...['53 48 8d 3d', relative('table'), ...reference, 'ba 00 01 00 00 e8', relative('copy')],
    ...['8b 05', relative('state'), ...more, '5b c3'],
  ],
});
const PARTS = {
  // lea state(%rip),%rbx; call prepare; call finish; lea text(%rip),%rdi; call copy; jmp .
  main: {
    name: 'main',
    pieces: [
      ...['48 8d 1d', relative('state'), 'e8', relative('prepare'), 'e8', relative('finish')],
      ...['48 8d 3d', relative('text'), 'e8', relative('copy'), 'eb fe'],
    ],
  },
  // mov %rdi,%rax; mov %rdx,%rcx; rep movsb; ret
  copy: { name: 'copy', pieces: ['48 89 f8 48 89 d1 f3 a4 c3'] },
  // cmpl $1,state(%rip); jne 1f; lea table(%rip),%rdi; xor %eax,%eax; 1: ret
  finish: {
    name: 'finish',
    pieces: ['83 3d', relative('state', -1), '01 75 09 48 8d 3d', relative('table'), '31 c0 c3'],
  },
  // mov $0x10,%eax; mov %eax,%ds; mov %cr0,%rax; and $0x7fffffff,%eax; ret
  trampoline: { name: 'trampoline', pieces: ['b8 10 00 00 00 8e d8 0f 20 c0 25 ff ff ff 7f c3'] },
  // imul %rdi,%rdi; add state(%rip),%rdi; not %rdi; ret
  extra: { name: 'extra', pieces: ['48 0f af ff 48 03 3d', relative('state'), '48 f7 d7 c3'] },
  table: { name: 'table', pieces: ['11 22 33 44 55 66 77 88 99 aa bb cc dd ee f0 0f 1e 2d 3c 4b'] },
  text: { name: 'text', pieces: ['4c 6f 61 64 69 6e 67 20 74 68 65 20 6b 65 72 6e 65 6c 00'] },
  state: { name: 'state', pieces: ['00 00 00 00 00 00 00 00'], space: 0x40 },
} satisfies Record<string, Part>;

const { main, copy, finish, trampoline, extra, table, text, state } = PARTS;
const GOOD_PREPARE = prepare([LEA_RSI, relative('trampoline')]);
const BAD_PREPARE = prepare([MOV_RSI, absolute('trampoline')]);
const stub = (prepared: Part): Part[] => [main, copy, prepared, trampoline, finish, table, text, state];
const good = linkStub(stub(GOOD_PREPARE));

const CHANGED = {
  kind: 'addressing-mode-of-same-target',
  counts: { 'addressing-mode-of-same-target': 1 },
};

/** The differing rows of the first function. */
const rows = (bad: { image: Uint8Array }) =>
  diffImages(good.image, bad.image)
    .differing[0]?.hunks.flat()
    .filter(({ kind }) => kind !== 'equal');

describe('a stub that was linked again', () => {
  it('is equal to itself', () => {
    const { functions, differing, onlyGood, onlyBad } = diffImages(good.image, good.image);
    expect(functions).toEqual({ matched: 7, equal: 7, moved: 0, differing: 0, layoutOnly: 0 });
    expect({ differing, onlyGood, onlyBad }).toEqual({ differing: [], onlyGood: [], onlyBad: [] });
  });

  it('is equal behind a larger payload, and has moved', () => {
    const moved = linkStub(stub(GOOD_PREPARE), 0x98765);
    expect(diffImages(good.image, moved.image)).toMatchObject({
      functions: { matched: 7, equal: 7, moved: 5, differing: 0 },
      differing: [],
    });
  });

  it('shows the lea that became a mov, and nothing else, behind a larger payload', () => {
    const bad = linkStub(stub(BAD_PREPARE), 0x98765);
    const { differing, onlyBad, onlyGood } = diffImages(good.image, bad.image);
    expect(differing).toMatchObject([CHANGED]);
    expect([...onlyGood, ...onlyBad]).toEqual([]);
    const target = bad.symbols.get('trampoline')?.toString(16);
    const [row, ...more] = rows(bad) ?? [];
    expect(more).toEqual([]);
    expect(row?.good?.text).toMatch(/^lea .*\(%rip\),%rsi$/);
    expect(row?.bad?.text).toBe(`mov    $0x${target},%rsi`);
  });

  it('shows it with a function and data put in between', () => {
    const spacer = { name: 'spacer', pieces: ['5a'], space: 0x335 };
    const parts = [main, extra, copy, BAD_PREPARE, trampoline, finish, table, spacer, text, state];
    const { differing, onlyBad } = diffImages(good.image, linkStub(parts, 0x4321).image);
    expect(differing).toMatchObject([CHANGED]);
    expect(onlyBad.length).toBeLessThanOrEqual(1);
  });

  it('shows it with functions in another order', () => {
    const parts = [trampoline, finish, main, BAD_PREPARE, copy, table, text, state];
    expect(diffImages(good.image, linkStub(parts, 0x4321).image).differing).toMatchObject([CHANGED]);
  });

  it('shows it the other way round', () => {
    const bad = linkStub(stub(BAD_PREPARE), 0x98765);
    const report = diffImages(bad.image, good.image);
    expect(report.differing).toMatchObject([CHANGED]);
    expect(report.differing[0]?.hunks[0]?.find(({ note }) => note)?.note).toMatch(/GOOD is right only where it runs/);
  });

  it('has no difference in meaning where padding and jump forms differ', () => {
    // The same with nops, and jne with a 32-bit distance.
    const padded: Part = {
      ...finish,
      pieces: ['83 3d', relative('state', -1), '01 0f 1f 00 0f 85 09 00 00 00 48 8d 3d', relative('table'), '31 c0 c3'],
    };
    const parts = [main, copy, GOOD_PREPARE, trampoline, padded, table, text, state];
    expect(diffImages(good.image, linkStub(parts).image).functions.differing).toBe(0);
  });
});

describe('a change of meaning', () => {
  const differing = (changed: Part, payload?: number) =>
    diffImages(
      good.image,
      linkStub(
        stub(GOOD_PREPARE).map((part) => (part.name === changed.name ? changed : part)),
        payload,
      ).image,
    ).differing;

  it('is a jump that goes elsewhere', () => {
    const elsewhere: Part = {
      ...finish,
      pieces: ['83 3d', relative('state', -1), '01 75 07 48 8d 3d', relative('table'), '31 c0 c3'],
    };
    expect(differing(elsewhere, 0x4444)).toMatchObject([
      { kind: 'different-target', counts: { 'different-target': 1 } },
    ]);
  });

  it('is a reference to something else', () => {
    const other = prepare([LEA_RSI, relative('copy')]);
    expect(differing(other, 0x4444)).toMatchObject([{ kind: 'different-target', counts: { 'different-target': 1 } }]);
  });

  it('is another number', () => {
    const other = { ...trampoline, pieces: ['b8 18 00 00 00 8e d8 0f 20 c0 25 ff ff ff 7f c3'] };
    expect(differing(other, 0x4444)).toMatchObject([
      { kind: 'different-immediate', counts: { 'different-immediate': 1 } },
    ]);
  });

  it('is another instruction', () => {
    const other = { ...copy, pieces: ['48 89 f8 48 89 d9 f3 a4 c3'] };
    expect(differing(other, 0x4444)).toMatchObject([
      { kind: 'different-instruction', counts: { 'different-instruction': 1 } },
    ]);
  });

  it('is an instruction more', () => {
    // cld
    const other = prepare([LEA_RSI, relative('trampoline')], ['fc']);
    expect(differing(other, 0x4444)).toMatchObject([{ kind: 'inserted', counts: { inserted: 1 } }]);
  });

  it('is an instruction less', () => {
    // No rep movsb.
    const other = { ...copy, pieces: ['48 89 f8 48 89 d1 c3'] };
    expect(differing(other, 0x4444)).toMatchObject([{ kind: 'removed', counts: { removed: 1 } }]);
  });
});
