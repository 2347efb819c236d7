// Builds the interpreter: one WebAssembly module out of every handler's semantics. Two ways to run records:
// `run` is one function with the hottest handlers inlined under a br_table (the rest through the table); `step` calls
// every handler through the table and stops at an exact count. Both bind the same semantics, so they cannot differ.
//
// Instructions are counted where a run of records is left: records of straight code lie side by side, so the distance
// from where the run was entered is the count.

import {
  block,
  br,
  brTable,
  type Code,
  callIndirect32,
  get,
  type I32,
  type I64,
  i32,
  i64,
  type Label,
  type Local,
  label,
  loop,
  ret,
  type Stmt,
  set,
  when,
} from '../../wasm/code.ts';
import { type FunctionBuilder, ModuleBuilder } from '../../wasm/module.ts';
import type { Binding, FlagSource } from '../semantics/emission.ts';
import { Emitter } from '../semantics/emitter.ts';
import { type DerivedHandler, derivedHandler } from './fuse.ts';
import { distance, functionHost, type Loop, type LoopHost, loopHost, STATUS } from './hosts.ts';
import * as at from '../state/layout.ts';
import * as rec from './recordLayout.ts';
import type { Handler } from '../semantics/handler.ts';
import { defineMemory, importHost, type MemoryFunctions, tlbEntry } from './memory.ts';
import { recordOperands } from './records.ts';
import { stateBlock } from './stateBlock.ts';

const { EXIT } = at;
const c32 = i32.const;

const ripOf = (pc: I32): I64 => {
  const where = i32.load(pc, rec.REC_WHERE);
  const context = i32.shl(i32.shrU(where, c32(12)), c32(8));
  return i64.add(i64.load(context, at.CTX_IP), i64.extendU(i32.and(where, c32(4095))));
};

/** What stands under one label of the run loop: a handler, or several records' in one. */
type Hot = Pick<DerivedHandler, 'key' | 'parts'>;

const count = (l: Loop, more: number): Stmt =>
  set(l.left, i32.sub(get(l.left), more ? i32.add(distance(l), c32(more)) : distance(l)));

const leave = (pc: I32, reason: number): Stmt => [
  i32.store(c32(at.PC), pc),
  i32.store(c32(at.EXIT_REASON), c32(reason)),
];

/** Looks a target up: on a hit leaves its record in `nextPc`, else 0. */
function lookup(l: Pick<Loop, 'target' | 'nextPc'>, linear: Local<'i64'>, entry: Local<'i32'>): Stmt {
  const context = i32.load(get(entry), at.TLB + at.TLB_FETCH + 8);
  const offset = i32.shl(i32.and(i32.wrap(get(linear)), c32(4095)), c32(2));
  return [
    set(linear, i64.add(get(l.target), i64.load(c32(at.CODE_BASE)))),
    set(entry, tlbEntry(get(linear))),
    set(l.nextPc, c32(0)),
    when(
      i64.eq(i64.load(get(entry), at.TLB + at.TLB_FETCH), i64.and(get(linear), i64.const(-4096))),
      set(l.nextPc, i32.load(i32.add(context, offset), at.CTX_SLOTS)),
    ),
  ];
}

/** (budget i32): runs from the record in PC until the budget is used up (overrun: less than a page of instructions) or something has to be done outside. */
function defineRun(module: ModuleBuilder, hot: readonly Hot[], memory: MemoryFunctions, handlerType: number): number {
  return module.function(['i32'], [], (fn) => {
    const names = ['dispatch', 'taken', 'lookup', 'fault', 'micro', 'stale', 'probe'] as const;
    const labels = Object.fromEntries(names.map((name) => [name, label(name)])) as Loop['labels'];
    const l: Loop = {
      pc: fn.local('i32'),
      entered: fn.local('i32'),
      left: fn.local('i32'),
      target: fn.local('i64'),
      nextPc: fn.local('i32'),
      labels,
    };
    const linear = fn.local('i64');
    const entry = fn.local('i32');
    const exit = (reason: number, more: number, rip: I64): Stmt => [
      count(l, more),
      i64.store(c32(at.RIP), rip),
      leave(get(l.pc), reason),
      i32.store(c32(at.COUNT), get(l.left)),
      ret(),
    ];
    const here = (reason: number): Stmt => exit(reason, 0, ripOf(get(l.pc)));
    // The target is known by address only: it is where execution stands once this instruction is counted.
    const miss = exit(EXIT.MISS, 1, get(l.target));
    const nearTarget: Stmt = set(l.target, nearTargetIp(get(l.pc)));
    const body: Code = dispatch(fn, l, hot, memory, handlerType);
    return [
      set(l.left, get(fn.param(0, 'i32'))),
      set(l.pc, i32.load(c32(at.PC))),
      set(l.entered, get(l.pc)),
      loop(
        labels.dispatch,
        block(
          labels.probe,
          block(
            labels.stale,
            block(
              labels.micro,
              block(
                labels.fault,
                block(
                  labels.taken,
                  block(labels.lookup, body),
                  lookup(l, linear, entry),
                  when(i32.eqz(get(l.nextPc)), miss),
                ),
                when(i32.eqz(get(l.nextPc)), [nearTarget, miss]),
                count(l, 1),
                set(l.pc, get(l.nextPc)),
                set(l.entered, get(l.pc)),
                when(i32.geS(get(l.left), c32(0)), br(labels.dispatch)),
                i64.store(c32(at.RIP), ripOf(get(l.pc))),
                leave(get(l.pc), EXIT.BUDGET),
                i32.store(c32(at.COUNT), get(l.left)),
                ret(),
              ),
              here(EXIT.FAULT),
            ),
            here(EXIT.MICRO),
          ),
          here(EXIT.STALE),
        ),
        here(EXIT.PROBE),
      ),
    ];
  });
}

/** Instruction pointer that a near record's empty slot stands for: the slot's place in its context. */
const nearTargetIp = (pc: I32): I64 => {
  const where = i32.load(pc, rec.REC_WHERE);
  const context = i32.shl(i32.shrU(where, c32(12)), c32(8));
  const offset = i32.shrU(i32.sub(i32.load(pc, rec.REC_IMM), i32.add(context, c32(at.CTX_SLOTS))), c32(2));
  return i64.add(i64.load(context, at.CTX_IP), i64.extendU(offset));
};

/** A handler's code in the run loop; one part goes on to the next without a dispatch. */
function inlined(fn: FunctionBuilder, l: Loop, hot: Hot, memory: MemoryFunctions): Code {
  const host = loopHost(fn, l);
  const advance = set(l.pc, i32.add(get(l.pc), c32(rec.RECORD_BYTES)));
  let code: Code = [];
  let flags: FlagSource | undefined;
  hot.parts.forEach(({ handler, flagless, unindexed }, index) => {
    const seam = label('seam');
    const last = index === hot.parts.length - 1;
    const binding: Binding = {
      registers: stateBlock,
      operands: recordOperands(l.pc, memory, unindexed),
      host: last ? host : { ...host, next: () => [advance, br(seam)] },
    };
    const e = new Emitter(fn, memory, binding);
    e.flagsDead = flagless;
    e.flags = flags;
    handler.build(e);
    flags = e.flags;
    code = [code, last ? e.code : block(seam, e.code)];
  });
  return code;
}

/** The br_table over the hot handlers; its default label calls through the table. */
function dispatch(
  fn: FunctionBuilder,
  l: Loop,
  hot: readonly Hot[],
  memory: MemoryFunctions,
  handlerType: number,
): Code {
  const labels = hot.map((handler) => label(handler.key));
  const cold = label('cold');
  const host = loopHost(fn, l);
  let code: Code = brTable(i32.load16u(get(l.pc), rec.REC_HANDLER), labels, cold);
  hot.forEach((handler, index) => {
    code = [block(labels[index] as Label, code), fn.scoped(() => inlined(fn, l, handler, memory))];
  });
  return [block(cold, code), coldCall(fn, l, host, handlerType)];
}

function coldCall(fn: FunctionBuilder, l: Loop, host: LoopHost, handlerType: number): Code {
  const status = fn.local('i32');
  const is = (value: number): I32 => i32.eq(get(status), c32(value));
  return [
    set(status, callIndirect32(handlerType, i32.load16u(get(l.pc), rec.REC_HANDLER), get(l.pc))),
    when(is(STATUS.NEXT), host.next()),
    when(is(STATUS.FAULT), host.fault()),
    when(is(STATUS.MICRO), host.micro()),
    when(is(STATUS.LOOKUP), host.lookup(i64.load(c32(at.TARGET)))),
    host.taken(i32.load(c32(at.NEXT_PC))),
  ];
}

const isLink = (pc: I32): I32 => i32.ltU(i32.load16u(pc, rec.REC_HANDLER), c32(LINK_KEYS.length));

/** (budget i32): as `run`, but exact: stops after so many instructions, or with the delay that takes it there. */
function defineStep(module: ModuleBuilder, memory: MemoryFunctions, handlerType: number): number {
  return module.function(['i32'], [], (fn) => {
    const left = fn.param(0, 'i32');
    const pc = fn.local('i32');
    const status = fn.local('i32');
    const target = fn.local('i64');
    const nextPc = fn.local('i32');
    const linear = fn.local('i64');
    const entry = fn.local('i32');
    const again = label('again');
    const moved = label('moved');
    const is = (value: number): I32 => i32.eq(get(status), c32(value));
    const countOne = set(left, i32.sub(get(left), c32(1)));
    const delayed = i32.load(c32(at.DELAY));
    const stop = (reason: number, rip: I64): Stmt => [
      i64.store(c32(at.RIP), rip),
      leave(get(pc), reason),
      i32.store(c32(at.COUNT), i32.sub(get(left), delayed)),
      ret(),
    ];
    const counted = i32.or(is(STATUS.LOOKUP), is(STATUS.TAKEN));
    const looked = i32.or(is(STATUS.LOOKUP), is(STATUS.UNCOUNTED_LOOKUP));
    const advance = set(pc, i32.add(get(pc), c32(rec.RECORD_BYTES)));
    return [
      set(pc, i32.load(c32(at.PC))),
      loop(
        again,
        block(
          moved,
          set(status, callIndirect32(handlerType, i32.load16u(get(pc), rec.REC_HANDLER), get(pc))),
          when(is(STATUS.NEXT), [countOne, advance, br(moved)]),
          when(is(STATUS.UNCOUNTED_NEXT), [advance, br(moved)]),
          when(is(STATUS.FAULT), stop(EXIT.FAULT, ripOf(get(pc)))),
          when(is(STATUS.MICRO), stop(EXIT.MICRO, ripOf(get(pc)))),
          when(is(STATUS.STALE), stop(EXIT.STALE, ripOf(get(pc)))),
          when(is(STATUS.PROBE), stop(EXIT.PROBE, ripOf(get(pc)))),
          when(counted, countOne),
          when(
            looked,
            [set(target, i64.load(c32(at.TARGET))), lookup({ target, nextPc }, linear, entry)],
            [set(nextPc, i32.load(c32(at.NEXT_PC))), when(i32.eqz(get(nextPc)), set(target, nearTargetIp(get(pc))))],
          ),
          when(i32.eqz(get(nextPc)), stop(EXIT.MISS, get(target))),
          set(pc, get(nextPc)),
        ),
        // A link record is no place to stop at: it stands for no instruction and has no address of its own.
        when(i32.or(i32.gtS(get(left), delayed), isLink(get(pc))), br(again)),
      ),
      stop(EXIT.BUDGET, ripOf(get(pc))),
    ];
  });
}

/** Records that are no instructions; numbered first, so that they are easily told. */
const LINK_KEYS = ['link.near', 'link.out', 'link.cross', 'link.probe'] as const;

export type BuiltEngine = {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Handler number by key. */
  readonly numbers: ReadonlyMap<string, number>;
};

/**
 * @param handlers every handler; their keys are unique
 * @param hotKeys keys of those to inline, hottest first
 * @param stepped `run` is as exact as `step`, and calls every handler
 */
export function buildEngine(handlers: readonly Handler[], hotKeys: readonly string[], stepped = false): BuiltEngine {
  const byKey = new Map(handlers.map((handler) => [handler.key, handler]));
  const hot = [...LINK_KEYS, ...hotKeys].map((key) => derivedHandler(key, byKey)).filter((one) => one !== undefined);
  const isHot = new Set(hot.map(({ key }) => key));
  const keys = [...isHot, ...[...byKey.keys()].filter((key) => !isHot.has(key))];

  const module = new ModuleBuilder();
  const imports = importHost(module);
  const memory = defineMemory(module, imports);
  const handlerType = module.typeIndex(['i32'], ['i32']);
  const functions = new Map(
    handlers.map((handler) => {
      const index = module.function(['i32'], ['i32'], (fn) => {
        const pc = fn.param(0, 'i32');
        const operands = recordOperands(pc, memory);
        const e = new Emitter(fn, memory, { registers: stateBlock, operands, host: functionHost(fn, pc) });
        handler.build(e);
        return [e.code, c32(STATUS.NEXT).code];
      });
      return [handler.key, index];
    }),
  );
  const plain = new Map(hot.map((one) => [one.key, one.plain]));
  module.table(keys.map((key) => functions.get(plain.get(key) ?? key) as number));
  const run = stepped ? undefined : defineRun(module, hot, memory, handlerType);
  const step = defineStep(module, memory, handlerType);
  module.exportFunction('run', run ?? step);
  module.exportFunction('step', step);
  module.exportFunction('walk', memory.walk);
  module.exportFunction('loadSlow', memory.loadSlow);
  module.exportFunction('storeSlow', memory.storeSlow);
  module.exportFunction('hostOfPhysical', memory.hostOfPhysical);
  const bytes = module.encode({ module: 'host', name: 'memory', minPages: at.RAM_BASE >>> 16 });
  return { bytes, numbers: new Map(keys.map((key, index) => [key, index])) };
}
