import { Decoder, DecoderOptions, Mnemonic, Register } from 'iced-x86';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/bits/errors.ts';
import { bytesOfHex, hexBytes } from '../../src/bits/hex.ts';
import { listRipRelativeLeas, mutateLea, repairedMovBytes, repairMov } from '../../src/code/mutant.ts';
import { concat, makeBzImage, makeElf, SETUP_SIZE } from '../image/synthetic.ts';

const LEA = '48 8d 05 10 00 00 00';

function placed(size: number, pieces: Record<number, string>): Uint8Array {
  const out = new Uint8Array(size);
  for (const [at, text] of Object.entries(pieces)) out.set(bytesOfHex(text), Number(at));
  return out;
}

// A stub as kernels have it: head code, the payload right behind it at 0x240, then .text, then data.
const HEAD = placed(0x240, {
  0x000: `${LEA} e8 34 00 00 00 c3`, // 32-bit: dec %eax; lea 0x10,%eax; call 0x40; ret
  0x040: `${LEA} c3`, // 32-bit too, as its caller is
  0x100: LEA, // never reached
  0x200: '48 8d 35 09 10 00 00', // lea 0x1210(%rip),%rsi: target is data
  0x207: 'e8 74 00 00 00', // call 0x280 (function one)
  0x20c: '48 8d 83 70 02 00 00', // lea 0x270(%rbx),%rax: the copy of .Lrelocated
  0x213: 'ff e0', // jmp *%rax
});
const PAYLOAD = concat([bytesOfHex(`28 b5 2f fd ${LEA} ${LEA} ${LEA} ${LEA}`), new Uint8Array(16)]);
const TEXT_START = 0x270;
const TEXT = placed(0x100, {
  0x00: '4c 8d 3d f9 0f 00 00', // 0x270 .Lrelocated: lea 0xff9(%rip),%r15
  0x07: 'eb fe', // jmp .
  0x10: '48 8d 05 19 00 00 00', // 0x280 one: lea two(%rip),%rax
  0x17: '48 8d 0d 42 00 00 00', // lea text(%rip),%rcx
  0x1e: 'e8 1d 00 00 00', // call three
  0x23: 'c3',
  0x30: '48 8d 15 00 01 00 00', // 0x2a0 two: lea 0x100(%rip),%rdx, reached by its address alone
  0x37: 'c3',
  0x40: '4c 8d 05 e9 ff ff ff', // 0x2b0 three: lea -0x17(%rip),%r8 -> two
  0x47: 'c3',
  0x60: '6e 6f 20 6d 65 6d 6f 72 79 00', // text
  0x80: LEA, // data that only looks like a lea
});

function stub(): Uint8Array {
  expect(HEAD.length + PAYLOAD.length).toBe(TEXT_START);
  return makeBzImage({ code: HEAD, payload: PAYLOAD, tail: TEXT });
}

describe('listRipRelativeLeas', () => {
  it('finds every lea that code reaches, and neither data, payload nor 32-bit code', () => {
    expect(
      listRipRelativeLeas(stub()).map(({ linkAddress, register, target }) => [linkAddress, register, target]),
    ).toEqual([
      [0x200, 'rsi', 0x1210],
      [0x270, 'r15', 0x1270],
      [0x280, 'rax', 0x2a0],
      [0x287, 'rcx', 0x2d0],
      [0x2a0, 'rdx', 0x3a7],
      [0x2b0, 'r8', 0x2a0],
    ]);
  });

  it('gives the offset in the file beside the link address', () => {
    for (const lea of listRipRelativeLeas(stub())) expect(lea.fileOffset - lea.linkAddress).toBe(SETUP_SIZE);
  });

  it('does not walk on behind a call into zeros', () => {
    const code = placed(0x300, { 0x200: 'e8 2b 00 00 00', 0x20b: LEA, 0x230: 'eb fe' });
    expect(listRipRelativeLeas(makeBzImage({ code }))).toEqual([]);
  });

  it('believes in a function known by its address whose last call never returns', () => {
    const code = placed(0x300, {
      0x200: '48 8d 05 19 00 00 00', // lea f(%rip),%rax
      0x207: 'e9 54 00 00 00', // jmp 0x260
      0x220: '48 8d 15 00 01 00 00', // f: lea 0x100(%rip),%rdx
      0x227: 'e8 34 00 00 00', // call 0x260; zeros follow
      0x260: 'eb fe',
    });
    expect(listRipRelativeLeas(makeBzImage({ code })).map((lea) => lea.linkAddress)).toEqual([0x200, 0x220]);
  });

  it('takes what lies beyond the last proven code for data, however much it looks like code', () => {
    const code = placed(0x300, { 0x200: '48 8d 05 39 00 00 00 c3', 0x240: `${LEA} c3` });
    expect(listRipRelativeLeas(makeBzImage({ code })).map((lea) => lea.linkAddress)).toEqual([0x200]);
  });

  it('refuses an ELF file', () => {
    expect(() => listRipRelativeLeas(makeElf())).toThrow(InputError);
  });
});

describe('mutateLea', () => {
  it('writes the link address that the lea reached, backwards too', () => {
    // lea -0x100(%rip),%rsi at 0x200 computes 0x107 where the image lies at 0.
    const code = placed(0x240, { 0x200: '48 8d 35 00 ff ff ff' });
    const mutant = mutateLea(makeBzImage({ code }), SETUP_SIZE + 0x200);
    expect(hexBytes(mutant.subarray(SETUP_SIZE + 0x200, SETUP_SIZE + 0x207))).toBe('48 c7 c6 07 01 00 00');
  });

  it.each([
    ['48 8d 05', 'RAX'],
    ['48 8d 0d', 'RCX'],
    ['48 8d 15', 'RDX'],
    ['48 8d 1d', 'RBX'],
    ['48 8d 25', 'RSP'],
    ['48 8d 2d', 'RBP'],
    ['48 8d 35', 'RSI'],
    ['48 8d 3d', 'RDI'],
    ['4c 8d 05', 'R8'],
    ['4c 8d 0d', 'R9'],
    ['4c 8d 15', 'R10'],
    ['4c 8d 1d', 'R11'],
    ['4c 8d 25', 'R12'],
    ['4c 8d 2d', 'R13'],
    ['4c 8d 35', 'R14'],
    ['4c 8d 3d', 'R15'],
  ] as const)('turns %s into a mov of the same register and target, and repairMov turns it back', (start, register) => {
    const image = makeBzImage({ code: placed(0x240, { 0x200: `${start} f9 0c 00 00` }) });
    const at = SETUP_SIZE + 0x200;
    const mutant = mutateLea(image, at);
    const instruction = new Decoder(64, mutant.subarray(at, at + 7), DecoderOptions.None).decode();
    expect(instruction.length).toBe(7);
    expect(instruction.mnemonic).toBe(Mnemonic.Mov);
    expect(instruction.op0Register).toBe(Register[register]);
    expect(instruction.immediate(1)).toBe(0xf00n);
    expect(repairMov(mutant, at)).toEqual(image);
  });

  it('changes the seven bytes of the instruction and leaves its input alone', () => {
    const image = stub();
    const before = image.slice();
    for (const { fileOffset } of listRipRelativeLeas(image)) {
      const mutant = mutateLea(image, fileOffset);
      const different = [...mutant.keys()].filter((i) => mutant[i] !== image[i]);
      expect(different.every((i) => i >= fileOffset && i < fileOffset + 7)).toBe(true);
      expect(different.length).toBeGreaterThan(0);
    }
    expect(image).toEqual(before);
  });

  it('refuses an offset where no such lea stands, or none of the stub', () => {
    expect(() => mutateLea(stub(), SETUP_SIZE + 0x207)).toThrow(/no lea disp32\(%rip\), %r64 at file offset 0x607/);
    expect(() => mutateLea(stub(), 0x10)).toThrow(/not in the protected-mode part/);
    expect(() => mutateLea(stub(), 1e9)).toThrow(InputError);
  });
});

describe('repairMov', () => {
  it('refuses anything but the seven-byte mov', () => {
    expect(() => repairMov(stub(), SETUP_SIZE + 0x200)).toThrow(/no mov \$imm32, %r64/);
  });

  it('works on bytes in memory by their link address', () => {
    // BACKGROUND: good `48 8d 35 09 cc ff ff` reaches 0x97f940 from 0x982d30.
    const mov = bytesOfHex('48 c7 c6 40 f9 97 00');
    expect(hexBytes(repairedMovBytes(mov, 0x982d30) ?? new Uint8Array())).toBe('48 8d 35 09 cc ff ff');
    expect(repairedMovBytes(bytesOfHex('48 8d 35 09 cc ff ff'), 0x982d30)).toBeUndefined();
  });
});
