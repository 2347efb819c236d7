// Tells when an instruction at one of some addresses is about to be executed. A repeated string instruction is executed once,
// however often it is interrupted on its way and begun again: it counts again when the one behind it has been reached.

import type { Instruction } from 'iced-x86';
import type { Fields } from '../../bits/fields.ts';
import type { Plain } from '../../bits/plain.ts';
import type { Observation } from '../../cpu/interpret/observing.ts';
import { isFault } from '../../cpu/state/cpu.ts';
import type { Machine } from '../../machine/machine.ts';
import type { Place } from './text.ts';

/** An address that is watched, and how far that has come. */
type Point = {
  readonly place: Place;
  times: number;
  /** Instructions retired when it was reached last: told of twice without one between, it was reached once. */
  last: bigint;
  /** Where the instruction ends, if it is a repeated one that has been met; and whether it is on its way. */
  end: bigint | undefined;
  open: boolean;
};

export class Addresses {
  readonly #machine: Machine;
  readonly #points: Point[];
  readonly #told: (point: number, times: number) => void;
  readonly #observation: Observation;

  /**
   * @param told which address is reached, for the how manyth time from 1 on
   */
  constructor(machine: Machine, places: readonly Place[], told: (point: number, times: number) => void) {
    this.#machine = machine;
    this.#points = places.map((place) => ({ place, times: 0, last: -1n, end: undefined, open: false }));
    this.#told = told;
    this.#observation = machine.observe(places.length > 0 ? { instruction: () => this.#reached() } : {});
    for (const { space, address } of places) this.#probe(space, address);
  }

  #probe(space: Place['space'], address: bigint): void {
    this.#observation.probe(space === 'linear' ? { linear: address } : { physical: Number(address) });
  }

  #reached(): void {
    const { engine } = this.#machine;
    const linear = BigInt.asUintN(64, engine.state.rip + engine.mode.base);
    const physical = engine.translate(linear, { fetch: true, implicit: true });
    if (isFault(physical)) return;
    const here = { linear, physical: BigInt(physical) };
    const now: [number, Point][] = [];
    for (const [i, point] of this.#points.entries()) {
      const from = here[point.place.space];
      if (from === point.end) point.open = false;
      if (from === point.place.address && this.#counts(point)) now.push([i, point]);
    }
    for (const [i, { times }] of now) this.#told(i, times);
  }

  #counts(point: Point): boolean {
    const { engine } = this.#machine;
    if (point.open || point.last === engine.retired) return false;
    point.last = engine.retired;
    point.times++;
    const insn = engine.currentInstruction();
    if (isFault(insn)) return true;
    if (isRepeated(insn)) {
      const end = point.place.address + BigInt(insn.length);
      if (point.end !== end) this.#probe(point.place.space, end);
      point.end = end;
      point.open = true;
    }
    insn.free();
    return true;
  }

  save(): Plain {
    return this.#points.map(({ times, last, end, open }) => ({ times, last, end, open }));
  }

  /** Throws InputError. */
  restore(saved: Fields, name: string): void {
    const points = saved.objects(name, this.#points.length);
    if (points.length !== this.#points.length) throw saved.wrong(name);
    for (const [i, fields] of points.entries()) {
      const point = this.#points[i] as Point;
      point.times = fields.number('times', 0, Number.MAX_SAFE_INTEGER);
      point.last = fields.bigint('last', -1n, LARGEST_COUNT);
      point.end = fields.has('end') ? fields.bigint('end', 0n, 1n << 65n) : undefined;
      point.open = fields.flag('open');
      if (point.end !== undefined) this.#probe(point.place.space, point.end);
    }
  }
}

const LARGEST_COUNT = BigInt(Number.MAX_SAFE_INTEGER);

const isRepeated = (insn: Instruction): boolean =>
  insn.isStringInstruction && (insn.hasRepPrefix || insn.hasRepePrefix || insn.hasRepnePrefix);
