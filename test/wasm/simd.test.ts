// Our encoding of vector instructions as another assembler reads it: every operation has the name that its table says.

import { describe, expect, it } from 'vitest';
import wabt from 'wabt';
import { drop, type Expr, i32, i64, type Stmt, type V128, type ValType } from '../../src/wasm/code.ts';
import { ModuleBuilder } from '../../src/wasm/module.ts';
import { doublewords, i16x8, i32x4, i64x2, i8x16, v128, words } from '../../src/wasm/simd.ts';

const a = v128.const([...Array(16).keys()]);
const one = i32.const(1);

/** `i8x16.addSatS` is written `i8x16.add_sat_s`, and so on. */
const spelled = (group: string, name: string): string =>
  `${group}.${name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)}`;
const SPECIAL: Readonly<Record<string, string>> = {
  'i16x8.extadd_pairwise_u': 'i16x8.extadd_pairwise_i8x16_u',
  'i32x4.extadd_pairwise_u': 'i32x4.extadd_pairwise_i16x8_u',
  'i16x8.extend_low_s': 'i16x8.extend_low_i8x16_s',
  'i16x8.extend_low_u': 'i16x8.extend_low_i8x16_u',
  'i32x4.extend_low_s': 'i32x4.extend_low_i16x8_s',
  'i32x4.extend_low_u': 'i32x4.extend_low_i16x8_u',
  'i32x4.extend_high_u': 'i32x4.extend_high_i16x8_u',
  'i64x2.extend_low_s': 'i64x2.extend_low_i32x4_s',
  'i64x2.extend_low_u': 'i64x2.extend_low_i32x4_u',
  'i32x4.dot_s': 'i32x4.dot_i16x8_s',
  'i8x16.narrow_s': 'i8x16.narrow_i16x8_s',
  'i8x16.narrow_u': 'i8x16.narrow_i16x8_u',
  'i16x8.narrow_s': 'i16x8.narrow_i32x4_s',
  'i16x8.narrow_u': 'i16x8.narrow_i32x4_u',
  'i32x4.extmul_low_s': 'i32x4.extmul_low_i16x8_s',
  'i32x4.extmul_high_s': 'i32x4.extmul_high_i16x8_s',
  'i32x4.extmul_low_u': 'i32x4.extmul_low_i16x8_u',
  'i32x4.extmul_high_u': 'i32x4.extmul_high_i16x8_u',
  'i64x2.extmul_low_s': 'i64x2.extmul_low_i32x4_s',
  'i64x2.extmul_low_u': 'i64x2.extmul_low_i32x4_u',
  'i32x4.extract': 'i32x4.extract_lane',
  'i64x2.extract': 'i64x2.extract_lane',
  'i64x2.replace': 'i64x2.replace_lane',
  'i8x16.extract_u': 'i8x16.extract_lane_u',
};

/** Text of a function that does nothing but one statement. */
async function disassembled(statement: Stmt): Promise<string> {
  const tools = await wabt();
  const module = new ModuleBuilder();
  module.exportFunction(
    'f',
    module.function([], [], () => statement),
  );
  const bytes = module.encode({ module: 'host', name: 'memory', minPages: 1 });
  const read = tools.readWasm(bytes, { simd: true });
  read.validate();
  const text = read.toText({});
  read.destroy();
  return text;
}

const operationsOf = (text: string): string[] =>
  [...text.matchAll(/^ +((?:v128|[if]\d+x\d+)\.\w+)/gm)].map(([, n = '']) => n);

const operate = (group: string, name: string, operation: (...args: never[]) => Expr<ValType>): Expr<ValType> => {
  const make = operation as (...args: unknown[]) => Expr<ValType>;
  if (name === 'splat') return make(group === 'i64x2' ? i64.const(1) : one);
  if (name.startsWith('extract')) return make(a, 1);
  if (name === 'replace') return make(a, 1, i64.const(1));
  if (name.startsWith('sh') && name !== 'shuffle') return make(a, one);
  if (name === 'bitselect') return make(a, a, a);
  if (name === 'shuffle') return make(a, a, [...Array(16).keys()]);
  return operation.length === 1 ? make(a) : make(a, a);
};

describe('vector instructions', () => {
  const groups = { v128, i8x16, i16x8, i32x4, i64x2 };
  const names = Object.entries(groups).flatMap(([group, members]) =>
    Object.entries(members)
      .filter(([name]) => !['load', 'store', 'const'].includes(name))
      .map(([name, operation]) => [group, name, operation as (...args: never[]) => V128] as const),
  );

  it.each(names)('%s.%s', async (group, name, operation) => {
    const text = await disassembled(drop(operate(group, name, operation)));
    const key = spelled(group, name);
    expect(operationsOf(text).filter((found) => found !== 'v128.const')).toEqual([SPECIAL[key] ?? key]);
  });

  it('v128.load and v128.store carry their offset', async () => {
    const text = await disassembled(v128.store(i32.const(16), v128.load(i32.const(32), 300), 5));
    expect(text).toContain('v128.load offset=300 align=1');
    expect(text).toContain('v128.store offset=5 align=1');
  });

  it('constants are laid lowest lane first', async () => {
    expect(await disassembled(drop(words([0x0100, 0x0302, 0x0504, 0x0706, 0x0908, 0x0b0a, 0x0d0c, 0x0f0e])))).toContain(
      '0x03020100 0x07060504 0x0b0a0908 0x0f0e0d0c',
    );
    expect(await disassembled(drop(doublewords([-1, 1, 2, 3])))).toContain(
      '0xffffffff 0x00000001 0x00000002 0x00000003',
    );
  });

  it('a vector of another length than 16 bytes is our bug', () => {
    expect(() => v128.const([1])).toThrow('16 bytes');
  });
});
