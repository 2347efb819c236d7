// The elements of vector operands: what an instruction takes them for, told by its name, and values for them.
import {
  DOUBLE,
  type FloatFormat,
  floatValue,
  HALF,
  isFiniteNonZero,
  partsOf,
  relatedFloat,
  SINGLE,
  specials,
} from './float-values.ts';
import type { Random } from './random.ts';
import { edgeValue, relatedValue } from './values.ts';

/** What the parts of an operand are. */
export interface Lane {
  bits: number;
  float: FloatFormat | undefined;
  /** Draws from these only. */
  only?: readonly bigint[];
}

const INTEGER_BITS: Record<string, number> = { b: 8, w: 16, d: 32, q: 64 };
const single: Lane = { bits: 32, float: SINGLE };
const double: Lane = { bits: 64, float: DOUBLE };
const doubleword: Lane = { bits: 32, float: undefined };
const CONVERTED: Record<string, Lane> = {
  ph: { bits: 16, float: HALF },
  pi: doubleword,
  dq: doubleword,
  si: doubleword,
  ps: single,
  ss: single,
  pd: double,
  sd: double,
};

// RCP and RSQRT are approximations whose error alone is given; these have one answer (Intel SDM vol. 2, RCPPS, RSQRTPS).
const isNegative = (value: bigint): boolean => partsOf(SINGLE, value).sign === 1;
const isDenormalOrNoNumber = (value: bigint): boolean =>
  !isFiniteNonZero(SINGLE, value) || partsOf(SINGLE, value).exponent === 0;
const RECIPROCAL = specials(SINGLE).filter(isDenormalOrNoNumber);
const RECIPROCAL_ROOT = specials(SINGLE).filter((value) => isNegative(value) || isDenormalOrNoNumber(value));

/**
 * The lanes of the instruction's source; the same goes for its destination where it reads that.
 * @param mnemonic as iced-x86 spells it; a VEX form is taken for what its legacy form would be
 */
export function laneOf(mnemonic: string, random: Random): Lane {
  const name = mnemonic.toLowerCase().replace(/^v/, '');
  if (name.startsWith('rcp')) return { ...single, only: RECIPROCAL };
  if (name.startsWith('rsqrt')) return { ...single, only: RECIPROCAL_ROOT };
  const converted = /^cvtt?(ph|pi|dq|si|ps|pd|ss|sd)2/.exec(name)?.[1];
  if (converted) return CONVERTED[converted] ?? single;
  if (/[ps]s$/.test(name) && !name.startsWith('p')) return single;
  if (/[ps]d$/.test(name) && !name.startsWith('p')) return double;
  return { bits: INTEGER_BITS[name.slice(-1)] ?? random.pick([8, 16, 32, 64]), float: undefined };
}

function laneValue(lane: Lane, previous: bigint | undefined, random: Random): bigint {
  if (lane.only) return random.pick(lane.only);
  if (!lane.float) {
    return previous === undefined ? edgeValue(lane.bits, random) : relatedValue(lane.bits, previous, random);
  }
  return previous === undefined ? floatValue(lane.float, random) : relatedFloat(lane.float, previous, random);
}

/** `bits` bits of lanes; `previous` is the other operand. */
export function lanes(lane: Lane, bits: number, previous: bigint | undefined, random: Random): bigint {
  let value = 0n;
  for (let at = 0; at < bits; at += lane.bits) {
    const other = previous === undefined ? undefined : BigInt.asUintN(lane.bits, previous >> BigInt(at));
    value |= laneValue(lane, other, random) << BigInt(at);
  }
  return BigInt.asUintN(bits, value);
}
