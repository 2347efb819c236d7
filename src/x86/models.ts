// CPU models as data: what each has, and the CPUID tables that say so (SDM 2A, CPUID).
// A model never advertises what is not implemented.
// A model has no APIC bit: whether there is a local APIC is the machine's choice (withApic).

import { InputError } from '../bits/errors.ts';
import { featureBits, type CpuidRegister, type Feature, SUBLEAF_1 } from './features.ts';
import { CR4_OSXSAVE, CR4_PKE } from './control.ts';
import { MISC_ENABLE_LIMIT_CPUID, MISC_ENABLE_XD_DISABLE } from './msr.ts';
import { AVX_BYTES, AVX_OFFSET, XSTATE_AVX, XSTATE_X87, xcr0Supported, xsaveBytes } from './xstate.ts';

export type CpuidResult = { readonly eax: number; readonly ebx: number; readonly ecx: number; readonly edx: number };

/** State that CPUID reflects. */
export type CpuidDynamic = {
  readonly cr4: bigint;
  /** IA32_APIC_BASE bit 11; where it is false, the APIC bit is 0. */
  readonly apicEnabled?: boolean | undefined;
  /** IA32_MISC_ENABLE. */
  readonly miscEnable?: bigint | undefined;
  /** XCR0; where it is not said, what RESET leaves. */
  readonly xcr0?: bigint | undefined;
};

export type CpuModel = {
  readonly name: string;
  /** One line for lists of models. */
  readonly summary: string;
  readonly vendor: 'GenuineIntel';
  readonly family: number;
  readonly model: number;
  readonly stepping: number;
  /** At most 48 characters. */
  readonly brand: string;
  readonly features: ReadonlySet<Feature>;
  /** Features it was asked to do without, which the machine must not add either. */
  readonly without?: ReadonlySet<Feature> | undefined;
  /** MAXPHYADDR. */
  readonly physicalBits: number;
  /** Widest linear address the processor can be made to use: 48 or 57. */
  readonly linearBits: 48 | 57;
  /** Family, model and stepping as leaf 1 gives them in EAX and RESET leaves them in EDX. */
  readonly signature: number;
  /** All four registers are unsigned 32-bit. */
  cpuid(leaf: number, subleaf: number, dynamic: CpuidDynamic): CpuidResult;
};

/** Time stamp counter ticks per second of guest time: one per ns, which is what most instructions take. */
const TSC_HERTZ = 1_000_000_000;
/**
 * The core crystal clock of CPUID leaf 0x15, which also counts the local APIC's timer (SDM 3A 11.5.4). As fast as the time stamp
 * counter: software that polls the count then waits for as many instructions as it counts, not for forty times as many.
 */
export const CRYSTAL_HERTZ = 1_000_000_000;

const MAX_BASIC = 0x16;
/** Under IA32_MISC_ENABLE.Limit CPUID Maxval. */
const LIMITED_BASIC = 2;
const MAX_EXTENDED = 0x8000_0008;
const PHYSICAL_BITS = 40;
const CACHE_LINE = 64;

const ZEROS: CpuidResult = { eax: 0, ebx: 0, ecx: 0, edx: 0 };

/** Leaf 4 rows. Nothing is cached here; C libraries size their copies by these figures and reject a processor without. */
const CACHES: readonly { type: 1 | 2 | 3; level: number; ways: number; sets: number }[] = [
  { type: 1, level: 1, ways: 8, sets: 64 },
  { type: 2, level: 1, ways: 8, sets: 64 },
  { type: 3, level: 2, ways: 16, sets: 1024 },
];

const cacheLeaf = (subleaf: number): CpuidResult => {
  const cache = CACHES[subleaf];
  if (cache === undefined) return ZEROS;
  return {
    eax: cache.type | (cache.level << 5) | (1 << 8), // self-initialising
    ebx: ((CACHE_LINE - 1) | ((cache.ways - 1) << 22)) >>> 0,
    ecx: cache.sets - 1,
    edx: 0,
  };
};

/** Leaf 0xD (SDM 1 13.2): sizes of the XSAVE area, XSAVE's extensions, and where the extended component lies. */
const xsaveLeaf = (features: ReadonlySet<Feature>, subleaf: number, xcr0: bigint): CpuidResult => {
  const supported = xcr0Supported(features);
  if (!features.has('XSAVE')) return ZEROS;
  if (subleaf === 0) return { eax: Number(supported), ebx: xsaveBytes(xcr0), ecx: xsaveBytes(supported), edx: 0 };
  if (subleaf === 1) {
    const eax = featureBits(features, 0xd | SUBLEAF_1, 'eax');
    return { ...ZEROS, eax, ebx: features.has('XSAVEC') ? xsaveBytes(xcr0) : 0 };
  }
  const avx = subleaf === 2 && (supported & XSTATE_AVX) !== 0n;
  return avx ? { ...ZEROS, eax: AVX_BYTES, ebx: AVX_OFFSET } : ZEROS;
};

/** Little-endian 32-bit words of a text, zero-padded. */
const words = (text: string, count: number): number[] =>
  Array.from({ length: count }, (_, word) => {
    let value = 0;
    for (let byte = 3; byte >= 0; byte--) value = (value << 8) | ((text.charCodeAt(4 * word + byte) || 0) & 0x7f);
    return value >>> 0;
  });

type Facts = Omit<CpuModel, 'cpuid' | 'signature' | 'linearBits' | 'physicalBits'>;

const signatureOf = ({ family, model, stepping }: Facts): number =>
  (((model >> 4) << 16) | (family << 8) | ((model & 15) << 4) | stepping) >>> 0;

/** Leaves that do not depend on the machine's state; leaf 4 apart, none has subleaves with anything in them. */
const staticLeaves = (facts: Facts): ReadonlyMap<number, CpuidResult> => {
  const bits = (leaf: number, register: CpuidRegister): number => featureBits(facts.features, leaf, register);
  const [v0 = 0, v1 = 0, v2 = 0] = words(facts.vendor, 3);
  const brand = words(facts.brand, 12);
  const brandLeaf = (part: number): CpuidResult => {
    const [eax = 0, ebx = 0, ecx = 0, edx = 0] = brand.slice(4 * part, 4 * part + 4);
    return { eax, ebx, ecx, edx };
  };
  const linearBits = facts.features.has('LA57') ? 57 : 48;
  return new Map<number, CpuidResult>([
    [0, { eax: MAX_BASIC, ebx: v0, edx: v1, ecx: v2 }],
    [
      1,
      {
        eax: signatureOf(facts),
        ebx: (CACHE_LINE / 8) << 8,
        ecx: bits(1, 'ecx'),
        edx: bits(1, 'edx'),
      },
    ],
    // One round; descriptor 0xff: caches are described by leaf 4.
    [2, { ...ZEROS, eax: 0xff01 }],
    [6, { ...ZEROS, eax: bits(6, 'eax') }],
    [7, { eax: 0, ebx: bits(7, 'ebx'), ecx: bits(7, 'ecx'), edx: bits(7, 'edx') }],
    [0x15, { eax: 1, ebx: TSC_HERTZ / CRYSTAL_HERTZ, ecx: CRYSTAL_HERTZ, edx: 0 }],
    [0x16, { eax: TSC_HERTZ / 1e6, ebx: TSC_HERTZ / 1e6, ecx: 100, edx: 0 }],
    [0x8000_0000, { ...ZEROS, eax: MAX_EXTENDED }],
    [0x8000_0001, { ...ZEROS, ecx: bits(0x8000_0001, 'ecx'), edx: bits(0x8000_0001, 'edx') }],
    [0x8000_0002, brandLeaf(0)],
    [0x8000_0003, brandLeaf(1)],
    [0x8000_0004, brandLeaf(2)],
    // L2: 64-byte lines, 16 ways (code 8), 1024 KiB.
    [0x8000_0006, { ...ZEROS, ecx: CACHE_LINE | (8 << 12) | (1024 << 16) }],
    [0x8000_0007, { ...ZEROS, edx: bits(0x8000_0007, 'edx') }],
    [0x8000_0008, { ...ZEROS, eax: PHYSICAL_BITS | (linearBits << 8) }],
  ]);
};

/** A leaf beyond the highest one answers as the highest basic leaf does. */
const clampLeaf = (leaf: number, highest: number): number => {
  if (leaf >= 0x8000_0000) return leaf <= MAX_EXTENDED ? leaf : highest;
  return Math.min(leaf, highest);
};

const OSXSAVE = 1 << 27;
const OSPKE = 1 << 4;
const APIC_BIT = 1 << 9;
const NX_BIT = 1 << 20;

const defineModel = (facts: Facts): CpuModel => {
  const leaves = staticLeaves(facts);
  return {
    ...facts,
    physicalBits: PHYSICAL_BITS,
    linearBits: facts.features.has('LA57') ? 57 : 48,
    signature: signatureOf(facts),
    cpuid(leaf, subleaf, { cr4, apicEnabled, miscEnable = 0n, xcr0 = XSTATE_X87 }) {
      const highest = miscEnable & MISC_ENABLE_LIMIT_CPUID ? LIMITED_BASIC : MAX_BASIC;
      const at = clampLeaf(leaf >>> 0, highest);
      if (at === 4) return cacheLeaf(subleaf >>> 0);
      if (at === 7 && subleaf !== 0) return ZEROS;
      if (at === 0xd) return xsaveLeaf(facts.features, subleaf >>> 0, xcr0);
      const row = leaves.get(at) ?? ZEROS;
      if (at === 1) {
        const ecx = cr4 & CR4_OSXSAVE ? (row.ecx | OSXSAVE) >>> 0 : row.ecx;
        return { ...row, ecx, edx: apicEnabled === false ? (row.edx & ~APIC_BIT) >>> 0 : row.edx };
      }
      if (at === 0) return { ...row, eax: highest };
      if (at === 0x8000_0001 && miscEnable & MISC_ENABLE_XD_DISABLE) return { ...row, edx: (row.edx & ~NX_BIT) >>> 0 };
      if (at === 7 && cr4 & CR4_PKE) return { ...row, ecx: (row.ecx | OSPKE) >>> 0 };
      return row;
    },
  };
};

const BASELINE: readonly Feature[] = [
  'FPU',
  'PSE36',
  'PSE',
  'TSC',
  'DE',
  'MSR',
  'PAE',
  'MCE',
  'CX8',
  'SEP',
  'MTRR',
  'PGE',
  'MCA',
  'CMOV',
  'PAT',
  'CLFSH',
  'MMX',
  'FXSR',
  'SSE',
  'SSE2',
  'SYSCALL',
  'NX',
  'LM',
  'INVARIANT_TSC',
  'ZERO_FCS_FDS',
];

/** The psABI's second level (x86-64 psABI 3.1.1, table 3.1). */
const SECOND_LEVEL: readonly Feature[] = [
  ...BASELINE,
  'CX16',
  'LAHF_LM',
  'POPCNT',
  'SSE3',
  'SSSE3',
  'SSE4_1',
  'SSE4_2',
];

/** The third level, with what a kernel switches AVX on by. */
const THIRD_LEVEL: readonly Feature[] = [
  ...SECOND_LEVEL,
  'XSAVE',
  'AVX',
  'AVX2',
  'BMI1',
  'BMI2',
  'F16C',
  'FMA',
  'LZCNT',
  'MOVBE',
];

const EVERYTHING: readonly Feature[] = [
  ...THIRD_LEVEL,
  'PCID',
  'RDRAND',
  'FSGSBASE',
  'TSC_ADJUST',
  'SMEP',
  'ERMS',
  'INVPCID',
  'RDSEED',
  'ADX',
  'SMAP',
  'CLFLUSHOPT',
  'CLWB',
  'UMIP',
  'LA57',
  'RDPID',
  'ARCH_CAPABILITIES',
  'XSAVEOPT',
  'XSAVEC',
  'XGETBV1',
  'XSAVES',
  'PREFETCHW',
  'PDPE1GB',
  'RDTSCP',
];

// Family 6, model 0x1c is an Atom that executes in order. Kernels know it as one that does not speculate, which is the
// truth here, and have no other rule for it that matters; stepping 10 is free of its early page-size erratum.
const IDENTITY = { vendor: 'GenuineIntel', family: 6, model: 0x1c, stepping: 10 } as const;

export const CPU_MODELS: readonly CpuModel[] = [
  defineModel({
    ...IDENTITY,
    name: 'x86-64-v1',
    summary: 'the first 64-bit baseline: SSE2, NX, 4-level paging',
    brand: 'Firstlight x86-64-v1',
    features: new Set(BASELINE),
  }),
  defineModel({
    ...IDENTITY,
    name: 'x86-64-v2',
    summary: 'the second level: SSE4.2, POPCNT, CMPXCHG16B; 4-level paging',
    brand: 'Firstlight x86-64-v2',
    features: new Set(SECOND_LEVEL),
  }),
  defineModel({
    ...IDENTITY,
    name: 'x86-64-v3',
    summary: 'the third level: AVX2, FMA, F16C, BMI, MOVBE; 4-level paging',
    brand: 'Firstlight x86-64-v3',
    features: new Set(THIRD_LEVEL),
  }),
  defineModel({
    ...IDENTITY,
    name: 'max',
    summary: 'everything implemented, with 5-level paging (la57)',
    brand: 'Firstlight max',
    features: new Set(EVERYTHING),
  }),
];

export const DEFAULT_MODEL = 'max';

const WITH_APIC: readonly Feature[] = ['APIC', 'ARAT'];
/** What the local APIC of a newer model has besides. */
const WITH_NEWER_APIC: readonly Feature[] = ['X2APIC', 'TSC_DEADLINE'];

/** The same processor with a local APIC: an xAPIC, with x2APIC mode and TSC-deadline timer on models newer than them. */
export const withApic = (model: CpuModel): CpuModel => {
  const newer = model.features.has('RDTSCP') ? WITH_NEWER_APIC : [];
  const added = [...WITH_APIC, ...newer].filter((feature) => !model.without?.has(feature));
  return defineModel({ ...model, features: new Set<Feature>([...model.features, ...added]) });
};

/** A model by its name, or undefined. */
export const findModel = (name: string): CpuModel | undefined => {
  try {
    return cpuModel(name);
  } catch (error) {
    if (error instanceof InputError) return undefined;
    throw error;
  }
};

/** How people write features: sse4.1, sse4_1 and SSE41 are the same. */
const plainName = (text: string): string => text.toLowerCase().replace(/[-_.]/g, '');

const CHANGEABLE = new Map<string, Feature>(
  [...EVERYTHING, ...WITH_APIC, ...WITH_NEWER_APIC].map((feature) => [plainName(feature), feature]),
);

/** "+la57" or "-pcid". A feature that is not implemented cannot be added. */
const changeOf = (text: string): { add: boolean; feature: Feature } => {
  const feature = CHANGEABLE.get(plainName(text.slice(1)));
  if (!/^[+-]/.test(text) || feature === undefined) {
    const known = [...CHANGEABLE.values()].map((name) => name.toLowerCase()).sort();
    throw new InputError(`"${text}" changes no CPU feature: +NAME or -NAME of ${known.join(', ')}`);
  }
  return { add: text.startsWith('+'), feature };
};

/** Features that are nothing without another one: with AVX go AVX2 and the like, and with XSAVE goes AVX. */
const NEEDS: readonly (readonly [Feature, Feature])[] = [
  ['XSAVEOPT', 'XSAVE'],
  ['XSAVEC', 'XSAVE'],
  ['XGETBV1', 'XSAVE'],
  ['XSAVES', 'XSAVEC'],
  ['AVX', 'XSAVE'],
  ['AVX2', 'AVX'],
  ['FMA', 'AVX'],
  ['F16C', 'AVX'],
];
const neededBy = (feature: Feature): Feature[] =>
  NEEDS.flatMap(([one, other]) => (one === feature ? [other, ...neededBy(other)] : []));
const needing = (feature: Feature): Feature[] =>
  NEEDS.flatMap(([one, other]) => (other === feature ? [one, ...needing(one)] : []));

const changed = (model: CpuModel, name: string, texts: readonly string[]): CpuModel => {
  const features = new Set(model.features);
  const without = new Set<Feature>();
  for (const { add, feature } of texts.map(changeOf)) {
    for (const other of [feature, ...(add ? neededBy : needing)(feature)]) {
      if (add) features.add(other);
      else features.delete(other);
    }
    if (add) without.delete(feature);
    else without.add(feature);
  }
  return defineModel({ ...model, name, features, without });
};

/**
 * A model by its name, which features may follow that it is to have or not to have: "max,-pcid,-la57", "x86-64-v1,+smep".
 * Throws InputError where there is none such.
 */
export const cpuModel = (text: string): CpuModel => {
  const [name = '', ...changes] = text.split(',');
  const model = CPU_MODELS.find((known) => known.name === name);
  if (!model) {
    throw new InputError(`unknown CPU model "${name}": known are ${CPU_MODELS.map((known) => known.name).join(', ')}`);
  }
  return changes.length === 0 ? model : changed(model, text, changes);
};
