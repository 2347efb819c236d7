// The lines in which a guest itself says what went wrong: a kernel that dies says it first, and prints much besides.

/** What printk puts before a line: log level, time since boot, who speaks. */
const PREFIX = /^(?:<\d+>)?(?:\[ *\d+\.\d+\])?(?:\[ *[TC]\d+\])? ?/;

/** How a kernel begins to say that something is broken for good. */
const GRAVE =
  /\b(?:BUG|Oops|Kernel panic|general protection fault|Unable to handle|unable to handle|invalid opcode|double fault|stack guard page|divide error|PANIC|Fatal|fatal|unchecked MSR|Unhandled|panicked|panic)\b|\b(?:BUG|Oops):|assertion .*failed/i;
/** What may have led to it. */
const SLIGHT =
  /\b(?:WARNING|warning|error|Error|ERROR|failed|Failed|FAILED|cannot|Cannot|can't|not found|invalid|corrupt\w*)\b/;

const MOST_LINES = 8;
const MOST_BEFORE = 3;
const LONGEST = 200;

/**
 * From the first grave line on, at most eight, each once, and up to three slighter ones before it. Empty where no line is
 * grave. @param text all that the guest printed, one character for each byte
 */
export function complaints(text: string): string[] {
  const lines = text.split(/\r?\n/).map((line) => line.replace(PREFIX, '').trim());
  const first = lines.findIndex((line) => GRAVE.test(line));
  if (first < 0) return [];
  const before = lines.slice(0, first).filter((line) => SLIGHT.test(line));
  const grave = lines.slice(first).filter((line) => GRAVE.test(line));
  const told = [...before.slice(-MOST_BEFORE), ...grave].map((line) => line.slice(0, LONGEST));
  return [...new Set(told)].slice(0, MOST_LINES);
}
