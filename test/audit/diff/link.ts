// A linker for tests: a stub of a few functions and data, as a bzImage, with every choice of a relink open: the payload's
// size, what lies before a thing, and the form of a reference.
import { bytesOfHex } from '../../../src/bits/hex.ts';
import { concat, makeBzImage } from '../../image/synthetic.ts';
import { putU32 } from '../../../src/bits/cursor.ts';

/** Bytes, or the address of a part in 4 bytes: counted from their end, or as it is. */
export type Piece = string | { readonly to: string; readonly as: 'relative' | 'absolute'; readonly plus?: number };

export type Part = {
  readonly name: string;
  readonly pieces: readonly Piece[];
  /** Bytes; the address of what follows is a multiple of 16. */
  readonly space?: number;
};

export const relative = (to: string, plus = 0): Piece => ({ to, as: 'relative', plus });
export const absolute = (to: string, plus = 0): Piece => ({ to, as: 'absolute', plus });

const ALIGN = 16;
const PADDING = 0xcc;

const sizeOf = ({ pieces, space = 0 }: Part): number =>
  space + pieces.reduce((sum, piece) => sum + (typeof piece === 'string' ? bytesOfHex(piece).length : 4), 0);

/** Code at the 64-bit entry that jumps to the part `main`. */
const ENTRY = 0x200;
const HEAD = 0x300;

/** Parts in this order behind a payload of this size, linked at 0. Symbols are where they came to lie. */
export function linkStub(
  parts: readonly Part[],
  payloadSize = 0x1234,
): { image: Uint8Array; symbols: Map<string, number> } {
  const symbols = new Map<string, number>();
  let at = (HEAD + payloadSize + ALIGN - 1) & -ALIGN;
  const start = at;
  for (const part of parts) {
    symbols.set(part.name, at);
    at = (at + sizeOf(part) + ALIGN - 1) & -ALIGN;
  }
  const tail = new Uint8Array(at - HEAD - payloadSize).fill(PADDING);
  for (const part of parts) tail.set(bytesOf(part, symbols), (symbols.get(part.name) ?? start) - HEAD - payloadSize);
  const payload = concat([Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd), new Uint8Array(payloadSize - 4).fill(0x5a)]);
  return { image: makeBzImage({ code: headTo(symbols.get('main') ?? 0), payload, tail }), symbols };
}

function headTo(main: number): Uint8Array {
  const head = new Uint8Array(HEAD).fill(PADDING);
  head.set([0xeb, 0xfe], 0);
  head.set([0xe9, 0, 0, 0, 0], ENTRY);
  putU32(head, ENTRY + 1, (main - ENTRY - 5) >>> 0);
  return head;
}

function bytesOf({ name, pieces }: Part, symbols: ReadonlyMap<string, number>): Uint8Array {
  const own = symbols.get(name) ?? 0;
  let length = 0;
  return concat(
    pieces.map((piece) => {
      const bytes = typeof piece === 'string' ? bytesOfHex(piece) : new Uint8Array(4);
      length += bytes.length;
      if (typeof piece !== 'string') {
        const target = (symbols.get(piece.to) ?? 0) + (piece.plus ?? 0);
        putU32(bytes, 0, (piece.as === 'relative' ? target - own - length : target) >>> 0);
      }
      return bytes;
    }),
  );
}
