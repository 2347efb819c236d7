// Waits for a text: on the console, byte by byte, or on the text screen, looked at now and then. A program that draws its
// screen leaves a text there for a while; one on the console is met at its last byte.

import type { Machine } from '../machine/machine.ts';
import type { ByteSource } from '../machine/pc.ts';

/** Instructions between two looks at the screen. */
export const SCREEN_LOOK = 10_000_000n;

export class TextWatch {
  readonly #machine: Machine;
  readonly #text: string;
  /** What came last, of each that prints: two may at the same time. */
  readonly #recent: { console: string; stdout: string };
  #changes = 0;
  found = false;

  /** @param text not empty; one character for each byte of the console (Latin-1) */
  constructor(machine: Machine, text: string) {
    this.#machine = machine;
    this.#text = text;
    // What a run printed before it was saved may be the beginning.
    const end = (printed = ''): string => printed.slice(-text.length);
    this.#recent = { console: end(machine.console.text), stdout: end(machine.command?.stdout.text) };
  }

  /** To be called with each byte that is printed; what a command says of errors is none of the text waited for. */
  byte(byte: number, from: ByteSource): void {
    if (from !== 'console' && from !== 'stdout') return;
    this.#recent[from] = (this.#recent[from] + String.fromCharCode(byte)).slice(-this.#text.length);
    if (this.#recent[from] !== this.#text) return;
    this.found = true;
    this.#machine.requestStop();
  }

  /** To be called at fixed counts of instructions. */
  look(): void {
    const { screen } = this.#machine;
    if (screen.changes === this.#changes) return;
    this.#changes = screen.changes;
    if (screen.rows().some((row) => row.includes(this.#text))) this.found = true;
  }
}
