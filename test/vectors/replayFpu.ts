// Compares vector and x87 state.
import { backgroundAvx, backgroundFpu, type FpuState, topOf } from './layout.ts';
import type { Vector } from './load.ts';

const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
const differs = (what: string, got: bigint | number, want: bigint | number): string =>
  `${what}: ${hex(got)}, should be ${hex(want)}`;

/** The manual gives their error, not their last bit: less than one unit in the last place (Intel SDM vol. 1, 8.3.10). */
const INEXACT_FAMILY = 'transcendental';
const INEXACT_UNITS = 2n;

const INTEGER_BIT = 1n << 63n;
const FRACTION = INTEGER_BIT - 1n;
const MAX_EXPONENT = 0x7fffn;
const exponentOf = (value: bigint): bigint => (value >> 64n) & MAX_EXPONENT;

// Neighbours differ by one, from the least denormal to infinity.
const place = (value: bigint): bigint => (exponentOf(value) << 63n) | (value & FRACTION);
const isNumber = (value: bigint): boolean => exponentOf(value) !== MAX_EXPONENT;

function near(got: bigint, want: bigint): boolean {
  if (got >> 79n !== want >> 79n || !isNumber(got) || !isNumber(want)) return false;
  if (place(got) === 0n || place(want) === 0n) return false;
  const distance = place(got) - place(want);
  return distance <= INEXACT_UNITS && distance >= -INEXACT_UNITS;
}

function x87Differences({ family }: Vector, want: FpuState, got: FpuState): string[] {
  const top = topOf(want.fsw);
  return want.physical.flatMap((value, index) => {
    // Nobody has to see what an empty register holds.
    const empty = (want.ftw & (1 << index)) === 0;
    const found = got.physical[index] ?? 0n;
    if (empty || value === found || (family === INEXACT_FAMILY && near(found, value))) return [];
    return [differs(`st(${(index - top) & 7})`, found, value)];
  });
}

/** Every difference; none where the vector does not show this state. */
export function differencesOfFpu(vector: Vector, got: FpuState | undefined): string[] {
  const want = vector.out.fpu;
  if (!want) return [];
  if (!got) return ['no vector and x87 state'];
  const words = [
    ['mxcsr', got.mxcsr, want.mxcsr],
    ['x87 control word', got.fcw, want.fcw],
    ['x87 status word', got.fsw & vector.statusMask, want.fsw & vector.statusMask],
    ['x87 tag word (abridged)', got.ftw, want.ftw],
  ] as const;
  const registers = vector.mode === 64 ? 16 : 8;
  return [
    ...want.xmm.slice(0, registers).flatMap((value, index) => {
      const found = got.xmm[index] ?? 0n;
      return found === value ? [] : [differs(`xmm${index}`, found, value)];
    }),
    ...(want.upper ?? []).slice(0, registers).flatMap((value, index) => {
      const found = got.upper?.[index] ?? 0n;
      return found === value ? [] : [differs(`ymm${index}, upper half`, found, value)];
    }),
    ...x87Differences(vector, want, got),
    ...words.flatMap(([name, found, value]) => (found === value ? [] : [differs(name, found, value)])),
  ];
}

/** A line of what the input holds beside the background. */
export function describeFpu({ fpu }: Vector): string[] {
  if (!fpu) return [];
  const usual = fpu.upper ? backgroundAvx() : backgroundFpu();
  const show = (name: string, value: bigint | number, other: bigint | number | undefined): string[] =>
    value === other ? [] : [`${name}=${value.toString(16)}`];
  const top = topOf(fpu.fsw);
  const tokens = [
    ...fpu.xmm.flatMap((value, index) => show(`xmm${index}`, value, usual.xmm[index])),
    ...(fpu.upper ?? []).flatMap((value, index) => show(`ymm${index}.high`, value, usual.upper?.[index])),
    ...fpu.physical.flatMap((value, index) => show(`st(${(index - top) & 7})`, value, usual.physical[index])),
    ...show('mxcsr', fpu.mxcsr, usual.mxcsr),
    ...show('fcw', fpu.fcw, usual.fcw),
    ...show('fsw', fpu.fsw, usual.fsw),
    ...show('ftw', fpu.ftw, usual.ftw),
  ];
  return tokens.length === 0 ? [] : [`  and ${tokens.join(' ')}`];
}
