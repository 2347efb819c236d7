// How many forms of each x87, MMX or SSE Code, and how many inputs of each form.
import { type Code, CodeExt, MemorySizeExt } from 'iced-x86';
import type { VectorMode } from '../../../test/vectors/layout.ts';
import { ADDRESS_SHAPES, type AddressShape } from './addressing.ts';
import type { Case } from './cases.ts';
import { canBeMemory, type Form, hasImmediate, makeForm, mustBeMemory, type Wish } from './forms.ts';
import { mnemonicOf, operandKinds } from '../../../test/vectors/codes.ts';
import type { Random } from './random.ts';
import type { VectorFamily } from './vector-families.ts';
import { makeVectorInput } from './vector-inputs.ts';

/** Inputs of one Code in a mode, over all its forms. */
const INPUTS: Record<VectorFamily, Record<VectorMode, number>> = {
  'sse-moves': { 64: 36, 32: 8, 16: 3 },
  'sse-integer': { 64: 48, 32: 6, 16: 2 },
  'sse-float': { 64: 80, 32: 8, 16: 3 },
  mmx: { 64: 36, 32: 6, 16: 2 },
  x87: { 64: 70, 32: 10, 16: 4 },
  transcendental: { 64: 90, 32: 10, 16: 4 },
  ssse3: { 64: 36, 32: 6, 16: 2 },
  'sse4-integer': { 64: 40, 32: 6, 16: 2 },
  'sse4-float': { 64: 200, 32: 8, 16: 3 },
  'sse4-string': { 64: 560, 32: 12, 16: 4 },
  fisttp: { 64: 160, 32: 20, 16: 8 },
};
/** Comparisons have eight predicates, and shuffles and shifts their variety, in the immediate. */
const MORE_IMMEDIATES = 6;
const PAGE_END = 20;

const shapes = (count: number, random: Random): AddressShape[] =>
  Array.from({ length: count }, () => random.pick(ADDRESS_SHAPES));

const alignmentOf = (code: Code): bigint => {
  const size = MemorySizeExt.size(CodeExt.opCode(code).memorySize);
  return size === 16 ? 16n : 1n;
};

/** Every way of comparing strings that the immediate can ask for; its top bit means nothing. */
function stringWishes(code: Code, mode: VectorMode, random: Random): Wish[] {
  const immediates = Array.from({ length: mode === 64 ? 128 : 3 }, (_, at) =>
    BigInt(mode === 64 ? at : random.below(256)),
  );
  const memory = shapes(mode === 64 ? 12 : 1, random).map((shape) => ({ shape, immediate: BigInt(random.below(256)) }));
  return [...immediates.map((immediate) => ({ immediate })), ...memory];
}

function wishes(code: Code, mode: VectorMode, random: Random): Wish[] {
  const full = mode === 64;
  if (/^Pcmp[ei]str/.test(mnemonicOf(code))) return stringWishes(code, mode, random);
  if (mnemonicOf(code).startsWith('Maskmov')) return [{}, { addressBits: mode === 32 ? 16 : 32 }];
  const compares = /^Cmp[ps][sd]$/.test(mnemonicOf(code));
  const rounds = mnemonicOf(code).startsWith('Round');
  const immediate = (at: number): Wish => {
    if (rounds) return { immediate: BigInt((at % 16) | (random.chance(10) ? 0xf0 : 0)) };
    return compares ? { immediate: BigInt(at % 8) } : {};
  };
  const registers = operandKinds(code).length === 0 ? 1 : full ? 3 : 1;
  const memory = shapes(full ? 3 : 1, random).map((shape) => ({ shape, align: alignmentOf(code) }));
  const list: Wish[] = [];
  for (let at = 0; !mustBeMemory(code) && at < registers; at++) list.push({ sameRegister: at === 2 });
  if (canBeMemory(code)) list.push(...memory);
  if (hasImmediate(code) && full)
    list.push(...Array.from({ length: rounds ? 3 * MORE_IMMEDIATES : MORE_IMMEDIATES }, () => ({})));
  return list.map((wish, at) => ({ ...immediate(at), ...wish }));
}

function casesOfForm(form: Form, family: VectorFamily, count: number, random: Random): Case[] {
  const cases: Case[] = [];
  for (let index = 0; index < count; index++) {
    const input = makeVectorInput(form, family, index, random, random.below(PAGE_END) === 0);
    if (input) cases.push({ form, name: form.name, text: form.text, bytes: form.bytes, ...input });
  }
  return cases;
}

const [RAX, RDX] = [0, 2];
const readsLengths = (code: Code): boolean => mnemonicOf(code).startsWith('Pcmpestr');

/** The cases of one Code in one mode; none where the mode has no such Code. */
export function vectorCasesOfCode(code: Code, mode: VectorMode, family: VectorFamily, random: Random): Case[] {
  if (!CodeExt.opCode(code).isAvailableInMode(mode)) return [];
  const forms = wishes(code, mode, random)
    .map((wish) => makeForm(code, mode, wish, random, readsLengths(code) ? [RAX, RDX] : []))
    .filter((form) => form !== undefined);
  const count = Math.ceil(INPUTS[family][mode] / Math.max(1, forms.length));
  return forms.flatMap((form) => casesOfForm(form, family, count, random));
}
