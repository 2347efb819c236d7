// Plain data as bytes and back: what JSON has, and bigints and byte arrays. A value is a byte that says its kind, then what
// it needs; lengths and counts are 32 bits, little-endian. Bytes may come from anybody: each length is held against what
// is left before anything is made of it.

import { viewOf } from './cursor.ts';
import { InputError } from './errors.ts';

export type Plain =
  | undefined
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | readonly Plain[]
  | { readonly [key: string]: Plain };

const KIND = { undefined: 0, null: 1, false: 2, true: 3, number: 4, bigint: 5, text: 6, bytes: 7, list: 8, object: 9 };
/** Levels of lists and objects in one another. */
const DEEPEST = 32;
/** Values in one piece of data, each item of a list counted. */
const MOST_VALUES = 4_000_000;
/** Digits of the longest bigint. */
const LONGEST_NUMBER = 80;

/** Bytes that grow as they are written to. */
class Growing {
  #bytes = new Uint8Array(4096);
  #length = 0;

  /** Makes room. @returns where it begins */
  #take(size: number): number {
    const start = this.#length;
    this.#length += size;
    if (this.#length > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(this.#length, 2 * this.#bytes.length));
      larger.set(this.#bytes.subarray(0, start));
      this.#bytes = larger;
    }
    return start;
  }

  byte(value: number): void {
    const at = this.#take(1);
    this.#bytes[at] = value;
  }
  u32(value: number): void {
    const at = this.#take(4);
    viewOf(this.#bytes).setUint32(at, value, true);
  }
  f64(value: number): void {
    const at = this.#take(8);
    viewOf(this.#bytes).setFloat64(at, value, true);
  }
  sized(bytes: Uint8Array): void {
    this.u32(bytes.length);
    const at = this.#take(bytes.length);
    this.#bytes.set(bytes, at);
  }
  text(value: string): void {
    this.sized(new TextEncoder().encode(value));
  }
  done(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }
}

export function encodePlain(value: Plain): Uint8Array {
  const out = new Growing();
  put(out, value);
  return out.done();
}

function put(out: Growing, value: Plain): void {
  if (value === undefined) out.byte(KIND.undefined);
  else if (value === null) out.byte(KIND.null);
  else if (typeof value === 'boolean') out.byte(value ? KIND.true : KIND.false);
  else if (typeof value === 'number') {
    out.byte(KIND.number);
    out.f64(value);
  } else if (typeof value === 'bigint') {
    out.byte(KIND.bigint);
    out.text(value.toString());
  } else if (typeof value === 'string') {
    out.byte(KIND.text);
    out.text(value);
  } else if (value instanceof Uint8Array) {
    out.byte(KIND.bytes);
    out.sized(value);
  } else putMany(out, value);
}

function putMany(out: Growing, value: readonly Plain[] | { readonly [key: string]: Plain }): void {
  if (isList(value)) {
    out.byte(KIND.list);
    out.u32(value.length);
    for (const item of value) put(out, item);
    return;
  }
  const entries = Object.entries(value);
  out.byte(KIND.object);
  out.u32(entries.length);
  for (const [key, item] of entries) {
    out.text(key);
    put(out, item);
  }
}

const isList = (value: Plain): value is readonly Plain[] => Array.isArray(value);

/** Byte arrays are copies. Throws InputError where the bytes are no such value. */
export function decodePlain(bytes: Uint8Array): Plain {
  const source = new Source(bytes);
  const value = take(source, 0);
  if (source.left > 0) throw damaged();
  return value;
}

const damaged = (): InputError => new InputError('its data are damaged');

class Source {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = 0;
  #values = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    this.#view = viewOf(bytes);
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  #take(size: number): number {
    if (size > this.left) throw damaged();
    const start = this.#at;
    this.#at += size;
    return start;
  }

  byte(): number {
    return this.#bytes[this.#take(1)] as number;
  }
  f64(): number {
    return this.#view.getFloat64(this.#take(8), true);
  }
  /** A count of things that take a byte each at least. */
  #count(): number {
    const count = this.#view.getUint32(this.#take(4), true);
    if (count > this.left) throw damaged();
    return count;
  }
  values(): number {
    const count = this.#count();
    this.#values += count;
    if (this.#values > MOST_VALUES) throw damaged();
    return count;
  }
  sized(): Uint8Array {
    const size = this.#count();
    const start = this.#take(size);
    return this.#bytes.subarray(start, start + size);
  }
  text(): string {
    return new TextDecoder().decode(this.sized());
  }
}

function take(source: Source, depth: number): Plain {
  if (depth > DEEPEST) throw damaged();
  switch (source.byte()) {
    case KIND.undefined:
      return undefined;
    case KIND.null:
      return null;
    case KIND.false:
      return false;
    case KIND.true:
      return true;
    case KIND.number:
      return source.f64();
    case KIND.bigint:
      return bigintOf(source.text());
    case KIND.text:
      return source.text();
    case KIND.bytes:
      return source.sized().slice();
    case KIND.list:
      return Array.from({ length: source.values() }, () => take(source, depth + 1));
    case KIND.object:
      return Object.fromEntries(
        Array.from({ length: source.values() }, () => [source.text(), take(source, depth + 1)]),
      );
    default:
      throw damaged();
  }
}

function bigintOf(text: string): bigint {
  if (text.length > LONGEST_NUMBER || !/^-?\d+$/.test(text)) throw damaged();
  return BigInt(text);
}
