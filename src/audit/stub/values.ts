// What is known of a register of stub code, in the one respect that matters: which constants of the code are in it, and whether
// the load address is. A value is a sum:
//
//   constants - taken constants + bias times the load address (+ something unknown)
//
// The stub is linked at 0, so a constant that is an address becomes right by adding the load address, once; `lea x(%rip)` has
// it, and so has what hand-written code keeps in a base register. A memory access by a constant without it is the fault.

/** Names a constant: the instruction's offset, and where in it its bytes stand. */
export type ConstantKey = number;

export const keyOf = (at: number, offset: number): ConstantKey => at * 16 + offset;

export type Value = {
  readonly constants: readonly ConstantKey[];
  /** Constants that were subtracted and met no other to cancel. */
  readonly taken: readonly ConstantKey[];
  /** How often the load address is in it. */
  readonly bias: number;
  /** It was there before this code began, in a register that calls preserve: perhaps a base kept for all to use. */
  readonly inherited: boolean;
  readonly unknown: boolean;
  /** Shifted right: a count of larger things than bytes, or a page number. */
  readonly scaled: boolean;
};

/** Alternatives, one for each way that led here; at least one. */
export type Values = readonly Value[];

const NOTHING: Value = {
  ...{ constants: [], taken: [], bias: 0, inherited: false, unknown: false, scaled: false },
};

export const NUMBER: Values = [NOTHING];
export const UNKNOWN: Values = [{ ...NOTHING, unknown: true }];
export const INHERITED: Values = [{ ...NOTHING, unknown: true, inherited: true }];
/** An address where the code runs. */
export const RUNTIME: Values = [{ ...NOTHING, bias: 1 }];
export const constantValues = (key: ConstantKey): Values => [{ ...NOTHING, constants: [key] }];

/** More summands than code adds up; the rest is forgotten. */
const MOST_CONSTANTS = 3;
const MOST_ALTERNATIVES = 6;

export const addValue = (a: Value, b: Value): Value =>
  made(
    [...a.constants, ...b.constants],
    [...a.taken, ...b.taken],
    a.bias + b.bias,
    a.inherited || b.inherited,
    a.unknown || b.unknown,
  );

export const negated = (value: Value): Value => ({
  ...value,
  constants: value.taken,
  taken: value.constants,
  bias: -value.bias,
});

export const subtractValue = (a: Value, b: Value): Value => addValue(a, negated(b));

function made(
  constants: readonly ConstantKey[],
  taken: readonly ConstantKey[],
  bias: number,
  inherited: boolean,
  unknown: boolean,
): Value {
  return {
    constants: [...new Set(constants)].slice(0, MOST_CONSTANTS),
    taken: [...new Set(taken)].slice(0, MOST_CONSTANTS),
    bias: Math.max(-2, Math.min(2, bias)),
    ...{ inherited, unknown, scaled: false },
  };
}

/** Each alternative of one with each of the other. */
export const combine = (a: Values, b: Values, operation: (a: Value, b: Value) => Value): Values =>
  joinValues(
    a.flatMap((x) => b.map((y) => operation(x, y))),
    [],
  );

const shapeOf = ({ constants, taken, bias, inherited, unknown, scaled }: Value): string =>
  `${constants.join(',')};${taken.join(',')};${bias}${inherited ? 'i' : ''}${unknown ? 'u' : ''}${scaled ? 's' : ''}`;

/** All alternatives of both, those with constants first where there are too many. */
export function joinValues(a: Values, b: Values): Values {
  if (a === b) return a;
  const all = [...new Map([...a, ...b].map((value) => [shapeOf(value), value])).values()];
  if (all.length <= MOST_ALTERNATIVES) return all;
  const ofConstants = all.filter(({ constants }) => constants.length > 0);
  return [...ofConstants, ...all.filter(({ constants }) => constants.length === 0)].slice(0, MOST_ALTERNATIVES);
}

export const sameValues = (a: Values, b: Values): boolean =>
  a === b || (a.length === b.length && a.every((value, i) => shapeOf(value) === shapeOf(b[i] as Value)));
