// 2,000 mutilated images through all of a boot: each is refused with one line, or runs to an outcome. Nothing else is
// thrown, and nothing hangs. (test/boot/mutilated.test.ts does the like to images made in the test, without a machine.)
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/bits/errors.ts';
import { BootRun, type RunConfig } from '../../src/run/run.ts';
import { parseImage } from '../../src/image/image.ts';
import { SETUP_HEADER_FIELDS, type SetupHeaderField } from '../../src/image/setup-header.ts';
import { randomOf } from '../image/synthetic.ts';
import { GOOD } from './fakeIo.ts';

type Random = (below: number) => number;

const IMAGE = readFileSync(GOOD);
const CONFIG: Omit<RunConfig, 'image'> = {
  cpu: 'max',
  memoryBytes: 64 << 20,
  cmdline: 'console=ttyS0',
  until: 'banner',
  maxInstructions: 300_000n,
  seed: 0,
};

const truncated = (random: Random): Uint8Array => IMAGE.subarray(0, random(IMAGE.length));

/** Random bytes at random places, mostly in the code and the setup part; the image's padding would hide them. */
function withRandomBytes(random: Random): Uint8Array {
  const bytes = Uint8Array.from(IMAGE);
  const used = usedBytes();
  for (let i = random(6); i >= 0; i--) bytes[used[random(used.length)] as number] = random(256);
  return bytes;
}

let used: number[] | undefined;
const usedBytes = (): number[] => (used ??= [...IMAGE.keys()].filter((i) => IMAGE[i] !== 0));

/** Fields that say how large the file is, where its parts lie, and what it can do. */
const TELLING: readonly SetupHeaderField[] = [
  'setup_sects',
  'syssize',
  'boot_flag',
  'jump',
  'header',
  'version',
  'kernel_version',
  'loadflags',
  'code32_start',
  'initrd_addr_max',
  'kernel_alignment',
  'relocatable_kernel',
  'min_alignment',
  'xloadflags',
  'cmdline_size',
  'payload_offset',
  'payload_length',
  'pref_address',
  'init_size',
  'kernel_info_offset',
];

/** One or two of those fields with a value that contradicts the file: an extreme one, or the right one off by a little. */
function withOtherHeader(random: Random): Uint8Array {
  const bytes = Uint8Array.from(IMAGE);
  for (let i = random(2); i >= 0; i--) {
    const name = TELLING[random(TELLING.length)] as SetupHeaderField;
    const field = SETUP_HEADER_FIELDS.find((row) => row.name === name);
    if (field === undefined) throw new Error(`the header has no ${name}`);
    const value = [0, 0xff, 1, 0x80, 0x7f][random(6)];
    for (let at = field.offset; at < field.offset + field.size; at++) {
      if (value !== undefined) bytes[at] = value;
    }
    if (value === undefined) bytes[field.offset + random(field.size)] = random(256);
  }
  return bytes;
}

/** The kind of outcome, or 'refused'. Anything but an InputError of one line is passed on. */
function fateOf(image: Uint8Array): string {
  try {
    const run = new BootRun({ ...CONFIG, image }, parseImage(image));
    for (;;) {
      const outcome = run.advance(CONFIG.maxInstructions);
      if (outcome) return outcome.kind;
    }
  } catch (error) {
    if (error instanceof InputError && /^[^\n]+$/.test(error.message)) return 'refused';
    throw error;
  }
}

/** How many of `count` images met which fate; the first exception tells which image it was. */
function fates(count: number, seed: number, make: (random: Random) => Uint8Array): Record<string, number> {
  const tally: Record<string, number> = {};
  for (let i = 0; i < count; i++) {
    const fate = fateOfOne(make(randomOf(seed + i)), seed + i);
    tally[fate] = (tally[fate] ?? 0) + 1;
  }
  return tally;
}

function fateOfOne(image: Uint8Array, seed: number): string {
  try {
    return fateOf(image);
  } catch (error) {
    throw new Error(`the image of seed ${seed}`, { cause: error });
  }
}

describe('2,000 mutilated images', () => {
  const total: Record<string, number> = {};
  const add = (tally: Record<string, number>): void => {
    for (const [fate, count] of Object.entries(tally)) total[fate] = (total[fate] ?? 0) + count;
  };

  it('truncated ones are refused', () => {
    const tally = fates(900, 10_000, truncated);
    add(tally);
    // Up to 15 bytes at the end may be missing: syssize counts paragraphs of 16.
    expect(tally['refused']).toBeGreaterThan(890);
  });

  it('those whose headers contradict them are refused or end in an outcome', () => {
    const tally = fates(600, 20_000, withOtherHeader);
    add(tally);
    expect(tally['refused']).toBeGreaterThan(200);
    expect(tally['stage-reached']).toBeGreaterThan(50);
  });

  it('those with random bytes are refused or end in an outcome', () => {
    const tally = fates(500, 30_000, withRandomBytes);
    add(tally);
    expect(tally['triple-fault']).toBeGreaterThan(20);
    expect(tally['stage-reached']).toBeGreaterThan(20);
  });

  it('are accounted for', () => {
    const count = Object.values(total).reduce((a, b) => a + b, 0);
    console.log(`mutilated images: ${JSON.stringify(total)}`);
    expect(count).toBe(2000);
  });
});
