// What the guest said on its console, for people: one line, and nothing in it that would disturb a terminal.

import { countText } from './numbers.ts';

const LONGEST = 200;

/** One line of guest text with everything but printable ASCII as \xNN, cut to a bound. */
export function printable(text: string): string {
  const clean = text.replace(/[^\x20-\x7e]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return clean.length > LONGEST ? `${clean.slice(0, LONGEST)}...` : clean;
}

/** Whether anything was printed, and the last line of it. @param text one character for each byte */
export function consoleText(text: string): string {
  if (text === '') return 'nothing was printed on the console';
  const lines = text.split(/[\r\n]+/).filter((line) => line.trim() !== '');
  const last = lines.at(-1);
  const size = `${countText(text.length)} ${text.length === 1 ? 'byte was' : 'bytes were'} printed on the console`;
  return last === undefined ? `${size}, all of it blank` : `${size}; the last line: "${printable(last.trim())}"`;
}
