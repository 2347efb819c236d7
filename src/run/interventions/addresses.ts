// Tells when an instruction at one of some addresses is about to be executed. A repeated string instruction is executed once,
// however often it is interrupted on its way and begun again: it counts again when the one behind it has been reached.

import type { Instruction } from 'iced-x86';
import type { Fields } from '../../bits/fields.ts';
import type { Plain } from '../../bits/plain.ts';
import type { Context } from '../../cpu/state/codeContext.ts';
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

  /**
   * To be made before anything is decoded.
   * @param told which address is reached, for the how manyth time from 1 on
   */
  constructor(machine: Machine, places: readonly Place[], told: (point: number, times: number) => void) {
    this.#machine = machine;
    this.#points = places.map((place) => ({ place, times: 0, last: -1n, end: undefined, open: false }));
    this.#told = told;
    if (places.length === 0) return;
    const { code } = machine.engine;
    const wantedBefore = code.probe;
    code.probe = (insn, context) => {
      const isWanted = this.#isWanted(insn, context);
      return (wantedBefore?.(insn, context) ?? false) || isWanted;
    };
    const toldBefore = machine.engine.onProbe;
    machine.engine.onProbe = () => {
      toldBefore?.();
      this.#reached();
    };
  }

  #isWanted(insn: Instruction, { ip, mode, physicalPage }: Context): boolean {
    const here = {
      linear: BigInt.asUintN(64, insn.ip + mode.base),
      physical: BigInt(physicalPage) * PAGE + insn.ip - ip,
    };
    return this.#points.some(({ place, end }) => {
      const from = here[place.space];
      return from === place.address || from === end;
    });
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
      // What lies behind it may be decoded already, without a probe.
      if (point.end !== end) engine.forgetCode(engine.state.rip);
      point.end = end;
      point.open = true;
    }
    insn.free();
    return true;
  }

  save(): Plain {
    return this.#points.map(({ times, last, end, open }) => ({ times, last, end, open }));
  }

  /** To be called before anything is decoded again. Throws InputError. */
  restore(saved: Fields, name: string): void {
    const points = saved.objects(name, this.#points.length);
    if (points.length !== this.#points.length) throw saved.wrong(name);
    for (const [i, fields] of points.entries()) {
      const point = this.#points[i] as Point;
      point.times = fields.number('times', 0, Number.MAX_SAFE_INTEGER);
      point.last = fields.bigint('last', -1n, LARGEST_COUNT);
      point.end = fields.has('end') ? fields.bigint('end', 0n, 1n << 65n) : undefined;
      point.open = fields.flag('open');
    }
  }
}

const PAGE = 4096n;
const LARGEST_COUNT = BigInt(Number.MAX_SAFE_INTEGER);

const isRepeated = (insn: Instruction): boolean =>
  insn.isStringInstruction && (insn.hasRepPrefix || insn.hasRepePrefix || insn.hasRepnePrefix);
