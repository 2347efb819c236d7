// Whatever is done to an image, it is either refused with one line or loaded: no other exception, nothing out of bounds.
import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/bits/errors.ts';
import { bytesOfHex } from '../../src/bits/hex.ts';
import { GIB, MIB } from '../../src/bits/sizes.ts';
import { BIOS_START, endOf } from '../../src/boot/layout.ts';
import { bootImage } from '../../src/boot/boot.ts';
import type { ImageOptions } from '../../src/boot/protocol.ts';
import { parseImage } from '../../src/image/image.ts';
import { listRipRelativeLeas } from '../../src/code/mutant.ts';
import { parseSymbols } from '../../src/image/symbols.ts';
import { makeBzImage, makeElf, randomOf } from '../image/synthetic.ts';
import { testMemory } from './memory.ts';

const CODE = new Uint8Array(0x300).fill(0x90);
CODE.set(bytesOfHex('48 8d 35 09 10 00 00 e8 00 00 00 00 4c 8d 0d 00 00 00 00 c3'), 0x200);

/** 'ok', or the InputError's message; anything else thrown fails the test, and so does a message of several lines. */
function outcome(run: () => void): string {
  try {
    run();
    return 'ok';
  } catch (error) {
    if (!(error instanceof InputError) || error.message.includes('\n')) throw error;
    return error.message;
  }
}

function bootOutcome(bytes: Uint8Array, options: ImageOptions): string {
  return outcome(() => {
    const memory = testMemory();
    const boot = bootImage(options, parseImage(bytes), memory);
    for (const write of memory.writes) {
      const type = write.start >= BIOS_START && write.start < MIB && !options.plainRam ? 2 : 1;
      expect(boot.e820.some((e) => e.type === type && write.start >= e.start && endOf(write) <= endOf(e))).toBe(true);
    }
  });
}

function someOptions(random: (below: number) => number): ImageOptions {
  const pick = <T>(...choices: T[]): T => choices[random(choices.length)] as T;
  return {
    memoryBytes: pick(64 * MIB, 512 * MIB, 6 * GIB),
    entry: pick<32 | 64 | undefined>(32, 64, undefined),
    loadAt: pick(undefined, 0x100000, 0x1000000, 0x1_0000_0000, 0),
    paging: pick<4 | 5>(4, 5),
    plainRam: pick(false, false, true),
    cmdline: pick('', 'console=ttyS0'),
    initrd: pick(undefined, new Uint8Array(5000)),
  };
}

/** One to eight random changes, mostly within the first `hot` bytes. */
function mutilate(image: Uint8Array, hotFrom: number, hotTo: number, random: (below: number) => number): Uint8Array {
  const bytes = image.slice();
  for (let i = random(8); i >= 0; i--) {
    const at = random(4) === 0 ? random(bytes.length) : hotFrom + random(hotTo - hotFrom);
    bytes[at] = random(3) === 0 ? [0, 0xff, 0x7f, 0x80][random(4)]! : random(256);
  }
  return bytes;
}

describe('a truncated image', () => {
  it('is refused at every length short of what its header promises, and loads from there on', () => {
    const image = makeBzImage({ code: CODE, tail: new Uint8Array(0x24), signature: new Uint8Array(40) });
    const promised = image.length - 40;
    const lengths = Array.from({ length: image.length + 1 }, (_, length) => length);
    const loaded = lengths.filter((length) => bootOutcome(image.slice(0, length), { memoryBytes: 512 * MIB }) === 'ok');
    // syssize counts paragraphs of 16 bytes: fewer missing ones cannot be told from rounding.
    expect(loaded).toEqual(lengths.slice(promised - 15));
  });

  it('is refused at every length where it is an ELF file', () => {
    const image = makeElf();
    const lengths = Array.from({ length: image.length + 1 }, (_, length) => length);
    const loaded = lengths.filter((length) => bootOutcome(image.slice(0, length), { memoryBytes: 512 * MIB }) === 'ok');
    expect(loaded).toEqual([image.length]);
  });
});

describe('an image with random bytes', () => {
  it.each([
    ['bzImage', makeBzImage({ code: CODE }), 0x1f0, 0x26c],
    ['ELF', makeElf(), 0, 120],
  ] as const)('is refused or loaded: 2,000 of a %s', (_, image, from, to) => {
    const random = randomOf(1);
    const outcomes = Array.from({ length: 2000 }, () =>
      bootOutcome(mutilate(image, from, to, random), someOptions(random)),
    );
    const loaded = outcomes.filter((o) => o === 'ok').length;
    // Both must happen, or this test looks at nothing.
    expect(loaded).toBeGreaterThan(20);
    expect(loaded).toBeLessThan(1980);
    expect(new Set(outcomes).size).toBeGreaterThan(20);
  });

  it('never disturbs the search for leas', () => {
    const random = randomOf(2);
    const image = makeBzImage({ code: CODE });
    const counts = Array.from({ length: 300 }, () => {
      const bytes = mutilate(image, 0x400, 0x700, random);
      return outcome(() => {
        for (const lea of listRipRelativeLeas(bytes)) expect(lea.fileOffset + 7).toBeLessThanOrEqual(bytes.length);
      });
    });
    expect(counts).toContain('ok');
  });

  it('never disturbs the reading of symbols', () => {
    const random = randomOf(3);
    const image = makeElf({
      symbols: [
        { name: 'one', address: 1n },
        { name: 'two', address: 2n, size: 5n },
      ],
    });
    const outcomes = Array.from({ length: 2000 }, () => {
      const bytes = mutilate(image, image.length - 192, image.length, random);
      return outcome(() => void parseSymbols(random(2) === 0 ? bytes : bytes.slice(0, random(bytes.length))));
    });
    expect(new Set(outcomes).size).toBeGreaterThan(5);
    expect(outcomes).toContain('ok');
  });
});
