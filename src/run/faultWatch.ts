// Counts exceptions, since a loop of them hardly shows in a count of instructions: the same one, at the same place, again
// and again. Whether all is as it was each time, repeats.ts finds out by stepping. Here only the fault is found that the
// handler meets itself, at once or nearly so: then everything is as it was but the stack, which grows downwards.

import type { Fields } from '../bits/fields.ts';
import { PAGE_SIZE } from '../bits/address.ts';
import type { Plain } from '../bits/plain.ts';
import { type Fault, isFault } from '../cpu/state/cpu.ts';
import * as at from '../cpu/state/layout.ts';
import { SEG } from '../cpu/state/state.ts';
import { StateHash } from '../machine/hash.ts';
import type { Machine } from '../machine/machine.ts';
import { GPR } from '../x86/registers.ts';
import { processorBytes, withoutStackPointer } from './processorState.ts';

/** Of the same exception in a row: when it is looked at first, and how much later each time. */
const FIRST_LOOK = 4096;
const GROWTH = 4;
/** When a fault is believed to be met by its own handler for ever; stacks that have an end are much smaller. */
const RECURSION = 65_536;
/** Instructions that a handler may run before it meets its own fault. */
const SHORT_HANDLER = 64n;
/** Stack that a fault and its handler take at once, in bytes. */
const MOST_STACK = 4096n;
/** So many in a row are no progress, whatever changes meanwhile: some ten seconds. */
export const MOST_FAULTS = 4_000_000;

const { RSP } = GPR;
const MOST = (1n << 64n) - 1n;

export type FaultSeen = 'look' | 'recursion' | 'no progress' | undefined;

/** What there was when the exception came, but for the stack pointer and the pages of the stack. */
type Kept = {
  readonly state: string;
  readonly stack: readonly number[];
  readonly rsp: bigint;
  readonly retired: bigint;
};

export class FaultWatch {
  readonly #machine: Machine;
  #vector = -1;
  #error = -1;
  #address = 0n;
  #rip = 0n;
  #same = 0;
  /** What was there at the one before, if that is to be compared. */
  #kept: Kept | undefined;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  save(): Plain {
    return {
      ...{ vector: this.#vector, error: this.#error, address: this.#address, rip: this.#rip, same: this.#same },
      kept: this.#kept && { ...this.#kept, stack: [...this.#kept.stack] },
    };
  }

  /** Throws InputError. */
  restore(saved: Fields): void {
    this.#vector = saved.number('vector', -1, 255);
    this.#error = saved.number('error', -1, 2 ** 32 - 1);
    this.#address = saved.bigint('address', 0n, MOST);
    this.#rip = saved.bigint('rip', 0n, MOST);
    this.#same = saved.number('same', 0, Number.MAX_SAFE_INTEGER);
    const kept = saved.has('kept') ? saved.object('kept') : undefined;
    this.#kept = kept && {
      state: kept.text('state', 100),
      stack: kept.numbers('stack', 2, 0, 2 ** 20),
      rsp: kept.bigint('rsp', 0n, MOST),
      retired: kept.bigint('retired', 0n, MOST),
    };
  }

  /** How often the same exception came in a row, so far. */
  get same(): number {
    return this.#same;
  }

  /** "#PF at 0x100000, on address 0xdead000". */
  get fault(): { readonly vector: number; readonly error: number; readonly address: bigint; readonly rip: bigint } {
    return { vector: this.#vector, error: this.#error, address: this.#address, rip: this.#rip };
  }

  /** Takes an exception that is about to be delivered. */
  take({ vector, error = -1, address = 0n }: Fault): FaultSeen {
    const { rip } = this.#machine.engine.state;
    const same =
      vector === this.#vector && rip === this.#rip && address === this.#address && (error | 0) === (this.#error | 0);
    if (!same) {
      [this.#vector, this.#error, this.#address, this.#rip, this.#same] = [vector, error, address, rip, 0];
      this.#kept = undefined;
    }
    this.#same++;
    if (this.#kept) return this.#compare(this.#kept);
    if (this.#same >= MOST_FAULTS) return 'no progress';
    if (!isStep(this.#same)) return undefined;
    if (this.#same >= RECURSION) this.#kept = this.#keep();
    return 'look';
  }

  #keep(): Kept {
    const { state, retired } = this.#machine.engine;
    const rsp = state.reg(RSP);
    const stack = [rsp - 1n, rsp - MOST_STACK].flatMap((place) => this.#hostPage(place) ?? []);
    return { state: this.#state(stack), stack, rsp, retired };
  }

  /** The processor but for its stack pointer, and the pages written but for those of the stack. */
  #state(stack: readonly number[]): string {
    const { engine, memory } = this.#machine;
    const hash = new StateHash();
    hash.words(withoutStackPointer(processorBytes(engine.state, memory.bytes)));
    for (const page of engine.pagesWith(at.PAGE_WRITTEN)) {
      if (stack.includes(page)) continue;
      hash.word(page);
      hash.words(memory.bytes.subarray(page * PAGE_SIZE, (page + 1) * PAGE_SIZE));
    }
    return hash.digest();
  }

  #compare({ state, stack, rsp, retired }: Kept): FaultSeen {
    this.#kept = undefined;
    const { engine } = this.#machine;
    const down = rsp - engine.state.reg(RSP);
    const grows = down > 0n && down <= MOST_STACK && engine.retired - retired <= SHORT_HANDLER;
    return grows && this.#state(stack) === state ? 'recursion' : undefined;
  }

  /** Host page of a place on the stack. */
  #hostPage(offset: bigint): number | undefined {
    const { engine, memory } = this.#machine;
    const base = engine.state.mode64 ? 0n : engine.state.segment(SEG.SS).base;
    const physical = engine.translate(BigInt.asUintN(64, base + offset), { implicit: true, peek: true });
    const host = isFault(physical) ? undefined : memory.hostOf(physical);
    return host === undefined ? undefined : host >>> 12;
  }
}

/** Is that a count at which the loop is looked at? */
function isStep(count: number): boolean {
  let step = FIRST_LOOK;
  while (step < count) step *= GROWTH;
  return step === count;
}
