// What a straight run of records allows beyond one handler a record. Only handler numbers change: every record keeps its
// fields and its place, so that counting by distance, precise faults and entry in the middle stay as they are; and the
// exact engine (`step`) finds the plain instruction under each of these numbers.
// - `KEY !f`: the same without keeping flags, where they are overwritten before anything can leave the run or see them.
// - `KEY + KEY`: this record and the one behind it in one handler; a jump after a comparison tests the operands themselves.

import * as at from '../state/layout.ts';
import * as rec from './recordLayout.ts';
import type { Handler } from '../semantics/handler.ts';

/** A number that stands in the run loop's table only; the exact engine runs `plain` in its place. */
export type DerivedHandler = { readonly key: string; readonly plain: string; readonly parts: readonly Part[] };
/** What may be left out: the flags, or the memory operand's index. */
export type Part = { readonly handler: Handler; readonly flagless: boolean; readonly unindexed: boolean };

const FLAGLESS = ' !f';
const UNINDEXED = ' !x';
const BEHIND = ' + ';

/** Builds what a derived key names; undefined where one of its handlers does not exist. */
export function derivedHandler(key: string, byKey: ReadonlyMap<string, Handler>): DerivedHandler | undefined {
  const parts = key.split(BEHIND).map((part) => {
    const flagless = part.endsWith(FLAGLESS);
    const unindexed = part.endsWith(UNINDEXED);
    const handler = byKey.get(flagless || unindexed ? part.slice(0, -FLAGLESS.length) : part);
    return handler && { handler, flagless, unindexed };
  });
  const [first] = parts;
  const whole = parts.filter((part) => part !== undefined);
  return first && whole.length === parts.length ? { key, plain: first.handler.key, parts: whole } : undefined;
}

export const isDerived = (key: string): boolean =>
  key.endsWith(FLAGLESS) || key.endsWith(UNINDEXED) || key.includes(BEHIND);

/**
 * How an instruction treats flags, as far as dropping them goes:
 * - sets: all six, whatever they were, and it neither faults nor reads any;
 * - leaves: reads none, cannot fault, and goes on to the next record (it may set some);
 * - else anything may see the flags at it.
 */
type Effect = 'sets' | 'leaves' | 'sees';

const REGISTERS_ONLY = /^(\S+) ?((?:[ri]\d+,?)*)$/;
const SETS = new Set('add sub cmp and or xor test neg bzhi andn'.split(' '));
const LEAVES = new Set('mov movzx movsx movsxd lea not bswap nop imul inc dec rol ror shrx shlx sarx rorx'.split(' '));
const SHIFTS = new Set('shl shr sar'.split(' '));

function effectOf(key: string): Effect | 'shifts' {
  // LEA computes an address and touches no memory.
  const [, name, operands] = REGISTERS_ONLY.exec(key.startsWith('lea ') ? key.replace('m', 'r0') : key) ?? [];
  if (name === undefined || operands === undefined) return 'sees';
  if (SETS.has(name)) return 'sets';
  if (SHIFTS.has(name)) return 'shifts';
  return LEAVES.has(name) ? 'leaves' : 'sees';
}

export class Fuser {
  readonly #effects: (Effect | 'shifts')[] = [];
  readonly #flagless: (number | undefined)[] = [];
  readonly #unindexed: (number | undefined)[] = [];
  readonly #fused = new Map<number, number>();

  /** @param numbers of every handler, plain and derived */
  constructor(numbers: ReadonlyMap<string, number>) {
    for (const [key, number] of numbers) {
      this.#effects[number] = effectOf(key.replace(FLAGLESS, '').replace(UNINDEXED, ''));
      if (!isDerived(key)) {
        this.#flagless[number] = numbers.get(key + FLAGLESS);
        this.#unindexed[number] = numbers.get(key + UNINDEXED);
      }
      const [first, second] = key.split(BEHIND).map((part) => numbers.get(part));
      if (first !== undefined && second !== undefined) this.#fused.set(pairOf(first, second), number);
    }
  }

  /** Improves the records of one run, from `begin` to `end`. */
  run(view: DataView, begin: number, end: number): void {
    this.#dropFlags(view, begin, end);
    for (let record = begin; record + rec.RECORD_BYTES < end; record += rec.RECORD_BYTES) {
      const first = view.getUint16(record + rec.REC_HANDLER, true);
      const second = view.getUint16(record + rec.RECORD_BYTES + rec.REC_HANDLER, true);
      const fused = this.#fused.get(pairOf(first, second));
      const better = fused ?? this.#unindexedOf(view, record, first);
      if (better !== undefined) view.setUint16(record + rec.REC_HANDLER, better, true);
    }
  }

  #unindexedOf(view: DataView, record: number, number: number): number | undefined {
    return view.getUint16(record + rec.REC_INDEX, true) === at.ZERO ? this.#unindexed[number] : undefined;
  }

  /** From the last record to the first: are the flags, as they are behind this record, dead? */
  #dropFlags(view: DataView, begin: number, end: number): void {
    let dead = false;
    for (let record = end - rec.RECORD_BYTES; record >= begin; record -= rec.RECORD_BYTES) {
      const number = view.getUint16(record + rec.REC_HANDLER, true);
      const flagless = dead ? this.#flagless[number] : undefined;
      if (flagless !== undefined) view.setUint16(record + rec.REC_HANDLER, flagless, true);
      const effect = this.#effects[number];
      // A shift by 0 sets nothing; the immediate decides.
      if (effect === 'sets' || (effect === 'shifts' && isShift(view, record))) dead = true;
      else if (effect === 'sees' || effect === undefined) dead = false;
    }
  }
}

/** Does the count stay above 0 however many bits of it the operand's size lets through? */
const isShift = (view: DataView, record: number): boolean => (view.getUint8(record + rec.REC_IMM) & 31) !== 0;

const pairOf = (first: number, second: number): number => first * 0x10000 + second;
