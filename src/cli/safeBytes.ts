// A guest's bytes for a terminal on which they are not to act: printable ASCII, tabs and line ends stay, and all else is
// shown as \xNN. A carriage return stays before a line feed only: alone it would have a line overwritten.

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;

const stays = (byte: number): boolean => byte === TAB || byte === LF || (byte >= 0x20 && byte < 0x7f);
const shown = (byte: number): Uint8Array => new TextEncoder().encode(`\\x${byte.toString(16).padStart(2, '0')}`);

export class SafeBytes {
  #returned = false;

  /** @returns what is to be printed now */
  take(byte: number): readonly number[] {
    const before = !this.#returned ? [] : byte === LF ? [CR] : [...shown(CR)];
    this.#returned = byte === CR;
    if (this.#returned) return before;
    return [...before, ...(stays(byte) ? [byte] : shown(byte))];
  }
}
