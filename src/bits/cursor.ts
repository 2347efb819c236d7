// Little-endian access to bytes that came from outside. Every read is checked against the end of the bytes, and a read
// past it is the file's fault: an InputError that says where. Writes go into buffers of our own; a write past the end is
// our bug and stays the RangeError that DataView makes of it.
import { InputError } from './errors.ts';
import { hex } from './hex.ts';

/** Checked reads at absolute offsets. */
export interface Reader {
  readonly bytes: Uint8Array;
  u8(offset: number): number;
  u16(offset: number): number;
  u32(offset: number): number;
  u64(offset: number): bigint;
  /** A 64-bit value that must be below 2^53 (sizes and file offsets); an InputError names it otherwise. */
  size64(offset: number, name: string): number;
  /** A view, not a copy. */
  slice(offset: number, size: number): Uint8Array;
}

/**
 * A reader over `bytes`.
 * @param what the thing read, as the error message names it: "the ELF file"
 */
export function readerOf(bytes: Uint8Array, what: string): Reader {
  const view = viewOf(bytes);
  const at = (offset: number, size: number): number => {
    if (!inside(offset, size, bytes.length)) {
      const wanted = Number.isSafeInteger(offset) && offset >= 0 ? ` at ${hex(offset)}` : '';
      throw new InputError(`${what} ends at ${hex(bytes.length)}, but ${size} bytes are needed${wanted}`);
    }
    return offset;
  };
  return {
    bytes,
    u8: (offset) => view.getUint8(at(offset, 1)),
    u16: (offset) => view.getUint16(at(offset, 2), true),
    u32: (offset) => view.getUint32(at(offset, 4), true),
    u64: (offset) => view.getBigUint64(at(offset, 8), true),
    size64: (offset, name) => safeNumber(view.getBigUint64(at(offset, 8), true), `${what}: ${name}`),
    slice: (offset, size) => bytes.subarray(at(offset, size), offset + size),
  };
}

/** Whether [offset, offset+size) lies in [0, limit); false too for anything that is no non-negative integer. */
export function inside(offset: number, size: number, limit: number): boolean {
  return (
    Number.isSafeInteger(offset) && Number.isSafeInteger(size) && offset >= 0 && size >= 0 && size <= limit - offset
  );
}

/** A bigint as a number, or an InputError where it does not fit one exactly. */
function safeNumber(value: bigint, name: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new InputError(`${name} is ${hex(value)}, which cannot be right`);
  return Number(value);
}

export function putU16(bytes: Uint8Array, offset: number, value: number): void {
  viewOf(bytes).setUint16(offset, value, true);
}

export function putU32(bytes: Uint8Array, offset: number, value: number): void {
  viewOf(bytes).setUint32(offset, value, true);
}

export function putU64(bytes: Uint8Array, offset: number, value: bigint): void {
  viewOf(bytes).setBigUint64(offset, value, true);
}

/** A DataView of exactly these bytes (a Uint8Array may be a window of a larger buffer). */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
