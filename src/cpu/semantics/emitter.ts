// What semantics are written against. An Emitter collects the WebAssembly statements of one handler; its operands read
// and write registers, memory and immediates of the record that `pc` points to (the dynamic binding of DESIGN: one
// handler serves every instruction of its form). A handler ends by telling its host what comes next.
// Order matters for precise faults: every read and every address translation happens before the first register or flag
// is changed; a memory write comes before register and flag writes.

import {
  type Code,
  call,
  call128,
  call64,
  type Expr,
  get,
  type I32,
  type I64,
  i32,
  i64,
  type Local,
  type Stmt,
  set,
  type V128,
  type ValType,
  when,
} from '../../wasm/code.ts';
import { v128 } from '../../wasm/simd.ts';
import type { FunctionBuilder } from '../../wasm/module.ts';
import * as at from '../state/layout.ts';
import { type Bytes, type Width, widthOf } from '../state/width.ts';

/** The module's functions that semantics may call (engineModule.ts defines them). */
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
  /** (pc i32, size i32, plus 256 for a write) -> linear i64: any addressing form, segment base and limit checks; sets FAULT_VECTOR. */
  readonly effectiveAddress: number;
  /** (pc i32) -> offset i64: the operand's offset without its segment, as LEA needs it. */
  readonly effectiveOffset: number;
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

/** What a handler's surroundings do for it: the run loop's inlined body, or a function of its own. */
export type Host = {
  readonly pc: Local<'i32'>;
  /** Statement that ends the handler: on to the following record. */
  next(): Stmt;
  /** A fault is pending in FAULT_VECTOR; nothing has been changed. */
  fault(): Stmt;
  /** On to the instruction at this instruction-pointer value. */
  lookup(target: I64): Stmt;
  /** On to a record. */
  taken(record: I32): Stmt;
  /** This instruction takes so many ns more than the one that each takes. */
  delay(ns: I32): Stmt;
  /** ns from here to the end of the engine call's budget; undefined where that is not known. */
  timeToGo(): I32 | undefined;
  /** This instruction again (it has done a part of its work). */
  again(): Stmt;
  /** Leave the engine: microcode has to do this one. */
  micro(): Stmt;
  /** As `taken` and `lookup`, from a record that is no instruction and is not counted. */
  linked(record: I32): Stmt;
  linkedLookup(target: I64): Stmt;
  /** Goes to the following record if the next page's code context is still the one this record names, else leaves. */
  crossing(): Stmt;
  /** Leaves before the following record's instruction, because somebody wants to be told of it. */
  probe(): Stmt;
};

/** A source or destination of an instruction. Values have the operand's width. */
export type Operand = {
  readonly width: Width;
  read(): Expr<ValType>;
  write(value: Expr<ValType>): void;
};

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

const VECTOR_BYTES = 16;
const GP_VECTOR = 13;

export class Emitter {
  readonly #fn: FunctionBuilder;
  readonly #out: Code[] = [];
  readonly shared: Shared;
  readonly host: Host;
  /** Every flag will be overwritten before anybody can see it: none is to be kept. */
  flagsDead = false;
  /** The record's memory operand has no index register. */
  unindexed = false;
  /** Set by an instruction that sets all flags whatever its operands are; for the one fused behind it. */
  flags: FlagSource | undefined;

  constructor(fn: FunctionBuilder, shared: Shared, host: Host) {
    this.#fn = fn;
    this.shared = shared;
    this.host = host;
  }

  get pc(): I32 {
    return get(this.host.pc);
  }

  /** Everything emitted so far. */
  get code(): Code {
    return this.#out;
  }

  emit(...statements: Stmt[]): void {
    this.#out.push(...statements);
  }

  /** Statements emitted by `build`, kept apart for use inside an `if` or loop. */
  capture(build: () => void): Stmt {
    const mark = this.#out.length;
    build();
    return this.#out.splice(mark);
  }

  local<T extends ValType>(type: T): Local<T> {
    return this.#fn.local(type);
  }

  /** Evaluates once, here; the result may be used any number of times. */
  let<T extends ValType>(value: Expr<T>): Expr<T> {
    const local = this.#fn.local(value.type);
    this.emit(set(local, value));
    return get(local);
  }

  /** Leaves the handler where a fault is pending (to be emitted after each slow call). */
  checkFault(): void {
    this.emit(when(i32.ne(i32.load(i32.const(at.FAULT_VECTOR)), i32.const(at.FAULT_NONE)), this.host.fault()));
  }

  /** Raises an exception where the condition holds. @param error error code, or -1 for a vector without one */
  faultWhen(condition: I32, vector: number, error = -1): void {
    this.emit(when(condition, [this.raise(vector, error)]));
  }

  raise(vector: number, error = -1): Stmt {
    return [
      i32.store(i32.const(at.FAULT_VECTOR), i32.const(vector)),
      i32.store(i32.const(at.FAULT_ERROR), i32.const(error)),
      this.host.fault(),
    ];
  }

  // Registers ---------------------------------------------------------------------------------------------------------

  /** General register named by the instruction itself (not by its record), e.g. RAX of MUL. */
  fixed(index: number, bytes: Bytes): Operand {
    return this.#register(i32.const(at.regAddress(index)), bytes);
  }

  /** High byte registers AH, CH, DH, BH: index 0 to 3. */
  fixedHigh(index: number): Operand {
    return this.#register(i32.const(at.regAddress(index) + 1), 1);
  }

  /** The record's register field (REC_REG1, REC_REG2 or REC_BASE). */
  register(field: number, bytes: Bytes, intent: 'read' | 'write' | 'modify' = 'write'): Operand {
    const address = i32.load16u(this.pc, field);
    return this.#register(intent === 'modify' ? this.let(address) : address, bytes);
  }

  #register(address: I32, bytes: Bytes): Operand {
    const width = widthOf(bytes);
    return {
      width,
      read: () => width.load(address),
      // A 32-bit write clears the upper half; smaller ones leave the rest alone (SDM 1 3.4.1.1).
      write: (value) =>
        this.emit(bytes === 4 ? i64.store(address, i64.extendU(value as I32)) : width.store(address, value)),
    };
  }

  // Immediates --------------------------------------------------------------------------------------------------------

  immediate(bytes: Bytes): Operand {
    const width = widthOf(bytes);
    const load = bytes === 8 ? i64.load(this.pc, at.REC_IMM) : width.load(this.pc, at.REC_IMM);
    return { width, read: () => load, write: () => this.#wrong('an immediate cannot be written') };
  }

  displacement(): I64 {
    return i64.load(this.pc, at.REC_DISP);
  }

  #wrong(what: string): never {
    throw new Error(what);
  }

  // Memory ------------------------------------------------------------------------------------------------------------

  /** Address of a flat 64-bit operand: base + index * scale + displacement. */
  flatAddress(): I64 {
    const base = i64.load(i32.load16u(this.pc, at.REC_BASE));
    if (this.unindexed) return i64.add(base, i64.load(this.pc, at.REC_DISP));
    const index = i64.load(i32.load16u(this.pc, at.REC_INDEX));
    const scaled = i64.shl(index, i64.extendU(i32.load8u(this.pc, at.REC_ADDRESSING)));
    return i64.add(i64.add(base, scaled), i64.load(this.pc, at.REC_DISP));
  }

  /** Linear address of the record's memory operand, whatever its form. */
  generalAddress(bytes: number, write = false): I64 {
    const address = this.let(call64(this.shared.effectiveAddress, this.pc, i32.const(bytes | (write ? 256 : 0))));
    this.checkFault();
    return address;
  }

  /** The record's memory operand. Reading and then writing it is one read-modify-write: the write cannot fault. */
  memory(bytes: Bytes, flat: boolean, intent: 'read' | 'write' | 'modify'): Operand {
    return this.memoryAt(
      () => (flat ? this.let(this.flatAddress()) : this.generalAddress(bytes, intent !== 'read')),
      bytes,
      intent,
    );
  }

  /** Memory at a linear address that `locate` makes, once and where it is first needed. */
  memoryAt(locate: () => I64, bytes: Bytes, intent: 'read' | 'write' | 'modify'): Operand {
    const width = widthOf(bytes);
    let address: I64 | undefined;
    let host: Expr<'i32'> | undefined;
    const once = (): I64 => {
      address ??= locate();
      return address;
    };
    if (intent !== 'modify') {
      return { width, read: () => this.load(once(), bytes), write: (value) => this.store(once(), bytes, value) };
    }
    return {
      width,
      read: () => {
        const linear = once();
        const value = this.local(width.type);
        const found = this.local('i32');
        host = get(found);
        const entry = this.let(this.#entry(linear));
        const slow = call64(this.shared.loadForWriteSlow, linear, i32.const(bytes));
        this.emit(
          when(
            this.#hit(entry, linear, bytes, at.TLB_WRITE),
            [set(found, this.#host(entry, linear, at.TLB_WRITE)), set(value, width.load(get(found)))],
            [set(found, i32.const(0)), set(value, width.from64(slow)), this.capture(() => this.checkFault())],
          ),
        );
        return get(value);
      },
      write: (value) => {
        if (!host || !address) throw new Error('read-modify-write without a read');
        const kept = this.let(value);
        this.emit(
          when(
            host,
            width.store(host, kept),
            call(this.shared.storeSlow, address, i32.const(bytes), width.unsigned64(kept)),
          ),
        );
      },
    };
  }

  #entry(linear: I64): I32 {
    const index = i32.and(i32.shrU(i32.wrap(linear), i32.const(8)), i32.const((at.TLB_ENTRIES - 1) << 4));
    return i32.add(i32.load(i32.const(at.MMU_CONTEXT)), index);
  }

  /** An access that runs over its page's end compares the next page's number with this page's entry, and misses. */
  #hit(entry: I32, linear: I64, bytes: number, table: number): I32 {
    const last = bytes === 1 ? linear : i64.add(linear, i64.const(bytes - 1));
    return i64.eq(i64.load(entry, at.TLB + table), i64.and(last, i64.const(-4096)));
  }

  #host(entry: I32, linear: I64, table: number): I32 {
    return i32.add(i32.wrap(linear), i32.load(entry, at.TLB + table + 8));
  }

  /** Value at a linear address. */
  load(linear: I64, bytes: Bytes): Expr<ValType> {
    const width = widthOf(bytes);
    const value = this.local(width.type);
    const entry = this.let(this.#entry(linear));
    this.emit(
      when(
        this.#hit(entry, linear, bytes, at.TLB_READ),
        set(value, width.load(this.#host(entry, linear, at.TLB_READ))),
        [
          set(value, width.from64(call64(this.shared.loadSlow, linear, i32.const(bytes)))),
          this.capture(() => this.checkFault()),
        ],
      ),
    );
    return get(value);
  }

  store(linear: I64, bytes: Bytes, value: Expr<ValType>): void {
    const width = widthOf(bytes);
    const kept = this.let(value);
    const entry = this.let(this.#entry(linear));
    this.emit(
      when(this.#hit(entry, linear, bytes, at.TLB_WRITE), width.store(this.#host(entry, linear, at.TLB_WRITE), kept), [
        call(this.shared.storeSlow, linear, i32.const(bytes), width.unsigned64(kept)),
        this.capture(() => this.checkFault()),
      ]),
    );
  }

  // Vectors -----------------------------------------------------------------------------------------------------------

  /** Host address of the XMM register that the record's field names, or of its general register. */
  registerAddress(field: number): I32 {
    return this.let(i32.load16u(this.pc, field));
  }

  /** The XMM register that the record's field names. */
  xmm(field: number): VectorOperand {
    const address = this.registerAddress(field);
    return { read: () => v128.load(address), write: (value) => this.emit(v128.store(address, value)) };
  }

  /** The record's 16-byte memory operand. @param aligned #GP(0) where the address is no multiple of 16 (SDM 1 10.4.1.1) */
  vectorMemory(flat: boolean, aligned: boolean, intent: 'read' | 'write'): VectorOperand {
    const locate = (): I64 => {
      const linear = flat ? this.let(this.flatAddress()) : this.generalAddress(VECTOR_BYTES, intent === 'write');
      if (aligned) this.faultWhen(i32.and(i32.wrap(linear), i32.const(VECTOR_BYTES - 1)), GP_VECTOR, 0);
      return linear;
    };
    return { read: () => this.loadVector(locate()), write: (value) => this.storeVector(locate(), value) };
  }

  loadVector(linear: I64): V128 {
    const value = this.local('v128');
    const entry = this.let(this.#entry(linear));
    this.emit(
      when(
        this.#hit(entry, linear, VECTOR_BYTES, at.TLB_READ),
        set(value, v128.load(this.#host(entry, linear, at.TLB_READ))),
        [set(value, call128(this.shared.loadVectorSlow, linear)), this.capture(() => this.checkFault())],
      ),
    );
    return get(value);
  }

  storeVector(linear: I64, value: V128): void {
    const kept = this.let(value);
    const entry = this.let(this.#entry(linear));
    this.emit(
      when(
        this.#hit(entry, linear, VECTOR_BYTES, at.TLB_WRITE),
        v128.store(this.#host(entry, linear, at.TLB_WRITE), kept),
        [call(this.shared.storeVectorSlow, linear, kept), this.capture(() => this.checkFault())],
      ),
    );
  }

  // Ends --------------------------------------------------------------------------------------------------------------

  next(): void {
    this.emit(this.host.next());
  }

  /** Ends the handler at once where the condition holds. */
  nextWhen(condition: I32): void {
    this.emit(when(condition, this.host.next()));
  }
}
