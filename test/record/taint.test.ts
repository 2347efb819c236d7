// One value followed through real guests, from the instruction that makes it to what is done with it.
import { describe, expect, it } from 'vitest';
import { isFault } from '../../src/cpu/state/cpu.ts';
import { Taint, type Use } from '../../src/record/taint.ts';
import { BootRun } from '../../src/run/run.ts';
import {
  addressOf,
  assembleAt,
  byte,
  db,
  dq,
  dw,
  dword,
  type Item,
  ptr,
  qword,
  rep,
  x86,
} from '../support/assembler.ts';
import { configOf, ENTRY, elfGuest } from '../support/guest.ts';

const {
  add,
  call,
  cld,
  cmp,
  hlt,
  jmp,
  lea,
  lgdt,
  mov,
  movsb,
  movsq,
  nop,
  or,
  pop,
  push,
  ret,
  std,
  sub,
  test,
  xchg,
  xor,
} = x86;

const STACK = mov('rsp', 0x1300000);
const PLACE = 0x1200000;
const OTHER = 0x1210000;

/** Runs a guest to its HLT. @param first instructions before the one whose value is followed */
function usesOf(code: readonly Item[], first = 0): Use[] {
  const whole = [...code, hlt()];
  const end = (assembleAt(64, ENTRY, [...whole, '@end']).labels.get('@end') as bigint) - 1n;
  const run = new BootRun(configOf(elfGuest(whole)));
  const { engine } = run.machine;
  const taint = new Taint(engine.state);
  const uses: Use[] = [];
  for (let count = 0; engine.state.rip !== end && count < 500; count++) {
    const insn = engine.currentInstruction();
    if (isFault(insn)) throw new Error('a guest of this test faults');
    if (count >= first) uses.push(...(count === first ? taint.begin(insn) : taint.step(insn)));
    insn.free();
    if (run.advance(1n)) break;
  }
  taint.free();
  return uses;
}

const FOLLOWED = mov('ebx', PLACE);
const LOAD = { kind: 'load', address: BigInt(PLACE), bytes: 8 };

describe('a constant', () => {
  it.each<[string, readonly Item[], readonly object[]]>([
    ['loads', [mov('rax', ptr('rbx'))], [LOAD]],
    ['stores', [mov(dword('rbx', 4), 1)], [{ kind: 'store', address: BigInt(PLACE + 4), bytes: 4 }]],
    [
      'reads and stores',
      [add(dword('rbx'), 1)],
      [
        { ...LOAD, bytes: 4 },
        { kind: 'store', address: BigInt(PLACE), bytes: 4 },
      ],
    ],
    ['is an index', [xor('eax', 'eax'), mov('rcx', ptr('rax', 'rbx*1'))], [LOAD]],
    ['is compared', [cmp('rbx', 'rax')], [{ kind: 'compare' }]],
    ['is tested', [test('rbx', 'rbx')], [{ kind: 'compare' }]],
    ['is taken off another', [sub('rax', 'rbx')], [{ kind: 'compare' }]],
    ['is none of what stands beside it', [mov('rax', ptr('rsp'))], []],
  ])('%s', (_what, code, uses) => {
    expect(usesOf([STACK, FOLLOWED, ...code], 1)).toEqual(uses);
  });

  it.each<[string, readonly Item[]]>([
    ['copied', [mov('rcx', 'rbx'), mov('rax', ptr('rcx'))]],
    ['added to', [lea('rcx', ptr('rbx', 8)), mov('rax', ptr('rcx', -8))]],
    ['or-ed with itself', [or('rbx', 'rbx'), mov('rax', ptr('rbx'))]],
    ['exchanged', [xchg('rcx', 'rbx'), mov('rax', ptr('rcx'))]],
    ['stored and loaded', [mov(qword(OTHER), 'rbx'), mov('rcx', ptr(OTHER)), mov('rax', ptr('rcx'))]],
    ['pushed and popped', [push('rbx'), pop('rcx'), mov('rax', ptr('rcx'))]],
  ])('%s is followed', (_what, code) => {
    expect(usesOf([STACK, FOLLOWED, ...code], 1)).toContainEqual(LOAD);
  });

  it.each<[string, readonly Item[]]>([
    ['cleared by XOR', [xor('ebx', 'ebx'), mov('rax', ptr('rbx', PLACE))]],
    ['cleared by SUB', [sub('rbx', 'rbx'), mov('rax', ptr('rbx', PLACE))]],
    ['overwritten', [mov('ebx', PLACE), mov('rax', ptr('rbx'))]],
    [
      'overwritten in memory',
      [mov(qword(OTHER), 'rbx'), mov(qword(OTHER), PLACE), mov('rcx', ptr(OTHER)), mov('rax', ptr('rcx'))],
    ],
  ])('that was %s is followed no further', (_what, code) => {
    expect(usesOf([STACK, FOLLOWED, ...code], 1)).toEqual([]);
  });

  it('that is compared is not changed by it', () => {
    expect(usesOf([FOLLOWED, cmp('rbx', 'rax'), mov('rax', ptr('rbx'))])).toEqual([{ kind: 'compare' }, LOAD]);
  });

  it('is a control register', () => {
    const uses = usesOf([mov('rbx', 'cr3'), mov('cr3', 'rbx')]);
    expect(uses).toEqual([{ kind: 'system', what: expect.stringContaining('cr3'), mark: 'pointer' }]);
  });

  it('is jumped to', () => {
    const code = [mov('rbx', '@there'), jmp('rbx'), '@there', nop()] as const;
    const there = assembleAt(64, ENTRY, [...code]).labels.get('@there');
    expect(usesOf(code)).toEqual([{ kind: 'jump', target: there, mark: 'pointer' }]);
  });
});

describe('what is read through the pointer', () => {
  const SLOT = [jmp('@go'), '@slot', addressOf('@there', 8), '@go'] as const;

  it('is marked where control goes to it', () => {
    const code = [...SLOT, mov('rbx', '@slot'), mov('rax', ptr('rbx')), call('rax'), '@there', nop()] as const;
    const whole = [STACK, ...code];
    const { labels } = assembleAt(64, ENTRY, whole);
    expect(usesOf(whole, 2)).toEqual([
      { kind: 'load', address: labels.get('@slot'), bytes: 8 },
      { kind: 'jump', target: labels.get('@there'), mark: 'fetched' },
    ]);
  });

  it('is marked where it is the base of a table', () => {
    const code = [jmp('@go'), '@table', dw(0x7f), dq(PLACE), '@go', mov('rbx', '@table'), lgdt(ptr('rbx'))] as const;
    expect(usesOf(code, 1)).toContainEqual({ kind: 'system', what: expect.stringContaining('lgdt'), mark: 'fetched' });
  });

  it('is no pointer itself: what is read through it in turn is no use of the constant', () => {
    const code = [
      ...SLOT,
      mov('rbx', '@slot'),
      mov('rax', ptr('rbx')),
      mov('rcx', ptr('rax')),
      '@there',
      nop(),
    ] as const;
    expect(usesOf(code, 1).filter(({ kind }) => kind === 'load')).toHaveLength(1);
  });
});

describe('a block', () => {
  const move = (direction: Item, from: Item, to: Item, count: number, moves: Item) =>
    [direction, from, to, mov('ecx', count), moves] as const;

  it('that is copied from there is told of from its lowest address, forwards', () => {
    const code = move(cld(), mov('esi', PLACE), mov('edi', OTHER), 32, rep(movsb()));
    expect(usesOf(code, 1)).toEqual([{ kind: 'copy', from: BigInt(PLACE), to: BigInt(OTHER), bytes: 32n }]);
  });

  it('and backwards', () => {
    const code = move(std(), mov('esi', PLACE), mov('edi', OTHER), 4, rep(movsq()));
    const bytes = 32n;
    expect(usesOf(code, 1)[0]).toEqual({
      ...{ kind: 'copy', bytes },
      from: BigInt(PLACE) + 8n - bytes,
      to: BigInt(OTHER) + 8n - bytes,
    });
  });

  it('that is copied to there is stored', () => {
    const code = [cld(), mov('esi', OTHER), mov('edi', PLACE), mov('ecx', 3), rep(movsb())];
    expect(usesOf(code, 2)[0]).toEqual({ kind: 'store', address: BigInt(PLACE), bytes: 3 });
  });

  it('of one element needs no count', () => {
    const code = [cld(), mov('esi', PLACE), mov('edi', OTHER), mov('ecx', 9), movsq()];
    expect(usesOf(code, 1)).toEqual([{ kind: 'copy', from: BigInt(PLACE), to: BigInt(OTHER), bytes: 8n }]);
  });

  it('of none is no use', () => {
    expect(usesOf(move(cld(), mov('esi', PLACE), mov('edi', OTHER), 0, rep(movsb())), 1)).toEqual([]);
  });

  it('that is copied from there and run is told of', () => {
    const code = [
      ...[jmp('@go'), '@body', ret(), '@go', STACK, cld(), mov('rsi', '@body')],
      ...[mov('edi', OTHER), mov('ecx', 1), rep(movsb()), mov('eax', OTHER), call('rax')],
    ] as const;
    expect(usesOf(code, 3)).toContainEqual({ kind: 'execute', address: BigInt(OTHER) });
  });

  it('that is copied backwards and run is told of', () => {
    const code = [
      ...[jmp('@go'), '@body', db(0xc3, 0x90, 0x90, 0x90), '@go', STACK, std(), lea('rsi', ptr('@body', 3))],
      ...[mov('edi', OTHER + 3), mov('ecx', 4), rep(movsb()), cld(), mov('eax', OTHER), call('rax')],
    ] as const;
    expect(usesOf(code, 3)).toContainEqual({ kind: 'execute', address: BigInt(OTHER) });
  });

  it('of bytes that do not come from there is run like any', () => {
    const code = [mov('ebx', PLACE), STACK, mov(byte(OTHER), 0xc3), mov('eax', OTHER), call('rax')];
    expect(usesOf(code)).toEqual([]);
  });
});
