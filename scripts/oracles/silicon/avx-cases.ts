// How many forms of each Code with a VEX prefix, how many inputs of each form, and encodings that no instruction has.
import { Code, CodeExt, MemorySizeExt } from 'iced-x86';
import { backgroundAvx, DEFAULT_FLAGS_MASK, type VectorMode } from '../../../test/vectors/layout.ts';
import { ADDRESS_SHAPES, type AddressShape } from './addressing.ts';
import { type AvxFamily, isGather } from '../../../test/vectors/avxFamilies.ts';
import { isAligned, makeAvxInput } from './avx-inputs.ts';
import type { Case } from './cases.ts';
import { canBeMemory, disassemble, type Form, hasImmediate, makeForm, mustBeMemory, type Wish } from './forms.ts';
import { mnemonicOf, operandKinds } from '../../../test/vectors/codes.ts';
import type { Random } from './random.ts';
import { backgroundState } from './state.ts';

/** Inputs of one Code in a mode, over all its forms. */
const INPUTS: Record<AvxFamily, Record<VectorMode, number>> = {
  'avx-moves': { 64: 14, 32: 2, 16: 1 },
  'avx-integer': { 64: 14, 32: 2, 16: 1 },
  'avx-float': { 64: 36, 32: 3, 16: 1 },
  'avx-masked': { 64: 60, 32: 6, 16: 3 },
  'avx-strings': { 64: 96, 32: 4, 16: 2 },
  fma: { 64: 36, 32: 2, 16: 1 },
};
const PAGE_END = 12;

const shapes = (count: number, random: Random): AddressShape[] =>
  Array.from({ length: count }, () => random.pick(ADDRESS_SHAPES));

/** Alignment of addresses that stand in the instruction. */
const alignmentOf = (code: Code): bigint =>
  isAligned(mnemonicOf(code)) ? BigInt(MemorySizeExt.size(CodeExt.opCode(code).memorySize)) : 1n;

const MORE_IMMEDIATES: readonly (readonly [RegExp, number, number])[] = [
  [/^Vcmp/, 32, 32],
  [/^Vround/, 16, 16],
  [/^Vcvtps2ph$/, 8, 8],
  [/^Vpcmp[ei]str/, 20, 256],
];

function wishes(code: Code, mode: VectorMode, random: Random): Wish[] {
  const full = mode === 64;
  if (mnemonicOf(code) === 'Vmaskmovdqu') return [{}, { addressBits: mode === 32 ? 16 : 32 }];
  const [, count, limit] = MORE_IMMEDIATES.find(([name]) => name.test(mnemonicOf(code))) ?? [undefined, 3, 256];
  const registers = operandKinds(code).length === 0 ? 1 : full ? 2 : 1;
  const list: Wish[] = [];
  for (let at = 0; !mustBeMemory(code) && at < registers; at++) list.push({ sameRegister: at === 1 });
  if (isGather(code)) for (let at = 0; at < (full ? 6 : 2); at++) list.push({});
  else if (canBeMemory(code)) {
    list.push(...shapes(full ? 2 : 1, random).map((shape) => ({ shape, align: alignmentOf(code) })));
  }
  if (hasImmediate(code) && full) list.push(...Array.from({ length: count }, () => ({})));
  const immediate = (at: number): Wish =>
    limit < 256 ? { immediate: BigInt(random.chance(8) ? random.below(256) : at % limit) } : {};
  return list.map((wish, at) => (hasImmediate(code) ? { ...immediate(at), ...wish } : wish));
}

function casesOfForm(form: Form, family: AvxFamily, count: number, random: Random): Case[] {
  const cases: Case[] = [];
  for (let index = 0; index < count; index++) {
    const input = makeAvxInput(form, family, index, random, random.below(PAGE_END) === 0);
    if (input) cases.push({ form, name: form.name, text: form.text, bytes: form.bytes, ...input });
  }
  return cases;
}

const [RAX, RDX] = [0, 2];

/** The cases of one Code in one mode; none where the mode has no such Code. */
export function avxCasesOfCode(code: Code, mode: VectorMode, family: AvxFamily, random: Random): Case[] {
  if (!CodeExt.opCode(code).isAvailableInMode(mode)) return [];
  const avoid = mnemonicOf(code).startsWith('Vpcmpestr') ? [RAX, RDX] : [];
  const forms = wishes(code, mode, random)
    .map((wish) => makeForm(code, mode, wish, random, avoid))
    .filter((form) => form !== undefined);
  const count = Math.ceil(INPUTS[family][mode] / Math.max(1, forms.length));
  return forms.flatMap((form) => casesOfForm(form, family, count, random));
}

// Encodings that are none ---------------------------------------------------------------------------------------------------

/** What must not stand before a VEX prefix: operand size, LOCK, REPNE, REP, and REX. */
const FORBIDDEN: Record<VectorMode, readonly number[]> = {
  64: [0x66, 0xf0, 0xf2, 0xf3, 0x40, 0x48],
  32: [0x66, 0xf0, 0xf2, 0xf3],
  16: [0x66, 0xf0, 0xf2, 0xf3],
};

const asCase = (bytes: Uint8Array, mode: VectorMode): Case => ({
  form: undefined,
  name: 'undefined',
  text: `.byte ${Array.from(bytes, (byte) => `0x${byte.toString(16)}`).join()}`,
  bytes,
  state: { ...backgroundState(mode), fpu: backgroundAvx() },
  flagsMask: DEFAULT_FLAGS_MASK,
});

/** One bit of the prefix, the opcode or what follows changed: some are instructions, and left out here. */
function changed(bytes: Uint8Array, random: Random): Uint8Array {
  const copy = Uint8Array.from(bytes);
  const at = 1 + random.below(Math.min(4, copy.length - 1));
  copy[at] = (copy[at] ?? 0) ^ (1 << random.below(8));
  return copy;
}

/** Opcodes of AVX-512's mask instructions, which this CPU has and takes more loosely than iced. */
function isMaskOpcode(bytes: Uint8Array): boolean {
  const opcode = bytes[bytes[0] === 0xc5 ? 2 : 3] ?? 0;
  return (opcode >= 0x41 && opcode <= 0x4b) || (opcode >= 0x90 && opcode <= 0x99);
}

const INT3 = 0xcc;

const PER_MODE: Record<VectorMode, number> = { 64: 400, 32: 60, 16: 30 };

/** Instructions with a prefix before VEX that may not be there, and encodings that lead to none. */
export function illegalVexCases(codes: readonly Code[], mode: VectorMode, random: Random): Case[] {
  const cases: Case[] = [];
  const usable = codes.filter((code) => CodeExt.opCode(code).isAvailableInMode(mode));
  while (cases.length < PER_MODE[mode]) {
    const code = random.pick(usable);
    const form = makeForm(code, mode, {}, random);
    if (!form || form.address) continue;
    const bytes = random.chance(15)
      ? Uint8Array.of(random.pick(FORBIDDEN[mode]), ...form.bytes)
      : changed(form.bytes, random);
    // Behind it there is INT3: what needs more bytes takes those.
    const { instruction } = disassemble(Uint8Array.of(...bytes, ...Array<number>(12).fill(INT3)), mode);
    const isNone = instruction.code === Code.INVALID && !isMaskOpcode(bytes);
    instruction.free();
    if (isNone) cases.push(asCase(bytes, mode));
  }
  return cases;
}
