// What is known of a register in startup code, in the one respect that matters before the kernel mapping is installed: is
// it an address in the 1:1 map (where the kernel was loaded), or a virtual address of the kernel? Startup code computes with
// both: `lea x(%rip)` gives the first, `$x` the second, and `lea x(%rdi); sub $_text` with the load address in %rdi
// turns a second into a first. So a value is a sum of such addresses, counted, and of numbers:
//
//   plus - minus kernel addresses + loaded load addresses + sum (+ something unknown)
//
// A memory access at a value with a kernel address left in it is the fault that the audit looks for.

import { KERNEL_MAP } from './layout.ts';

/** A constant in the file that is a kernel address. */
export interface Constant {
  /** Of the instruction it stands in; for a word of data, of the instruction that loads it. */
  readonly instruction: number;
  /** Where its bytes stand. */
  readonly address: number;
  readonly bytes: 4 | 8;
  readonly value: number;
  readonly kind: 'immediate' | 'displacement' | 'data';
}

export interface Value {
  /** Kernel addresses in it, in the order they came; those that a subtraction took off are gone. */
  readonly plus: readonly Constant[];
  /** Kernel addresses subtracted that found none to take off. */
  readonly minus: number;
  /** Addresses in the 1:1 map in it. */
  readonly loaded: number;
  /** Whether it is counted from the stack pointer at the function's entry. */
  readonly stack: boolean;
  /** Whether there is an unknown summand. */
  readonly unknown: boolean;
  /** Sum of all link addresses and numbers in it, where that is the same on all ways here. */
  readonly sum: number | undefined;
}

/** Alternatives, one for each way that led here; at least one. */
export type Values = readonly Value[];

const NOTHING = { plus: [], minus: 0, loaded: 0, stack: false, unknown: false, sum: undefined } as const;

export const UNKNOWN: Value = { ...NOTHING, unknown: true };
export const ANY: Values = [UNKNOWN];

export const numberValue = (sum: number): Value => ({ ...NOTHING, sum });
export const loadedValue = (address: number): Value => ({ ...NOTHING, loaded: 1, sum: address });
export const stackValue = (offset: number): Value => ({ ...NOTHING, stack: true, sum: offset });
export const constantValue = (constant: Constant): Value => ({ ...NOTHING, plus: [constant], sum: constant.value });

const MAP_START = constantValue({ instruction: 0, address: 0, bytes: 8, value: KERNEL_MAP, kind: 'immediate' });

/** More summands than startup code adds up; a sum beyond is unknown. */
const MOST_SUMMANDS = 4;
/** More alternatives than are followed: later ones without a kernel address are dropped first. */
const MOST_ALTERNATIVES = 4;

export function addValues(a: Value, b: Value): Value {
  const lessMap = mapDistance(b) ?? mapDistance(a);
  if (lessMap !== undefined) {
    const shorter = subtractValues(mapDistance(b) === undefined ? b : a, MAP_START);
    return lessMap === 0 ? shorter : { ...shorter, sum: sumOf(shorter.sum, lessMap) };
  }
  const plus = [...a.plus, ...b.plus];
  const taken = Math.min(plus.length, a.minus + b.minus);
  return bounded({
    plus: plus.slice(0, plus.length - taken),
    minus: a.minus + b.minus - taken,
    loaded: a.loaded + b.loaded,
    stack: a.stack || b.stack,
    unknown: a.unknown || b.unknown || (a.stack && b.stack),
    sum: sumOf(a.sum, b.sum),
  });
}

/** Flags of a page-table entry, or an offset in a page, that a constant may have in its low bits. */
const LOW_BITS = 0x1000;

/**
 * 2^31 is what is left of -__START_KERNEL_map where the upper half of a 64-bit number is not written out: __pa adds it to
 * take the start of the mapping off. Compilers add the flags of a page-table entry to it at once.
 * @returns what is added beside, undefined for any other value
 */
function mapDistance({ plus, minus, loaded, stack, unknown, sum }: Value): number | undefined {
  if (sum === undefined || plus.length + minus + loaded !== 0 || stack || unknown) return undefined;
  const rest = sum + KERNEL_MAP;
  return rest >= 0 && rest < LOW_BITS ? rest : undefined;
}

/** -a: kernel addresses in it are taken off whatever it is added to. */
export const negateValue = (value: Value): Value => subtractValues(numberValue(0), value);

/** The start of the mapping, perhaps with such low bits. */
export const isMapStart = (value: number): boolean => value >= KERNEL_MAP && value < KERNEL_MAP + LOW_BITS;

/** a - b. The last kernel address that came into `a` is the one that is taken off. */
export function subtractValues(a: Value, b: Value): Value {
  const lessMap = mapDistance(b);
  if (lessMap !== undefined) {
    const longer = addValues(a, MAP_START);
    return { ...longer, sum: sumOf(longer.sum, -lessMap) };
  }
  const taken = Math.min(a.plus.length, b.plus.length);
  return bounded({
    plus: a.plus.slice(0, a.plus.length - taken),
    minus: Math.max(0, a.minus + b.plus.length - taken - b.minus),
    loaded: a.loaded - b.loaded,
    stack: a.stack && !b.stack,
    unknown: a.unknown || b.unknown || (b.stack && !a.stack) || b.minus > 0,
    sum: a.sum === undefined || b.sum === undefined ? undefined : sumOf(a.sum, -b.sum),
  });
}

/** The value with its low bits changed: aligned, or with flags of a page-table entry in it. */
export const withLowBits = (value: Value): Value => (value.sum === undefined ? value : { ...value, sum: undefined });

const sumOf = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined || !Number.isSafeInteger(a + b) ? undefined : a + b;

const bounded = (value: Value): Value =>
  value.plus.length > MOST_SUMMANDS || value.minus > MOST_SUMMANDS || Math.abs(value.loaded) > MOST_SUMMANDS
    ? { ...UNKNOWN, plus: value.plus.slice(0, 1) }
    : value;

/** Each alternative of one with each of the other. */
export function combine(a: Values, b: Values, operation: (a: Value, b: Value) => Value): Values {
  return joinValues(
    a.flatMap((x) => b.map((y) => operation(x, y))),
    [],
  );
}

/** All alternatives of both; sums that differ become unknown, so that loops come to an end. */
export function joinValues(a: Values, b: Values): Values {
  const byShape = new Map<string, Value>();
  for (const value of [...a, ...b]) {
    const shape = shapeOf(value);
    const other = byShape.get(shape);
    byShape.set(shape, other === undefined || other.sum === value.sum ? value : withLowBits(other));
  }
  const all = withoutCovered([...byShape.values()]);
  if (all.length <= MOST_ALTERNATIVES) return all;
  const suspects = all.filter((v) => v.plus.length > 0).slice(0, MOST_ALTERNATIVES - 1);
  return [...suspects, UNKNOWN];
}

/** What is unknown may be anything without a kernel address in it; so only those are kept apart from it. */
function withoutCovered(all: readonly Value[]): readonly Value[] {
  const hasUnknown = all.some((v) => v.unknown && v.plus.length === 0);
  return hasUnknown ? [...all.filter((v) => v.plus.length > 0), UNKNOWN] : all;
}

/** Everything but the sum. */
export function shapeOf({ plus, minus, loaded, stack, unknown }: Value): string {
  return `${plus.map((c) => c.address).join(',')};${minus};${loaded};${stack ? 's' : ''}${unknown ? 'u' : ''}`;
}

export const sameValues = (a: Values, b: Values): boolean =>
  a === b || (a.length === b.length && a.every((v, i) => b[i]?.sum === v.sum && shapeOf(v) === shapeOf(b[i] as Value)));
