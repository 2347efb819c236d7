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
