// The inputs of a form: first every operand it reads gets an edge value, then the address registers are aimed, then the
// instruction's own entry in `adjust.ts` makes the case worth having (a divisor that fits, a return address, ...).
import { InstructionInfoFactory, MemorySizeExt, Mnemonic, OpAccess, OpKind } from 'iced-x86';
import { ARITHMETIC_FLAGS, REGIONS, RFLAGS_BITS, RSP } from '../../../test/vectors/layout.ts';
import { ADJUST, shiftCount } from './adjust.ts';
import { definedFlags, isCounted } from './defined-flags.ts';
import { type Draft, operandBits } from './draft.ts';
import type { Form } from './forms.ts';
import type { Random } from './random.ts';
import {
  backgroundState,
  blockOf,
  type RegisterPart,
  regionOf,
  registerPart,
  type State,
  writeMemory,
  writePart,
} from './state.ts';
import { edgeValue, relatedValue } from './values.ts';

const infoFactory = new InstructionInfoFactory();
const READS = new Set<OpAccess>([OpAccess.Read, OpAccess.CondRead, OpAccess.ReadWrite, OpAccess.ReadCondWrite]);

function explicitParts(form: Form): RegisterPart[] {
  const parts: RegisterPart[] = [];
  for (let operand = 0; operand < form.instruction.opCount; operand++) {
    if (form.instruction.opKind(operand) !== OpKind.Register) continue;
    const part = registerPart(form.instruction.opRegister(operand));
    if (part) parts.push(part);
  }
  return parts;
}

function implicitParts(form: Form): RegisterPart[] {
  const info = infoFactory.info(form.instruction);
  const used = info.usedRegisters() as { register: number; access: OpAccess }[];
  const parts = used.filter(({ access }) => READS.has(access)).map(({ register }) => registerPart(register));
  info.free();
  return parts.filter((part) => part !== undefined);
}

const partsCache = new WeakMap<Form, RegisterPart[]>();

/** Every register part whose value matters, without the address registers and the stack pointer of stack instructions. */
function inputParts(form: Form): RegisterPart[] {
  const known = partsCache.get(form);
  if (known) return known;
  const busy = new Set(form.address?.registers);
  if (form.instruction.isStackInstruction) busy.add(RSP);
  const seen = new Set<string>();
  const parts = [...explicitParts(form), ...implicitParts(form)].filter((part) => {
    const key = `${part.index} ${part.bits} ${part.high}`;
    if (busy.has(part.index) || seen.has(key)) return false;
    seen.add(key);
    return true;
  });
  partsCache.set(form, parts);
  return parts;
}

function randomFlags(index: number, random: Random): number {
  const arithmetic = index === 0 ? 0 : index === 1 ? ARITHMETIC_FLAGS : random.u32() & ARITHMETIC_FLAGS;
  return arithmetic | (random.chance(12) ? RFLAGS_BITS.DF : 0);
}

function aimMemory(draft: Draft, aim: bigint | undefined): void {
  const { form, state, random } = draft;
  const bits = MemorySizeExt.size(form.instruction.memorySize) * 8;
  if (form.address) {
    const wanted = aim ?? REGIONS[form.address.region].block + 0x40n + BigInt(random.below(0x60));
    draft.memory = { address: form.address.solve(state, wanted, random), bits };
  } else if (hasDirectAddress(form)) draft.memory = { address: form.instruction.memoryDisplacementU64, bits };
}

// MOV between the accumulator and an address in the instruction (moffs).
const hasDirectAddress = (form: Form): boolean =>
  form.instruction.mnemonic === Mnemonic.Mov &&
  [form.instruction.op0Kind, form.instruction.op1Kind].includes(OpKind.Memory);

function fillOperands(draft: Draft, aim: bigint | undefined): void {
  const { form, state, random } = draft;
  let previous = 0n;
  inputParts(form).forEach((part, at) => {
    previous = at === 0 ? edgeValue(part.bits, random) : relatedValue(part.bits, previous, random);
    writePart(state, part, previous);
  });
  aimMemory(draft, aim);
  if (!draft.memory) return;
  if (aim !== undefined && form.address) {
    blockOf(state, form.address.region);
    return;
  }
  const { address, bits } = draft.memory;
  const region = regionOf(address);
  if (!region) throw new Error(`${form.text} misses every block: ${address.toString(16)}`);
  blockOf(state, region);
  if ([8, 16, 32, 64, 128].includes(bits)) writeMemory(state, address, bits, relatedValue(bits, previous, random));
}

export interface Input {
  state: State;
  /** Flags that are defined if the instruction runs to its end. */
  flagsMask: number;
}

/**
 * Makes the `index`th input of a form; undefined if the draw came out as one whose result the manual leaves open.
 * `aim` is where the memory operand should lie, if not somewhere in its block.
 */
export function makeInput(form: Form, index: number, random: Random, aim?: bigint): Input | undefined {
  const state = backgroundState(form.mode);
  const draft: Draft = { form, state, random, index, memory: undefined };
  state.rflags |= randomFlags(index, random);
  fillOperands(draft, aim);
  if (ADJUST[form.mnemonic]?.(draft) === false) return undefined;
  if (form.mode !== 64) state.regs = state.regs.map((value, at) => (at < 8 ? BigInt.asUintN(32, value) : 0n));
  const count = isCounted(form) ? shiftCount(draft) : undefined;
  return { state, flagsMask: definedFlags(form, operandBits(draft, 0), count) };
}
