// The interface of emission: what an instruction's definition may ask of its surroundings, and all that it may know of
// them. A binding answers: one with the operands of a decoded record that is looked at when the code runs
// (binding/records.ts), one with the operands of one instruction as constants (binding/fixed.ts). Values are expressions;
// nothing here emits by itself, which is the Emitter's part (emitter.ts).

import type { Expr, I32, I64, Stmt, V128, ValType } from '../../wasm/code.ts';
import type { Bytes, Width } from '../state/width.ts';

/** The module's functions that semantics may call (binding/memory.ts defines them). They know the state block, and no instruction. */
export type Shared = {
  /** (linear i64, size i32) -> value i64, zero-extended; sets FAULT_VECTOR on a fault. */
  readonly loadSlow: number;
  /** The same, but requires that all of it can be written too. */
  readonly loadForWriteSlow: number;
  /** (linear i64, size i32, value i64); sets FAULT_VECTOR on a fault, and then nothing is written. */
  readonly storeSlow: number;
  /** (linear i64) -> v128; sets FAULT_VECTOR on a fault. */
  readonly loadVectorSlow: number;
  /** (linear i64, value v128); sets FAULT_VECTOR on a fault, and then nothing is written. */
  readonly storeVectorSlow: number;
  /** (): x87 state as MMX instructions make it: TOP 0, all registers in use. */
  readonly enterMmx: number;
  /** (pattern v128, text v128, elements of either i32, i32, immediate i32) -> i32: a bit for each element of the text (PCMPxSTRx). */
  readonly compareStrings: number;
  /** (value i64, size i32): pushes in whatever mode; sets FAULT_VECTOR. */
  readonly push: number;
  /** (offset i64, size i32) -> i64: reads the stack at (E/R)SP + offset in whatever mode; sets FAULT_VECTOR. */
  readonly peekStack: number;
  /** (delta i64): adds to RSP, ESP or SP as the stack's address size says. */
  readonly adjustStack: number;
  /** (segment i32, offset i64, size i32, write i32) -> linear i64: base and limit; sets FAULT_VECTOR. 64-bit mode: FS and GS bases only. */
  readonly segmentedLinear: number;
  /** (linear i64, write i32) -> host address of RAM, 0 on a fault (FAULT_VECTOR set), 1 where it is not plain RAM to copy to or from. */
  readonly hostOf: number;
};

/** A general register, or a part of it, of some width. A write of 32 bits clears the upper half; smaller ones leave the rest alone (SDM 1 3.4.1.1). */
export type Register = { read(): Expr<ValType>; write(value: Expr<ValType>): Stmt };

/** The values that the arithmetic flags are kept as (layout.ts: FLAG_ZR, FLAG_SR, FLAG_CV, FLAG_AR). */
export type FlagWord = 'zero' | 'sign' | 'carry' | 'auxiliary';

/** Halves of a vector register, 16 bytes each; the high one lies TO_YMM_HIGH behind the low one. */
export type VectorHalf = 'low' | 'high';

/** Registers and flags that an instruction names by itself, and where vectors are. */
export type Registers = {
  /** @param index 0 to 15 @param high AH, CH, DH, BH; then index is 0 to 3 and the width 1 byte */
  general(index: number, bytes: Bytes, high?: boolean): Register;
  /** Writes the low 16 bits of a value to a general register's; the rest of both does not matter. */
  setLowWord(index: number, value: I64): Stmt;
  /** Host address of one half of YMM0 to YMM15; the low one is the XMM register. */
  vector(index: number, half?: VectorHalf): I32;
  /** Low bytes of a flag's word, zero-extended. */
  flag(word: FlagWord, bytes: Bytes): Expr<ValType>;
  setFlag(word: FlagWord, value: I64): Stmt;
};

/**
 * Which of the instruction's register operands, in the order in which they are written. `last` is the one behind a
 * source that may be memory: the fourth, or where the source is memory the third.
 */
export type Slot = 'first' | 'second' | 'third' | 'last';

/** Which immediate; only ENTER has two. */
export type ImmediatePlace = 'first' | 'second';

/** How a direct branch reaches its target: it lies in the same page of code, or anywhere. */
export type Reach = 'near' | 'out';

/** The instruction itself: what tells it from others of its form. */
export type Operands = {
  /** The general register in a slot. @param keep evaluates once what both reading and writing need */
  register(slot: Slot, bytes: Bytes, keep: (value: I32) => I32): Register;
  /** Host address of the vector register in a slot; of an MMX register, where it is while TOP is 0. */
  vector(slot: Slot): I32;
  /** Low bytes of an immediate, zero-extended; all 8 are its sign-extended value. */
  immediate<T extends 'i32' | 'i64'>(place: ImmediatePlace, type: T, bytes: Bytes): Expr<T>;
  /** Base + index * scale + displacement, in 64 bits: the memory operand's address where it is flat. */
  flatAddress(): I64;
  /** The memory operand's offset in its segment, cut to the address size. */
  offset(): I64;
  /** Linear address of the memory operand, whatever its form; sets FAULT_VECTOR. @param bytes at most 255 */
  linear(bytes: number, write: boolean): I64;
  /** The bits of an offset that the instruction's address size keeps. */
  addressMask(): I64;
  /** Number of the segment register that memory is accessed through. */
  segment(): I32;
  /** Instruction pointer of a direct branch's target, or of what follows an instruction that goes on as by a jump. */
  target(): I64;
  /** Instruction pointer of what follows a call. @param reach how the call reaches its target; `out` where it is indirect */
  returnAddress(reach: Reach): I64;
};

/** What comes behind an instruction. Every statement here ends the handler, but for `delay`. */
export type Host = {
  /** On to the following instruction. */
  next(): Stmt;
  /** A fault is pending in FAULT_VECTOR; nothing has been changed. */
  fault(): Stmt;
  /** On to the direct branch's target (Operands.target). */
  branch(reach: Reach): Stmt;
  /** On to the instruction at this instruction-pointer value. */
  lookup(target: I64): Stmt;
  /** This instruction takes so many ns more than the one that each takes. @param ns free of effects: it is used twice */
  delay(ns: I32): Stmt;
  /** ns from here to the end of the engine call's budget; undefined where that is not known. */
  timeToGo(): I32 | undefined;
  /** This instruction again (it has done a part of its work). */
  again(): Stmt;
  /** Leave the engine: microcode has to do this one. */
  micro(): Stmt;
  /** As `branch`, from what is no instruction and is not counted. */
  linked(reach: Reach): Stmt;
  /** Goes on if the next page's decoded code is still what it was when the code here was made, else leaves. */
  crossing(): Stmt;
  /** Leaves before the following instruction, because somebody wants to be told of it. */
  probe(): Stmt;
};

/** An instruction bound to its surroundings. */
export type Binding = { readonly registers: Registers; readonly operands: Operands; readonly host: Host };

/** A source or destination of an instruction. Values have the operand's width. */
export type Operand = {
  readonly width: Width;
  read(): Expr<ValType>;
  write(value: Expr<ValType>): void;
};

/** What is done with an operand: decides which translation of memory is needed. */
export type Intent = 'read' | 'write' | 'modify';

/** What the arithmetic flags now stand for: a - b = r, a result with CF = OF = 0, or just a result (its ZF and SF). */
export type FlagSource = {
  readonly kind: 'difference' | 'logic' | 'result';
  readonly w: Width;
  readonly a: Expr<ValType>;
  readonly b: Expr<ValType>;
  readonly r: Expr<ValType>;
};

/** An XMM register or 16 bytes of memory. */
export type VectorOperand = { read(): V128; write(value: V128): void };
