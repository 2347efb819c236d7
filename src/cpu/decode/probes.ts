// Which decoded instructions somebody wants to be told of before they run, and who. Asked of each instruction when it is
// decoded; where anybody wants it, a record that stops the engine is laid before it. Nothing else is paid.

import type { Instruction } from 'iced-x86';
import { PAGE_SIZE } from '../../bits/address.ts';
import type { Context } from '../state/codeContext.ts';
import { slotAddress } from './runWriter.ts';
import type { GuestMemory } from '../state/memory.ts';

/** An instruction by where its first byte is: what code runs at that linear address, or what lies at that physical one. */
export type ProbeAt = { readonly linear: bigint } | { readonly physical: number };

export type Choice = (insn: Instruction, context: Context) => boolean;

/** A byte of a context's page, as records have it at REC_WHERE. */
const placeOf = (context: Context, offset: number): number => (((context.address >>> 8) << 12) | offset) >>> 0;
const contextOf = (place: number): number => (place >>> 12) << 8;

const linearOf = (context: Context, ip: bigint): bigint => BigInt.asUintN(64, ip + context.mode.base);

/** What one observer wants. */
export class Probing {
  readonly #choose: Choice | undefined;
  readonly #linear = new Set<bigint>();
  readonly #physical = new Set<number>();
  /** Linear addresses that are let go of, whatever its choice would be. */
  readonly #left = new Set<bigint>();

  /** @param choose asked of each instruction when it is decoded, and again when it is decoded anew */
  constructor(choose: Choice | undefined) {
    this.#choose = choose;
  }

  get asksOfAll(): boolean {
    return this.#choose !== undefined;
  }

  get asks(): boolean {
    return this.asksOfAll || this.#linear.size > 0 || this.#physical.size > 0;
  }

  add(at: ProbeAt): void {
    if ('physical' in at) this.#physical.add(at.physical);
    else {
      this.#linear.add(at.linear);
      this.#left.delete(at.linear);
    }
  }

  remove(at: ProbeAt): void {
    if ('physical' in at) this.#physical.delete(at.physical);
    else {
      this.#linear.delete(at.linear);
      if (this.#choose) this.#left.add(at.linear);
    }
  }

  wants(insn: Instruction, context: Context, offset: number): boolean {
    const linear = linearOf(context, insn.ip);
    if (this.#linear.has(linear) || this.#physical.has(context.physicalPage * PAGE_SIZE + offset)) return true;
    return this.#choose !== undefined && !this.#left.has(linear) && this.#choose(insn, context);
  }
}

export class Probes {
  #asking: readonly Probing[] = [];
  /** By place, whoever wanted the instruction there when it was decoded. */
  readonly #wanted = new Map<number, readonly Probing[]>();
  /** Contexts in which what is wanted is another now than when they were decoded. */
  readonly due = new Set<Context>();

  /** @param all the contexts there are */
  add(probing: Probing, all: Iterable<Context>): void {
    if (!probing.asks || this.#asking.includes(probing)) return;
    this.#asking = [...this.#asking, probing];
    if (probing.asksOfAll) for (const context of all) this.due.add(context);
  }

  remove(probing: Probing, byAddress: (address: number) => Context | undefined): void {
    this.#asking = this.#asking.filter((each) => each !== probing);
    for (const [place, by] of this.#wanted) {
      const context = by.includes(probing) ? byAddress(contextOf(place)) : undefined;
      if (context) this.due.add(context);
    }
  }

  /** Something is wanted at a place, or no longer: what is decoded there is to be decoded again. */
  changed(at: ProbeAt, all: Iterable<Context>, memory: GuestMemory): void {
    for (const context of all) {
      const offset = offsetIn(context, at);
      const decoded = offset !== undefined && memory.view.getUint32(slotAddress(context, offset), true) !== 0;
      if (decoded) this.due.add(context);
    }
  }

  /** Asks all that want to be asked. @returns whether anybody wants it */
  choose(insn: Instruction, context: Context, offset: number): boolean {
    if (this.#asking.length === 0) return false;
    const place = placeOf(context, offset);
    const by = this.#asking.filter((probing) => probing.wants(insn, context, offset));
    if (by.length > 0) this.#wanted.set(place, by);
    else this.#wanted.delete(place);
    return by.length > 0;
  }

  /** @param place of the record that stopped the engine */
  wanted(place: number): readonly Probing[] {
    return this.#wanted.get(place) ?? [];
  }

  /** Everything that was decoded is gone. */
  forget(): void {
    this.#wanted.clear();
    this.due.clear();
  }
}

/** Where in a context's page it is, if it lies there. */
function offsetIn(context: Context, at: ProbeAt): number | undefined {
  if ('physical' in at) {
    return Math.floor(at.physical / PAGE_SIZE) === context.physicalPage ? at.physical % PAGE_SIZE : undefined;
  }
  const offset = BigInt.asUintN(64, at.linear - linearOf(context, context.ip));
  return offset < BigInt(PAGE_SIZE) ? Number(offset) : undefined;
}
