// What startup code has in its registers and on its stack at one instruction.
import { RSP, type RegisterNumber } from './operation.ts';
import { ANY, joinValues, sameValues, stackValue, type Value, type Values } from './values.ts';

export interface State {
  /** By RegisterNumber. */
  readonly registers: Values[];
  /** Eight-byte slots, by their distance from the stack pointer at the function's entry. */
  readonly slots: Map<number, Values>;
  /** CR3 was written on the way: the kernel's own page tables may be in use. */
  mapped: boolean;
}

const REGISTERS = 16;

/** At a function's entry, with the stack pointer at the return address. */
export function entryState(registers: readonly Values[]): State {
  const own = Array.from({ length: REGISTERS }, (_, i) => registers[i] ?? ANY);
  own[RSP] = [stackValue(0)];
  return { registers: own, slots: new Map(), mapped: false };
}

export const copyState = ({ registers, slots, mapped }: State): State => ({
  registers: [...registers],
  slots: new Map(slots),
  mapped,
});

/** What holds on both ways; `a` itself where `b` adds nothing. */
export function joinStates(a: State, b: State): State {
  const registers = a.registers.map((values, i) => joined(values, b.registers[i] ?? ANY));
  const slots = new Map<number, Values>();
  for (const [at, values] of a.slots) {
    const others = b.slots.get(at);
    if (others !== undefined) slots.set(at, joined(values, others));
  }
  const same =
    slots.size === a.slots.size &&
    registers.every((values, i) => values === a.registers[i]) &&
    [...slots].every(([at, values]) => values === a.slots.get(at));
  return same ? a : { registers, slots, mapped: a.mapped };
}

function joined(a: Values, b: Values): Values {
  if (sameValues(a, b)) return a;
  const both = joinValues(a, b);
  return sameValues(both, a) ? a : both;
}

export const registerValues = (state: State, register: RegisterNumber): Values => state.registers[register] ?? ANY;

/** Moves the stack pointer; a stack somewhere else starts anew. */
export function setStackPointer(state: State, values: Values): void {
  const [only] = values;
  if (values.length === 1 && only?.stack === true) {
    state.registers[RSP] = values;
    return;
  }
  state.registers[RSP] = [stackValue(0)];
  state.slots.clear();
}

/** Offset of the stack pointer; undefined where ways with different ones met. */
export function stackOffset(state: State): number | undefined {
  const values = registerValues(state, RSP);
  const [only] = values;
  return values.length === 1 && only !== undefined ? slotOf(only) : undefined;
}

/** The slot that an address means. */
export const slotOf = (address: Value): number | undefined =>
  address.stack && !address.unknown && address.plus.length === 0 && address.loaded === 0 ? address.sum : undefined;

export function pushValues(state: State, values: Values): void {
  moveStack(state, -8);
  const top = stackOffset(state);
  if (top !== undefined) state.slots.set(top, values);
}

export function popValues(state: State): Values {
  const top = topOfStack(state);
  moveStack(state, 8);
  return top;
}

export function topOfStack(state: State): Values {
  const top = stackOffset(state);
  return top === undefined ? ANY : (state.slots.get(top) ?? ANY);
}

function moveStack(state: State, by: number): void {
  const top = stackOffset(state);
  if (top !== undefined) state.registers[RSP] = [stackValue(top + by)];
}
