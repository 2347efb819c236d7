// Which instructions a processor model has. One that needs a CPUID feature which the model does not advertise is #UD
// (SDM 2A 3.1.1, "CPUID Feature Flag"), or what its encoding meant before that feature came.

import { Code, CodeSize, CpuidFeature, type Instruction, Mnemonic } from 'iced-x86';
import type { Feature } from '../../x86/features.ts';

/** What has no entry here every model has, or microcode asks for by itself (microcode/execute.ts). */
const FEATURES = new Map<CpuidFeature, Feature>([
  [CpuidFeature.SSE3, 'SSE3'],
  [CpuidFeature.SSSE3, 'SSSE3'],
  [CpuidFeature.SSE4_1, 'SSE4_1'],
  [CpuidFeature.SSE4_2, 'SSE4_2'],
  [CpuidFeature.AVX, 'AVX'],
  [CpuidFeature.AVX2, 'AVX2'],
  [CpuidFeature.FMA, 'FMA'],
  [CpuidFeature.F16C, 'F16C'],
  [CpuidFeature.POPCNT, 'POPCNT'],
  [CpuidFeature.CMPXCHG16B, 'CX16'],
  [CpuidFeature.MOVBE, 'MOVBE'],
  [CpuidFeature.LZCNT, 'LZCNT'],
  [CpuidFeature.BMI1, 'BMI1'],
  [CpuidFeature.BMI2, 'BMI2'],
  [CpuidFeature.ADX, 'ADX'],
]);

/** Features needed, by Code; worked out when a Code is first seen. */
const needed: (readonly Feature[] | undefined)[] = [];

function featuresOf(insn: Instruction): readonly Feature[] {
  const found: Feature[] = [];
  for (const one of insn.cpuidFeatures()) {
    const feature = FEATURES.get(one);
    if (feature !== undefined) found.push(feature);
  }
  return found;
}

/** LAHF and SAHF are everywhere but in 64-bit mode, which has them with a feature of its own. */
const isFlagTransfer = (code: Code): boolean => code === Code.Lahf || code === Code.Sahf;

/** Does a processor with these features have the instruction, in the mode it was decoded for? */
export function isOffered(insn: Instruction, features: ReadonlySet<Feature>): boolean {
  const { code } = insn;
  if (isFlagTransfer(code)) return insn.codeSize !== CodeSize.Code64 || features.has('LAHF_LM');
  const list = (needed[code] ??= featuresOf(insn));
  return list.every((feature) => features.has(feature));
}

/** What the bytes of a newer instruction are without its feature: a prefix that means nothing, and an older instruction. */
export const OLDER_MEANING: ReadonlyMap<Mnemonic, string> = new Map([
  [Mnemonic.Lzcnt, 'bsr'],
  [Mnemonic.Tzcnt, 'bsf'],
]);
