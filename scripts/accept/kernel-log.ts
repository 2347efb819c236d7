// What in a kernel's log would make a reader stop: warnings, oopses, lines that say something is wrong.

const BAD = [
  /WARNING: /,
  /\bBUG\b/,
  /\bOops\b/i,
  /Call Trace/,
  /general protection fault/,
  /\bpanic\b/i,
  /\berror\b/i,
  /\bfail(?:ed|ure|s)?\b/i,
  /firmware bug/i,
  /\bunable\b/i,
  /\bunstable\b/i,
  /\bwarn(?:ing)?\b/i,
  /\binvalid\b/i,
  /\bcorrupt/i,
  /\btimed? ?out\b/i,
  /\bstall/i,
  /lockup/i,
  /clocksource: .*skew/i,
  /\bunexpected\b/i,
  /\bspurious\b/i,
];

/** Lines that are bad by themselves, whatever another machine says. */
const GRAVE = [/WARNING: /, /\bBUG: /, /\bOops\b/, /Call Trace/, /general protection fault/, /Kernel panic/];

/** A log line without its time stamp and without what differs from machine to machine: addresses, sizes, counts. */
const shape = (line: string): string =>
  line
    .replace(/^\[ *\d+\.\d+\](?:\[ *[TC]\d+\])? */, '')
    .replace(/0x[0-9a-f]+|\b[0-9a-f]{8,}\b/gi, '#')
    .replace(/\d+/g, '#')
    .trim();

export const logLines = (console: string): string[] => console.split(/\r*\n/).map((line) => line.trimEnd());

/** Lines that are grave by themselves. */
export const graveLines = (console: string): string[] =>
  logLines(console).filter((line) => GRAVE.some((pattern) => pattern.test(line)));

/** Lines that complain and that `other`, a log of the same kernel elsewhere, does not have in the same words. */
export function complaintsBeyond(console: string, other: string): string[] {
  const known = new Set(logLines(other).map(shape));
  return logLines(console).filter((line) => BAD.some((pattern) => pattern.test(line)) && !known.has(shape(line)));
}
