// Deaths of other kinds: the evidence, and nothing that is dressed as a cause.
import { describe, expect, it } from 'vitest';
import { diagnose } from '../../src/diagnose/why.ts';
import { configOf, diagnosed, sample, withBytes } from './support.ts';

/** Link addresses in the samples' stub: the 64-bit entry, and the first bytes of unpack_kernel. */
const STARTUP_64 = 0x200;
const UNPACK_KERNEL = 0x18440;
const TRAMPOLINE = 0x18040;
const UD2 = [0x0f, 0x0b];

const good = sample('good');

describe('a death that is not understood', () => {
  it('by ud2: the vector, and the instruction with its place in the file', () => {
    const { causes, suspicions, unexplained, last } = diagnosed(withBytes(good, STARTUP_64, UD2));
    expect({ causes, suspicions }).toEqual({ causes: [], suspicions: [] });
    const chain = [{ vector: 6 }, { vector: 13 }, { vector: 8 }];
    expect(unexplained?.outcome).toMatchObject({ kind: 'triple-fault', stage: 'entry', chain });
    expect(unexplained?.at).toMatchObject({ linkAddress: BigInt(STARTUP_64), text: 'ud2' });
    expect(unexplained?.silent).toBe(true);
    expect(last.outcome.kind).toBe('triple-fault');
  });

  it('outside RAM: where, and that nothing of the image is there', () => {
    // mov $0x1fffff00,%eax; jmp *%rax: the last bytes of RAM, all zeros, and then none.
    const image = withBytes(good, UNPACK_KERNEL, [0xb8, 0, 0xff, 0xff, 0x1f, 0xff, 0xe0]);
    const { causes, unexplained } = diagnosed(image);
    expect(causes).toEqual([]);
    expect(unexplained?.outcome).toMatchObject({ kind: 'triple-fault', chain: [{ vector: 6 }, {}, {}] });
    expect(unexplained?.at).toMatchObject({ runtimeAddress: 0x20000000n, text: '(bad)' });
    expect(unexplained?.at).not.toHaveProperty('fileOffset');
  });

  it("in the loader's GDT, whose bytes the stub holds too: whose place it is, and who jumped there", () => {
    // mov $0x1010,%eax; jmp *%rax: a descriptor begins with ff ff, which is no instruction
    const image = withBytes(good, UNPACK_KERNEL, [0xb8, 0x10, 0x10, 0, 0, 0xff, 0xe0]);
    const { unexplained } = diagnosed(image);
    expect(unexplained?.at).toMatchObject({ runtimeAddress: 0x1010n, owner: 'gdt' });
    expect(unexplained?.at).not.toHaveProperty('linkAddress');
    expect(unexplained?.jump).toMatchObject({
      instruction: { linkAddress: BigInt(UNPACK_KERNEL + 5), text: expect.stringMatching(/^jmp +\*%rax$/) },
      target: 0x1010n,
    });
  });

  it('after it had written on the text screen only: what stands there', () => {
    // mov $0xb8000,%eax; movl $0x07690748,(%rax); ud2
    const image = withBytes(good, STARTUP_64, [0xb8, 0, 0x80, 0x0b, 0, 0xc7, 0, 0x48, 7, 0x69, 7, ...UD2]);
    const { unexplained } = diagnosed(image);
    expect(unexplained).toMatchObject({ silent: false, lastWords: 'Hi', lastWordsOn: 'screen' });
  });

  it('in code that was copied from the stub: the place it comes from', () => {
    const { causes, unexplained } = diagnosed(withBytes(good, TRAMPOLINE, UD2));
    expect(causes).toEqual([]);
    expect(unexplained?.at).toMatchObject({ runtimeAddress: 0x9e000n, text: 'ud2', linkAddress: BigInt(TRAMPOLINE) });
  });

  it('in code that was made at run time: which instruction wrote it', () => {
    // mov $0x8000000,%edi; push %rdi; mov $0x0b0f0b0f,%eax; stosl; pop %rsi; jmp *%rsi
    const code = [0xbf, 0, 0, 0, 8, 0x57, 0xb8, ...UD2, ...UD2, 0xab, 0x5e, 0xff, 0xe6];
    const { causes, unexplained } = diagnosed(withBytes(good, UNPACK_KERNEL, code));
    expect(causes).toEqual([]);
    expect(unexplained?.at).toMatchObject({ runtimeAddress: 0x8000000n, text: 'ud2' });
    expect(unexplained?.writer?.instruction.linkAddress).toBe(BigInt(UNPACK_KERNEL + 11));
  });

  it('by a halt for ever: where it stands', () => {
    const { causes, suspicions, unexplained } = diagnosed(withBytes(good, STARTUP_64, [0xfa, 0xf4]));
    expect({ causes, suspicions }).toEqual({ causes: [], suspicions: [] });
    expect(unexplained?.outcome).toMatchObject({ kind: 'halt', interruptsEnabled: false });
    expect(unexplained?.at).toMatchObject({ linkAddress: BigInt(STARTUP_64 + 1), text: 'hlt' });
  });

  it('by a loop for ever: where it stands', () => {
    const { causes, suspicions, unexplained } = diagnosed(withBytes(good, STARTUP_64, [0xeb, 0xfe]));
    expect({ causes, suspicions }).toEqual({ causes: [], suspicions: [] });
    expect(unexplained?.outcome.kind).toBe('hang');
    expect(unexplained?.at).toMatchObject({ linkAddress: BigInt(STARTUP_64) });
  });

  it('by a walk through memory that holds only zeros', () => {
    // mov $0x8000000,%eax; jmp *%rax
    const { causes, unexplained } = diagnosed(withBytes(good, STARTUP_64, [0xb8, 0, 0, 0, 8, 0xff, 0xe0]));
    expect(causes).toEqual([]);
    expect(unexplained?.outcome).toMatchObject({ kind: 'hang', rule: expect.stringContaining('nothing but zeros') });
    expect(unexplained?.at?.text).toMatch(/^add +%al,\(%rax\)$/);
  });

  it('after it had printed: its last words', () => {
    // ud2 where the kernel is about to be entered: jmp *%rax at the end of startup_64.
    const { causes, unexplained } = diagnosed(withBytes(good, 0x278, UD2));
    expect(causes).toEqual([]);
    expect(unexplained).toMatchObject({ silent: false, outcome: { kind: 'triple-fault' } });
    expect(unexplained?.lastWords).toContain('Copying the kernel to 0x');
  });
});

describe('a diagnosis', () => {
  it('looks up often: at least every half million instructions', () => {
    const config = configOf(withBytes(good, STARTUP_64, [0xeb, 0xfe]), { maxInstructions: 5_000_000n });
    let last = 0n;
    for (const { instructions } of diagnose(config)) {
      expect(instructions - last).toBeLessThanOrEqual(500_000n);
      last = instructions;
    }
    expect(last).toBeGreaterThan(4_000_000n);
  });
});
