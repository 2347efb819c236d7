// What a kernel that panicked said about it: the call trace, taken from what it printed.

/** What printk puts before a line: log level, time since boot, and with CONFIG_PRINTK_CALLER who speaks. */
const PREFIX = /^(?:<\d+>)?(?:\[ *\d+\.\d+\])?(?:\[ *[TC]\d+\])? ?/;
export const PANIC = 'Kernel panic - not syncing';
const HEADING = /Call Trace:$/;
/** "panic+0x344/0x3a0", after a "?" if the unwinder does not vouch for it, with the module behind it. */
const FRAME = /^ *(?:\? )?[\w.$]+\+0x[0-9a-f]+\/0x[0-9a-f]+(?: \[[^\]]*\])?$/;
/** "<TASK>", "</IRQ>": which stack. */
const STACK = /^ *<\/?[\w# ]+>$/;
/** A trace that is longer goes in circles. */
const MOST_FRAMES = 100;

/**
 * The frames of the call trace that belongs to a panic, innermost first, as the kernel prints them: without indentation
 * and without the names of the stacks. After an oops a kernel prints no second trace when it panics; then that of the
 * oops. Empty where there is none.
 * @param console all that the guest printed, one character for each byte
 */
export function callTrace(console: string): string[] {
  const lines = console.split(/\r?\n/).map((line) => line.replace(PREFIX, '').trimEnd());
  const panic = lines.findIndex((line) => line.includes(PANIC));
  if (panic < 0) return [];
  const headings = lines.flatMap((line, i) => (HEADING.test(line) ? [i] : []));
  const heading = headings.find((i) => i > panic) ?? headings.at(-1);
  return heading === undefined ? [] : framesFrom(lines, heading + 1);
}

function framesFrom(lines: readonly string[], start: number): string[] {
  const length = lines.slice(start).findIndex((line) => !FRAME.test(line) && !STACK.test(line));
  const all = length < 0 ? lines.slice(start) : lines.slice(start, start + length);
  return all
    .filter((line) => FRAME.test(line))
    .slice(0, MOST_FRAMES)
    .map((line) => line.trim());
}
