// Which x87, MMX and SSE instructions (to SSE4.2) are recorded, and in which file each stands. Every such Code of iced (its
// legacy encoding) is in a family here, left out with a reason, or among the general-purpose families of families.ts.
import { Code, CodeExt, CpuidFeature, EncodingKind, Instruction, OpCodeOperandKind as Kind } from 'iced-x86';
import { mnemonicOf, operandKinds, type Universe } from '../../../test/vectors/codes.ts';

export const VECTOR_FAMILIES = [
  ...['sse-moves', 'sse-integer', 'sse-float', 'mmx', 'x87', 'transcendental'],
  ...['ssse3', 'sse4-integer', 'sse4-float', 'sse4-string', 'fisttp'],
] as const;
export type VectorFamily =
  | ('sse-moves' | 'sse-integer' | 'sse-float' | 'mmx' | 'x87' | 'transcendental')
  | ('ssse3' | 'sse4-integer' | 'sse4-float' | 'sse4-string' | 'fisttp');

const FEATURES = new Set([
  CpuidFeature.SSE,
  CpuidFeature.SSE2,
  CpuidFeature.MMX,
  CpuidFeature.FPU,
  CpuidFeature.FPU287,
  CpuidFeature.FPU387,
  CpuidFeature.CMOV,
  CpuidFeature.SSE3,
  CpuidFeature.SSSE3,
  CpuidFeature.SSE4_1,
  CpuidFeature.SSE4_2,
]);
const LATER = [CpuidFeature.SSE3, CpuidFeature.SSE4_1, CpuidFeature.SSE4_2];

/** Have vectors in the general-purpose families. */
const GENERAL = /^(Prefetch.*|[SLM]fence|Movnti|Cmov.*|Crc32)$/;

const LEFT_OUT: [RegExp, string][] = [
  [/^(Fstenv|Fstcw|Fclex|Finit|Fsave|Fstsw|Feni|Fdisi|Fsetpm)(_|$)/, 'WAIT and another instruction'],
  [/^(Fneni|Fndisi|Fnsetpm)$/, '8087 and 80287 only'],
  [/^(Fstpnce|Fxch_st0_sti_D|Fstp_sti_D|Fcomp?_st0_sti_D|Ffreep)/, 'not documented'],
];

const TRANSCENDENTAL = /^(F2xm1|Fyl2x|Fyl2xp1|Fptan|Fpatan|Fsin|Fcos|Fsincos)$/;
const MOVES = /^(Mov[^s].*|Movss|Movsd|Maskmovdqu|Pmovmskb)$/;
const FLOAT = /^((Add|Sub|Mul|Div|Sqrt|Min|Max|Cmp|Rcp|Rsqrt)[ps][sd]|U?comis[sd]|Cvt.*|Ldmxcsr|Stmxcsr)$/;
const LATER_FLOAT = /^((Addsub|Hadd|Hsub|Dp)p[sd]|Round[ps][sd])$/;
const MMX_KINDS = new Set<Kind>([Kind.mm_reg, Kind.mm_rm, Kind.mm_or_mem]);

function laterFamily(name: string): VectorFamily {
  if (name === 'Fisttp') return 'fisttp';
  if (name.startsWith('Pcmpestr') || name.startsWith('Pcmpistr')) return 'sse4-string';
  return LATER_FLOAT.test(name) ? 'sse4-float' : 'sse4-integer';
}

function familyOf(code: Code): VectorFamily {
  const name = mnemonicOf(code);
  const features = featuresOf(code);
  if (features.includes(CpuidFeature.SSSE3)) return 'ssse3';
  if (LATER.some((feature) => features.includes(feature))) return laterFamily(name);
  if (name === 'Emms' || operandKinds(code).some((kind) => MMX_KINDS.has(kind))) return 'mmx';
  if (TRANSCENDENTAL.test(name)) return 'transcendental';
  if (name.startsWith('F')) return 'x87';
  if (FLOAT.test(name)) return 'sse-float';
  return MOVES.test(name) ? 'sse-moves' : 'sse-integer';
}

function featuresOf(code: Code): CpuidFeature[] {
  const instruction = new Instruction();
  instruction.code = code;
  const features = Array.from(instruction.cpuidFeatures());
  instruction.free();
  return features;
}

function isVectorCode(code: Code): boolean {
  const info = CodeExt.opCode(code);
  if (!info.isInstruction || info.decoderOption !== 0 || info.encoding !== EncodingKind.Legacy) return false;
  return featuresOf(code).every((feature) => FEATURES.has(feature)) && !GENERAL.test(mnemonicOf(code));
}

/** All of them, by family. WAIT counts as one of x87's. */
export function vectorCodes(): Universe {
  const byFamily = new Map<string, Code[]>(VECTOR_FAMILIES.map((family) => [family, []]));
  const leftOut = new Map<string, string>();
  const all = Object.values(Code).filter((value): value is Code => typeof value === 'number');
  for (const code of all.filter(isVectorCode)) {
    const name = Code[code] ?? '?';
    const reason = LEFT_OUT.find(([pattern]) => pattern.test(name))?.[1];
    if (reason === undefined) byFamily.get(familyOf(code))?.push(code);
    else leftOut.set(name, reason);
  }
  byFamily.get('x87')?.push(Code.Wait);
  return { byFamily, leftOut };
}
