// All handlers, and which of them stand in the run loop's own table: the ones that kernels and their decompressors spend
// their time in, by measurement (bench/profile.ts). V8 keeps that one function fast up to some 27 KB of code, or more with
// the flag of cli/v8Flags.ts, so the list is not long. Tried and not worth it: fusing other pairs than comparison and jump.

import { control } from '../semantics/control.ts';
import { definitions, extraHandlers } from '../semantics/index.ts';
import { type Handler, handlersOf } from '../semantics/handler.ts';

export const allHandlers = (): Handler[] => [...definitions.flatMap(handlersOf), ...extraHandlers, ...control];

const sizes = (name: string, shapes: readonly string[], bits: readonly number[]): string[] =>
  bits.flatMap((size) => shapes.map((shape) => `${name} ${shape.replace(/[rmi]/g, (kind) => `${kind}${size}`)}`));

const ALU = ['r,r', 'r,i', 'r,m'];
const CONDITIONS = ['b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'l', 'ge', 'le', 'g'];

/** Where flags are most often overwritten unseen. */
const FLAGLESS = [
  ...['add', 'sub', 'and', 'or', 'xor'].flatMap((name) => sizes(name, ALU, [32, 64])),
  ...['shl', 'shr', 'sar'].flatMap((name) => [`${name} r32,i8`, `${name} r64,i8`]),
  'shr r16,i8',
  'imul r32,r32',
  'imul r64,r64',
  'neg r32',
  'neg r64',
  'bzhi r64,r64,r64',
  'rol r64,i8',
];

/** Memory operands that seldom have an index. */
const UNINDEXED = [...sizes('mov', ['r,m', 'm,r'], [32]), 'mov m8,r8', 'movzx r32,m8', 'lea r64,m'];

const product = (firsts: readonly string[], seconds: readonly string[]): string[] =>
  firsts.flatMap((first) => seconds.map((second) => `${first} + ${second}`));
const near = (conditions: string): string[] => conditions.split(' ').map((c) => `j${c}.near`);

/** Comparisons with the jump behind them. */
const BRANCHES = [
  ...product(['cmp r32,r32', 'cmp r64,r64', 'cmp r32,i32', 'cmp r64,i64'], near('e ne b ae be a')),
  ...product(['cmp r32,i32', 'cmp r64,i64'], [...near('le g'), 'ja.out', 'je.out']),
  ...product(['cmp r8,i8'], near('e ne a be')),
  ...product(['cmp r64,m64', 'cmp m64,r64'], near('b ae')),
  ...product(['test r8,r8', 'test r32,r32', 'test r64,r64'], near('e ne')),
  ...product(['test r32,r32', 'test r64,r64'], near('s ns')),
  'sub r32,i32 + jne.near',
];

export const hotKeys: readonly string[] = [
  ...sizes('mov', ['r,r', 'r,m', 'm,r', 'r,i'], [32, 64]),
  'mov m8,r8',
  'mov m16,r16',
  'mov m32,i32',
  'mov m64,i64',
  'mov m8,i8',
  'movzx r32,r8',
  'movzx r32,m8',
  'movzx r32,r16',
  'movzx r32,m16',
  'movsx r32,m8',
  'movsxd r64,r32',
  'movsxd r64,m32',
  'lea r64,m',
  'lea r32,m',
  ...['add', 'sub', 'cmp', 'and', 'or', 'xor'].flatMap((name) => sizes(name, ALU, [32, 64])),
  ...sizes('test', ['r,r', 'r,i'], [32, 64]),
  'test r8,r8',
  'test m8,i8',
  'cmp r8,r8',
  'cmp r8,i8',
  'cmp m8,i8',
  'cmp m8,r8',
  'cmp r8,m8',
  ...sizes('cmp', ['m,r', 'm,i'], [32, 64]),
  ...sizes('add', ['m,r', 'm,i'], [32, 64]),
  ...sizes('sub', ['m,i'], [32]),
  ...['inc', 'dec', 'neg', 'not'].flatMap((name) => sizes(name, ['r'], [32, 64])),
  ...['shl', 'shr', 'sar'].flatMap((name) => [`${name} r32,i8`, `${name} r64,i8`, `${name}.cl r32`]),
  'shl.cl r64',
  'shr.cl r64',
  'shr r16,i8',
  'rol r32,i8',
  'ror r32,i8',
  'rol r64,i8',
  'shrx r64,r64,r64',
  'shlx r64,r64,r64',
  'shlx r64,m64,r64',
  'shlx r32,r32,r32',
  'bzhi r64,r64,r64',
  'imul r64,r64',
  'imul r32,r32',
  'sbb r64,i64',
  'sbb r32,r32',
  'sete r8',
  'setb r8',
  'setne r8',
  ...CONDITIONS.map((c) => `j${c}.near`),
  ...['b', 'ae', 'e', 'ne', 'be', 'a', 'le', 'l', 'g'].map((c) => `j${c}.out`),
  'jmp.near',
  'jmp.out',
  'call64.near',
  'call64.out',
  'ret64',
  'push64 r64',
  'pop64 r64',
  'jmp r64',
  'pause',
  'rdtsc',
  'rdtscp',
  'in.i8',
  'in.dx',
  ...['b', 'ae', 'e', 'ne', 'a', 'be'].flatMap((c) => [`cmov${c} r32,r32`, `cmov${c} r64,r64`]),
  'cmovle r64,r64',
  'movups x128,m128',
  'movups m128,x128',
  'movaps x128,m128',
  'movaps m128,x128',
  'movaps x128,x128',
  'pxor x128,x128',
  'pcmpeqb x128,m128',
  'pcmpeqb x128,x128',
  'pmovmskb r32,x128',
  // C libraries' memory and string functions with AVX2.
  ...['vmovups', 'vmovaps'].flatMap((name) => [`${name} y256,m256`, `${name} m256,y256`]),
  ...['vpcmpeqb', 'vpminub'].flatMap((name) => [`${name} y256,y256,y256`, `${name} y256,y256,m256`]),
  'vpor y256,y256,y256',
  'vpmovmskb r32,y256',
  'vzeroupper',
  ...FLAGLESS.map((key) => `${key} !f`),
  ...UNINDEXED.map((key) => `${key} !x`),
  ...BRANCHES,
  // V8 puts the last one in front of the dispatch at the loop's head. A short one there keeps the dispatch within one
  // line of 64 bytes, which was worth 20 % and more.
  'nop',
];
