// What the fixtures unpack to: made here, byte for byte the same on every machine, so that only the packed forms are
// kept.

export type ContentName = 'tiny' | 'lines' | 'short' | 'code' | 'long' | 'zeros';

/** Bytes of `zeros`. */
export const ZEROS_SIZE = 2 << 20;

/** A function from n to an integer in 0..n-1 (xorshift32). */
function randomOf(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % n;
  };
}

const WORDS = 'the stub copies a trampoline to low memory, jumps there, leaves long mode and never comes back.'.split(
  ' ',
);

/** Words and numbers, a stretch without any order, zeros. */
function short(): Uint8Array {
  const random = randomOf(0x1234_5678);
  const words = Array.from({ length: 900 }, () =>
    random(12) === 0 ? `${random(1e6)}\n` : WORDS[random(WORDS.length)],
  );
  const noise = Uint8Array.from({ length: 700 }, () => random(256));
  return joined([new TextEncoder().encode(words.join(' ')), noise, new Uint8Array(900), noise.subarray(100, 500)]);
}

/**
 * Calls and jumps to a few targets, and what only looks like them: opcode bytes close together, operands of 00 and FF.
 */
function code(): Uint8Array {
  const random = randomOf(0x0bad_cafe);
  const bytes: number[] = [];
  const tricky = [0xe8, 0xe9, 0x00, 0xff, 0x01];
  while (bytes.length < 6000) {
    const kind = random(8);
    if (kind < 5) {
      const distance = 0x80 * random(40) - bytes.length - 5;
      bytes.push(0xe8 + random(2), distance, distance >> 8, distance >> 16, distance >> 24);
    } else if (kind === 5) {
      for (let i = random(12); i >= 0; i--) bytes.push(tricky[random(tricky.length)] ?? 0);
    } else {
      bytes.push(0x48, 0x8b, 0x40 + random(4), 8 * random(8));
    }
  }
  return Uint8Array.from(bytes);
}

/** Several blocks of every format's: pieces of `short`, each with a number before it. */
function long(): Uint8Array {
  const random = randomOf(0x5eed);
  const source = short();
  return joined(
    Array.from({ length: 300 }, (_, i) => {
      const at = random(source.length - 2000);
      return [Uint8Array.of(i, random(4)), source.subarray(at, at + 200 + random(1800))];
    }).flat(),
  );
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/**
 * A multiple of four bytes, the last one below 32: an LZMA decoder that starts anew behind it finds all as at the
 * start.
 */
const LINE = 'No messages are shown post-GRUB. Reset.\n';

const MAKERS: Readonly<Record<ContentName, () => Uint8Array>> = {
  tiny: () => new TextEncoder().encode(LINE),
  lines: () => new TextEncoder().encode(LINE.repeat(6)),
  short,
  code,
  long,
  zeros: () => new Uint8Array(ZEROS_SIZE),
};

const made = new Map<ContentName, Uint8Array>();

export function content(name: ContentName): Uint8Array {
  const bytes = made.get(name) ?? MAKERS[name]();
  made.set(name, bytes);
  return bytes;
}
