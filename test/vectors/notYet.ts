// What the processor does not do yet, or not as silicon does, by iced's Code. A Code of the list that comes out as recorded
// in all its vectors fails the test, so that the list can only shrink.

/** Families that show vector and x87 state. */
export const FPU_FAMILIES = ['sse-moves', 'sse-integer', 'sse-float', 'mmx', 'x87', 'transcendental'] as const;
export type FpuFamily = (typeof FPU_FAMILIES)[number];

export const NOT_YET: Record<FpuFamily, readonly string[]> = {
  'sse-moves': [],
  'sse-integer': [],
  'sse-float': [],
  mmx: [
    'Cvtpi2ps_xmm_mmm64',
    'Cvtpi2pd_xmm_mmm64',
    'Cvttps2pi_mm_xmmm64',
    'Cvttpd2pi_mm_xmmm128',
    'Cvtps2pi_mm_xmmm64',
    'Cvtpd2pi_mm_xmmm128',
  ],
  x87: [],
  transcendental: [],
};
