// How many forms of each Code, and how many inputs of each form, make a family.
import { Code, CodeExt, OpCodeOperandKind as Kind } from 'iced-x86';
import { REGIONS, type RegionName, type VectorMode } from '../../../test/vectors/layout.ts';
import { ADDRESS_SHAPES, type AddressShape } from './addressing.ts';
import { canBeMemory, type Form, hasImmediate, makeForm, mustBeMemory, type Wish } from './forms.ts';
import { mnemonicOf, operandKinds } from '../../../test/vectors/codes.ts';
import { makeInput } from './inputs.ts';
import type { Random } from './random.ts';
import type { State } from './state.ts';

export interface Case {
  form: Form | undefined;
  /** What the bytes are, where no iced Code says it. */
  name: string;
  text: string;
  bytes: Uint8Array;
  state: State;
  flagsMask: number;
}

/** Inputs of each form, in 64-, 32- and 16-bit code. */
const DEFAULT_INPUTS: Record<VectorMode, number> = { 64: 15, 32: 7, 16: 4 };
const FAMILY_INPUTS: Record<string, Record<VectorMode, number>> = {
  branch: { 64: 16, 32: 10, 16: 6 },
  condition: { 64: 16, 32: 6, 16: 4 },
  divide: { 64: 40, 32: 20, 16: 10 },
  rotate: { 64: 16, 32: 8, 16: 4 },
  shift: { 64: 18, 32: 8, 16: 4 },
  string: { 64: 36, 32: 18, 16: 12 },
  stack: { 64: 20, 32: 14, 16: 8 },
  atomic: { 64: 24, 32: 12, 16: 6 },
  multiply: { 64: 26, 32: 12, 16: 6 },
  move: { 64: 18, 32: 10, 16: 6 },
  flags: { 64: 40, 32: 20, 16: 6 },
  bcd: { 64: 0, 32: 250, 16: 40 },
  hint: { 64: 2, 32: 1, 16: 1 },
  segment: { 64: 8, 32: 8, 16: 4 },
  far: { 64: 30, 32: 30, 16: 10 },
  interrupt: { 64: 3, 32: 20, 16: 8 },
  privileged: { 64: 1, 32: 1, 16: 1 },
  illegal: { 64: 2, 32: 1, 16: 1 },
};
/** Few forms will do where operands matter little. */
const FEW_FORMS = new Set(['hint', 'privileged', 'illegal']);

/** SYSRET outside 64-bit mode is #UD for Intel, #GP for AMD. */
const VENDORS_DIFFER_OUTSIDE_64 = new Set([Code.Sysretd]);

const ADDRESS_SIZES: Record<VectorMode, (16 | 32 | 64)[]> = { 64: [64, 32], 32: [32, 16], 16: [16, 32] };

function stringWishes(code: Code, mode: VectorMode): Wish[] {
  const repeats = /^(Cmps|Scas)/.test(mnemonicOf(code))
    ? ([undefined, 'rep', 'repne'] as const)
    : ([undefined, 'rep'] as const);
  return ADDRESS_SIZES[mode].flatMap((addressBits) =>
    repeats.map((repeat) => ({ addressBits, ...(repeat && { repeat }) })),
  );
}

// MOV with an address in the instruction: one in every block that the address size reaches.
function directWishes(mode: VectorMode, random: Random): Wish[] {
  const reach: Record<number, RegionName[]> = { 64: ['D', 'H'], 32: ['D', 'L'], 16: ['L'] };
  return ADDRESS_SIZES[mode].flatMap((addressBits) =>
    (reach[addressBits] ?? []).map((region) => ({
      addressBits,
      immediate: REGIONS[region].block + 0x40n + BigInt(random.below(0x60)),
    })),
  );
}

const immediates = (values: readonly number[]): Wish[] => values.map((value) => ({ immediate: BigInt(value) }));

const segments = (code: Code): Wish[] =>
  [0, 1, 2, 3, 4, 5].flatMap((index) => {
    const immediate = BigInt(index);
    return canBeMemory(code) ? [{ immediate }, { immediate, shape: 'base+disp8' as const }] : [{ immediate }];
  });

function specialWishes(code: Code, mode: VectorMode, random: Random): Wish[] | undefined {
  const kinds = operandKinds(code);
  const name = mnemonicOf(code);
  if (/^(Movs|Cmps|Stos|Lods|Scas)[bwdq]$/.test(name)) return stringWishes(code, mode);
  if (kinds.includes(Kind.mem_offs)) return directWishes(mode, random);
  if (kinds.includes(Kind.seg_reg)) return segments(code);
  if (kinds.includes(Kind.seg_rBX_al)) return ADDRESS_SIZES[mode].map((addressBits) => ({ addressBits }));
  if (/^(Ins|Outs)[bwd]$/.test(name)) return [{ addressBits: mode }];
  if (kinds.includes(Kind.farbr2_2) || kinds.includes(Kind.farbr4_2))
    return immediates([0x23, 0x33, 0x2b, 0, 0x10, 0xf8]);
  if (name === 'Int') return immediates([0, 1, 3, 4, 6, 8, 13, 14, 0x20, 0xff]);
  if (name === 'Aam' || name === 'Aad') return immediates([10, 0, 1, 2, 7, 16, 0x80, 0xff]);
  if (name === 'Retf' && kinds.length > 0) return immediates([0, 2, 4, 8, 16, 0x28]);
  if (name === 'Enter') return immediates([0, 0, 1, 8, 16, 24, 32, 32]);
  return undefined;
}

const shapes = (count: number, random: Random): AddressShape[] =>
  Array.from({ length: count }, () => random.pick(ADDRESS_SHAPES));

function wishes(code: Code, mode: VectorMode, family: string, random: Random): Wish[] {
  const few = FEW_FORMS.has(family);
  const special = specialWishes(code, mode, random);
  if (special) return special;
  if (family === 'address') return ADDRESS_SHAPES.flatMap((shape) => [{ shape }, { shape }]);
  const more = hasImmediate(code) ? 2 : 0;
  const registers =
    operandKinds(code).length === 0
      ? [{}, {}, {}]
      : [{}, {}, { sameRegister: true }, ...Array.from({ length: more }, () => ({}))];
  const memory = shapes(few ? 2 : 3 + more, random).map((shape) => ({ shape }));
  const bytes = /_r8|_rm8/.test(Code[code] ?? '') ? [{ highByte: true }] : [];
  const locked = CodeExt.opCode(code).canUseLockPrefix ? shapes(2, random).map((shape) => ({ shape, lock: true })) : [];
  return [
    ...(mustBeMemory(code) ? [] : [...registers.slice(0, few ? 1 : 9), ...bytes]),
    ...(canBeMemory(code) ? memory : []),
    ...(canBeMemory(code) ? locked : []),
  ];
}

/** All forms of a Code in a mode; none when the mode has no such Code (or only AMD's rules give it one). */
function formsOf(code: Code, mode: VectorMode, family: string, random: Random): Form[] {
  if (!CodeExt.opCode(code).isAvailableInMode(mode) || (mode !== 64 && VENDORS_DIFFER_OUTSIDE_64.has(code))) return [];
  const list = wishes(code, mode, family, random);
  const scarce = list.length === 1 && operandKinds(code).length > 0 ? [...list, ...list] : list;
  return scarce.map((wish) => makeForm(code, mode, wish, random)).filter((form) => form !== undefined);
}

export function casesOf(form: Form, count: number, random: Random, aim?: bigint): Case[] {
  const cases: Case[] = [];
  for (let index = 0; index < count; index++) {
    const input = makeInput(form, index, random, aim);
    if (input) cases.push({ form, name: form.name, text: form.text, bytes: form.bytes, ...input });
  }
  return cases;
}

/** The cases of one Code in one mode. */
export function casesOfCode(code: Code, mode: VectorMode, family: string, random: Random): Case[] {
  const inputs = (FAMILY_INPUTS[family] ?? DEFAULT_INPUTS)[mode];
  const forms = formsOf(code, mode, family, random);
  // Forms with an immediate have their variety in the immediate.
  const count = hasImmediate(code) && inputs > 4 && family !== 'bcd' ? Math.ceil(inputs * 0.6) : inputs;
  return forms.flatMap((form) => casesOf(form, count, random));
}
