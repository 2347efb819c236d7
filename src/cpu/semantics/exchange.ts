// CMPXCHG CMPXCHG8B CMPXCHG16B XADD (SDM 2). They always write memory: where nothing is exchanged, the old value.

import { type I32, type I64, i32, i64, select, when } from '../../wasm/code.ts';
import { GPR } from '../../x86/registers.ts';
import { VECTOR } from '../../x86/vectors.ts';
import type { Operand } from './emission.ts';
import type { Emitter } from './emitter.ts';
import { setAddFlags, setSubFlags, setZero } from './flags.ts';
import { ALL_SIZES, bindOperands, type Handler, handlerKey, type Definition, type OperandSpec } from './handler.ts';

const { RAX, RCX, RDX, RBX } = GPR;

/** Only the side that takes a value is written: a 32-bit register that does not keeps its upper half. */
function compareExchange(e: Emitter, d: Operand, s: Operand, isMemory: boolean): void {
  const w = d.width;
  const accumulator = e.fixed(RAX, w.bytes);
  const old = e.let(d.read());
  const a = e.let(accumulator.read());
  const source = e.let(s.read());
  const equal = e.let(w.eq(a, old));
  if (isMemory) d.write(select(equal, source, old));
  const exchange = e.capture(() => isMemory || d.write(source));
  const load = e.capture(() => accumulator.write(old));
  e.emit(when(equal, exchange, load));
  setSubFlags(e, w, a, old, w.narrow(w.sub(a, old)));
}

const compareExchanges: readonly Handler[] = ALL_SIZES.flatMap((bytes) =>
  (['r', 'm', 'g'] as const).map((kind) => {
    const specs: OperandSpec[] = [
      { kind, bytes },
      { kind: 'r', bytes },
    ];
    return {
      key: handlerKey('cmpxchg', specs),
      build: (e: Emitter) => {
        const [d, s] = bindOperands(e, specs, ['modify']);
        compareExchange(e, d as Operand, s as Operand, kind !== 'r');
        e.next();
      },
    };
  }),
);

/** The source register is written first: where both are one register, it keeps the sum. */
const XADD: Definition = {
  name: 'xadd',
  shapes: ['E,r'],
  sizes: ALL_SIZES,
  intents: ['modify'],
  effect: (e, d, s) => {
    const w = d.width;
    const a = e.let(d.read());
    const b = e.let(s.read());
    const sum = e.let(w.narrow(w.add(a, b)));
    s.write(a);
    d.write(sum);
    setAddFlags(e, w, a, b, sum);
  },
};

const low32 = (e: Emitter, register: number): I64 => i64.extendU(e.fixed(register, 4).read() as I32);

/** EDX:EAX and ECX:EBX against 8 bytes. Only ZF changes. */
function exchange8(e: Emitter, memory: Operand): void {
  const old = e.let(memory.read()) as I64;
  const joined = (high: number, low: number): I64 => i64.or(i64.shl(low32(e, high), i64.const(32)), low32(e, low));
  const equal = e.let(i64.eq(old, joined(RDX, RAX)));
  memory.write(select(equal, joined(RCX, RBX), old));
  const load = e.capture(() => {
    e.fixed(RAX, 4).write(i32.wrap(old));
    e.fixed(RDX, 4).write(i32.wrap(i64.shrU(old, i64.const(32))));
  });
  e.emit(when(i32.eqz(equal), load));
  setZero(e, equal);
}

/** RDX:RAX and RCX:RBX against 16 bytes, which must be aligned: so both halves lie in one page. */
function exchange16(e: Emitter, address: I64): void {
  e.faultWhen(i32.and(i32.wrap(address), i32.const(15)), VECTOR.GP, 0);
  const lower = e.memoryAt(() => address, 8, 'modify');
  const upper = e.memoryAt(() => e.let(i64.add(address, i64.const(8))), 8, 'modify');
  const oldLow = e.let(lower.read()) as I64;
  const oldHigh = e.let(upper.read()) as I64;
  const register = (index: number): I64 => e.fixed(index, 8).read() as I64;
  const equal = e.let(i32.and(i64.eq(oldLow, register(RAX)), i64.eq(oldHigh, register(RDX))));
  lower.write(select(equal, register(RBX), oldLow));
  upper.write(select(equal, register(RCX), oldHigh));
  const load = e.capture(() => {
    e.fixed(RAX, 8).write(oldLow);
    e.fixed(RDX, 8).write(oldHigh);
  });
  e.emit(when(i32.eqz(equal), load));
  setZero(e, equal);
}

const wide: readonly Handler[] = (['m', 'g'] as const).flatMap((kind) => [
  {
    key: `cmpxchg8b ${kind}64`,
    build: (e: Emitter) => {
      exchange8(e, e.memory(8, kind === 'm', 'modify'));
      e.next();
    },
  },
  {
    key: `cmpxchg16b ${kind}128`,
    build: (e: Emitter) => {
      exchange16(e, kind === 'm' ? e.let(e.flatAddress()) : e.generalAddress(16, true));
      e.next();
    },
  },
]);

export const exchange: readonly Definition[] = [XADD];
export const exchangeHandlers: readonly Handler[] = [...compareExchanges, ...wide];
