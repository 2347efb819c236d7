// Which instructions with a VEX prefix are recorded, and in which file each stands: every Code of iced that needs AVX, AVX2,
// FMA or F16C and nothing else.
import { Code, CodeExt, CpuidFeature, EncodingKind, Instruction, OpCodeOperandKind as Kind } from 'iced-x86';
import { mnemonicOf, operandKinds, type Universe } from './codes.ts';

export const AVX_FAMILIES = ['avx-moves', 'avx-integer', 'avx-float', 'avx-masked', 'avx-strings', 'fma'] as const;
export type AvxFamily = (typeof AVX_FAMILIES)[number];

const FEATURES = new Set([CpuidFeature.AVX, CpuidFeature.AVX2, CpuidFeature.FMA, CpuidFeature.F16C]);

const FUSED = /^Vfn?m/;
const MASKED = /^(Vp?maskmov[pdq]|Vp?gather)/;
const STRINGS = /^Vpcmp[ei]str/;
const MOVES =
  /^(Vmov|Vlddqu|Vzero|Vp?broadcast|Vinsert|Vextract|Vpinsr|Vpextr|Vperm|Vmaskmovdqu|Vpmovmskb|Vunpck|Vshuf|Vp?blend)/;
const FLOAT =
  /^V((add|sub|mul|div|sqrt|min|max|cmp|rcp|rsqrt|hadd|hsub|addsub|dp|round)[ps][sd]|addsubp[sd]|u?comis[sd]|cvt.*|ldmxcsr|stmxcsr)$/;

export function avxFamilyOf(name: string): AvxFamily {
  if (FUSED.test(name)) return 'fma';
  if (MASKED.test(name)) return 'avx-masked';
  if (STRINGS.test(name)) return 'avx-strings';
  if (FLOAT.test(name)) return 'avx-float';
  return MOVES.test(name) ? 'avx-moves' : 'avx-integer';
}

const isOurs = (code: Code): boolean => {
  const info = CodeExt.opCode(code);
  if (!info.isInstruction || info.decoderOption !== 0 || info.encoding !== EncodingKind.VEX) return false;
  const instruction = new Instruction();
  instruction.code = code;
  const features = Array.from(instruction.cpuidFeatures());
  instruction.free();
  return features.every((feature) => FEATURES.has(feature));
};

const GATHERED = new Set<Kind>([Kind.mem_vsib32x, Kind.mem_vsib32y, Kind.mem_vsib64x, Kind.mem_vsib64y]);
export const isGather = (code: Code): boolean => operandKinds(code).some((kind) => GATHERED.has(kind));

/** All of them, by family. */
export function avxCodes(): Universe {
  const byFamily = new Map<string, Code[]>(AVX_FAMILIES.map((family) => [family, []]));
  const all = Object.values(Code).filter((value): value is Code => typeof value === 'number');
  for (const code of all.filter(isOurs)) byFamily.get(avxFamilyOf(mnemonicOf(code)))?.push(code);
  return { byFamily, leftOut: new Map() };
}
