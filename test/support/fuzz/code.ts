// The code of a fuzzed guest: blocks of 64 bytes, each by a generator.

import type { Bits } from './assembler.ts';
import { CHIPS, INTERRUPTS } from './chips.ts';
import type { Mode } from './modes.ts';
import { anywhere, BLOCK, CODE_BYTES, somewhere } from './places.ts';
import { MODIFYING, PAGING, type Snippet, SYSTEM } from './snippets.ts';
import type { Source } from './source.ts';
import { anyInstruction } from './templates.ts';

export const GENERATORS = [
  'random bytes',
  'valid instructions',
  'mutated code',
  'system',
  'page tables',
  'chips',
  'self-modifying and strings',
  'interrupts',
] as const;
export type Generator = (typeof GENERATORS)[number];

/** Makes a piece of code of at most some 50 bytes. */
type Piece = (random: Source, mode: Mode, real: Uint8Array) => number[];

const snippet =
  (list: readonly Snippet[]): Piece =>
  (random, mode) =>
    random.pick(list)(random, mode);

const valid = (bits: Bits, random: Source): number[] =>
  anyInstruction(random, bits, random.percent(85) ? somewhere : anywhere);

function mutated(random: Source, _mode: Mode, real: Uint8Array): number[] {
  const from = random.below(real.length - 48);
  const bytes = [...real.slice(from, from + 8 + random.below(40))];
  for (let i = random.below(4); i > 0; i--) bytes[random.below(bytes.length)] = random.below(256);
  return bytes;
}

const PIECES: Readonly<Record<Generator, Piece>> = {
  'random bytes': (random) => random.bytes(1 + random.below(30)),
  'valid instructions': (random, mode) => valid(mode.bits, random),
  'mutated code': mutated,
  system: snippet(SYSTEM),
  'page tables': snippet(PAGING),
  chips: snippet(CHIPS),
  'self-modifying and strings': snippet(MODIFYING),
  interrupts: snippet(INTERRUPTS),
};

/** Code of one main generator, with some of the others in between. @param real code of real programs, to mutate */
export function makeCode(random: Source, mode: Mode, generator: Generator, real: Uint8Array): Uint8Array {
  const code = new Uint8Array(CODE_BYTES).fill(0x90);
  const mixed = random.pick([0, 10, 40]);
  for (let block = 0; block < CODE_BYTES; block += BLOCK) {
    const kind = random.percent(mixed) ? random.pick(GENERATORS) : generator;
    let used = 0;
    while (used < BLOCK) {
      const bytes = random.percent(kind === 'random bytes' ? 0 : 15)
        ? valid(mode.bits, random)
        : PIECES[kind](random, mode, real);
      // What does not fit goes over into the next block's place, which is written next: a cut instruction.
      code.set(bytes.slice(0, CODE_BYTES - block - used), block + used);
      used += bytes.length;
    }
  }
  return code;
}
