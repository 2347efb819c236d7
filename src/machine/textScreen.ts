// The text screen of a VGA in mode 3, as somebody in front of it would read it: 25 rows of 80 cells in the window at
// B8000h, each a character and its colours, from the cell on that the CRT controller starts at.

import type { VgaPorts } from '../devices/vgaPorts.ts';
import { type MemoryBus, VGA_START, VGA_TEXT } from './memoryBus.ts';

const COLUMNS = 80;
const ROWS = 25;
/** The window's size in cells; what is shown wraps around in it. */
const CELLS = 16 * 1024;

/** Code page 437 from 80h on. */
const HIGH =
  'ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■ ';
const FIRST_PRINTABLE = 0x20;
const DELETE = 0x7f;

/** Control characters have glyphs of their own on this screen; they are shown as spaces. */
function characterOf(code: number): string {
  if (code > DELETE) return HIGH[code - DELETE - 1] ?? ' ';
  return code < FIRST_PRINTABLE || code === DELETE ? ' ' : String.fromCharCode(code);
}

export class TextScreen {
  readonly #bus: MemoryBus;
  readonly #vga: VgaPorts;

  constructor(bus: MemoryBus, vga: VgaPorts) {
    this.#bus = bus;
    this.#vga = vga;
  }

  /** How often a byte of the window has changed. */
  get changes(): number {
    return this.#bus.textChanges;
  }

  /** The rows, without the spaces at their ends and the empty rows at the end of all. */
  rows(): string[] {
    const start = this.#vga.startCell();
    const memory = this.#bus.vga.subarray(VGA_TEXT - VGA_START);
    const rows = Array.from({ length: ROWS }, (_, row) => {
      const cell = (column: number): number => (start + row * COLUMNS + column) % CELLS;
      const codes = Array.from({ length: COLUMNS }, (_, column) => memory[2 * cell(column)] ?? 0);
      return codes.map(characterOf).join('').trimEnd();
    });
    while (rows.at(-1) === '') rows.pop();
    return rows;
  }
}
