// What counts as the unpacked kernel: not a stub that runs what was written over itself, nor one that runs its own data.
// Our sample stub, changed behind its unpacking: in place of its jump to the kernel it goes to code of ours, which lies
// where the 32-bit entry was, and that one stores a `jmp .` and runs it.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { putU32 } from '../../src/bits/cursor.ts';
import { bytesOfHex } from '../../src/bits/hex.ts';
import { runToEnd } from '../../src/run/drive.ts';
import { BootRun } from '../../src/run/run.ts';
import { parseBzImage } from '../../src/image/bzimage.ts';
import { db, type Item, ptr, rep, text, x86 } from '../support/assembler.ts';
import { bzImageGuest, configOf, elfGuest, POWER_OFF } from '../support/guest.ts';

const good = new Uint8Array(readFileSync(fileURLToPath(new URL('../../samples/built/good.bzImage', import.meta.url))));
const { fileOffset, size } = parseBzImage(good).protectedMode;
/** startup_64. */
const ENTRY_64 = 0x200;
/** In startup_64: mov %rbx,%rsi; jmp *%rax, behind the call of unpack_kernel. */
const LEAVES = 0x275;
/** In startup_32, which the 64-bit entry does not run. */
const OURS = 0x40;

/** @param to offset in the stub of what is stored and run; undefined leaves the sample as it is */
function boot(to: number | undefined) {
  const image = good.slice();
  if (to !== undefined) {
    image[fileOffset + LEAVES] = 0xe9;
    putU32(image, fileOffset + LEAVES + 1, (OURS - (LEAVES + 5)) >>> 0);
    // lea to(%rip),%rdi; movl $0x9090feeb,(%rdi); jmp *%rdi
    image.set(bytesOfHex('488d3d00000000c707ebfe9090ffe7'), fileOffset + OURS);
    putU32(image, fileOffset + OURS + 3, to - (OURS + 7));
  }
  const { outcome, stages } = run(image);
  return [outcome.kind, stages.at(-1)?.name];
}

const run = (image: Uint8Array) =>
  runToEnd(
    new BootRun({
      ...{ image, entry: 64, cpu: 'max', memoryBytes: 64 << 20, cmdline: '', until: 'handoff', seed: 0 },
      maxInstructions: 5_000_000n,
    }),
  );

describe('the decompression', () => {
  it('is none where code that lies in the payload reads there', () => {
    const image = good.slice();
    const { payload } = parseBzImage(good);
    const start = (payload?.fileOffset ?? 0) - fileOffset;
    // jmp to the payload; there mov 0(%rip),%al; jmp .
    image.set(bytesOfHex('e900000000'), fileOffset + ENTRY_64);
    putU32(image, fileOffset + ENTRY_64 + 1, start - (ENTRY_64 + 5));
    image.set(bytesOfHex('8a0500000000ebfe'), fileOffset + start);
    const { outcome, stages } = run(image);
    expect([outcome.kind, stages.at(-1)?.name]).toEqual(['instruction-limit', 'entry']);
  });
});

describe('the handoff', () => {
  it('is the jump into the unpacked kernel', () => {
    expect([...good.subarray(fileOffset + LEAVES + 3, fileOffset + LEAVES + 5)]).toEqual([0xff, 0xe0]);
    expect(boot(undefined)).toEqual(['stage-reached', 'handoff']);
  });

  it.each([
    ['what it wrote over itself, in another page', 0x1080],
    ['its own data behind its file', size + 0x100],
  ])('is none where the stub runs %s', (_what, to) => {
    expect(boot(to)).toEqual(['instruction-limit', 'decompress']);
  });
});

const { cld, jmp, lea, lodsb, mov, movsb, je, out, sysret, test, wrmsr, xor, rdmsr, or } = x86;
/** Above what the stub needs. */
const KERNEL = 0x3000000;
const LOW = 0x9000;

/** Small stubs: the payload lies behind their code, at the label. */
const stub = (...code: readonly Item[]): string[] => {
  const image = bzImageGuest([...code, ...POWER_OFF, '@payload']);
  const { stages } = runToEnd(new BootRun(configOf(image, { maxInstructions: 200_000n })));
  return stages.map(({ name }) => name);
};
const READS = mov('al', ptr('@payload'));
/** Writes instructions that power off to an address, and goes there. */
const unpacks = (to: number): readonly Item[] => [
  ...[lea('rsi', ptr('@kernel')), mov('edi', to), mov('ecx', 32), cld(), rep(movsb()), mov('eax', to), jmp('rax')],
  ...(['@kernel', ...POWER_OFF, db(...new Uint8Array(32))] as Item[]),
];

describe('a stub', () => {
  it('has begun to unpack where it reads its payload', () => {
    expect(stub(READS)).toEqual(['entry', 'decompress']);
    expect(stub(xor('eax', 'eax'))).toEqual(['entry']);
  });

  it.each([
    ['that begins in front of it', [lea('rsi', ptr('@payload', -16)), mov('edi', KERNEL)], ['entry']],
    ['that begins with it', [lea('rsi', ptr('@payload')), mov('edi', KERNEL)], ['entry', 'decompress']],
  ])('has by a string move %s, or has not', (_what, pointers, stages) => {
    expect(stub(...(pointers as Item[]), mov('ecx', 20), cld(), rep(movsb()))).toEqual(stages);
  });

  it.each([
    ['above 1 MiB, behind its payload', [READS, ...unpacks(KERNEL)], ['entry', 'decompress', 'handoff']],
    ['below 1 MiB', [READS, ...unpacks(LOW)], ['entry', 'decompress']],
    ['before it has read its payload', unpacks(KERNEL), ['entry']],
  ])('hands over to what it wrote %s', (_what, code, stages) => {
    expect(stub(...code)).toEqual(stages);
  });

  it('does not to what it did not write since', () => {
    const [copied, gone] = [unpacks(KERNEL).slice(0, 5), unpacks(KERNEL).slice(5)];
    expect(stub(...copied, READS, ...gone)).toEqual(['entry', 'decompress']);
  });
});

describe('a kernel', () => {
  const prints = (words: string): readonly Item[] => [
    ...([lea('rsi', ptr('@text')), mov('dx', 0x3f8), '@again', lodsb(), test('al', 'al'), je('@end')] as const),
    ...([out('dx', 'al'), jmp('@again'), '@text', text(`${words}\0`), '@end'] as const),
  ];
  const stagesOf = (code: readonly Item[]): string[] =>
    runToEnd(new BootRun(configOf(elfGuest([...code, ...POWER_OFF])))).stages.map(({ name }) => name);

  it.each([
    ['with its version', '[    0.000000] Linux version 9.9\n', ['entry', 'handoff', 'banner']],
    ['that has not ended', 'Linux version 9.9', ['entry', 'handoff']],
    ['of another kind', 'Version of Linux\n', ['entry', 'handoff']],
    ['in two lines', 'Linux\n version\n', ['entry', 'handoff']],
    ['that is longer than a line', `Linux version${'.'.repeat(1100)}`, ['entry', 'handoff', 'banner']],
  ])('has come to banner by a line %s, or has not', (_what, words, stages) => {
    expect(stagesOf(prints(words))).toEqual(stages);
  });

  it('has come to init with the first instruction at level 3', () => {
    const code = [
      ...[mov('ecx', 0xc0000080), rdmsr(), or('eax', 1), wrmsr(), mov('ecx', 0xc0000081), xor('eax', 'eax')],
      ...[mov('edx', 0x00100008), wrmsr(), lea('rcx', ptr('@user')), xor('r11d', 'r11d'), sysret(), '@user'],
    ] as Item[];
    expect(stagesOf(code)).toEqual(['entry', 'handoff', 'init']);
    expect(stagesOf(code.filter((item) => item !== code[10]))).toEqual(['entry', 'handoff']);
  });
});
