// Inputs of the string instructions: pointers in the middle of a block, counts around zero, both directions, and data
// in which the repeated comparisons stop early, late or not at all.
import { OpKind } from 'iced-x86';
import { GPR } from '../../../src/x86/registers.ts';
import { REGIONS, RFLAGS_BITS, type RegionName } from '../../../test/vectors/layout.ts';
import type { Draft } from './draft.ts';
import { blockOf, readMemory, writeMemory, writePart } from './state.ts';
import { edgeValue } from './values.ts';

const { RAX, RCX, RSI, RDI } = GPR;
const COUNTS = [0, 1, 2, 3, 5, 8];
const ELEMENT_BITS: Record<string, number> = { b: 8, w: 16, d: 32, q: 64 };
const ADDRESS_BITS = new Map<OpKind, number>([
  [OpKind.MemorySegSI, 16],
  [OpKind.MemoryESDI, 16],
  [OpKind.MemorySegESI, 32],
  [OpKind.MemoryESEDI, 32],
  [OpKind.MemorySegRSI, 64],
  [OpKind.MemoryESRDI, 64],
]);

interface Run {
  draft: Draft;
  element: number;
  addressBits: number;
  region: RegionName;
  source: bigint;
  destination: bigint;
  count: number;
}

const setRegister = (run: Run, index: number, value: bigint): void =>
  writePart(run.draft.state, { index, bits: run.addressBits, high: false }, BigInt.asUintN(run.addressBits, value));

// Rubbish above a narrow address or counter, but for a count of 0: whether that clears upper halves the manual leaves open.
function setPointers(run: Run): void {
  const { draft } = run;
  const clean = run.count === 0 && run.addressBits === 32;
  for (const index of [RCX, RSI, RDI]) draft.state.regs[index] = clean ? 0n : draft.random.bits(64);
  setRegister(run, RSI, run.source);
  setRegister(run, RDI, run.destination);
  setRegister(run, RCX, BigInt(run.count));
}

function choosePlace(draft: Draft, addressBits: number): { region: RegionName; source: bigint; destination: bigint } {
  const { random } = draft;
  const region: RegionName = addressBits === 16 ? 'L' : addressBits === 64 && random.chance(25) ? 'H' : 'D';
  blockOf(draft.state, region);
  const source = REGIONS[region].block + 0x50n + BigInt(random.below(16));
  // Overlapping by a byte, a word, a few; or apart.
  const near = random.chance(25) ? BigInt(random.below(17) - 8) : 0x50n;
  return { region, source, destination: source + near };
}

// SCAS compares with the accumulator, CMPS the two strings: make the first elements alike.
function alignData(run: Run): void {
  const { draft, element, source, destination } = run;
  const { random, state, form } = draft;
  const step = BigInt(element / 8) * (state.rflags & RFLAGS_BITS.DF ? -1n : 1n);
  const value = edgeValue(element, random);
  if (form.mnemonic.startsWith('Scas')) writePart(state, { index: RAX, bits: element, high: false }, value);
  const alike = random.below(10);
  for (let at = 0n; at < BigInt(alike); at++) {
    const same = form.mnemonic.startsWith('Scas') ? value : readMemory(state, source + at * step, element);
    // REPNE goes on while elements differ: there the alike one comes at the end.
    if (!form.instruction.hasRepnePrefix || at === BigInt(alike) - 1n) {
      writeMemory(state, destination + at * step, element, same);
    }
  }
}

export function adjustString(draft: Draft): void {
  const { form, random, state, index } = draft;
  const kinds = [form.instruction.op0Kind, form.instruction.op1Kind];
  const addressBits = kinds.map((kind) => ADDRESS_BITS.get(kind)).find((bits) => bits !== undefined) ?? 64;
  const element = ELEMENT_BITS[form.mnemonic.slice(-1)] ?? 8;
  state.rflags = (state.rflags & ~RFLAGS_BITS.DF) | (random.chance(50) ? RFLAGS_BITS.DF : 0);
  const run: Run = {
    draft,
    element,
    addressBits,
    count: COUNTS[index % COUNTS.length] ?? 0,
    ...choosePlace(draft, addressBits),
  };
  setPointers(run);
  if (/^(Scas|Cmps)/.test(form.mnemonic)) alignData(run);
}
