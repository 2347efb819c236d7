// State components that XSAVE knows, where they lie in its area, and what CPUID leaf 0xD says of them (SDM 1 13.1 to 13.4).

import type { Feature } from './features.ts';

export const XSTATE_X87 = 1n << 0n;
export const XSTATE_SSE = 1n << 1n;
/** The upper halves of YMM registers. */
export const XSTATE_AVX = 1n << 2n;

/** The area begins as FXSAVE's does, then comes the header, then the other components. */
export const XSAVE_HEADER = 512;
const XSAVE_EXTENDED = 576;
/** The only extended component comes first in both formats, so that its place is the same in the compacted one. */
export const AVX_OFFSET = XSAVE_EXTENDED;
export const AVX_BYTES = 256;

type Features = ReadonlySet<Feature>;

/** Bits of XCR0 that this processor has. */
export const xcr0Supported = (features: Features): bigint =>
  XSTATE_X87 | (features.has('XSAVE') ? XSTATE_SSE : 0n) | (features.has('AVX') ? XSTATE_AVX : 0n);

/** May XCR0 be so? x87 is always on, and AVX needs SSE (SDM 1 13.3). */
export const xcr0Valid = (features: Features, value: bigint): boolean => {
  if (value & ~xcr0Supported(features) || !(value & XSTATE_X87)) return false;
  return !(value & XSTATE_AVX) || (value & XSTATE_SSE) !== 0n;
};

/** Bytes of an area with these components, in either format. */
export const xsaveBytes = (components: bigint): number => XSAVE_EXTENDED + (components & XSTATE_AVX ? AVX_BYTES : 0);
