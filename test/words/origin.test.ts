import { describe, expect, it } from 'vitest';
import { findCode } from '../../src/code/codeMap.ts';
import { originFinder } from '../../src/code/origin.ts';
import { programOfBzImage } from '../../src/code/program.ts';
import { adviceOf, explanationOf, originOf } from '../../src/words/origin.ts';
import { parseBzImage } from '../../src/image/bzimage.ts';
import type { SymbolTable } from '../../src/image/symbols.ts';
import { FUNCTION, le32, type Parts, STRING, stubImage, TEXT, VARIABLE } from '../audit/stub/stubs.ts';

const LINKERS_MOV = `48 c7 c6 ${le32(FUNCTION)}`;

function cluesOf(parts: Parts, constant: number, symbols?: SymbolTable) {
  const program = programOfBzImage(parseBzImage(stubImage(parts)), symbols);
  return originFinder(program, findCode(program))(TEXT, { constant: BigInt(constant) });
}

describe('what a stub tells of where `mov $x,%reg` of 7 bytes came from', () => {
  it('is that nothing else in it is absolute, or that something is, here or elsewhere', () => {
    expect(cluesOf({ text: LINKERS_MOV }, FUNCTION).beside).toBe('nowhere');
    expect(cluesOf({ text: `${LINKERS_MOV} bf ${le32(STRING)}` }, FUNCTION).beside).toBe('same function');
    const calls = `${LINKERS_MOV} e8 ${le32(0x100 - 12)}`;
    expect(cluesOf({ text: calls, unreached: `bf ${le32(STRING)} c3` }, FUNCTION).beside).toBe('elsewhere');
  });

  it('is not that another of its own kind is there, nor a plain number', () => {
    expect(cluesOf({ text: `${LINKERS_MOV} ${LINKERS_MOV} bf ${le32(STRING + 1)}` }, FUNCTION).beside).toBe('nowhere');
  });

  it('is what it is the address of: a text, a symbol, a place in one', () => {
    const symbols = { symbols: [{ address: BigInt(VARIABLE), size: 16n, name: 'variable' }] };
    expect(cluesOf({ text: LINKERS_MOV }, STRING, symbols).target).toBe('text');
    expect(cluesOf({ text: LINKERS_MOV }, VARIABLE, symbols).target).toBe('start of a symbol');
    expect(cluesOf({ text: LINKERS_MOV }, VARIABLE + 8, symbols).target).toBe('inside a symbol');
    expect(cluesOf({ text: LINKERS_MOV }, VARIABLE + 0x20, symbols).target).toBe('unknown');
  });
});

describe('the words of an origin that may be two', () => {
  const GOT = 'R_X86_64_REX_GOTPCRELX';

  it('name the linker where nothing else is absolute, and the compiler as less likely', () => {
    const { relocation, decision, advice } = originOf('mov-imm32-rex', { target: 'unknown', beside: 'nowhere' });
    expect(relocation).toContain(GOT);
    expect(decision).toContain('-mcmodel=kernel');
    expect(decision).toContain('less likely');
    expect(advice).toContain('-mrelax-relocations=no');
  });

  it.each([
    [{ target: 'text', beside: 'nowhere' }, 'not here'],
    [{ target: 'inside a symbol', beside: 'nowhere' }, 'not here'],
    [{ target: 'start of a symbol', beside: 'same function' }, 'less likely'],
    [{ target: 'unknown', beside: 'elsewhere' }, 'less likely'],
  ] as const)('name the compiler for %o, and no guard against a linker', (clues, sure) => {
    const { relocation, decision } = originOf('mov-imm32-rex', clues);
    expect(relocation).toMatch(/^R_X86_64_32S/);
    expect(decision).toContain(sure);
    expect(adviceOf('mov-imm32-rex', clues)).not.toContain('-mrelax-relocations');
    expect(explanationOf('mov-imm32-rex', clues)).not.toContain('the GOT entry is gone');
  });

  it('of a form that one alone writes hang on nothing', () => {
    const of = (beside: 'nowhere' | 'same function') => originOf('store-imm32', { target: 'unknown', beside });
    expect(of('nowhere')).toEqual(of('same function'));
    expect(of('nowhere').relocation).toMatch(/^R_X86_64_32S/);
  });
});
