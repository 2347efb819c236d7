// Hexadecimal text as the messages and reports print it.

/** `0x1f1`; padded with zeros to `digits` where given. Takes non-negative integers only. */
export function hex(value: number | bigint, digits = 0): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}

/** Bytes as objdump prints them: `48 8d 35 09`. */
export function hexBytes(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');
}

/** The reverse of `hexBytes`; spaces between bytes are optional. Throws a RangeError on anything else. */
export function bytesOfHex(text: string): Uint8Array {
  const digits = text.replace(/\s+/g, '');
  if (digits.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(digits)) throw new RangeError(`not hexadecimal bytes: ${text}`);
  return Uint8Array.from({ length: digits.length / 2 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}

/** An instruction count as a JSON number: exact, because no run is longer than 2^53 instructions (our bug otherwise). */
export function exactCount(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new RangeError(`${value} does not fit a JSON number exactly`);
  return Number(value);
}
