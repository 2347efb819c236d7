// Where unpacked bytes go. The whole output is kept, so it is the window of every format too: memory is the output and some
// tables. A buffer that has to grow much takes the limit's size at once: hosts give memory as it is touched, and the
// part written so far is not copied again and again, with each copy waiting to be collected. No size that a file declares
// is allocated beyond the limit.
import { InputError } from '../bits/errors.ts';

export interface Output {
  /** What is being unpacked, as messages name it: "the xz data". */
  readonly what: string;
  /** Most bytes there may ever be. */
  readonly limit: number;
  /** Longer than `length`, and replaced by a longer one in `room`. */
  bytes: Uint8Array;
  /** Bytes written. */
  length: number;
}

/** Small, because a hostile file may hold a great many small parts. */
const SMALLEST = 4 << 10;

/** @param hint how many bytes are to be expected; believed as far as the limit goes */
export function outputOf(what: string, limit: number, hint: number): Output {
  const size = Math.min(limit, Math.max(hint, SMALLEST));
  return { what, limit, bytes: new Uint8Array(size), length: 0 };
}

/** Makes room for `size` more bytes and returns the buffer, which may be another one than before. */
export function room(output: Output, size: number): Uint8Array {
  const needed = output.length + size;
  if (needed > output.bytes.length) grow(output, needed);
  return output.bytes;
}

/** A buffer beyond this grows to the limit. */
const LARGE = 8 << 20;

function grow(output: Output, needed: number): void {
  const { limit, bytes } = output;
  checkSize(output, needed - output.length);
  const size = needed > LARGE ? limit : Math.max(needed, bytes.length * 2);
  output.bytes = new Uint8Array(Math.min(limit, size));
  output.bytes.set(bytes.subarray(0, output.length));
}

/** Complains where `size` more bytes, done or only declared, are more than the limit. */
export function checkSize(output: Output, size: number): void {
  if (size > output.limit - output.length) {
    throw new InputError(`${output.what} unpacks to more than ${output.limit} bytes`);
  }
}

export function append(output: Output, bytes: Uint8Array): void {
  room(output, bytes.length).set(bytes, output.length);
  output.length += bytes.length;
}

export function written(output: Output): Uint8Array {
  return output.bytes.subarray(0, output.length);
}

/**
 * Repeats `size` bytes from `distance` back; source and target may overlap.
 * The caller made room, and has checked that the distance is not 0 and does not reach before the first byte.
 */
export function copyBack(bytes: Uint8Array, to: number, distance: number, size: number): void {
  if (distance >= size && size > 32) {
    bytes.copyWithin(to, to - distance, to - distance + size);
  } else if (distance === 1) {
    bytes.fill(bytes[to - 1]!, to, to + size);
  } else {
    for (let i = to; i < to + size; i++) bytes[i] = bytes[i - distance]!;
  }
}

/** @param why the rest of the sentence: "a block has a wrong checksum" */
export function damaged(what: string, why: string): InputError {
  return new InputError(`${what} is damaged: ${why}`);
}
