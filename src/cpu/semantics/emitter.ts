// What semantics are written with. An Emitter collects the WebAssembly statements of one handler; its operands read and
// write registers, memory and immediates of the instruction that it is bound to (emission.ts), whatever the binding. A
// handler ends by telling its host what comes next.
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
import { VECTOR } from '../../x86/vectors.ts';
import * as at from '../state/layout.ts';
import { type Bytes, widthOf } from '../state/width.ts';
import type {
  Binding,
  FlagSource,
  FlagWord,
  Host,
  ImmediatePlace,
  Intent,
  Operand,
  Operands,
  Reach,
  Register,
  Registers,
  Shared,
  Slot,
  VectorHalf,
  VectorOperand,
} from './emission.ts';

const VECTOR_BYTES = 16;

export class Emitter {
  readonly #fn: FunctionBuilder;
  readonly #out: Code[] = [];
  readonly #registers: Registers;
  readonly #operands: Operands;
  readonly shared: Shared;
  readonly host: Host;
  /** Every flag will be overwritten before anybody can see it: none is to be kept. */
  flagsDead = false;
  /** Set by an instruction that sets all flags whatever its operands are; for the one fused behind it. */
  flags: FlagSource | undefined;

  constructor(fn: FunctionBuilder, shared: Shared, { registers, operands, host }: Binding) {
    this.#fn = fn;
    this.#registers = registers;
    this.#operands = operands;
    this.shared = shared;
    this.host = host;
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

  /** General register named by the instruction itself, not by an operand, e.g. RAX of MUL. */
  fixed(index: number, bytes: Bytes): Operand {
    return this.#general(this.#registers.general(index, bytes), bytes);
  }

  /** High byte registers AH, CH, DH, BH: index 0 to 3. */
  fixedHigh(index: number): Operand {
    return this.#general(this.#registers.general(index, 1, true), 1);
  }

  /** Writes the low 16 bits of a value to those of a general register. */
  setLowWord(index: number, value: I64): void {
    this.emit(this.#registers.setLowWord(index, value));
  }

  /** The general register that is an operand. */
  register(slot: Slot, bytes: Bytes, intent: Intent = 'write'): Operand {
    const keep = (value: I32): I32 => (intent === 'modify' ? this.let(value) : value);
    return this.#general(this.#operands.register(slot, bytes, keep), bytes);
  }

  /** Low bytes of the general register that is an operand, zero-extended in their type; only read. */
  registerValue(slot: Slot, bytes: Bytes): Expr<ValType> {
    return this.#operands.register(slot, bytes, (value) => this.let(value)).read();
  }

  #general(register: Register, bytes: Bytes): Operand {
    return {
      width: widthOf(bytes),
      read: () => register.read(),
      write: (value) => this.emit(register.write(value)),
    };
  }

  /** Low bytes of the word that a flag is kept as. */
  flag(word: FlagWord, bytes: Bytes = 8): Expr<ValType> {
    return this.#registers.flag(word, bytes);
  }

  setFlag(word: FlagWord, value: I64): void {
    this.emit(this.#registers.setFlag(word, value));
  }

  // Immediates --------------------------------------------------------------------------------------------------------

  immediate(bytes: Bytes): Operand {
    const width = widthOf(bytes);
    const value = this.#operands.immediate('first', width.type as 'i32' | 'i64', bytes);
    return { width, read: () => value, write: () => this.#wrong('an immediate cannot be written') };
  }

  /** Low bytes of an immediate, zero-extended to a type of choice. */
  constant<T extends 'i32' | 'i64'>(type: T, bytes: Bytes, place: ImmediatePlace = 'first'): Expr<T> {
    return this.#operands.immediate(place, type, bytes);
  }

  #wrong(what: string): never {
    throw new Error(what);
  }

  // Targets -----------------------------------------------------------------------------------------------------------

  /** Instruction pointer of the direct branch's target, or of what follows an instruction that goes on as by a jump. */
  target(): I64 {
    return this.#operands.target();
  }

  /** Instruction pointer of what follows the call. */
  returnAddress(reach: Reach): I64 {
    return this.#operands.returnAddress(reach);
  }

  // Memory ------------------------------------------------------------------------------------------------------------

  /** Address of a flat 64-bit operand: base + index * scale + displacement. */
  flatAddress(): I64 {
    return this.#operands.flatAddress();
  }

  /** The memory operand's offset in its segment, whatever its form. */
  offset(): I64 {
    return this.#operands.offset();
  }

  /** The bits of an offset that the instruction's address size keeps. */
  addressMask(): I64 {
    return this.#operands.addressMask();
  }

  /** Number of the segment register that memory is accessed through. */
  segment(): I32 {
    return this.#operands.segment();
  }

  /** Linear address of the memory operand, whatever its form; a fault may be pending behind it. */
  linear(bytes: number, write: boolean): I64 {
    return this.#operands.linear(bytes, write);
  }

  /** The same; leaves on a fault. */
  generalAddress(bytes: number, write = false): I64 {
    const address = this.let(this.linear(bytes, write));
    this.checkFault();
    return address;
  }

  /** The memory operand. Reading and then writing it is one read-modify-write: the write cannot fault. */
  memory(bytes: Bytes, flat: boolean, intent: Intent): Operand {
    return this.memoryAt(
      () => (flat ? this.let(this.flatAddress()) : this.generalAddress(bytes, intent !== 'read')),
      bytes,
      intent,
    );
  }

  /** Memory at a linear address that `locate` makes, once and where it is first needed. */
  memoryAt(locate: () => I64, bytes: Bytes, intent: Intent): Operand {
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

  /** Host address of the vector register that is an operand; an MMX register has it while TOP is 0. */
  vectorAddress(slot: Slot): I32 {
    return this.let(this.#operands.vector(slot));
  }

  /** The same for once: it is evaluated where it stands. */
  vectorPlace(slot: Slot): I32 {
    return this.#operands.vector(slot);
  }

  /** Host address of half a vector register that the instruction itself names. */
  fixedVector(index: number, half: VectorHalf = 'low'): I32 {
    return this.#registers.vector(index, half);
  }

  /** The XMM register that is an operand. */
  xmm(slot: Slot): VectorOperand {
    const address = this.vectorAddress(slot);
    return { read: () => v128.load(address), write: (value) => this.emit(v128.store(address, value)) };
  }

  /** The 16-byte memory operand. @param aligned #GP(0) where the address is no multiple of 16 (SDM 1 10.4.1.1) */
  vectorMemory(flat: boolean, aligned: boolean, intent: 'read' | 'write'): VectorOperand {
    const locate = (): I64 => {
      const linear = flat ? this.let(this.flatAddress()) : this.generalAddress(VECTOR_BYTES, intent === 'write');
      if (aligned) this.faultWhen(i32.and(i32.wrap(linear), i32.const(VECTOR_BYTES - 1)), VECTOR.GP, 0);
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
