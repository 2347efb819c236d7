// What the guest has said on its serial port or debug port. Kept whole up to a bound, then only the beginning and the end.

const KEEP_HEAD = 512 * 1024;
const KEEP_TAIL = 512 * 1024;

export class Console {
  #head = '';
  #tail = '';
  #length = 0;
  /** Told of each byte as it comes. */
  onByte: ((byte: number) => void) | undefined;

  write(byte: number): void {
    const char = String.fromCharCode(byte & 0xff);
    this.#length++;
    if (this.#head.length < KEEP_HEAD) this.#head += char;
    else {
      this.#tail += char;
      if (this.#tail.length > 2 * KEEP_TAIL) this.#tail = this.#tail.slice(-KEEP_TAIL);
    }
    this.onByte?.(byte);
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

  includes(text: string): boolean {
    return this.#head.includes(text) || this.#tail.includes(text);
  }
}
