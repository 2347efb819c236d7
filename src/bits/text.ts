/** The bytes from `offset` up to a NUL, one character a byte; undefined where no NUL comes within `limit` bytes. */
export function cString(bytes: Uint8Array, offset: number, limit: number): string | undefined {
  const end = Math.min(bytes.length, offset + limit);
  for (let i = offset; i < end; i++) {
    if (bytes[i] === 0) return String.fromCharCode(...bytes.subarray(offset, i));
  }
  return undefined;
}
