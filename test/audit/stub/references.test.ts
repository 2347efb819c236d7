import { describe, expect, it } from 'vitest';
import { hexBytes } from '../../../src/bits/hex.ts';
import { auditStub } from '../../../src/audit/stub/audit.ts';
import { programOfBzImage } from '../../../src/code/program.ts';
import { parseBzImage } from '../../../src/image/bzimage.ts';
import { SETUP_SIZE } from '../../image/synthetic.ts';
import {
  auditOf,
  DATA,
  END,
  FUNCTION,
  found,
  le32,
  le64,
  PAYLOAD,
  STRING,
  stubImage,
  TEXT,
  VARIABLE,
} from './stubs.ts';

describe('a healthy stub', () => {
  it('has no findings', () => {
    expect(auditOf({}).findings).toEqual([]);
  });

  it('is covered to the last instruction', () => {
    const { followed, constants } = auditOf({ text: `b8 ${le32(5)} 48 81 fe ${le32(77)}` }).coverage;
    expect(followed).toEqual({ 16: 0, 32: 1, 64: 11 });
    expect(constants).toBe(2);
  });
});

describe('an address fixed at link time', () => {
  it('is found in the mov that ld makes of a GOT load', () => {
    const [finding, ...more] = auditOf({ text: `48 c7 c6 ${le32(FUNCTION)}` }).findings;
    expect(more).toEqual([]);
    expect(finding).toMatchObject({
      rule: 'position-dependent-reference',
      severity: 'error',
      confidence: 'high',
      fileOffset: SETUP_SIZE + TEXT,
      linkAddress: BigInt(TEXT),
      target: { linkAddress: BigInt(FUNCTION), what: "start of a function, in the stub's code and data" },
    });
    expect(hexBytes(finding?.bytes ?? new Uint8Array())).toBe(`48 c7 c6 ${le32(FUNCTION)}`);
    expect(finding?.repair?.text.replace(/\s+/g, ' ')).toBe('lea 0x1f9(%rip),%rsi');
  });

  it.each([
    ['a variable behind the file, in .bss', `48 c7 c7 ${le32(END + 0x100)}`, ['mov $0x1a00,%rdi: high']],
    ['what may be memory of the stub', `48 c7 c7 ${le32(END + 0x10000)}`, ['mov $0x11900,%rdi: medium']],
    ['a compare of the general form, which ld makes', `48 81 f8 ${le32(VARIABLE)}`, ['cmp $0x1880,%rax: high']],
    ['a compare with something known', `48 81 fe ${le32(VARIABLE)}`, ['cmp $0x1880,%rsi: high']],
    ['a compare with a number that some data has as its address', `48 81 fe ${le32(STRING - 8)}`, []],
    [
      'a compare with what another instruction holds as well',
      `48 c7 c0 ${le32(STRING - 8)} 48 81 fe ${le32(STRING - 8)}`,
      ['mov $0x1838,%rax: high', 'cmp $0x1838,%rsi: high'],
    ],
    ['a compare with the room between code and data', `48 81 fe ${le32(DATA - 0x100)}`, []],
    ['movabs of a small number', `48 be ${le64(DATA)}`, ['movabs $0x1800,%rsi: high']],
    ['a short mov of a function that is then called', `be ${le32(FUNCTION)} ff d6`, ['mov $0x1600,%esi: high']],
    ['a short mov of a text that is handed on', `bf ${le32(STRING)} e8 00 00 00 00`, ['mov $0x1840,%edi: medium']],
    ['a read of a fixed address', `48 8b 04 25 ${le32(VARIABLE)}`, ['mov 0x1880,%rax: high']],
    ['a jump through a fixed table', `ff 24 c5 ${le32(STRING)}`, ['jmpq *0x1840(,%rax,8): high']],
    ['a push', `68 ${le32(FUNCTION)}`, ['push $0x1600: low']],
  ])('is found or left: %s', (_, text, expected) => {
    expect(found({ text })).toEqual(expected);
  });

  it('is believed to lie in memory that the code uses, which one reference far from all others does not make larger', () => {
    const far = END + 0x300000;
    const load = (target: number, at: number) => `8b 15 ${le32(target - at - 6)}`; // mov target(%rip),%edx
    const held = `48 c7 c7 ${le32(END + 0x200000)}`;
    expect(found({ text: `${load(far, TEXT)} ${held}` })).toEqual(['mov $0x201900,%rdi: medium']);
    expect(found({ text: `${load(far, TEXT)} ${load(far + 8, TEXT + 6)} ${held}` })).toEqual([
      'mov $0x201900,%rdi: high',
    ]);
  });

  it.each([
    ['an address', 0x2008, ['mov $0x2008,%esi: high']],
    ['a power of two', 0x2000, []],
    ['a mask', 0x1fff, []],
  ])('is a number where it is round, whatever begins there: %s', (_, target, expected) => {
    // mov target(%rip),%edx; mov $target,%esi; mov (%rsi),%rdx
    const text = `8b 15 ${le32(target - TEXT - 6)} be ${le32(target)} 48 8b 16`;
    expect(found({ text })).toEqual(expected);
  });

  it('is found in 32-bit code', () => {
    expect(found({ entry32: `b8 ${le32(VARIABLE)} 8b 00` })).toEqual(['mov $0x1880,%eax: high']);
  });

  it('is found between functions by the sweep, and believed less', () => {
    const [finding] = auditOf({ unreached: `48 c7 c6 ${le32(FUNCTION)} c3` }).findings;
    expect(finding).toMatchObject({ confidence: 'medium', linkAddress: BigInt(TEXT + 0x100) });
    expect(finding?.reason).toContain('the linear sweep found it');
  });

  it('in the first bytes of the stub looks like a number: found with low confidence', () => {
    expect(found({ text: `48 c7 c5 ${le32(0)}` })).toEqual(['mov $0,%rbp: low']);
  });

  it('in the first bytes counts more when it is used as an address', () => {
    expect(found({ text: `48 c7 c6 ${le32(0x100)} 48 8b 06` })).toEqual(['mov $0x100,%rsi: medium']);
  });

  it('is the start of the payload, where that is behind the first page', () => {
    expect(PAYLOAD).toBeLessThan(0x1000);
    expect(found({ text: `48 c7 c6 ${le32(PAYLOAD)}` })).toEqual(['mov $0x400,%rsi: low']);
    expect(found({ text: `48 c7 c6 ${le32(TEXT)}` })).toEqual(['mov $0x1400,%rsi: high']);
  });
});

describe('the name of what an address leads to', () => {
  const symbols = (size: bigint) => ({ symbols: [{ address: BigInt(DATA), size, name: 'label' }] });
  const messageOf = (constant: number, size: bigint): string => {
    const image = parseBzImage(stubImage({ text: `48 c7 c6 ${le32(constant)}` }));
    const [finding] = auditStub(programOfBzImage(image, symbols(size)), undefined).findings;
    return / holds the address of (.*) as a fixed number/.exec(finding?.message ?? '')?.[1] ?? '';
  };

  it('is the text that starts there, not the symbol before it', () => {
    expect(messageOf(STRING, 0n)).toBe('the text "hello, world"');
    expect(messageOf(STRING, 0x50n)).toBe('the text "hello, world"');
  });

  it('is the symbol it lies in, and no label that says no size', () => {
    expect(messageOf(VARIABLE, 0x100n)).toBe('label+0x80');
    expect(messageOf(VARIABLE, 0n)).toBe('something in its own code and data (0x1880)');
    expect(messageOf(DATA, 0n)).toBe('label');
  });
});

describe('what is no address', () => {
  it.each([
    ['a number inside the payload', `48 c7 c6 ${le32(0x1200)}`],
    ['a negative number', '48 c7 c6 00 f0 ff ff'],
    ['a number far behind the stub', `48 c7 c6 ${le32(0x7fff0000)}`],
    ['a short mov of a size that is counted down', `b9 ${le32(FUNCTION)} f3 48 a5`],
    ['a short mov of a size that is shifted', `b9 ${le32(VARIABLE)} c1 e9 03 f3 48 a5`],
    ['32-bit arithmetic', `81 eb ${le32(VARIABLE)}`],
    ['a short compare with a number', `48 3d ${le32(PAYLOAD + 0x123)}`],
    ['a read below the payload, where the BIOS has its data', `0f b7 04 25 ${le32(0x40e)}`],
  ])('is left alone: %s', (_, text) => {
    expect(found({ text })).toEqual([]);
  });

  it('the address at which the header wants the kernel, with which the stub compares', () => {
    const text = `48 c7 c5 ${le32(0x200000)}`;
    expect(found({ text, preferred: 0x200000n })).toEqual([]);
    expect(found({ text })).toEqual(['mov $0x200000,%rbp: medium']);
  });
});

describe('an address in data', () => {
  it('is found where it points to a function', () => {
    const [finding] = auditOf({ data: { [DATA]: le64(FUNCTION) } }).findings;
    expect(finding).toMatchObject({
      rule: 'position-dependent-pointer',
      confidence: 'medium',
      text: '.quad 0x1600',
      linkAddress: BigInt(DATA),
    });
  });

  it('is right in a table to which the stub adds its load address', () => {
    // lea DATA(%rip),%rdx; lea DATA+8(%rip),%rcx; 1: cmp %rcx,%rdx; jae 2f; add %rbx,(%rdx); add $8,%rdx; jmp 1b; 2:
    const lea = (modrm: string, target: number, next: number) => `48 8d ${modrm} ${le32(target - next)}`;
    const loop = '48 39 ca 73 09 48 01 1a 48 83 c2 08 eb f2';
    const text = `${lea('15', DATA, TEXT + 7)} ${lea('0d', DATA + 8, TEXT + 14)} ${loop}`;
    expect(found({ text, data: { [DATA]: le64(FUNCTION) } })).toEqual([]);
    expect(found({ text, data: { [DATA + 8]: le64(FUNCTION) } })).toEqual(['.quad 0x1600: medium']);
  });

  it('is no address where nothing begins', () => {
    expect(found({ data: { [DATA]: le64(FUNCTION + 1) } })).toEqual([]);
  });
});

describe('an address in the first bytes, beside others', () => {
  it('counts more where other instructions hold addresses of the stub in the same way', () => {
    expect(found({ text: `48 c7 c5 ${le32(0)} 48 c7 c6 ${le32(FUNCTION)}` })).toEqual([
      'mov $0,%rbp: medium',
      'mov $0x1600,%rsi: high',
    ]);
  });
});
