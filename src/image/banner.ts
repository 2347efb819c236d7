// The kernel's own first line on the console: linux_banner of init/version-timestamp.c (formerly init/version.c).
import { cString } from '../bits/text.ts';
import { indexOfBytes } from './search.ts';

const START = new TextEncoder().encode('Linux version ');
/** Real ones have some 200 characters. */
const LONGEST_BANNER = 1024;

/** The banner without its line end: "Linux version 6.1.0-56-amd64 (...) ..."; undefined where there is none. */
export function findBanner(bytes: Uint8Array): string | undefined {
  for (let at = indexOfBytes(bytes, START); at >= 0; at = indexOfBytes(bytes, START, at + START.length)) {
    const text = cString(bytes, at, LONGEST_BANNER)?.replace(/\n$/, '');
    // Formats and parts of sentences do not go on with a release.
    if (text !== undefined && /^Linux version \d[\x20-\x7e]*$/.test(text)) return text;
  }
  return undefined;
}
