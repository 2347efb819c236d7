// POP to memory, ENTER, LEAVE, PUSHA, POPA (SDM 2). Where a later access of one instruction faults, the registers are
// put back as they were; what had been pushed below the stack pointer stays in memory, as on processors.

import {
  brIf,
  call,
  call32,
  call64,
  get,
  type I32,
  type I64,
  i32,
  i64,
  label,
  loop,
  type Stmt,
  set,
  when,
} from '../../wasm/code.ts';
import { GPR } from '../../x86/registers.ts';
import type { Emitter } from './emitter.ts';
import * as at from '../state/layout.ts';
import { type Bytes, widthOf } from '../state/width.ts';
import { type Handler, WORD_SIZES } from './handler.ts';

const SS = 2;
const { RSP, RBP } = GPR;
const c32 = i32.const;
const c64 = i64.const;

const rsp = (e: Emitter): I64 => e.fixed(RSP, 8).read() as I64;
const rbp = (e: Emitter): I64 => e.fixed(RBP, 8).read() as I64;
const setRsp = (e: Emitter, value: I64): Stmt => e.capture(() => e.fixed(RSP, 8).write(value));

const faulted = (): I32 => i32.ne(i32.load(c32(at.FAULT_VECTOR)), c32(at.FAULT_NONE));

/** Leaves where a fault is pending, after `undo`. */
const leaveOnFault = (e: Emitter, undo: Stmt): void => e.emit(when(faulted(), [undo, e.host.fault()]));

/** An offset cut to the stack's address size. */
function onStack(offset: I64): I64 {
  const shift = i64.sub(c64(64), i64.load32u(c32(at.STACK_BITS)));
  return i64.shrU(i64.shl(offset, shift), shift);
}

/** Value at (E/R)BP + `offset` on the stack. */
const peekFrame = (e: Emitter, offset: I64, bytes: Bytes): I64 =>
  call64(e.shared.peekStack, i64.add(i64.sub(rbp(e), rsp(e)), offset), c32(bytes));

/** POP m: an address through (E/R)SP sees it already moved (SDM 2B, POP). */
const popMemory: readonly Handler[] = WORD_SIZES.flatMap((bytes) =>
  (['m', 'g'] as const).map((kind) => ({
    key: `popg ${kind}${bytes * 8}`,
    build: (e: Emitter) => {
      const value = e.let(call64(e.shared.peekStack, c64(0), c32(bytes)));
      e.checkFault();
      const old = e.let(rsp(e));
      const undo = setRsp(e, old);
      e.emit(call(e.shared.adjustStack, c64(bytes)));
      const linear = e.let(kind === 'm' ? e.flatAddress() : e.linear(bytes, true));
      leaveOnFault(e, undo);
      e.emit(call(e.shared.storeSlow, linear, c32(bytes), value));
      leaveOnFault(e, undo);
      e.next();
    },
  })),
);

/**
 * ENTER; the first immediate is the frame's size, the second the nesting level. The write probe at the
 * final stack pointer is part of it (SDM 2A, ENTER: #PF), so that the frame can be used without another fault.
 */
const enter = (bytes: Bytes): Handler => ({
  key: `enter${bytes * 8} i16,i8`,
  build: (e) => {
    const old = e.let(rsp(e));
    const undo = setRsp(e, old);
    const pushed = (value: I64): Stmt => [
      call(e.shared.push, value, c32(bytes)),
      e.capture(() => leaveOnFault(e, undo)),
    ];
    e.emit(pushed(rbp(e)));
    const frame = e.let(rsp(e));
    const level = e.let(i32.and(e.constant('i32', 1, 'second'), c32(31)));
    e.emit(when(level, [copyFrames(e, bytes, level, { pushed, undo }), pushed(frame)]));
    const final = e.let(onStack(i64.sub(rsp(e), e.constant('i64', 2))));
    const linear = e.let(call64(e.shared.segmentedLinear, c32(SS), final, c32(bytes), c32(1)));
    leaveOnFault(e, undo);
    const probe = call32(e.shared.hostOf, linear, c32(1));
    e.emit(when(i32.eqz(probe), [undo, e.host.fault()]));
    e.emit(call(e.shared.adjustStack, i64.sub(final, rsp(e))));
    e.fixed(RBP, bytes).write(widthOf(bytes).from64(frame));
    e.next();
  },
});

type Pushing = { pushed: (value: I64) => Stmt; undo: Stmt };

/** Copies the frame pointers of the enclosing levels, all but the innermost. */
function copyFrames(e: Emitter, bytes: Bytes, level: I32, { pushed, undo }: Pushing): Stmt {
  const done = e.local('i32');
  const value = e.local('i64');
  const again = label('levels');
  const below = i64.extendS(i32.mul(get(done), c32(-bytes)));
  const copy: Stmt = [
    set(value, peekFrame(e, below, bytes)),
    e.capture(() => leaveOnFault(e, undo)),
    pushed(get(value)),
    set(done, i32.add(get(done), c32(1))),
    brIf(again, i32.ltU(get(done), level)),
  ];
  return [set(done, c32(1)), when(i32.gtU(level, c32(1)), loop(again, copy))];
}

/** LEAVE in every mode and size; `leave64` below is 64-bit mode's own. */
const leaveGeneral = (bytes: Bytes): Handler => ({
  key: `leave${bytes * 8}`,
  build: (e) => {
    const value = e.let(peekFrame(e, c64(0), bytes));
    e.checkFault();
    e.emit(call(e.shared.adjustStack, i64.add(i64.sub(rbp(e), rsp(e)), c64(bytes))));
    e.fixed(RBP, bytes).write(widthOf(bytes).from64(value));
    e.next();
  },
});

const LEAVE64: Handler = {
  key: 'leave64',
  build: (e) => {
    const frame = e.let(rbp(e));
    const value = e.load(frame, 8);
    e.fixed(RSP, 8).write(i64.add(frame, c64(8)));
    e.fixed(RBP, 8).write(value);
    e.next();
  },
};

/** PUSHA and PUSHAD: all eight registers, with the stack pointer as it was before. */
const pushAll = (key: string, bytes: 2 | 4): Handler => ({
  key,
  build: (e) => {
    const old = e.let(rsp(e));
    for (let index = 0; index < 8; index++) {
      const value = index === RSP ? old : (e.fixed(index, 8).read() as I64);
      e.emit(call(e.shared.push, value, c32(bytes)));
      leaveOnFault(e, setRsp(e, old));
    }
    e.next();
  },
});

/** POPA and POPAD: the slot of the stack pointer is skipped. */
const popAll = (key: string, bytes: 2 | 4): Handler => ({
  key,
  build: (e) => {
    const w = widthOf(bytes);
    // In the order of the pops, EDI first: it decides which address a fault reports.
    const registers = [7, 6, 5, 3, 2, 1, 0];
    const values = registers.map((index) => {
      const value = e.let(call64(e.shared.peekStack, c64((7 - index) * bytes), c32(bytes)));
      e.checkFault();
      return value;
    });
    registers.forEach((index, place) => e.fixed(index, bytes).write(w.from64(values[place] as I64)));
    e.emit(call(e.shared.adjustStack, c64(8 * bytes)));
    e.next();
  },
});

export const stackHandlers: readonly Handler[] = [
  ...popMemory,
  ...WORD_SIZES.map(enter),
  leaveGeneral(2),
  leaveGeneral(4),
  LEAVE64,
  pushAll('pusha', 2),
  pushAll('pushad', 4),
  popAll('popa', 2),
  popAll('popad', 4),
];
