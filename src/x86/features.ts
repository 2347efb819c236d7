// CPUID feature bits by name: where each stands. What a model has is said in models.ts.

export type CpuidRegister = 'eax' | 'ebx' | 'ecx' | 'edx';

/** Subleaf 1 of a leaf is written as that leaf with this added; no leaf has a number where they could meet. */
export const SUBLEAF_1 = 0x1_0000;

type Place = readonly [leaf: number, register: CpuidRegister, bit: number];

const PLACES = {
  FPU: [1, 'edx', 0],
  VME: [1, 'edx', 1],
  DE: [1, 'edx', 2],
  PSE: [1, 'edx', 3],
  TSC: [1, 'edx', 4],
  MSR: [1, 'edx', 5],
  PAE: [1, 'edx', 6],
  MCE: [1, 'edx', 7],
  CX8: [1, 'edx', 8],
  APIC: [1, 'edx', 9],
  SEP: [1, 'edx', 11],
  MTRR: [1, 'edx', 12],
  PGE: [1, 'edx', 13],
  MCA: [1, 'edx', 14],
  CMOV: [1, 'edx', 15],
  PAT: [1, 'edx', 16],
  PSE36: [1, 'edx', 17],
  CLFSH: [1, 'edx', 19],
  MMX: [1, 'edx', 23],
  FXSR: [1, 'edx', 24],
  SSE: [1, 'edx', 25],
  SSE2: [1, 'edx', 26],
  SSE3: [1, 'ecx', 0],
  MONITOR: [1, 'ecx', 3],
  SSSE3: [1, 'ecx', 9],
  FMA: [1, 'ecx', 12],
  CX16: [1, 'ecx', 13],
  PCID: [1, 'ecx', 17],
  SSE4_1: [1, 'ecx', 19],
  SSE4_2: [1, 'ecx', 20],
  X2APIC: [1, 'ecx', 21],
  MOVBE: [1, 'ecx', 22],
  POPCNT: [1, 'ecx', 23],
  TSC_DEADLINE: [1, 'ecx', 24],
  XSAVE: [1, 'ecx', 26],
  AVX: [1, 'ecx', 28],
  F16C: [1, 'ecx', 29],
  RDRAND: [1, 'ecx', 30],
  ARAT: [6, 'eax', 2],
  FSGSBASE: [7, 'ebx', 0],
  TSC_ADJUST: [7, 'ebx', 1],
  BMI1: [7, 'ebx', 3],
  AVX2: [7, 'ebx', 5],
  SMEP: [7, 'ebx', 7],
  BMI2: [7, 'ebx', 8],
  ERMS: [7, 'ebx', 9],
  INVPCID: [7, 'ebx', 10],
  /** The x87 environment has no selectors: they read as zero (SDM 1 8.1.8). */
  ZERO_FCS_FDS: [7, 'ebx', 13],
  RDSEED: [7, 'ebx', 18],
  ADX: [7, 'ebx', 19],
  SMAP: [7, 'ebx', 20],
  CLFLUSHOPT: [7, 'ebx', 23],
  CLWB: [7, 'ebx', 24],
  UMIP: [7, 'ecx', 2],
  PKU: [7, 'ecx', 3],
  LA57: [7, 'ecx', 16],
  RDPID: [7, 'ecx', 22],
  FSRM: [7, 'edx', 4],
  ARCH_CAPABILITIES: [7, 'edx', 29],
  XSAVEOPT: [0xd | SUBLEAF_1, 'eax', 0],
  XSAVEC: [0xd | SUBLEAF_1, 'eax', 1],
  XGETBV1: [0xd | SUBLEAF_1, 'eax', 2],
  XSAVES: [0xd | SUBLEAF_1, 'eax', 3],
  LAHF_LM: [0x8000_0001, 'ecx', 0],
  LZCNT: [0x8000_0001, 'ecx', 5],
  PREFETCHW: [0x8000_0001, 'ecx', 8],
  SYSCALL: [0x8000_0001, 'edx', 11],
  NX: [0x8000_0001, 'edx', 20],
  PDPE1GB: [0x8000_0001, 'edx', 26],
  RDTSCP: [0x8000_0001, 'edx', 27],
  LM: [0x8000_0001, 'edx', 29],
  INVARIANT_TSC: [0x8000_0007, 'edx', 8],
} as const satisfies Record<string, Place>;

/** A CPUID feature, by the manual's name. */
export type Feature = keyof typeof PLACES;

export const FEATURE_NAMES = Object.keys(PLACES) as readonly Feature[];

/** Leaf, register and bit of a feature. */
export const featurePlace = (feature: Feature): Place => PLACES[feature];

/** The feature bits of one register of one leaf (subleaf 0). */
export const featureBits = (features: ReadonlySet<Feature>, leaf: number, register: CpuidRegister): number => {
  let bits = 0;
  for (const feature of features) {
    const [at, inRegister, bit] = PLACES[feature];
    if (at === leaf && inRegister === register) bits |= 1 << bit;
  }
  return bits >>> 0;
};
