// The one place that turns a knob of V8.

import { setFlagsFromString } from 'node:v8';

/**
 * The generated interpreter is one very large function. V8 11 (Node 20) gives such functions to a register allocator
 * that is quick rather than good; this lets it spend the time. To be called before the first machine is made, when
 * the engine is compiled. Other versions of V8 may not know the flag, and complain on stderr, so it is left alone there.
 */
export function setV8Flags(): void {
  if (!process.versions.v8.startsWith('11.')) return;
  setFlagsFromString('--no-turbo-use-mid-tier-regalloc-for-huge-functions');
}
