// The kernel's own first line on the console: linux_banner of init/version-timestamp.c (formerly init/version.c).
import { cString } from '../bits/text.ts';
import { searchFor } from './search.ts';

const START = 'Linux version ';
const search = searchFor(new TextEncoder().encode(START));
/** Real ones have some 200 characters. */
const LONGEST_BANNER = 1024;
/** A kernel has a few formats that begin like it; a hostile file may have any number. */
const MOST_TRIES = 1000;

/**
 * The banner without its line end: "Linux version 6.1.0-56-amd64 (...) #1 ..."; undefined where there is none. A kernel has two:
 * the one it prints, and a copy made before it had a number and a date ("# SMP", "Thu Jan 1"), which stands in where the
 * linker finds no other.
 */
export function findBanner(bytes: Uint8Array): string | undefined {
  let first: string | undefined;
  let at = search(bytes);
  for (let tries = 0; at >= 0 && tries < MOST_TRIES; tries++) {
    const text = cString(bytes, at, LONGEST_BANNER)?.replace(/\n$/, '');
    // Formats and parts of sentences do not go on with a release.
    if (text !== undefined && /^Linux version \d[\x20-\x7e]*$/.test(text)) {
      if (!isStandIn(text)) return text;
      first ??= text;
    }
    at = search(bytes, at + START.length);
  }
  return first;
}

/** UTS_VERSION without the number of the build. */
const isStandIn = (text: string): boolean => /\) # ?(?:SMP|PREEMPT|[A-Z][a-z]{2} [A-Z][a-z]{2} )/.test(text);
