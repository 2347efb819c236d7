// LZ4 blocks (https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md): literals and matches in turn.
import { copyBack, damaged, type Output, room } from './output.ts';

const SHORTEST_MATCH = 4;
const LONG = 15;

/**
 * Unpacks the block that is `input`.
 * @param start offset in the output that no match reaches behind
 * @param most bytes that a block may come to
 */
export function unpackLz4Block(input: Uint8Array, output: Output, start: number, most: number): void {
  const { what } = output;
  const end = output.length + most;
  let at = 0;
  /** A length that goes on over bytes of 255. */
  const long = (length: number): number => {
    let sum = length;
    for (let byte = 255; byte === 255; sum += byte) byte = byteAt(input, at++, what);
    return sum;
  };
  for (;;) {
    const token = byteAt(input, at++, what);
    const literals = token >> 4 === LONG ? long(LONG) : token >> 4;
    if (literals > input.length - at) throw damaged(what, 'a block ends within a literal');
    if (literals > end - output.length) throw damaged(what, 'a block is longer than blocks are');
    copyLiterals(input, at, literals, output);
    at += literals;
    if (at === input.length) return;
    const distance = byteAt(input, at, what) | (byteAt(input, at + 1, what) << 8);
    at += 2;
    const size = SHORTEST_MATCH + ((token & LONG) === LONG ? long(LONG) : token & LONG);
    if (distance === 0 || distance > output.length - start) throw damaged(what, 'a match reaches before its beginning');
    if (size > end - output.length) throw damaged(what, 'a block is longer than blocks are');
    copyBack(room(output, size), output.length, distance, size);
    output.length += size;
  }
}

function byteAt(input: Uint8Array, at: number, what: string): number {
  if (at >= input.length) throw damaged(what, 'a block is cut short');
  return input[at]!;
}

function copyLiterals(input: Uint8Array, at: number, size: number, output: Output): void {
  const bytes = room(output, size);
  const to = output.length;
  if (size > 32) bytes.set(input.subarray(at, at + size), to);
  else for (let i = 0; i < size; i++) bytes[to + i] = input[at + i]!;
  output.length = to + size;
}
