// Near JMP, Jcc, CALL, RET, LOOP, JCXZ (SDM 2), and what stands between instructions without being one: where decoded code
// goes on elsewhere. `near` targets lie in the same page of code; `out` targets are looked up by instruction pointer.
// Indirect targets are checked before anything is changed (SDM 2: #GP(0) if the target is not canonical).

import { call, call64, type Expr, type I32, type I64, i32, i64, type ValType, when } from '../../wasm/code.ts';
import { CR4_TSD } from '../../x86/control.ts';
import { MSR_IA32_TSC_ADJUST, MSR_TSC_AUX, msrSlot } from '../../x86/msr.ts';
import { GPR } from '../../x86/registers.ts';
import { VECTOR } from '../../x86/vectors.ts';
import type { Emitter } from './emitter.ts';
import * as at from '../state/layout.ts';
import type { Bytes } from '../state/width.ts';
import { CONDITIONS, readCondition, readZF } from './flags.ts';
import { type Handler, LEGACY_STACK_SIZES, WORD_SIZES } from './handler.ts';
import { push64 } from './move.ts';

const { RCX, RSP } = GPR;

const takenNear = (e: Emitter): void => e.emit(e.host.branch('near'));
const takenOut = (e: Emitter): void => e.emit(e.host.branch('out'));

/** Is a target of at most 32 bits outside the code segment? (Never so in 64-bit mode.) */
const beyondLimit = (target: I64): I32 => i64.gtU(target, i64.load32u(i32.const(at.CODE_LIMIT)));
const checkLimit = (e: Emitter, target: I64): void => e.faultWhen(beyondLimit(target), VECTOR.GP, 0);

const handler = (key: string, build: (e: Emitter) => void): Handler => ({ key, build });

const jumpWhen = (e: Emitter, condition: I32, go: (e: Emitter) => void): void => {
  e.emit(
    when(
      condition,
      e.capture(() => go(e)),
    ),
  );
  e.next();
};

const direct: Handler[] = [
  handler('jmp.near', takenNear),
  handler('jmp.out', takenOut),
  ...CONDITIONS.flatMap((condition) => [
    handler(`j${condition}.near`, (e) => jumpWhen(e, readCondition(e, condition), takenNear)),
    handler(`j${condition}.out`, (e) => jumpWhen(e, readCondition(e, condition), takenOut)),
  ]),
];

/** Charges the instruction's time and jumps to what follows, because a run looks at its budget at jumps. */
function lasting(e: Emitter, ns: number | I32): void {
  const more = typeof ns === 'number' ? i32.const(ns - 1) : e.let(i32.sub(ns, i32.const(1)));
  e.emit(e.host.delay(more));
  takenOut(e);
}

const { RAX, RDX } = GPR;
const TSC_ADJUST = i32.const(at.msrAddress(msrSlot(MSR_IA32_TSC_ADJUST)));
const TSC_AUX = i32.const(at.msrAddress(msrSlot(MSR_TSC_AUX)));
const CR4_TSD_BIT = i32.const(Number(CR4_TSD));

/** Where the time is not known, or may not be told, microcode does it. */
function readTimeStamp(e: Emitter, denied: I32, also: () => void): void {
  const left = e.host.timeToGo();
  if (left === undefined) return e.emit(e.host.micro());
  e.emit(when(denied, e.host.micro()));
  const start = i64.add(i64.load(i32.const(at.TSC_START)), i64.load(i32.const(at.TSC_SINCE)));
  const tsc = e.let(i64.add(i64.sub(start, i64.extendS(left)), i64.load(TSC_ADJUST)));
  e.fixed(RAX, 4).write(i32.wrap(tsc));
  e.fixed(RDX, 4).write(i32.wrap(i64.shrU(tsc, i64.const(32))));
  also();
  lasting(e, at.RDTSC_NS);
}

const tsdSet = (): I32 => i32.and(i32.load(i32.const(at.CR4)), CR4_TSD_BIT);

/** PAUSE and the time stamp counter: what loops wait with. */
const waiting: Handler[] = [
  handler('pause', (e) => lasting(e, at.PAUSE_NS)),
  handler('rdtsc', (e) => readTimeStamp(e, tsdSet(), () => undefined)),
  handler('rdtscp', (e) =>
    readTimeStamp(e, i32.or(tsdSet(), i32.eqz(i32.load(i32.const(at.HAS_RDTSCP)))), () =>
      e.fixed(RCX, 4).write(i32.load(TSC_AUX)),
    ),
  ),
];

/**
 * IN AL of a port whose byte is known; of any other microcode asks the chip, and it looks whether the port may be used. An
 * exact step is left to it too: breakpoints on ports are looked for there.
 */
function input(e: Emitter, port: I32): void {
  if (e.host.timeToGo() === undefined) return e.emit(e.host.micro());
  const number = e.let(port);
  const place = i32.and(number, i32.const(at.KNOWN_PORT_COUNT - 1));
  const entry = e.let(i32.add(i32.const(at.KNOWN_PORTS), i32.mul(place, i32.const(at.KNOWN_PORT_BYTES))));
  const known = i32.eq(i32.load(entry), i32.or(number, i32.const(at.PORT_KNOWN)));
  e.emit(when(i32.or(i32.eqz(known), i32.load(i32.const(at.CPL))), e.host.micro()));
  e.fixed(RAX, 1).write(i32.load(entry, at.PORT_VALUE));
  lasting(e, i32.load(entry, at.PORT_NS));
}

const ports: Handler[] = [
  handler('in.i8', (e) => input(e, e.constant('i32', 4))),
  handler('in.dx', (e) => input(e, e.fixed(RDX, 2).read() as I32)),
];

const ADDRESS_SIZES = [
  ['cx', 2],
  ['ecx', 4],
  ['rcx', 8],
] as const;

/** LOOP and JCXZ, by the count register's size. LOOP writes its count register as any instruction of that size would. */
const counted: Handler[] = ADDRESS_SIZES.flatMap(([name, bytes]) => {
  const loopWith = (condition: (e: Emitter) => I32 | undefined) => (e: Emitter) => {
    const count = e.fixed(RCX, bytes);
    const w = count.width;
    const left = e.let(w.narrow(w.sub(count.read(), w.const(1))));
    const more = i32.eqz(w.eqz(left));
    const also = condition(e);
    const taken = e.let(also ? i32.and(more, also) : more);
    const beyond = beyondLimit(e.target());
    e.faultWhen(i32.and(taken, i32.and(i32.eqz(i32.load(i32.const(at.MODE64))), beyond)), VECTOR.GP, 0);
    count.write(left);
    jumpWhen(e, taken, takenOut);
  };
  return [
    handler(
      `loop.${name}`,
      loopWith(() => undefined),
    ),
    handler(`loope.${name}`, loopWith(readZF)),
    handler(
      `loopne.${name}`,
      loopWith((e) => i32.eqz(readZF(e))),
    ),
    handler(`jcxz.${name}`, (e) => {
      const count = e.fixed(RCX, bytes);
      jumpWhen(e, count.width.eqz(count.read()), takenOut);
    }),
  ];
});

/** Leaves with #GP(0) unless the target is canonical; in the other modes every target of 32 bits passes. */
function checkTarget(e: Emitter, target: I64): void {
  const shift = e.let(i64.load32u(i32.const(at.CANONICAL_SHIFT)));
  e.faultWhen(i64.ne(i64.shrS(i64.shl(target, shift), shift), target), VECTOR.GP, 0);
}

const target64 = (e: Emitter, kind: 'r' | 'm' | 'g', bytes: Bytes): I64 => {
  const operand = kind === 'r' ? e.register('first', bytes) : e.memory(bytes, kind === 'm', 'read');
  const value: Expr<ValType> = operand.read();
  return e.let(operand.width.unsigned64(value));
};

const SOURCES = ['r', 'm', 'g'] as const;

const indirectJumps: Handler[] = SOURCES.flatMap((kind) =>
  WORD_SIZES.map((bytes) =>
    handler(`jmp ${kind}${bytes * 8}`, (e) => {
      const target = target64(e, kind, bytes);
      if (bytes === 8) checkTarget(e, target);
      else checkLimit(e, target);
      e.emit(e.host.lookup(target));
    }),
  ),
);

const calls: Handler[] = [
  handler('call64.near', (e) => {
    push64(e, e.returnAddress('near'));
    takenNear(e);
  }),
  handler('call64.out', (e) => {
    push64(e, e.returnAddress('out'));
    takenOut(e);
  }),
  ...SOURCES.map((kind) =>
    handler(`call64 ${kind}64`, (e) => {
      const target = target64(e, kind, 8);
      checkTarget(e, target);
      push64(e, e.returnAddress('out'));
      e.emit(e.host.lookup(target));
    }),
  ),
  ...LEGACY_STACK_SIZES.flatMap((bytes) => [
    handler(`callg${bytes * 8}.out`, (e) => {
      checkLimit(e, e.target());
      pushReturn(e, bytes);
      takenOut(e);
    }),
    ...(['r', 'g'] as const).map((kind) =>
      handler(`callg ${kind}${bytes * 8}`, (e) => {
        const target = target64(e, kind, bytes);
        checkLimit(e, target);
        pushReturn(e, bytes);
        e.emit(e.host.lookup(target));
      }),
    ),
  ]),
];

function pushReturn(e: Emitter, bytes: Bytes): void {
  e.emit(call(e.shared.push, e.returnAddress('out'), i32.const(bytes)));
  e.checkFault();
}

const returns: Handler[] = [
  handler('ret64', (e) => return64(e, i64.const(8))),
  handler('ret64 i16', (e) => return64(e, i64.add(e.constant('i64', 8), i64.const(8)))),
  ...LEGACY_STACK_SIZES.flatMap((bytes) => [
    handler(`retg${bytes * 8}`, (e) => returnGeneral(e, bytes, i64.const(bytes))),
    handler(`retg${bytes * 8} i16`, (e) => returnGeneral(e, bytes, i64.add(e.constant('i64', 8), i64.const(bytes)))),
  ]),
];

function return64(e: Emitter, released: I64): void {
  const stackPointer = e.fixed(RSP, 8);
  const top = e.let(stackPointer.read()) as I64;
  const target = e.load(top, 8) as I64;
  checkTarget(e, target);
  stackPointer.write(i64.add(top, released));
  e.emit(e.host.lookup(target));
}

function returnGeneral(e: Emitter, bytes: Bytes, released: I64): void {
  const target = e.let(call64(e.shared.peekStack, i64.const(0), i32.const(bytes)));
  e.checkFault();
  checkLimit(e, target);
  e.emit(call(e.shared.adjustStack, released), e.host.lookup(target));
}

/** What stands for no instruction; the decoder puts it there. It is counted as none. */
const links: Handler[] = [
  handler('link.near', (e) => e.emit(e.host.linked('near'))),
  handler('link.out', (e) => e.emit(e.host.linked('out'))),
  // Before an instruction that runs into the next page: goes on only while that page's decoded bytes are still the ones.
  // Before an instruction that somebody wants to be told of.
  handler('link.probe', (e) => e.emit(e.host.probe())),
  handler('link.cross', (e) => e.emit(e.host.crossing())),
];

export const control: readonly Handler[] = [
  handler('micro', (e) => e.emit(e.host.micro())),
  handler('nop', (e) => e.next()),
  ...direct,
  ...waiting,
  ...ports,
  ...counted,
  ...indirectJumps,
  ...calls,
  ...returns,
  ...links,
];
