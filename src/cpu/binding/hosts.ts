// What comes behind a record, in the two ways to run them: a handler that is a function of its own says it by a status,
// one that is inlined in the run loop goes there.

import {
  br,
  get,
  type I32,
  type I64,
  i32,
  i64,
  type Label,
  type Local,
  ret,
  type Stmt,
  set,
  when,
} from '../../wasm/code.ts';
import type { FunctionBuilder } from '../../wasm/module.ts';
import type { Host, Reach } from '../semantics/emission.ts';
import * as at from '../state/layout.ts';
import { tlbEntry } from './memory.ts';
import * as rec from './recordLayout.ts';
import { nearRecord, outTarget } from './records.ts';
import { longer } from './stateBlock.ts';

const c32 = i32.const;

/** What a handler in the table returns. */
export const STATUS = {
  NEXT: 0,
  FAULT: 1,
  MICRO: 2,
  LOOKUP: 3,
  TAKEN: 4,
  UNCOUNTED_NEXT: 5,
  UNCOUNTED_LOOKUP: 6,
  UNCOUNTED_TAKEN: 7,
  STALE: 8,
  PROBE: 9,
} as const;

/** Is the next page's code context the one the crossing record names, with nothing of it dropped since? */
function crossingHolds(pc: I32, entry: Local<'i32'>, linear: Local<'i64'>): { before: Stmt; holds: I32 } {
  const expected = i32.load(pc, rec.REC_IMM);
  const generation = i32.load(pc, rec.REC_IMM + 4);
  const before: Stmt = [
    set(linear, i64.add(i64.load(pc, rec.REC_DISP), i64.load(c32(at.CODE_BASE)))),
    set(entry, tlbEntry(get(linear))),
  ];
  const known = i64.eq(i64.load(get(entry), at.TLB + at.TLB_FETCH), get(linear));
  const same = i32.eq(i32.load(get(entry), at.TLB + at.TLB_FETCH + 8), expected);
  const fresh = i32.eq(i32.load(expected, at.CTX_GENERATION), generation);
  return { before, holds: i32.and(i32.and(known, same), fresh) };
}

/** Host of a handler that is a function of its own: it returns a status. */
export function functionHost(fn: FunctionBuilder, pcLocal: Local<'i32'>): Host {
  const pc = get(pcLocal);
  const status = (value: number): Stmt => ret(c32(value));
  const target = (value: I64, how: number): Stmt => [i64.store(c32(at.TARGET), value), status(how)];
  const record = (value: I32, how: number): Stmt => [i32.store(c32(at.NEXT_PC), value), status(how)];
  return {
    next: () => status(STATUS.NEXT),
    fault: () => status(STATUS.FAULT),
    micro: () => status(STATUS.MICRO),
    branch: (reach) => (reach === 'near' ? record(nearRecord(pc), STATUS.TAKEN) : target(outTarget(pc), STATUS.LOOKUP)),
    lookup: (value) => target(value, STATUS.LOOKUP),
    // `step` looks at DELAY itself. It does not say where it stands.
    delay: longer,
    timeToGo: () => undefined,
    again: () => record(pc, STATUS.TAKEN),
    linked: (reach) =>
      reach === 'near'
        ? record(nearRecord(pc), STATUS.UNCOUNTED_TAKEN)
        : target(outTarget(pc), STATUS.UNCOUNTED_LOOKUP),
    probe: () => status(STATUS.PROBE),
    crossing: () => {
      const { before, holds } = crossingHolds(pc, fn.local('i32'), fn.local('i64'));
      return [before, when(holds, status(STATUS.UNCOUNTED_NEXT)), status(STATUS.STALE)];
    },
  };
}

/** Everything the run loop keeps in locals, and its shared ends. */
export type Loop = {
  readonly pc: Local<'i32'>;
  /** Record at which the run of straight records under way was entered. */
  readonly entered: Local<'i32'>;
  /** Instructions left, and ns where an instruction takes more than one; may fall below zero by less than a page of instructions. */
  readonly left: Local<'i32'>;
  readonly target: Local<'i64'>;
  readonly nextPc: Local<'i32'>;
  readonly labels: Record<'dispatch' | 'taken' | 'lookup' | 'fault' | 'micro' | 'stale' | 'probe', Label>;
};

export const distance = (l: Loop): I32 => i32.shrU(i32.sub(get(l.pc), get(l.entered)), c32(5));

/** What is behind a record of the run loop, whatever it is: `coldCall` hears it from a handler's status. */
export type LoopHost = Host & { taken(record: I32): Stmt };

export function loopHost(fn: FunctionBuilder, l: Loop): LoopHost {
  const pc = get(l.pc);
  const uncount = set(l.left, i32.add(get(l.left), c32(1)));
  const taken = (value: I32): Stmt => [set(l.nextPc, value), br(l.labels.taken)];
  const lookup = (value: I64): Stmt => [set(l.target, value), br(l.labels.lookup)];
  const branch = (reach: Reach): Stmt => (reach === 'near' ? taken(nearRecord(pc)) : lookup(outTarget(pc)));
  return {
    next: () => [set(l.pc, i32.add(pc, c32(rec.RECORD_BYTES))), br(l.labels.dispatch)],
    fault: () => br(l.labels.fault),
    micro: () => br(l.labels.micro),
    branch,
    lookup,
    taken,
    delay: (ns) => [longer(ns), set(l.left, i32.sub(get(l.left), ns))],
    timeToGo: () => i32.sub(get(l.left), distance(l)),
    again: () => taken(pc),
    linked: (reach) => [uncount, branch(reach)],
    probe: () => br(l.labels.probe),
    crossing: () => {
      const { before, holds } = crossingHolds(pc, fn.local('i32'), fn.local('i64'));
      return [before, when(i32.eqz(holds), br(l.labels.stale)), uncount, loopHost(fn, l).next()];
    },
  };
}
