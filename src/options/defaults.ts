// What a run is where nothing is said: what the help tells, and what tests, scripts and benchmarks mean by the default.

import { MIB } from '../bits/sizes.ts';
import { LINUX } from '../boot/guests.ts';

/** Bytes of RAM. */
export const DEFAULT_MEMORY = 512 * MIB;
export const DEFAULT_MAX_INSTRUCTIONS = 20_000_000_000n;
/** Fifty years of a fast machine. */
export const NO_LIMIT = 10n ** 18n;
/** The words by which Linux speaks on the first serial port, from its stub on. */
export const LINUX_WORDS = LINUX.words.map(({ text }) => text).join(' ');
