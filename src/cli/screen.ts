// Who writes where. The guest's serial console is the product of a run and goes to stdout byte for byte, so that it can be
// piped and compared; everything said about the run goes to stderr. On a terminal both arrive at the same place, and
// this keeps them apart: a line about the run starts on a line of its own, and the progress line is gone before
// anything else is written.

import picocolors from 'picocolors';
import { visible } from '../bits/visible.ts';
import { SafeBytes } from './safeBytes.ts';
import { type Line, type LineTone, REPORT_WIDTH, rowsOf } from '../bits/lines.ts';
import type { Io, Output } from './io.ts';

const ERASE_TO_END = '\x1b[K';
const NEWLINE = 0x0a;
/** Console bytes held back at most. */
const BUFFER = 64 * 1024;
/** Columns of a terminal that does not say. */
const UNKNOWN_WIDTH = 80;
/** A report is not wrapped more narrowly than this. */
const NARROWEST_REPORT = 60;

/** Where a guest's words go. */
export type Place = 'stdout' | 'stderr';

/** Wall-clock ms between two lines of progress, where there is no line to renew: with what a look takes, five seconds. */
const PLAIN_MS = 4000;

export type Tone = Exclude<LineTone, 'heading'>;
type Colors = ReturnType<typeof picocolors.createColors>;

export class Screen {
  readonly #io: Io;
  readonly #colors: Colors;
  readonly #reportColors: Colors;
  /** A terminal that takes control sequences, and somebody who wants them. */
  readonly #erases: boolean;
  readonly #safe: SafeBytes | undefined;
  readonly #pending = new Uint8Array(BUFFER);
  #pendingLength = 0;
  #pendingFor: Place = 'stdout';
  /** Where a line of a guest is unfinished. */
  #midLine: Place | undefined;
  /** When the last line about the run was written, on the wall clock. */
  #said: number;
  /** Columns of the progress line that is shown; 0 where there is none. */
  #progressShown = 0;

  /** @param safe of the guest's words nothing is to act on a terminal */
  constructor(io: Io, safe = false) {
    this.#safe = safe ? new SafeBytes() : undefined;
    this.#io = io;
    this.#said = io.now();
    this.#colors = picocolors.createColors(wantsColour(io.stderr, io));
    this.#erases = !io.env['NO_COLOR'];
    this.#reportColors = picocolors.createColors(wantsColour(io.stdout, io));
  }

  /** A byte of the guest's console, or of what a command in it prints. Written with the next flush. */
  console(byte: number, to: Place = 'stdout'): void {
    if (this.#safe === undefined) this.#put(byte, to);
    else for (const safe of this.#safe.take(byte)) this.#put(safe, to);
  }

  #put(byte: number, to: Place): void {
    if (this.#pendingLength === BUFFER || to !== this.#pendingFor) this.flush();
    this.#pendingFor = to;
    this.#pending[this.#pendingLength++] = byte;
  }

  /** Writes what the console has said since the last time. */
  flush(): void {
    if (this.#pendingLength === 0) return;
    const bytes = this.#pending.slice(0, this.#pendingLength);
    this.#pendingLength = 0;
    const to = this.#pendingFor;
    if (this.#io.sameOutput || to === 'stderr') this.clearProgress();
    this.#io[to].write(bytes);
    this.#midLine = bytes.at(-1) === NEWLINE ? undefined : to;
  }

  /** A line about the run. */
  say(text: string, tone: Tone = 'plain'): void {
    this.#said = this.#io.now();
    this.flush();
    this.clearProgress();
    const newline = this.#unfinished() ? '\n' : '';
    if (newline) this.#midLine = undefined;
    ours(this.#io.stderr, `${newline}${painted(this.#colors, `firstlight: ${visible(text)}`, tone)}\n`);
  }

  /** Lines of a report, on stdout. */
  report(lines: readonly Line[]): void {
    const { stdout } = this.#io;
    const columns = stdout.isTTY && stdout.columns ? stdout.columns : REPORT_WIDTH;
    const width = Math.max(NARROWEST_REPORT, Math.min(REPORT_WIDTH, columns));
    const rows = lines.flatMap((line) =>
      rowsOf(line, width).map((row) => `${painted(this.#reportColors, visible(row), line.tone ?? 'plain')}\n`),
    );
    this.clearProgress();
    ours(stdout, rows.join(''));
  }

  /**
   * Shows or renews the progress line: on a terminal that can go back in a line, and not in the middle of a line of the
   * console. Elsewhere a line every few seconds, where nothing else has been said meanwhile.
   */
  progress(text: string): void {
    const { stderr, env } = this.#io;
    if (!stderr.isTTY || env['TERM'] === 'dumb') {
      if (this.#io.now() - this.#said >= PLAIN_MS) this.say(text, 'note');
      return;
    }
    if (this.#unfinished()) return;
    const width = (stderr.columns || UNKNOWN_WIDTH) - 1;
    const shown = visible(text).slice(0, width);
    ours(stderr, `\r${this.#colors.dim(shown)}${this.#erasing(this.#progressShown - shown.length)}`);
    this.#progressShown = shown.length;
  }

  /** Is there an unfinished line of the guest where lines about the run go? */
  #unfinished(): boolean {
    return this.#midLine === 'stderr' || (this.#midLine === 'stdout' && this.#io.sameOutput);
  }

  clearProgress(): void {
    if (this.#progressShown === 0) return;
    const erased = this.#erasing(this.#progressShown);
    ours(this.#io.stderr, this.#erases ? `\r${erased}` : `\r${erased}\r`);
    this.#progressShown = 0;
  }

  /** Erases the rest of the line, of which `columns` have something. */
  #erasing(columns: number): string {
    return this.#erases ? ERASE_TO_END : ' '.repeat(Math.max(0, columns));
  }
}

/** A text with control sequences of our own, and none of anybody else's. */
const ours = (output: Output, text: string): unknown => (output.raw ?? output).write(text);

function painted(colors: Colors, text: string, tone: LineTone): string {
  const { bold, dim, green, red, yellow } = colors;
  const paint = { plain: String, heading: bold, note: dim, good: green, bad: red, limit: yellow }[tone];
  return text === '' ? text : paint(text);
}

/** Colours are for terminals that have them, and for people who want them (https://no-color.org). */
function wantsColour(output: Output, { env }: Io): boolean {
  return output.isTTY === true && !env['NO_COLOR'] && env['TERM'] !== 'dumb';
}
