// All handlers, and which of them stand in the run loop's own table: the ones that kernels and their decompressors spend
// their time in, hottest first. V8 keeps that one function fast up to some 27 KB of code, so the list is short.

import { control } from './semantics/control.ts';
import { definitions, extraHandlers } from './semantics/index.ts';
import { type Handler, handlersOf } from './semantics/handler.ts';

export const allHandlers = (): Handler[] => [...definitions.flatMap(handlersOf), ...extraHandlers, ...control];

const sizes = (name: string, shapes: readonly string[], bits: readonly number[]): string[] =>
  bits.flatMap((size) => shapes.map((shape) => `${name} ${shape.replace(/[rmi]/g, (kind) => `${kind}${size}`)}`));

const ALU = ['r,r', 'r,i', 'r,m'];

export const hotKeys: readonly string[] = [
  'nop',
  ...sizes('mov', ['r,r', 'r,m', 'm,r', 'r,i'], [32, 64]),
  'mov m8,r8',
  'mov m16,r16',
  'mov m32,i32',
  'mov m64,i64',
  'mov m8,i8',
  ...['movzx', 'movsx'].flatMap((name) => [`${name} r32,r8`, `${name} r32,m8`, `${name} r32,r16`, `${name} r32,m16`]),
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
  ...['inc', 'dec', 'neg', 'not'].flatMap((name) => sizes(name, ['r'], [32, 64])),
  ...['shl', 'shr', 'sar'].flatMap((name) => [`${name} r32,i8`, `${name} r64,i8`, `${name}.cl r32`, `${name}.cl r64`]),
  'rol r32,i8',
  'ror r32,i8',
  'imul r64,r64',
  'imul r32,r32',
  ...['o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'l', 'ge', 'le', 'g'].flatMap((c) => [`j${c}.near`]),
  ...['b', 'ae', 'e', 'ne', 'be', 'a', 'l', 'g'].map((c) => `j${c}.out`),
  'jmp.near',
  'jmp.out',
  'call64.near',
  'call64.out',
  'ret64',
  'push64 r64',
  'pop64 r64',
  'jmp r64',
  ...['b', 'ae', 'e', 'ne'].flatMap((c) => [`cmov${c} r32,r32`, `cmov${c} r64,r64`]),
];
