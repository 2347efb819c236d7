// The assembler of the tests: what it writes is decoded again, and values are what was asked for.
import { Decoder, Formatter, FormatterSyntax } from 'iced-x86';
import { describe, expect, it } from 'vitest';
import {
  addressOf,
  align,
  assemble,
  assembleAt,
  byte,
  db,
  dq,
  dword,
  far,
  type Item,
  lock,
  ptr,
  qword,
  rep,
  text,
  x86,
} from './assembler.ts';

const ORIGIN = 0x1000000n;

/** Instructions as the decoder reads them back. */
function listing(bits: 16 | 32 | 64, items: readonly Item[]): string[] {
  const decoder = new Decoder(bits, assemble(bits, ORIGIN, items), 0);
  decoder.ip = ORIGIN;
  const formatter = new Formatter(FormatterSyntax.Intel);
  const lines: string[] = [];
  while (decoder.canDecode) lines.push(formatter.format(decoder.decode()));
  return lines;
}

const hex = (bits: 16 | 32 | 64, ...items: readonly Item[]): string =>
  Buffer.from(assemble(bits, ORIGIN, items)).toString('hex');

describe('an instruction', () => {
  it.each([
    [x86.mov('eax', 5), 'mov eax,5'],
    [x86.mov('rax', 5), 'mov rax,5'],
    [x86.mov('rax', 0x7f0022110000n), 'mov rax,7F0022110000h'],
    [x86.mov('rbx', 'cr3'), 'mov rbx,cr3'],
    [x86.mov('ss', 'eax'), 'mov ss,ax'],
    [x86.mov(dword('rbx', 'rcx*8', 16), -2), 'mov dword ptr [rbx+rcx*8+10h],0FFFFFFFEh'],
    [x86.mov('rax', ptr('rbp')), 'mov rax,[rbp]'],
    [x86.mov(qword(0x1300000), 'rax'), 'mov [1300000h],rax'],
    [x86.lea('rsi', ptr('@here')), 'lea rsi,[1000000h]'],
    [x86.cmp(byte('rdi'), 0x65), 'cmp byte ptr [rdi],65h'],
    [x86.and('rax', -67), 'and rax,0FFFFFFFFFFFFFFBDh'],
    [x86.in('al', 'dx'), 'in al,dx'],
    [x86.push(0x1234), 'push 1234h'],
    [rep(x86.movsq()), 'rep movsq [rdi],[rsi]'],
    [lock(x86.inc(dword('rdi'))), 'lock inc dword ptr [rdi]'],
    [x86.fmul('st0', 'st1'), 'fmul st,st(1)'],
    [x86.cvtsi2sd('xmm3', 'ecx'), 'cvtsi2sd xmm3,ecx'],
    [x86.call('@here'), 'call 0000000001000000h'],
  ])('is one with these operands', (line, want) => {
    expect(listing(64, ['@here', line])).toEqual([want]);
  });

  it('is the shortest of its kind', () => {
    expect(hex(64, x86.add('rax', 1), x86.mov('ecx', 1), x86.shl('eax', 1))).toBe('4883c001b901000000d1e0');
  });

  it('is of the size that code has', () => {
    expect(hex(32, x86.jmp(far(8, '@here')), '@here')).toBe('ea070000010800');
    expect(hex(16, x86.jmp(far(0x1234, 8)), x86.mov('ax', 5), x86.iret())).toBe('ea08003412b80500cf');
  });

  it('is refused where it does not exist, or could be of several sizes', () => {
    expect(() => assemble(64, 0, [x86.mov('rax', 'eax')])).toThrow('mov rax, eax: no such instruction in 64-bit code');
    expect(() => assemble(64, 0, [x86.inc(ptr('rax'))])).toThrow('say byte');
    expect(() => assemble(64, 0, [x86.mov('al', 256)])).toThrow('no such instruction');
    expect(() => assemble(64, 0, [x86.jmp('@nowhere')])).toThrow('no label @nowhere');
    expect(() => assemble(64, 0, ['@a', '@a'])).toThrow('@a twice');
  });
});

describe('labels', () => {
  it('are reached by short jumps, and by long ones from further', () => {
    const { bytes, labels } = assembleAt(64, ORIGIN, [
      ...([x86.jmp('@behind'), '@before', x86.jne('@before')] as const),
      ...([db(...Array.from({ length: 125 }, () => 0x90)), '@behind', x86.jne('@before'), x86.jmp('@behind')] as const),
    ]);
    expect(Buffer.from(bytes.subarray(0, 4)).toString('hex')).toBe('eb7f75fe');
    expect(Buffer.from(bytes.subarray(129)).toString('hex')).toBe('0f857bffffffebf8');
    expect(labels.get('@behind')).toBe(ORIGIN + 129n);
  });

  it('are numbers too, and data', () => {
    expect(hex(64, x86.mov('eax', '@data'), align(8), '@data', addressOf('@data', 4), dq(-1n), text('ab'))).toBe(
      `b80800000100000008000001${'ff'.repeat(8)}6162`,
    );
  });
});
