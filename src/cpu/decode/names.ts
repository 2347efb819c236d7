// What instructions are called in the keys of handlers, and sets of such names that are planned alike.

import { Code, Mnemonic } from 'iced-x86';

/** Mnemonics that do the same: their difference is a hint about the kind of number in a register. */
const SAME_AS: Readonly<Record<string, string>> = {
  sal: 'shl',
  ...{ movapd: 'movaps', movdqa: 'movaps', movupd: 'movups', movdqu: 'movups' },
  ...{ lddqu: 'movups', movntdqa: 'movaps' },
  ...{ movntpd: 'movntps', movntdq: 'movntps', movlpd: 'movlps', movhpd: 'movhps' },
  ...{ xorps: 'pxor', xorpd: 'pxor', orps: 'por', orpd: 'por' },
  ...{ andps: 'pand', andpd: 'pand', andnps: 'pandn', andnpd: 'pandn' },
  ...{ unpcklps: 'punpckldq', unpckhps: 'punpckhdq', unpcklpd: 'punpcklqdq', unpckhpd: 'punpckhqdq' },
  ...{ vmovapd: 'vmovaps', vmovdqa: 'vmovaps', vmovupd: 'vmovups', vmovdqu: 'vmovups', vlddqu: 'vmovups' },
  ...{ vmovntpd: 'vmovntps', vmovntdq: 'vmovntps', vmovlpd: 'vmovlps', vmovhpd: 'vmovhps' },
  ...{ vxorps: 'vpxor', vxorpd: 'vpxor', vorps: 'vpor', vorpd: 'vpor' },
  ...{ vandps: 'vpand', vandpd: 'vpand', vandnps: 'vpandn', vandnpd: 'vpandn' },
  ...{ vunpcklps: 'vpunpckldq', vunpckhps: 'vpunpckhdq', vunpcklpd: 'vpunpcklqdq', vunpckhpd: 'vpunpckhqdq' },
  ...{ vbroadcastss: 'vpbroadcastd', vbroadcastsd: 'vpbroadcastq', vbroadcasti128: 'vbroadcastf128' },
  ...{ vinserti128: 'vinsertf128', vextracti128: 'vextractf128', vperm2i128: 'vperm2f128' },
  ...{ vpermpd: 'vpermq', vpermps: 'vpermd', vpblendd: 'vblendps' },
};

const NAMES = new Map<number, string>();
/** The mnemonic as keys of handlers have it. */
export const nameOf = (mnemonic: Mnemonic): string => {
  let name = NAMES.get(mnemonic);
  if (name === undefined) {
    const text = Mnemonic[mnemonic].toLowerCase();
    name = SAME_AS[text] ?? text;
    NAMES.set(mnemonic, name);
  }
  return name;
};

/** ENTER and LEAVE carry their operand size in their name: no operand tells it. */
export const FRAME_BITS = new Map<number, number>([
  [Code.Enterw_imm16_imm8, 16],
  [Code.Enterd_imm16_imm8, 32],
  [Code.Enterq_imm16_imm8, 64],
  [Code.Leavew, 16],
  [Code.Leaved, 32],
  [Code.Leaveq, 64],
]);

/** Mnemonics whose last register operand CL is the count, and not part of the key. */
export const SHIFTS = new Set(['shl', 'shr', 'sar', 'rol', 'ror', 'rcl', 'rcr', 'shld', 'shrd']);

/**
 * Hints and fences: nothing to do in a machine without caches or speculation, and no access even with a memory operand.
 * 0F 0D and 0F 18 to 0F 1F are NOPs whatever ModRM byte follows (recorded); what newer processors made of one is a name for
 * it, never a reason for #UD on those that do not have it.
 */
export const NOTHING = new Set(
  (
    'nop reservednop endbr32 endbr64 lfence mfence sfence cldemote ' +
    'prefetch prefetchw prefetchwt1 prefetchnta prefetcht0 prefetcht1 prefetcht2 prefetchit0 prefetchit1'
  ).split(' '),
);

/** What loops wait with: it takes its time, and goes on as by a jump. */
export const WAITING = new Set(['pause', 'rdtsc', 'rdtscp']);

export const STRING_NAMES = new Set(
  ['movs', 'stos', 'lods', 'scas', 'cmps'].flatMap((n) => [`${n}b`, `${n}w`, `${n}d`, `${n}q`]),
);

/** They store to (R/E)DI, which no operand byte names. */
export const MASKED_STORES = new Set(['maskmovdqu', 'maskmovq', 'vmaskmovdqu']);
