// What the guest has said on its serial port or debug port. Kept whole up to a bound, then only the beginning and the end.

import type { Fields } from '../bits/fields.ts';
import type { Plain } from '../bits/plain.ts';

const KEEP_HEAD = 512 * 1024;
const KEEP_TAIL = 512 * 1024;

export class Console {
  #head = '';
  #tail = '';
  #length = 0;
  readonly #told: (byte: number) => void;

  /** @param told of each byte as it comes */
  constructor(told: (byte: number) => void) {
    this.#told = told;
  }

  write(byte: number): void {
    const char = String.fromCharCode(byte & 0xff);
    this.#length++;
    if (this.#head.length < KEEP_HEAD) this.#head += char;
    else {
      this.#tail += char;
      if (this.#tail.length > 2 * KEEP_TAIL) this.#tail = this.#tail.slice(-KEEP_TAIL);
    }
    this.#told(byte);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** One character for each byte (Latin-1). */
  get text(): string {
    const left = this.#length - this.#head.length - this.#tail.length;
    return left > 0 ? `${this.#head}\n[${left} bytes left out]\n${this.#tail}` : this.#head + this.#tail;
  }

  save(): Plain {
    return { head: this.#head, tail: this.#tail, length: this.#length };
  }

  /** Throws InputError. */
  restore(saved: Fields): void {
    this.#head = saved.text('head', KEEP_HEAD);
    this.#tail = saved.text('tail', 2 * KEEP_TAIL);
    this.#length = saved.number('length', this.#head.length + this.#tail.length, Number.MAX_SAFE_INTEGER);
  }

  includes(text: string): boolean {
    return this.#head.includes(text) || this.#tail.includes(text);
  }
}
