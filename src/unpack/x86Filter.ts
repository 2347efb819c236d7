// The "branch, call, jump" filter for x86 code: before compression, the target of every CALL (E8) and JMP (E9) was made
// an address counted from the start of the data, which compresses better, where its top byte is 00 or FF. Bytes that
// only look like such an instruction are told by what they overlap. xz's --x86 is the definition; there is no text.

/** Opcode and operand. */
const SIZE = 5;

const isSignByte = (byte: number): boolean => byte === 0 || byte === 0xff;

/**
 * Undoes the filter in place.
 * @param start what the first byte's position counts as
 */
export function undoX86Filter(bytes: Uint8Array, start: number): void {
  // The last opcode byte that was left alone, and which of the up to three bytes before it were as well (bit 0:
  // itself).
  let last = -SIZE;
  let left = 0;
  for (let at = 0; at <= bytes.length - SIZE; at++) {
    if ((bytes[at]! & 0xfe) !== 0xe8) continue;
    const distance = at - last;
    const before = distance > 3 ? 0 : (left << (distance - 1)) & 7;
    if (isTarget(bytes, at, before)) {
      writeOperand(bytes, at, relative(operand(bytes, at), start + at + SIZE, before));
      last = -SIZE;
      at += SIZE - 1;
    } else {
      left = ((before << 1) | 1) & 7;
      last = at;
    }
  }
}

/**
 * How far back the one opcode byte lies that `before` tells of; 0 for several, which are never followed by a target.
 */
const DISTANCES = [0, 1, 2, 0, 3, 0, 0, 0] as const;

/** Whether the filter took the bytes at `at` for an instruction. */
function isTarget(bytes: Uint8Array, at: number, before: number): boolean {
  if (!isSignByte(bytes[at + 4]!)) return false;
  if (before === 0) return true;
  const distance = DISTANCES[before]!;
  return distance !== 0 && !isSignByte(bytes[at + 4 - distance]!);
}

/**
 * From a target to a distance. Where that would look like an operand of the opcode byte before, the filter complemented
 * the bytes that matter and went on. Complementing them twice leads back to the target's own, which do not look so,
 * so once is enough.
 */
function relative(target: number, next: number, before: number): number {
  const value = (target - next) | 0;
  if (before === 0) return value;
  const shift = 8 * DISTANCES[before]!;
  return isSignByte((value >>> (24 - shift)) & 0xff) ? ((value ^ (-1 >>> shift)) - next) | 0 : value;
}

const operand = (bytes: Uint8Array, at: number): number =>
  bytes[at + 1]! | (bytes[at + 2]! << 8) | (bytes[at + 3]! << 16) | (bytes[at + 4]! << 24);

/** 25 bits, sign-extended: the top byte stays 00 or FF. */
function writeOperand(bytes: Uint8Array, at: number, value: number): void {
  bytes[at + 1] = value;
  bytes[at + 2] = value >> 8;
  bytes[at + 3] = value >> 16;
  bytes[at + 4] = (value << 7) >> 31;
}
