// FMA3: x * y + z in its signs and orders of operands (SDM 2C, VFMADD132PD and after it).

import type { Instruction } from 'iced-x86';
import { isFault } from '../../state/cpu.ts';
import { multiplyAdd } from '../../float/fused.ts';
import { F32, F64, type Format } from '../../float/softFloat.ts';
import * as at from '../../state/layout.ts';
import { next } from '../operands.ts';
import type { Handler } from '../result.ts';
import { contextOf, settle } from '../sse/mxcsr.ts';
import { element, withElements } from '../sse/vector.ts';
import { mnemonic, type Row } from './arithmetic.ts';
import { readOperand, readVector, registerBits, vex, writeVector } from './vector.ts';

/** Is the product negated, and the addend, in even and in odd elements? */
type Signs = { readonly product: boolean; readonly addend: readonly [even: boolean, odd: boolean] };
const SIGNS: readonly (readonly [string, Signs])[] = [
  ['Vfmadd', { product: false, addend: [false, false] }],
  ['Vfmsub', { product: false, addend: [true, true] }],
  ['Vfnmadd', { product: true, addend: [false, false] }],
  ['Vfnmsub', { product: true, addend: [true, true] }],
];
const ALTERNATING: readonly (readonly [string, Signs])[] = [
  ['Vfmaddsub', { product: false, addend: [true, false] }],
  ['Vfmsubadd', { product: false, addend: [false, true] }],
];

/** Which operand is x, which y, which z. */
type Order = readonly [x: number, y: number, z: number];
const ORDERS: readonly (readonly [string, Order])[] = [
  ['132', [0, 2, 1]],
  ['213', [1, 0, 2]],
  ['231', [1, 2, 0]],
];

const lanesOf = (insn: Instruction, format: Format, scalar: boolean): number =>
  scalar ? 1 : registerBits(insn.opRegister(0)) / format.width;

const fused = (format: Format, scalar: boolean, { product, addend }: Signs, order: Order): Handler =>
  vex((cpu, insn) => {
    const { state } = cpu;
    const { width } = format;
    const lanes = lanesOf(insn, format, scalar);
    const last = readOperand(cpu, insn, 2, (lanes * width) / 8);
    if (isFault(last)) return last;
    const destination = readVector(state, insn.opRegister(0));
    const operands = [destination, readVector(state, insn.opRegister(1)), last];
    const context = contextOf(state.u32(at.MXCSR));
    const results: bigint[] = [];
    for (let n = 0; n < lanes; n++) {
      const [x = 0n, y = 0n, z = 0n] = order.map((operand) => element(operands[operand] ?? 0n, n, width));
      results.push(multiplyAdd(x, y, z, format, context, product, addend[n & 1] as boolean));
    }
    const failed = settle(cpu, context.flags);
    if (failed) return failed;
    writeVector(state, insn.opRegister(0), withElements(scalar ? destination : 0n, results, width));
    return next(cpu, insn);
  });

const forms = (names: readonly (readonly [string, Signs])[], suffix: string, format: Format): Row[] =>
  names.flatMap(([name, signs]) =>
    ORDERS.map(([digits, order]) => [
      mnemonic(`${name}${digits}${suffix}`),
      fused(format, suffix.startsWith('s'), signs, order),
    ]),
  );

/** FMA instructions and their handlers. */
export const FUSED: readonly Row[] = [
  ...forms([...SIGNS, ...ALTERNATING], 'ps', F32),
  ...forms([...SIGNS, ...ALTERNATING], 'pd', F64),
  ...forms(SIGNS, 'ss', F32),
  ...forms(SIGNS, 'sd', F64),
];
